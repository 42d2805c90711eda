//! A statement's skeleton: its text with every literal replaced by a placeholder, as a 128-bit number.
//!
//! This runs on every statement, so it is one walk without allocation. Two texts with one skeleton have one
//! verdict: white space, comments, the case of unquoted words and the values of literals do not count, and a list of literals counts as
//! one. Where a literal does decide the verdict (`set_config('x', ...)`, anything that is not a query), it
//! stays in the key; see [`Literals`]. Those that stand for a time (`'now'`) count as one another, and as no others.
//!
//! The hash is two polynomials over the field of 2^61 - 1, each evaluated at a secret random point drawn at start. For
//! any two different skeletons of n words, chosen without knowledge of the points (and nothing in a proxy's
//! answers depends on them but a little time), the chance to collide is at most (n / 2^61)^2: a client cannot
//! build a write that is taken for a read. A fast hash with public keys would let it do so offline.

use super::hint;
use super::lexer::{LexError, Lexer, StandardConformingStrings, StringForm, Token, TokenKind};
use super::moment::is_moment;
use crate::sql::verdict::SkeletonId;

/// The field's size, a Mersenne prime: reduction is a shift and an add.
const PRIME: u64 = (1 << 61) - 1;

/// The secret points of the two polynomials.
#[derive(Clone, Copy, Debug)]
pub struct SkeletonKeys {
    points: [u64; 2],
}

impl SkeletonKeys {
    /// Keys from the system's randomness.
    pub fn random() -> Self {
        Self::from_seed([rand::random(), rand::random()])
    }

    /// Keys from two random words.
    pub fn from_seed(seed: [u64; 2]) -> Self {
        // Small points would make short skeletons collide; the range keeps all but a few of the field's values.
        Self { points: seed.map(|s| s % (PRIME - (1 << 32)) + (1 << 31)) }
    }
}

/// Two running polynomial hashes.
struct Polynomials {
    points: [u64; 2],
    sums: [u64; 2],
}

impl Polynomials {
    fn new(keys: &SkeletonKeys) -> Self {
        Self { points: keys.points, sums: [1, 1] }
    }

    /// Takes in one word below 2^61 - 1.
    #[inline(always)]
    fn word(&mut self, word: u64) {
        self.sums[0] = step(self.sums[0], word, self.points[0]);
        self.sums[1] = step(self.sums[1], word, self.points[1]);
    }

    /// Takes in a byte string: seven bytes a word, tagged. Texts hold no zero byte, so padding is unambiguous.
    #[inline(always)]
    fn bytes(&mut self, text: &[u8], tag: Tag) {
        let mut rest = text;
        while rest.len() > 7 {
            let (head, tail) = rest.split_at(7);
            self.word(tag.fold(load(head)) | (Tag::More as u64) << 56);
            rest = tail;
        }
        self.word(tag.fold(load(rest)) | (tag as u64) << 56);
    }

    fn finish(self) -> SkeletonId {
        let [a, b] = self.sums.map(canonical);
        SkeletonId(u128::from(a) << 64 | u128::from(b))
    }
}

/// `(sum + word) * point`, nearly reduced: at most a little above 2^61 if `sum` is, so that nothing overflows.
#[inline(always)]
fn step(sum: u64, word: u64, point: u64) -> u64 {
    let product = u128::from(sum + word) * u128::from(point);
    fold((product as u64 & PRIME) + (product >> 61) as u64)
}

/// Takes the bits above 2^61 around once: 2^61 is 1 in this field.
#[inline(always)]
const fn fold(sum: u64) -> u64 {
    (sum & PRIME) + (sum >> 61)
}

/// The one representative in `0..PRIME`.
fn canonical(sum: u64) -> u64 {
    let folded = fold(sum);
    if folded >= PRIME { folded - PRIME } else { folded }
}

/// Up to seven bytes as a little-endian number.
#[inline(always)]
fn load(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    if len >= 4 {
        let low = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let high = u32::from_le_bytes([bytes[len - 4], bytes[len - 3], bytes[len - 2], bytes[len - 1]]);
        u64::from(low) | u64::from(high) << ((len - 4) * 8)
    } else if len > 0 {
        let (first, middle, last) = (bytes[0], bytes[len / 2], bytes[len - 1]);
        u64::from(first) | u64::from(middle) << (len / 2 * 8) | u64::from(last) << ((len - 1) * 8)
    } else {
        0
    }
}

