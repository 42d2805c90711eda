//! Literals that stand for a time which they do not tell: `'now'`, `'today'`, `'tomorrow 12:00'`. Where one becomes a date
//! or a time, it is that of the transaction. Whether it becomes one is not known here.

use super::lexer::{StringForm, Token, TokenKind};

/// Whether a literal begins with a word for a time, as the input of PostgreSQL's dates and times reads it. One in which
/// the word stands further behind is not found: every text would have to be read.
#[inline(always)]
pub(in crate::sql) fn is_moment(token: Token<'_>) -> bool {
    let TokenKind::String(form) = token.kind else { return false };
    let inside = match form {
        StringForm::Plain => token.text.get(1..),
        StringForm::Escape | StringForm::National => token.text.get(2..),
        StringForm::Dollar => token.text.splitn(3, |byte| *byte == b'$').nth(2),
        StringForm::Unicode | StringForm::Bit | StringForm::Hex => None,
    };
    inside.is_some_and(begins)
}

#[inline(always)]
fn begins(inside: &[u8]) -> bool {
    matches!(inside.first(), Some(b'n' | b'N' | b't' | b'T' | b'y' | b'Y' | b' ' | b'\t'..=b'\r'))
        && names(inside)
}

fn names(inside: &[u8]) -> bool {
    const WORDS: [&[u8]; 4] = [b"now", b"today", b"tomorrow", b"yesterday"];
    let trimmed = inside.trim_ascii_start();
    let len = trimmed.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    WORDS.iter().any(|word| trimmed[..len].eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::super::lexer::{Lexer, StandardConformingStrings};
    use super::*;

    #[test]
    fn words_for_a_time_are_found_in_front() {
        let found = |text: &str| {
            let mut lexer = Lexer::new(text.as_bytes(), StandardConformingStrings::On);
            is_moment(lexer.token().unwrap().unwrap())
        };
        for text in
            ["'now'", "' NOW '", "'today'", "E'tomorrow 12:00'", "N'yesterday'", "$$now$$", "$a$Today$a$"]
        {
            assert!(found(text), "{text}");
        }
        for text in
            ["''", "'nowhere'", "'not now'", "'t'", "'todays'", "x'00'", "now", "\"now\"", "1", "$$$$"]
        {
            assert!(!found(text), "{text}");
        }
    }
}
