//! Kinds of values: what one setting may hold, with its units and its limits.
//!
//! A value of the file must have the right TOML type; `port = "5432"` is a mistake. A value of the environment is
//! always text, and is read as the kind says.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Value, ValueKind};

use super::mistake::Place;
use super::{Secret, source};

type Read<T> = Result<T, String>;

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// What a client waits for has an end within a day, and not before it began.
pub(super) const PATIENCE: RangeInclusive<Duration> = MS..=DAY;

/// A text of at least one character. PostgreSQL's protocol ends its strings with a zero byte, so none may hold one.
pub(super) fn text(value: &Value) -> Read<String> {
    match &value.kind {
        ValueKind::String(text) if text.is_empty() => Err("must not be empty".to_owned()),
        ValueKind::String(text) if text.contains('\0') => Err("must not hold a zero byte".to_owned()),
        ValueKind::String(text) if is_connection_string(text) => {
            Err("is a connection string; its parts stand in [[servers]], [[users]] and [[databases]]"
                .to_owned())
        }
        ValueKind::String(text) => Ok(text.clone()),
        _ => Err(unexpected("text", value)),
    }
}

/// Whether a text is a connection string as PostgreSQL's clients take it, or may be one: there is a password in most.
fn is_connection_string(text: &str) -> bool {
    let text = text.trim_start().to_ascii_lowercase();
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// A text that no message may quote.
pub(super) fn secret(value: &Value) -> Read<Secret> {
    match &value.kind {
        ValueKind::String(_) => text(value).map(Secret::new),
        _ => Err("expected text".to_owned()),
    }
}

/// A whole number.
pub(super) fn count(range: RangeInclusive<i64>) -> impl Fn(&Value) -> Read<usize> {
    move |value| {
        let number = match &value.kind {
            ValueKind::I64(number) => Some(*number),
            ValueKind::String(text) if is_variable(value) => text.trim().parse().ok(),
            _ => None,
        };
        number
            .filter(|number| range.contains(number))
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| {
                unexpected(&format!("a whole number from {} to {}", range.start(), range.end()), value)
            })
    }
}

/// A time with its unit.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Value) -> Read<Duration> {
    const UNITS: [(&str, u64); 8] = [
        ("us", 1),
        ("ms", 1_000),
        ("s", 1_000_000),
        ("m", 60_000_000),
        ("min", 60_000_000),
        ("h", 3_600_000_000),
        ("d", 86_400_000_000),
        ("days", 86_400_000_000),
    ];
    move |value| {
        let time = number_with_unit(value, &UNITS).map(Duration::from_micros);
        time.filter(|time| range.contains(time)).ok_or_else(|| {
            let (least, most) = (shown(*range.start()), shown(*range.end()));
            unexpected(&format!("a time from {least} to {most} with its unit (us, ms, s, min, h, d)"), value)
        })
    }
}

/// A time, or `"off"`.
pub(super) fn duration_or_off(range: RangeInclusive<Duration>) -> impl Fn(&Value) -> Read<Option<Duration>> {
    move |value| match &value.kind {
        ValueKind::String(text) if text == "off" => Ok(None),
        _ => duration(range.clone())(value).map(Some).map_err(|problem| format!("{problem}; or \"off\"")),
    }
}

/// A number of bytes with its unit. As in PostgreSQL, a kB is 1024 bytes.
pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&Value) -> Read<usize> {
    const UNITS: [(&str, u64); 3] = [("B", 1), ("kB", 1 << 10), ("MB", 1 << 20)];
    move |value| {
        let bytes = number_with_unit(value, &UNITS).filter(|bytes| range.contains(bytes));
        bytes.and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(|| {
            unexpected(&format!("{} to {} bytes with a unit (B, kB, MB)", range.start(), range.end()), value)
        })
    }
}

/// One of some words.
pub(super) fn word<T: Copy>(words: &[(&'static str, T)]) -> impl Fn(&Value) -> Read<T> {
    move |value| {
        let found = match &value.kind {
            ValueKind::String(text) => words.iter().find(|(word, _)| word == text),
            _ => None,
        };
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let quoted: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            unexpected(&quoted.join(" or "), value)
        })
    }
}

/// An address to listen on.
pub(super) fn address(value: &Value) -> Read<SocketAddr> {
    text(value)?.parse().map_err(|_| {
        unexpected("an IP address and a port, such as 127.0.0.1:6432, 0.0.0.0:6432 or [::]:6432", value)
    })
}

