//! Where an error stands in the client's own text, when the server was given another one.
//!
//! PostgreSQL counts characters, not bytes, and so do these places. Pure.

use crate::wire::{HEADER, scan};

/// A place where a client's text and the server's differ: what the client wrote there, and what the server was given.
/// Both are counted in characters from the front of their texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) client: Stretch,
    pub(crate) server: Stretch,
}

/// Part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A client's text with parts of it replaced, and where.
#[derive(Debug, Default)]
pub(crate) struct Rewritten {
    pub(crate) sql: Vec<u8>,
    pub(crate) differences: Vec<Difference>,
    /// How many characters of both texts have been taken so far.
    client: usize,
    server: usize,
}

impl Rewritten {
    /// The client's own words.
    pub(crate) fn keeps(&mut self, text: &[u8], encoding: &str) {
        let count = characters(text, encoding);
        (self.client, self.server) = (self.client + count, self.server + count);
        self.sql.extend_from_slice(text);
    }

    /// Others in the place of `text`.
    pub(crate) fn replaces(&mut self, text: &[u8], by: &str, encoding: &str) {
        let stretch = |start, count| Stretch { start, end: start + count };
        let client = stretch(self.client, characters(text, encoding));
        let server = stretch(self.server, by.chars().count());
        self.differences.push(Difference { client, server });
        (self.client, self.server) = (client.end, server.end);
        self.sql.extend_from_slice(by.as_bytes());
    }
}

/// The place in the client's text of one in the server's; both are counted from 1.
fn in_clients_text(position: usize, differences: &[Difference]) -> usize {
    let at = position.saturating_sub(1);
    let Some(last) = differences.iter().rev().find(|one| one.server.start <= at) else { return position };
    if at < last.server.end {
        // It is within weir's own words.
        return last.client.end + 1;
    }
    at - last.server.end + last.client.end + 1
}

/// An ErrorResponse with the position that it has in the client's text. None where it says none, or the same.
pub(crate) fn repositioned(frame: &[u8], differences: &[Difference]) -> Option<Vec<u8>> {
    let said = scan::field(frame, b'P')?;
    let position: usize = std::str::from_utf8(said).ok()?.parse().ok()?;
    let other = in_clients_text(position, differences);
    if other == position {
        return None;
    }
    // The field's place: `field` gives a part of the frame.
    let at = said.as_ptr() as usize - frame.as_ptr() as usize;
    let mut out = frame.get(..at)?.to_vec();
    out.extend_from_slice(other.to_string().as_bytes());
    out.extend_from_slice(frame.get(at + said.len()..)?);
    let len = u32::try_from(out.len() - 1).unwrap_or(u32::MAX).to_be_bytes();
    out.get_mut(1..HEADER)?.copy_from_slice(&len);
    Some(out)
}

/// How many characters a text has in the encoding of this name; UTF-8 where it says nothing else.
fn characters(text: &[u8], encoding: &str) -> usize {
    /// Encodings in which a byte with its high bit set begins a character of two bytes, mostly.
    const WIDE: [&str; 14] = [
        "euc", "sjis", "shiftjis", "mskanji", "big5", "gbk", "uhc", "johab", "gb18030", "win932", "win936",
        "win949", "win950", "windows9",
    ];
    let letters = encoding.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase());
    let name: String = letters.collect();
    if name.is_empty() || name.starts_with("utf") || name == "unicode" {
        // All but the bytes that go on with a character.
        return text.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    }
    if !WIDE.iter().any(|wide| name.starts_with(wide)) {
        return text.len();
    }
    let (mut count, mut at) = (0, 0);
    while let Some(first) = text.get(at) {
        let digit = text.get(at + 1).is_some_and(u8::is_ascii_digit);
        at += match first {
            0x8f if name.starts_with("eucj") => 3,
            0x8e if name == "euctw" => 4,
            // Half-width katakana.
            0xa1..=0xdf if name.contains("jis") || name.contains("kanji") || name.ends_with("932") => 1,
            0x80.. if name == "gb18030" && digit => 4,
            0x80.. => 2,
            _ => 1,
        };
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten() -> Rewritten {
        let mut text = Rewritten::default();
        text.keeps("select 'ä'; reset all".as_bytes(), "UTF8");
        text.replaces(b"", "; SET x TO 1", "UTF8");
        text.keeps(b"; select nope; ", "UTF8");
        text.replaces(b"show weir.lsn", "SELECT 1", "UTF8");
        text.keeps(b"; select no", "UTF8");
        text
    }

    #[test]
    fn each_place_is_found_again() {
        let client = "select 'ä'; reset all; select nope; show weir.lsn; select no";
        let text = rewritten();
        let server = std::str::from_utf8(&text.sql).unwrap();
        assert_eq!(server, "select 'ä'; reset all; SET x TO 1; select nope; SELECT 1; select no");
        let place = |text: &str, word: &str| text[..text.find(word).unwrap()].chars().count() + 1;
        for word in ["select 'ä'", "'ä'", "reset", "; select nope", "nope", "; select no", " select no"] {
            let found = in_clients_text(place(server, word), &text.differences);
            assert_eq!(found, place(client, word), "{word}");
        }
        let end = in_clients_text(server.chars().count() + 1, &text.differences);
        assert_eq!(end, client.chars().count() + 1);
        assert_eq!(
            in_clients_text(place(server, "SET x"), &text.differences),
            place(client, "; select nope")
        );
    }

    #[test]
    fn an_error_bears_the_clients_position() {
        let fields = b"SERROR\0C42703\0Mcolumn \"nope\" does not exist\0P43\0Fparse_relation.c\0\0";
        let mut frame = vec![b'E'];
        frame.extend(u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
        frame.extend_from_slice(fields);
        let other = repositioned(&frame, &rewritten().differences).unwrap();
        assert_eq!(scan::field(&other, b'P'), Some(&b"31"[..]));
        assert_eq!(scan::field(&other, b'F'), Some(&b"parse_relation.c"[..]));
        assert_eq!(other.len() - 1, u32::from_be_bytes(other[1..5].try_into().unwrap()) as usize);
        assert_eq!(repositioned(&frame, &[]), None);
    }

    #[test]
    fn characters_are_counted_by_the_encoding() {
        assert_eq!(characters("aäあ".as_bytes(), ""), 3);
        assert_eq!(characters("aäあ".as_bytes(), "utf-8"), 3);
        assert_eq!(characters(b"a\xe4\xf6", "LATIN1"), 3);
        assert_eq!(characters(b"a\xa4\xa2b", "EUC_JP"), 3);
        assert_eq!(characters(b"a\x82\xa0\xb1b", "Shift_JIS"), 4);
        assert_eq!(characters(b"a\x81\x30\x81\x30b", "gb18030"), 3);
    }
}
