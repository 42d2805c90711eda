//! Hints in a comment in front of a statement: `/* weir: replica, max_staleness=500ms */`.

use std::time::Duration;

use super::verdict::{Consistency, Hint, Target};

/// The text behind `weir:` of the first such block comment before the first token.
#[inline]
pub(super) fn hint_text(sql: &[u8]) -> Option<&[u8]> {
    match sql.first() {
        // Nearly all statements begin with a letter.
        Some(first) if !first.is_ascii_alphabetic() => hint_in_comment(sql),
        _ => None,
    }
}

fn hint_in_comment(sql: &[u8]) -> Option<&[u8]> {
    let mut rest = sql.trim_ascii_start();
    loop {
        if rest.starts_with(b"--") {
            let end = rest.iter().position(|&b| b == b'\n' || b == b'\r')?;
            rest = rest[end..].trim_ascii_start();
            continue;
        }
        let inside = rest.strip_prefix(b"/*")?;
        // A comment in a comment ends the search: no hint looks like that.
        let end = inside.windows(2).position(|w| w == b"*/" || w == b"/*")?;
        if inside[end] == b'/' {
            return None;
        }
        if let Some(text) = inside[..end].trim_ascii().strip_prefix(b"weir:") {
            return Some(text.trim_ascii());
        }
        rest = inside[end + 2..].trim_ascii_start();
    }
}

/// What the hint in front of a statement asks for. Words it does not know are ignored, as comments are.
pub(super) fn hint(sql: &[u8]) -> Hint {
    let mut hint = Hint::default();
    let Some(text) = hint_text(sql).and_then(|t| std::str::from_utf8(t).ok()) else { return hint };
    for word in text.split([',', ' ', '\t', '\n']).filter(|w| !w.is_empty()) {
        let (key, value) = word.split_once('=').unwrap_or(("target", word));
        match key {
            "target" => hint.target = target(value).or(hint.target),
            "consistency" => hint.consistency = consistency(value).or(hint.consistency),
            "max_staleness" => hint.max_staleness = duration(value).or(hint.max_staleness),
            _ => {}
        }
    }
    hint
}

fn target(value: &str) -> Option<Target> {
    match value {
        "primary" => Some(Target::Primary),
        "replica" => Some(Target::Replica),
        "auto" => Some(Target::Auto),
        _ => None,
    }
}

fn consistency(value: &str) -> Option<Consistency> {
    match value {
        "eventual" => Some(Consistency::Eventual),
        "session" => Some(Consistency::Session),
        "global" => Some(Consistency::Global),
        "strong" => Some(Consistency::Strong),
        _ => None,
    }
}

/// `500ms`, `2s`, `1min`.
fn duration(value: &str) -> Option<Duration> {
    let unit = value.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = value[..unit].parse().ok()?;
    match &value[unit..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "min" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_first_hint_in_front() {
        let all = hint(b"/* weir: replica consistency=strong, max_staleness=500ms */ SELECT 1");
        assert_eq!(all.target, Some(Target::Replica));
        assert_eq!(all.consistency, Some(Consistency::Strong));
        assert_eq!(all.max_staleness, Some(Duration::from_millis(500)));
        let behind = hint(b" -- note\n /* trace 1 */ /*weir:primary*/ SELECT 1");
        assert_eq!(behind.target, Some(Target::Primary));
    }

    #[test]
    fn ignores_what_is_not_a_hint() {
        for sql in [
            "SELECT /* weir: primary */ 1",
            "/* weird: primary */ SELECT 1",
            "/* weir: prmary */ SELECT 1",
            "/* weir: max_staleness=1 consistency=some */ SELECT 1",
            "/* /* weir: primary */ */ SELECT 1",
            "/* weir: primary",
            "",
        ] {
            assert_eq!(hint(sql.as_bytes()), Hint::default(), "{sql}");
        }
    }
}