/// Yes or no.
pub(super) fn flag(value: &Value) -> Read<bool> {
    match &value.kind {
        ValueKind::Boolean(flag) => Ok(*flag),
        ValueKind::String(text) if is_variable(value) && text == "true" => Ok(true),
        ValueKind::String(text) if is_variable(value) && text == "false" => Ok(false),
        _ => Err(unexpected("true or false", value)),
    }
}

/// One value, or a list of such; in the environment, several with commas between them.
pub(super) fn one_or_more<T>(kind: impl Fn(&Value) -> Read<T>) -> impl Fn(&Value) -> Read<Vec<T>> {
    move |value| match &value.kind {
        ValueKind::Array(items) => items.iter().map(&kind).collect(),
        ValueKind::String(text) if is_variable(value) => {
            let origin = value.origin().map(str::to_owned);
            text.split(',').map(|part| kind(&Value::new(origin.as_ref(), part.trim()))).collect()
        }
        _ => kind(value).map(|one| vec![one]),
    }
}

/// A list of texts.
pub(super) fn list(value: &Value) -> Read<Vec<String>> {
    match &value.kind {
        ValueKind::Array(items) => items.iter().map(text).collect(),
        ValueKind::String(_) if is_variable(value) => {
            Err("a list cannot be set from the environment".to_owned())
        }
        _ => Err(unexpected("a list of texts", value)),
    }
}

/// A regular expression over bytes: a statement may be in any client encoding.
pub(super) fn regex(value: &Value) -> Read<regex::bytes::Regex> {
    regex::bytes::Regex::new(&text(value)?).map_err(|error| {
        // The crate draws the expression with a caret below it; its last line says what is wrong.
        let message = error.to_string();
        let reason = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("not a regular expression: {reason}")
    })
}

/// What a value is, for the words "expected ..., found ...".
pub(super) fn found(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) if is_connection_string(text) || text.contains("password=") => {
            "a connection string".to_owned()
        }
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        ValueKind::Nil => "nothing".to_owned(),
        ValueKind::Float(number) if number.is_infinite() => "a number beyond all limits".to_owned(),
        other => other.to_string(),
    }
}

/// A time in the largest unit that shows it whole.
pub(super) fn shown(time: Duration) -> String {
    const UNITS: [(&str, u128); 5] =
        [("d", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000)];
    let micros = time.as_micros();
    match UNITS.iter().find(|(_, unit)| micros >= *unit && micros.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", micros / unit),
        None => format!("{micros}us"),
    }
}

pub(super) fn unexpected(wanted: &str, value: &Value) -> String {
    format!("expected {wanted}, found {}", found(value))
}

pub(super) fn is_variable(value: &Value) -> bool {
    matches!(source::place(value), Place::Variable(_))
}

/// `"10s"` in the smallest of `units`; `None` when it does not read so or overflows.
fn number_with_unit(value: &Value, units: &[(&str, u64)]) -> Option<u64> {
    let ValueKind::String(text) = &value.kind else { return None };
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(split);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Value {
        Value::new(None, text)
    }

    #[test]
    fn times_need_a_unit_and_keep_to_their_limits() {
        let kind = duration(Duration::from_millis(1)..=Duration::from_secs(3600));
        for (text, micros) in [
            ("1ms", 1_000),
            ("1500us", 1_500),
            ("10s", 10_000_000),
            ("2m", 120_000_000),
            ("2min", 120_000_000),
            ("1 h", 3_600_000_000),
        ] {
            assert_eq!(kind(&of(text)), Ok(Duration::from_micros(micros)), "{text}");
        }
        for text in ["10", "", "s", "-1s", "1.5s", "10 parsecs", "999us", "61min", "99999999999999999d"] {
            let problem = kind(&of(text)).unwrap_err();
            assert!(problem.contains("from 1ms to 1h"), "{text}: {problem}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024_as_in_postgresql() {
        let kind = size(0..=1 << 20);
        assert_eq!(kind(&of("64kB")), Ok(65_536));
        assert_eq!(kind(&of("1MB")), Ok(1_048_576));
        assert_eq!(kind(&of("0B")), Ok(0));
        assert!(kind(&of("2MB")).is_err());
        assert!(kind(&of("64kb")).is_err(), "PostgreSQL's units are case-sensitive");
        assert!(kind(&Value::new(None, 65_536)).is_err());
    }

    #[test]
    fn a_time_is_shown_in_its_largest_whole_unit() {
        for (seconds, text) in [(0, "0us"), (90, "90s"), (120, "2min"), (7200, "2h"), (86_400, "1d")] {
            assert_eq!(shown(Duration::from_secs(seconds)), text);
        }
    }
}
