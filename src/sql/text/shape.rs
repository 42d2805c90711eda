//! A statement as it may be shown to people: every literal replaced, so that no value of the application's is in it.

use super::lexer::{Lexer, StandardConformingStrings, StringForm, TokenKind};

/// Of a longer statement only so many bytes are shown.
pub(crate) const SHAPE_MAX: usize = 500;

/// The statement with `?` for each literal and without comments, cut off behind [`SHAPE_MAX`] bytes of it.
///
/// Where it is not certain what is a literal, the shape ends with `...`: it rather says too little. That is so behind
/// a backslash in a plain string, because the server's setting of `standard_conforming_strings` may be another than
/// the session knows.
pub(crate) fn shape(sql: &[u8], strings: StandardConformingStrings) -> String {
    // A cut within a literal leaves it without its end, which the lexer refuses.
    let shown = &sql[..sql.len().min(SHAPE_MAX)];
    let mut out = Vec::with_capacity(shown.len());
    let mut end = 0;
    let mut whole = shown.len() == sql.len();
    for token in Lexer::new(shown, strings) {
        let Ok(token) = token else {
            whole = false;
            break;
        };
        if token.start > end && !out.is_empty() {
            out.push(b' ');
        }
        end = token.end();
        match token.kind {
            TokenKind::String(form) => {
                out.push(b'?');
                let plain = matches!(form, StringForm::Plain | StringForm::National);
                if plain && token.text.contains(&b'\\') {
                    whole = false;
                    break;
                }
            }
            TokenKind::Number => out.push(b'?'),
            _ => out.extend_from_slice(token.text),
        }
    }
    let mut shape = String::from_utf8_lossy(&out).into_owned();
    if !whole {
        shape.push_str(" ...");
    }
    shape
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(sql: &str) -> String {
        shape(sql.as_bytes(), StandardConformingStrings::On)
    }

    #[test]
    fn literals_become_question_marks() {
        let sql = "SELECT a.\"B\", -1.5e3, 'it''s', $1::int, E'\\'x', $$y$$ /* 42 */\n FROM t -- 'z'\n WHERE b=0x1F";
        assert_eq!(shown(sql), "SELECT a.\"B\", -?, ?, $1::int, ?, ? FROM t WHERE b=?");
        assert_eq!(shown(""), "");
    }

    #[test]
    fn what_cannot_be_told_apart_is_left_out() {
        assert_eq!(shown("SELECT 'a', 'secret"), "SELECT ?, ...");
        assert_eq!(shown("SELECT 1 /* secret"), "SELECT ? ...");
        // Whichever way the server reads the backslash, what follows may be inside a string.
        assert_eq!(shown(r"SELECT 'a\' secret, 'b'"), "SELECT ? ...");
        assert_eq!(shape(br"SELECT 'a\', 'secret'", StandardConformingStrings::Off), "SELECT ? ...");
    }

    proptest! {
        /// Wherever the text is cut off, nothing of a literal is left standing.
        #[test]
        fn a_cut_shows_no_part_of_a_literal(
            before in "[a-z ]{0,520}",
            literal in prop_oneof![
                Just("'ZZZ ''ZZZ'"), Just("E'ZZZ\\'ZZZ'"), Just("$t$ZZZ 'ZZZ$t$"), Just("'ZZZ'\n'ZZZ'"), Just("U&'ZZZ'"),
            ],
        ) {
            let shape = shown(&format!("{before} {literal} after"));
            prop_assert!(!shape.contains("ZZZ"), "{}", shape);
            prop_assert!(shape.len() <= SHAPE_MAX + 4);
        }
    }
}
