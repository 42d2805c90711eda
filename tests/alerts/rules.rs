//! deploy/alerts.yml, as far as it must be read here. promtool knows whether it is YAML, and what Prometheus takes.

pub(crate) const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/alerts.yml");

/// One alert.
#[derive(Debug, Default)]
pub(crate) struct Rule {
    pub(crate) alert: String,
    pub(crate) expression: String,
    pub(crate) severity: String,
    /// summary, description and runbook_url, as they are written.
    pub(crate) annotations: Vec<(String, String)>,
}

pub(crate) fn rules() -> Vec<Rule> {
    let text = std::fs::read_to_string(RULES).unwrap();
    let mut rules: Vec<Rule> = Vec::new();
    let mut within = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (key, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        if key == "- alert" {
            rules.push(Rule { alert: value.to_owned(), ..Rule::default() });
        }
        let Some(rule) = rules.last_mut() else { continue };
        match key {
            "expr" if value == ">-" => within = true,
            "expr" => rule.expression = value.to_owned(),
            "for" => within = false,
            "labels" => {
                let severity = value.strip_prefix("{severity: ").and_then(|rest| rest.strip_suffix('}'));
                rule.severity = severity.unwrap_or_else(|| panic!("{line}")).to_owned();
            }
            "summary" | "description" | "runbook_url" => {
                rule.annotations.push((key.to_owned(), value.trim_matches('"').to_owned()));
            }
            _ if within => rule.expression = format!("{} {line}", rule.expression).trim().to_owned(),
            _ => {}
        }
    }
    rules
}
