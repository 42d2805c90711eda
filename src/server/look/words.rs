//! Times as numbers, and texts as one line. Pure.

use std::time::{Duration, SystemTime};

/// The longest text that is told whole, in characters.
const TEXT_MAX: usize = 400;

/// Since 1970.
pub(super) fn millis(at: SystemTime) -> u64 {
    in_millis(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

pub(super) fn in_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A text in one line. What somebody else chose may hold what moves a terminal's cursor, or turns the direction of what is
/// written behind it.
pub(super) fn plain(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| if c.is_control() || turns(c) { ' ' } else { c };
    let mut plain: String = text.chars().take(TEXT_MAX).map(shown).collect();
    if text.chars().nth(TEXT_MAX).is_some() {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_call_themselves_is_one_plain_line() {
        assert_eq!(plain("a\u{1b}[2J\nb\u{202e}c"), "a [2J b c");
        assert_eq!(
            plain("<script>alert(1)</script>"),
            "<script>alert(1)</script>",
            "the page writes it as text"
        );
        assert_eq!(plain(&"ä".repeat(401)).chars().count(), 401);
        assert_eq!(plain(&"ä".repeat(400)).chars().count(), 400);
    }
}