/// Lower-cases the ASCII letters among eight bytes at once, leaving bytes above 127 alone.
#[inline(always)]
const fn lower(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let low7 = word & (0x7f * ONES);
    let from_a = low7 + (0x80 - b'A' as u64) * ONES;
    let past_z = low7 + (0x80 - b'Z' as u64 - 1) * ONES;
    let upper = (from_a ^ past_z) & !word & (0x80 * ONES);
    word | (upper >> 2)
}

/// What kind of token a word of the hash belongs to. Part of the key: `a` and `"a"` are two skeletons.
#[derive(Clone, Copy)]
enum Tag {
    More = 1,
    Word = 2,
    Name = 3,
    Symbol = 4,
    Literal = 5,
    Verbatim = 6,
    Setup = 7,
    Broken = 8,
}

impl Tag {
    /// Upper-case ASCII letters count as lower-case ones in unquoted words, and there only.
    #[inline(always)]
    fn fold(self, word: u64) -> u64 {
        match self {
            Tag::Word => lower(word),
            _ => word,
        }
    }
}

/// What happens to literals in the statement that is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literals {
    /// The next token is a statement's first: it decides.
    Undecided,
    /// They count as placeholders.
    Folded,
    /// They are part of the key: the verdict depends on them.
    Kept,
}

/// Where in a list of literals the walk stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Outside,
    /// A literal was taken in last.
    Literal,
    /// A comma follows it that has not been taken in yet.
    Comma,
}

/// Statements whose literals never decide anything. All others keep theirs.
const FOLDED: [&str; 10] =
    ["select", "insert", "update", "delete", "with", "values", "table", "merge", "execute", "call"];

/// The skeleton of a text, or the hash of its bytes when it cannot be read.
pub fn skeleton(
    sql: &[u8],
    strings: StandardConformingStrings,
    keys: &SkeletonKeys,
) -> Result<SkeletonId, (SkeletonId, LexError)> {
    let mut walk = Walk { hash: Polynomials::new(keys), literals: Literals::Undecided, list: List::Outside };
    if strings == StandardConformingStrings::Off {
        walk.hash.bytes(b"scs off", Tag::Setup);
    }
    if let Some(text) = hint::hint_text(sql) {
        walk.hash.bytes(text, Tag::Setup);
    }
    let mut lexer = Lexer::new(sql, strings);
    loop {
        match lexer.token() {
            Ok(Some(token)) => walk.token(token),
            Ok(None) => break,
            Err(error) => return Err((broken(sql, keys), error)),
        }
    }
    walk.flush();
    Ok(walk.hash.finish())
}

/// A text that cannot be cut into tokens is its own skeleton.
#[cold]
fn broken(sql: &[u8], keys: &SkeletonKeys) -> SkeletonId {
    let mut hash = Polynomials::new(keys);
    hash.bytes(sql, Tag::Broken);
    hash.finish()
}

struct Walk {
    hash: Polynomials,
    literals: Literals,
    list: List,
}

impl Walk {
    #[inline(always)]
    fn token(&mut self, token: Token<'_>) {
        match token.kind {
            TokenKind::Word => self.word(token.text),
            TokenKind::Punctuation | TokenKind::Operator | TokenKind::Other => self.symbol(token.text),
            TokenKind::Number | TokenKind::String(_) | TokenKind::Parameter => self.literal(token),
            TokenKind::QuotedName | TokenKind::UnicodeName => self.name(token),
        }
    }

    #[inline(always)]
    fn word(&mut self, text: &[u8]) {
        self.flush();
        if self.literals == Literals::Undecided {
            let folded = FOLDED.iter().any(|f| text.eq_ignore_ascii_case(f.as_bytes()));
            self.literals = if folded { Literals::Folded } else { Literals::Kept };
        } else if decides(text) {
            self.literals = Literals::Kept;
        }
        self.hash.bytes(text, Tag::Word);
    }

    #[inline(always)]
    fn name(&mut self, token: Token<'_>) {
        self.flush();
        // A quoted or escaped name may spell `set_config`; that is rare enough not to look closer.
        if token.kind == TokenKind::UnicodeName || decides(&token.text[1..token.text.len() - 1]) {
            self.literals = Literals::Kept;
        }
        self.hash.bytes(token.text, Tag::Name);
    }

