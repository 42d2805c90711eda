//! The dashboard and the alert rules name metrics, labels and values that there are, each alert has its place in
//! docs/operations.md, and each one fires: `tests/alerts/run` says more.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod live;
mod named;
mod prometheus;
mod rules;
mod scraped;

use std::collections::BTreeSet;

use harness::Result;
use named::named;
use rules::rules;
use scraped::Scraped;
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn text(path: &str) -> String {
    std::fs::read_to_string(format!("{ROOT}/{path}")).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&text("deploy/grafana.json")).unwrap()
}

/// What a panel shows, one after the other, those within rows as well.
fn panels(of: &Value) -> Vec<&Value> {
    let panels = of["panels"].as_array().map(Vec::as_slice).unwrap_or_default();
    panels.iter().flat_map(|panel| std::iter::once(panel).chain(self::panels(panel))).collect()
}

/// All expressions of a dashboard, with the titles of their panels.
fn expressions(of: &Value) -> Vec<(String, String)> {
    let of_panel = |panel: &Value| -> Vec<(String, String)> {
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.iter().map(|one| (title.clone(), one["expr"].as_str().unwrap().to_owned())).collect()
    };
    panels(of).into_iter().flat_map(of_panel).collect()
}

/// Whatever is asked for is there, with the labels that are asked for, in what a real weir says.
#[test]
fn what_is_named_is_scraped() -> Result<()> {
    let scraped = Scraped::of_a_weir_with_much_behind_it()?;
    let alerts = rules().into_iter().map(|rule| (rule.alert, rule.expression));
    let all: Vec<_> = alerts.chain(expressions(&dashboard())).collect();
    assert!(all.len() > 50, "{}", all.len());
    for (place, expression) in &all {
        let named = named(expression);
        assert!(!named.metrics.is_empty(), "{place} names no metric: {expression}");
        for (metric, matchers) in &named.metrics {
            let labels = scraped.labels(metric);
            assert!(!labels.is_empty(), "{place}: there is no {metric}");
            for (label, values) in matchers {
                assert!(labels.contains(label), "{place}: {metric} has no {label}, but {labels:?}");
                for value in values.iter().filter(|value| !value.contains(['$', '*'])) {
                    assert!(scraped.has(metric, label, value), "{place}: {metric} has no {label}={value:?}");
                }
            }
        }
        let all_labels: BTreeSet<String> =
            named.metrics.iter().flat_map(|(metric, _)| scraped.labels(metric)).collect();
        let missing: Vec<_> = named.labels.difference(&all_labels).collect();
        assert!(missing.is_empty(), "{place}: {missing:?} are labels of nothing in {expression}");
    }
    Ok(())
}

/// Whoever is woken finds at once what to do.
#[test]
fn each_alert_says_how_bad_it_is_and_where_to_read_on() {
    let page = text("docs/operations.md");
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### Weir")).collect();
    let rules = rules();
    let names: Vec<&str> = rules.iter().map(|rule| rule.alert.as_str()).collect();
    let as_headings: Vec<String> = headings.iter().map(|rest| format!("Weir{rest}")).collect();
    assert_eq!(names, as_headings, "docs/operations.md has a section for each alert, in the same order");
    for rule in &rules {
        assert!(["critical", "warning", "info"].contains(&&*rule.severity), "{rule:?}");
        let keys: Vec<&str> = rule.annotations.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["summary", "description", "runbook_url"], "{}", rule.alert);
        let expected = format!("docs/operations.md#{}", rule.alert.to_lowercase());
        assert_eq!(rule.annotations[2].1, expected);
    }
}

/// The share of reads on replicas is one expression, wherever it stands.
#[test]
fn the_share_of_reads_is_the_documented_one() {
    let page = text("docs/metrics.md");
    let (_, behind) = page.split_once("What share of the reads runs on replicas?").unwrap();
    let plain = |text: &str| {
        let plain = text.replace("{instance=~\"$instance\"}", "").replace(",instance=~\"$instance\"", "");
        plain.replace("$__rate_interval", "5m").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let documented = plain(behind.split('`').nth(1).unwrap());
    let shown = expressions(&dashboard());
    assert!(shown.iter().any(|(_, expression)| plain(expression) == documented), "{documented}");
    let rule = rules().into_iter().find(|rule| rule.alert == "WeirReadsStayOnPrimary").unwrap();
    let by_instance = documented.replace("sum(", "sum by (job, instance) (");
    assert!(rule.expression.starts_with(&by_instance), "{by_instance}\n{}", rule.expression);
}

/// A dashboard that can be imported anywhere: it names no data source, and draws nothing over anything else.
#[test]
fn the_dashboard_fits_into_any_grafana() {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<&str> = variables.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "instance"]);
    assert!(dashboard["id"].is_null());
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is there twice");
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(!panel["description"].as_str().unwrap().is_empty(), "{title}");
        }
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title} is wider than the page");
        for (x, y) in (0..at("w")).flat_map(|x| (0..at("h")).map(move |y| (x, y))) {
            assert!(taken.insert((at("x") + x, at("y") + y)), "{title} lies over another panel");
        }
    }
}
