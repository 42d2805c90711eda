//! Hints in a comment in front of a statement: `/* weir: replica, max_staleness=500ms */`.

use crate::sql::verdict::Hint;

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
    let mut texts = CommentsInFront(sql).map(<[u8]>::trim_ascii);
    texts.find_map(|text| text.strip_prefix(b"weir:")).map(<[u8]>::trim_ascii)
}

/// What is in the block comments in front of the first token, one after the other.
pub(super) struct CommentsInFront<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for CommentsInFront<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut rest = self.0.trim_ascii_start();
        while rest.starts_with(b"--") {
            let end = rest.iter().position(|&b| b == b'\n' || b == b'\r')?;
            rest = rest[end..].trim_ascii_start();
        }
        let inside = rest.strip_prefix(b"/*")?;
        // A comment in a comment ends the search: no hint looks like that.
        let end = inside.windows(2).position(|w| w == b"*/" || w == b"/*")?;
        if inside[end] == b'/' {
            return None;
        }
        self.0 = &inside[end + 2..];
        Some(&inside[..end])
    }
}

/// What the hint in front of a statement asks for. Words it does not know are ignored, as comments are.
pub(in crate::sql) fn hint(sql: &[u8]) -> Hint {
    let mut hint = Hint::default();
    let Some(text) = hint_text(sql).and_then(|t| std::str::from_utf8(t).ok()) else { return hint };
    for word in text.split([',', ' ', '\t', '\n']).filter(|w| !w.is_empty()) {
        let (key, value) = word.split_once('=').unwrap_or(("target", word));
        match key {
            "target" => hint.target = value.parse().ok().or(hint.target),
            "consistency" => hint.consistency = value.parse().ok().or(hint.consistency),
            "max_staleness" => hint.max_staleness = value.parse().ok().or(hint.max_staleness),
            "transactions" => hint.transactions = value.parse().ok().or(hint.transactions),
            _ => {}
        }
    }
    hint
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sql::verdict::{Consistency, MaxStaleness, Target, Transactions};

    #[test]
    fn reads_the_first_hint_in_front() {
        let all = hint(b"/* weir: replica consistency=strong, max_staleness=500ms */ SELECT 1");
        assert_eq!(all.target, Some(Target::Replica));
        assert_eq!(all.consistency, Some(Consistency::Strong));
        assert_eq!(all.max_staleness, Some(MaxStaleness::AtMost(Duration::from_millis(500))));
        let unlimited = hint(b"/* weir: consistency=eventual max_staleness=off */ SELECT 1");
        assert_eq!(unlimited.max_staleness, Some(MaxStaleness::Off));
        let behind = hint(b" -- note\n /* trace 1 */ /*weir:primary*/ SELECT 1");
        assert_eq!(behind.target, Some(Target::Primary));
        let begin = hint(b"/* weir: transactions=primary */ BEGIN");
        assert_eq!((begin.transactions, begin.target), (Some(Transactions::Primary), None));
        let last = hint(b"/* weir: auto, transactions=primary transactions=Lazy */ BEGIN");
        assert_eq!((last.transactions, last.target), (Some(Transactions::Lazy), Some(Target::Auto)));
    }

    #[test]
    fn ignores_what_is_not_a_hint() {
        for sql in [
            "SELECT /* weir: primary */ 1",
            "/* weird: primary */ SELECT 1",
            "/* weir: prmary */ SELECT 1",
            "/* weir: max_staleness=1x consistency=some */ SELECT 1",
            "/* weir: transactions=eager transactions= lazy */ BEGIN",
            "/* /* weir: primary */ */ SELECT 1",
            "/* weir: primary",
            "",
        ] {
            assert_eq!(hint(sql.as_bytes()), Hint::default(), "{sql}");
        }
    }
}