    #[inline(always)]
    fn symbol(&mut self, text: &[u8]) {
        if text == b"," && self.list == List::Literal {
            self.list = List::Comma;
            return;
        }
        self.flush();
        match text {
            b";" => self.literals = Literals::Undecided,
            // `(SELECT ...)`: the parenthesis decides nothing, the word after it does.
            b"(" => {}
            _ if self.literals == Literals::Undecided => self.literals = Literals::Kept,
            _ => {}
        }
        self.hash.bytes(text, Tag::Symbol);
    }

    #[inline(always)]
    fn literal(&mut self, token: Token<'_>) {
        if self.literals != Literals::Folded {
            self.flush();
            self.hash.bytes(token.text, Tag::Verbatim);
            return;
        }
        if is_moment(token) {
            // It asks for the time, which other literals do not.
            self.flush();
            self.hash.word(MOMENT | (Tag::Literal as u64) << 56);
            return;
        }
        match self.list {
            // `1, 2, 3` counts as `1`: lists of any length share one skeleton.
            List::Comma => self.list = List::Literal,
            List::Literal | List::Outside => {
                self.list = List::Literal;
                self.hash.word(literal_form(token.kind) | (Tag::Literal as u64) << 56);
            }
        }
    }

    /// Ends a list of literals, taking in a comma that was held back.
    #[inline(always)]
    fn flush(&mut self) {
        if self.list == List::Comma {
            self.hash.bytes(b",", Tag::Symbol);
        }
        self.list = List::Outside;
    }
}

/// Names of functions whose literal arguments decide the verdict.
#[inline(always)]
fn decides(text: &[u8]) -> bool {
    match text.len() {
        10 => text.eq_ignore_ascii_case(b"set_config"),
        15 => text.eq_ignore_ascii_case(b"current_setting"),
        // What is locked must be known for it to be known that nothing is locked any more.
        16 | 18 | 20 | 23 | 25 | 27 => is_lock(text),
        _ => false,
    }
}

/// Names of the functions that take and give back session-level advisory locks.
fn is_lock(text: &[u8]) -> bool {
    const NAMES: [&[u8]; 6] = [
        b"pg_advisory_lock",
        b"pg_advisory_unlock",
        b"pg_try_advisory_lock",
        b"pg_advisory_lock_shared",
        b"pg_advisory_unlock_shared",
        b"pg_try_advisory_lock_shared",
    ];
    text[2] == b'_' && NAMES.iter().any(|name| text.eq_ignore_ascii_case(name))
}

/// The form of a literal that stands for a time: see [`is_moment`].
const MOMENT: u64 = 7;

