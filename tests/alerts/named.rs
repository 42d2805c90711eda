//! What a PromQL expression names: metrics, labels, and the values that it wants of them. Not its grammar, which promtool
//! knows: words, matchers in braces, and the labels behind `by`, `on` and their kin.

use std::collections::{BTreeMap, BTreeSet};

/// What is named in an expression.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// Metrics, with the labels that are asked of them in braces and the values that each may have there.
    pub(crate) metrics: Vec<(String, BTreeMap<String, Vec<String>>)>,
    /// Labels by which something is added up or joined.
    pub(crate) labels: BTreeSet<String>,
}

/// Words behind which a list of labels stands.
const LISTING: [&str; 6] = ["by", "on", "without", "ignoring", "group_left", "group_right"];

/// Reads an expression. A dashboard's variables stand in strings and in ranges, of which nothing is named.
pub(crate) fn named(expression: &str) -> Named {
    let mut named = Named::default();
    let mut rest = expression;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            rest = string(rest).1;
        } else if c == '[' {
            rest = &rest[rest.find(']').expect("a range has an end")..];
        } else if c.is_ascii_alphabetic() || c == '_' {
            let (word, behind) = word(rest);
            rest = behind.trim_start();
            if LISTING.contains(&word) && rest.starts_with('(') {
                let (list, behind) = rest[1..].split_once(')').expect("a list of labels has an end");
                let labels = list.split(',').map(str::trim).filter(|label| !label.is_empty());
                named.labels.extend(labels.map(str::to_owned));
                rest = behind;
            } else if word.contains('_') && !rest.starts_with('(') || word == "up" {
                let (matchers, behind) = matchers(rest);
                named.metrics.push((word.to_owned(), matchers));
                rest = behind;
            }
        } else {
            rest = &rest[c.len_utf8()..];
        }
    }
    named
}

fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len()))
}

/// What is between two quotes, and what is behind them.
fn string(text: &str) -> (&str, &str) {
    text[1..].split_once('"').expect("a string has an end")
}

/// The labels in braces, with the words of each value.
fn matchers(text: &str) -> (BTreeMap<String, Vec<String>>, &str) {
    let mut labels = BTreeMap::new();
    let Some(mut rest) = text.strip_prefix('{') else { return (labels, text) };
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(behind) = rest.strip_prefix('}') {
            return (labels, behind);
        }
        let (label, behind) = word(rest);
        let (value, behind) = string(behind.trim_start_matches(['=', '~', '!', ' ']));
        labels.insert(label.to_owned(), value.split('|').map(str::to_owned).collect());
        rest = behind;
    }
}

#[test]
fn what_is_named_is_found() {
    let expression = "sum by (job, le) (rate(weir_a_total{x=\"1\",y=~\"b|c\"}[5m])) > 0.5 \
                      and on (job) up == 0 unless weir_b * on () group_left (z) weir_c{x!=\"$in_stance\"}";
    let found = named(expression);
    let of = |pairs: &[(&str, &[&str])]| -> BTreeMap<String, Vec<String>> {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        pairs.iter().map(|(label, values)| ((*label).to_owned(), owned(values))).collect()
    };
    let metrics = [
        ("weir_a_total".to_owned(), of(&[("x", &["1"]), ("y", &["b", "c"])])),
        ("up".to_owned(), of(&[])),
        ("weir_b".to_owned(), of(&[])),
        ("weir_c".to_owned(), of(&[("x", &["$in_stance"])])),
    ];
    assert_eq!(found.metrics, metrics);
    assert_eq!(found.labels.iter().map(String::as_str).collect::<Vec<_>>(), ["job", "le", "z"]);
}
