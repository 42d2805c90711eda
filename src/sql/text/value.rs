//! From tokens to what they say: names as PostgreSQL folds them, the values of string literals, and literals
//! written anew. Never guesses: what is not UTF-8, or uses escapes that are not read, says nothing.

use super::lexer::{StandardConformingStrings, StringForm, Token, TokenKind};

/// The longest name PostgreSQL keeps, in bytes (`NAMEDATALEN - 1`); longer ones are cut.
const NAME_MAX: usize = 63;

/// A name as PostgreSQL would store it, or `None` when the bytes are not UTF-8 or use escapes that are
/// not worth reading.
pub(in crate::sql) fn name(token: Token<'_>) -> Option<Box<str>> {
    let text = std::str::from_utf8(token.text).ok()?;
    let name = match token.kind {
        TokenKind::Word => text.to_ascii_lowercase(),
        TokenKind::QuotedName => text[1..text.len() - 1].replace("\"\"", "\""),
        TokenKind::UnicodeName => unicode_escapes(&text[3..text.len() - 1].replace("\"\"", "\""))?,
        _ => return None,
    };
    Some(cut(name).into_boxed_str())
}

fn cut(mut name: String) -> String {
    if name.len() > NAME_MAX {
        let end = (0..=NAME_MAX).rev().find(|&at| name.is_char_boundary(at)).unwrap_or(0);
        name.truncate(end);
    }
    name
}

/// The value of a string literal, or `None` when it is of a form that stands for no text, or cannot be decoded.
pub(in crate::sql) fn string_value(token: Token<'_>, strings: StandardConformingStrings) -> Option<String> {
    let TokenKind::String(form) = token.kind else { return None };
    let text = std::str::from_utf8(token.text).ok()?;
    let backslash = match form {
        StringForm::Plain | StringForm::National => strings,
        StringForm::Escape => StandardConformingStrings::Off,
        StringForm::Dollar => {
            let tag = text[1..].find('$')? + 2;
            return Some(text[tag..text.len() - tag].to_owned());
        }
        StringForm::Unicode | StringForm::Bit | StringForm::Hex => return None,
    };
    let body = &text[text.find('\'')?..];
    let joined = segments(body, backslash)?;
    match backslash {
        StandardConformingStrings::On => Some(joined),
        StandardConformingStrings::Off => backslash_escapes(&joined),
    }
}

/// The inside of `'...'` with doubled quotes undone and continuation segments joined; escapes are left alone.
fn segments(body: &str, backslash: StandardConformingStrings) -> Option<String> {
    let mut value = String::with_capacity(body.len());
    let mut chars = body.chars().peekable();
    while let Some(opening) = chars.next() {
        // Between segments stand only white space and comments up to the next quote.
        if opening == '-' {
            chars.by_ref().find(|&c| c == '\n' || c == '\r')?;
        }
        if opening != '\'' {
            continue;
        }
        loop {
            match chars.next()? {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    value.push('\'');
                }
                '\'' => break,
                '\\' if backslash == StandardConformingStrings::Off => {
                    value.push('\\');
                    value.push(chars.next()?);
                }
                c => value.push(c),
            }
        }
    }
    Some(value)
}

/// PostgreSQL manual, section 4.1.2.2.
fn backslash_escapes(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escaped = rest[at + 1..].chars().next()?;
        rest = &rest[at + 1 + escaped.len_utf8()..];
        match escaped {
            'b' => bytes.push(8),
            'f' => bytes.push(12),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'u' => rest = code_point(rest, 4, &mut bytes)?,
            'U' => rest = code_point(rest, 8, &mut bytes)?,
            'x' => match digits(rest, 16, 2) {
                0 => bytes.push(b'x'),
                len => {
                    bytes.push(u8::from_str_radix(&rest[..len], 16).ok()?);
                    rest = &rest[len..];
                }
            },
            '0'..='7' => {
                let more = digits(rest, 8, 2);
                let value = u32::from_str_radix(&format!("{escaped}{}", &rest[..more]), 8).ok()?;
                bytes.push((value & 0xff) as u8);
                rest = &rest[more..];
            }
            other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

/// How many characters at the front are digits of `radix`, at most `most`.
fn digits(text: &str, radix: u32, most: usize) -> usize {
    text.chars().take(most).take_while(|c| c.is_digit(radix)).count()
}

/// Reads exactly `len` hexadecimal digits as a character. Surrogate pairs are not read.
fn code_point<'t>(text: &'t str, len: usize, bytes: &mut Vec<u8>) -> Option<&'t str> {
    if digits(text, 16, len) < len {
        return None;
    }
    let c = char::from_u32(u32::from_str_radix(&text[..len], 16).ok()?)?;
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Some(&text[len..])
}

/// `U&"d\0061t\+000061"`, PostgreSQL manual, section 4.1.1, with the usual escape character.
fn unicode_escapes(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('\\') {
            bytes.push(b'\\');
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix('+') {
            rest = code_point(tail, 6, &mut bytes)?;
        } else {
            rest = code_point(rest, 4, &mut bytes)?;
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

/// A string literal of this value that reads the same whatever `standard_conforming_strings` is.
pub(in crate::sql) fn quote_literal(value: &str) -> String {
    let doubled = value.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::Lexer;
    use super::*;

    fn first(sql: &str) -> Token<'_> {
        Lexer::new(sql.as_bytes(), StandardConformingStrings::On).token().unwrap().unwrap()
    }

    fn value(sql: &str) -> Option<String> {
        string_value(first(sql), StandardConformingStrings::On)
    }

    #[test]
    fn names_fold_as_postgresql_folds_them() {
        assert_eq!(name(first("FooBar")).as_deref(), Some("foobar"));
        assert_eq!(name(first(r#""Foo""Bar""#)).as_deref(), Some("Foo\"Bar"));
        assert_eq!(name(first(r#"U&"d\0061t\+000061""#)).as_deref(), Some("data"));
        assert_eq!(name(first(&"x".repeat(80))).unwrap().len(), 63);
        assert_eq!(name(first(&format!("\"{}\"", "é".repeat(40)))).unwrap().len(), 62);
    }

    #[test]
    fn strings_have_the_value_postgresql_gives_them() {
        assert_eq!(value("'it''s'").as_deref(), Some("it's"));
        assert_eq!(value(r"'a\b'").as_deref(), Some(r"a\b"));
        assert_eq!(value(r"E'a\n\x41\101\u00e9\''''").as_deref(), Some("a\nAAé''"));
        assert_eq!(value("'a' -- comment'\n 'b'").as_deref(), Some("ab"));
        assert_eq!(value("$t$a'$b$t$").as_deref(), Some("a'$b"));
        assert_eq!(value("$$$$").as_deref(), Some(""));
        assert_eq!(value("X'1F'"), None);
    }

    #[test]
    fn quoting_and_reading_are_inverse() {
        for text in ["", "a", "it's", r"back\slash", "both'\\", "é"] {
            assert_eq!(value(&quote_literal(text)).as_deref(), Some(text));
        }
    }
}