/// The forms of literal that the grammar tells apart.
#[inline(always)]
fn literal_form(kind: TokenKind) -> u64 {
    match kind {
        TokenKind::String(StringForm::Bit | StringForm::Hex) => 2,
        TokenKind::String(StringForm::Unicode) => 3,
        TokenKind::String(_) => 4,
        TokenKind::Parameter => 5,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: StandardConformingStrings = StandardConformingStrings::On;

    fn of(sql: &str) -> SkeletonId {
        let keys = SkeletonKeys::from_seed([77, 99]);
        skeleton(sql.as_bytes(), ON, &keys).unwrap()
    }

    #[test]
    fn literals_are_folded_in_queries() {
        assert_eq!(of("SELECT * FROM t WHERE a = 1"), of("select  *\nfrom T where A=2 /* x */"));
        assert_eq!(of("SELECT 'a'"), of("SELECT $$b$$"));
        assert_eq!(of("SELECT a IN (1, 2, 3)"), of("SELECT a IN (4)"));
        assert_eq!(of("SELECT f($1, $2)"), of("SELECT f($7)"));
        assert_eq!(of("(SELECT 1)"), of("(SELECT 2)"));
        assert_eq!(of("SELECT 1; INSERT INTO t VALUES (1)"), of("SELECT 2; INSERT INTO t VALUES (3)"));
        assert_eq!(of("EXECUTE p(1)"), of("EXECUTE p(2)"));
    }

    #[test]
    fn what_is_not_a_literal_counts() {
        let base = of("SELECT a FROM t WHERE b = 1");
        for other in [
            "SELECT c FROM t WHERE b = 1",
            "SELECT a FROM t WHERE b = c",
            "SELECT \"a\" FROM t WHERE b = 1",
            "SELECT a FROM t WHERE b = 1;",
            "SELECT a FROM t WHERE b = -1",
            "SELECT a FROM t WHERE b = '1'",
            "SELECT a FROM t WHERE b = 1 2",
            "SELECT a FROM t WHERE b = 1,",
            "SELECT a FROM t WHERE b <> 1",
            "SELECTa FROM t WHERE b = 1",
        ] {
            assert_ne!(base, of(other), "{other}");
        }
        assert_ne!(of("SELECT \"A\""), of("SELECT \"a\""));
        assert_ne!(of("SELECT a b"), of("SELECT ab"));
        assert_ne!(of("SELECT 1, a"), of("SELECT 1 a"));
    }

    #[test]
    fn literals_that_decide_are_kept() {
        for (one, other) in [
            ("SET a = 1", "SET a = 2"),
            ("SHOW \"a\"", "SHOW \"b\""),
            ("SELECT set_config('a', 'b', true)", "SELECT set_config('a', 'b', false)"),
            ("SELECT \"set_config\"('a', 'b', 'true')", "SELECT \"set_config\"('a', 'b', 'false')"),
            ("SELECT SET_CONFIG('a', 'b', true)", "SELECT SET_CONFIG('a', 'c', true)"),
            ("SELECT U&\"set\\005fconfig\"('a', 'b', 't')", "SELECT U&\"set\\005fconfig\"('a', 'b', 'f')"),
            ("SELECT current_setting('a')", "SELECT current_setting('b')"),
            ("SELECT pg_advisory_lock(1)", "SELECT pg_advisory_lock(2)"),
            (
                "SELECT pg_catalog.pg_advisory_unlock_shared(1)",
                "SELECT pg_catalog.pg_advisory_unlock_shared(2)",
            ),
            ("EXPLAIN (ANALYZE 'off') SELECT 1", "EXPLAIN (ANALYZE 'on') SELECT 1"),
            ("SELECT 1; SET a = 1", "SELECT 1; SET a = 2"),
            ("COPY t TO '/a'", "COPY t TO '/b'"),
            ("(SET a = 1", "(SET a = 2"),
            ("/* weir: replica */ SELECT 1", "SELECT 1"),
            ("/* weir: replica */ SELECT 1", "/* weir: primary */ SELECT 1"),
        ] {
            assert_ne!(of(one), of(other), "{one} / {other}");
        }
        assert_eq!(of("/* trace 1 */ SELECT 1"), of("SELECT 1"));
    }

    #[test]
    fn the_way_strings_are_read_counts() {
        let keys = SkeletonKeys::from_seed([77, 99]);
        let off = skeleton(b"SELECT 'a'", StandardConformingStrings::Off, &keys).unwrap();
        assert_ne!(of("SELECT 'a'"), off);
    }

    #[test]
    fn keys_change_every_skeleton() {
        let other = SkeletonKeys::from_seed([78, 99]);
        assert_ne!(of("SELECT 1"), skeleton(b"SELECT 1", ON, &other).unwrap());
    }

    #[test]
    fn folding_case_touches_letters_only() {
        for byte in 0..=255u8 {
            let word = u64::from_le_bytes([byte, b'A', byte, 0, 0xff, byte, b'z', 0]);
            let expected = word.to_le_bytes().map(|b| b.to_ascii_lowercase());
            assert_eq!(lower(word).to_le_bytes(), expected);
        }
    }

    #[test]
    fn loading_keeps_bytes_in_their_places() {
        for len in 0..=7 {
            let bytes: Vec<u8> = (1..=len).collect();
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(&bytes);
            assert_eq!(load(&bytes), u64::from_le_bytes(padded));
        }
    }

    #[test]
    fn the_polynomial_agrees_with_plain_arithmetic() {
        let point = SkeletonKeys::from_seed([u64::MAX, 0]).points[0];
        let (mut fast, mut plain) = (1, 1u128);
        for word in [0, 1, PRIME - 1, 1 << 60, 0x0123_4567_89ab_cdef, PRIME - 1, PRIME - 1] {
            fast = step(fast, word, point);
            plain = (plain + u128::from(word)) * u128::from(point) % u128::from(PRIME);
            assert_eq!(u128::from(canonical(fast)), plain);
        }
    }
}
