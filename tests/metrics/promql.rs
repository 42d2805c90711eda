//! As much of PromQL as docs/metrics.md asks for: sums of what counters grew by between two scrapes, and their quotient.
//! Both sides are over the same time, so that no clock is needed. What it cannot read is an error, never a guess.

use harness::{Failure, Metrics, Result, Series};

/// Two scrapes, one behind the other.
pub(crate) struct Scrapes {
    pub(crate) before: Metrics,
    pub(crate) after: Metrics,
}

impl Scrapes {
    /// The value of `sum(rate(name{label="value"}[5m]))`, or of one of these divided by another.
    pub(crate) fn evaluate(&self, expression: &str) -> Result<f64> {
        let terms: Vec<f64> =
            expression.split(" / ").map(|term| self.sum(term.trim())).collect::<Result<_>>()?;
        match terms[..] {
            [value] => Ok(value),
            [dividend, divisor] => Ok(dividend / divisor),
            _ => Err(unreadable(expression)),
        }
    }

    fn sum(&self, term: &str) -> Result<f64> {
        let selector = term.strip_prefix("sum(rate(").and_then(|rest| rest.strip_suffix("[5m]))"));
        let selector = selector.ok_or_else(|| unreadable(term))?;
        let (name, matchers) = match selector.split_once('{') {
            Some((name, matchers)) => (name, matchers.strip_suffix('}').ok_or_else(|| unreadable(term))?),
            None => (selector, ""),
        };
        let matchers: Vec<Matcher<'_>> = matchers
            .split(',')
            .filter(|matcher| !matcher.is_empty())
            .map(|matcher| Matcher::read(matcher).ok_or_else(|| unreadable(matcher)))
            .collect::<Result<_>>()?;
        let sum = |metrics: &Metrics| -> f64 {
            let of = |series: &&Series| matchers.iter().all(|matcher| matcher.matches(series));
            metrics.all(name).filter(of).map(|series| series.value).sum()
        };
        Ok(sum(&self.after) - sum(&self.before))
    }
}

struct Matcher<'a> {
    label: &'a str,
    values: Vec<&'a str>,
    /// Whether it is one of the values, or is not.
    wanted: bool,
}

impl<'a> Matcher<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let at = text.find(['=', '!'])?;
        let (label, rest) = text.split_at(at);
        let (operator, value) = rest.split_at(rest.find('"')?);
        let value = value.strip_prefix('"')?.strip_suffix('"')?;
        let values = match operator {
            "=" | "!=" => vec![value],
            "=~" | "!~" if value.chars().all(|c| c.is_ascii_alphanumeric() || "_|".contains(c)) => {
                value.split('|').collect()
            }
            _ => return None,
        };
        Some(Self { label: label.trim(), values, wanted: operator.starts_with('=') })
    }

    fn matches(&self, series: &Series) -> bool {
        // A label that is not there is an empty one.
        let value = series.labels.get(self.label).map_or("", String::as_str);
        self.values.contains(&value) == self.wanted
    }
}

fn unreadable(what: &str) -> Failure {
    Failure::new(format!("not read: {what}"))
}
