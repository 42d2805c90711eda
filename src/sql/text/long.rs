//! Texts that are too long to be kept, read as they pass: whether a plain INSERT or query can be told from what may leave
//! state in its session.
//!
//! Of the grammar as much is read as that takes, by the rules of PostgreSQL's `scan.l`. A text that PostgreSQL could
//! not parse leaves nothing, whatever is said of it here.

use super::lexer::StandardConformingStrings;

/// What may stand in front of a parenthesis: words of the grammar, types, and functions of PostgreSQL's own that leave
/// nothing.
const HARMLESS: &str = "\
    and any array as avg between bit by cast char coalesce conflict count decimal distinct else except exists \
    extract filter from gen_random_uuid greatest group having in intersect interval join least like limit lower \
    max min nextval not now nullif numeric offset on or order over row select sum then timestamp trim union \
    unnest upper using values varchar when where with";

/// Most bytes of a word that are kept; none that matters is longer.
const WORD_MAX: usize = 64;

/// A text that is read in pieces.
#[derive(Debug)]
pub(crate) struct LongText {
    place: Place,
    finding: Finding,
    /// The word at hand, in lower case.
    word: Vec<u8>,
    before: Before,
    seen: Seen,
}

/// Where in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Between,
    Word,
    String,
    /// In a string in which backslashes escape.
    Escaping,
    /// Behind such a backslash.
    Escaped,
    QuotedName,
    /// Behind a `-`, `/` or `$` that may begin something.
    Dash,
    Slash,
    Dollar,
    Line,
    /// In a comment, this deep; behind a `*` or a `/` in it.
    Comment(u32),
    CommentStar(u32),
    CommentSlash(u32),
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Nothing,
    /// The statement has ended. No other may follow.
    End,
    /// It may leave something.
    Something,
}

/// What stands in front of what is at hand, white space and comments aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Other,
    /// A dot: whatever follows is the name of a user's function, if a parenthesis follows that.
    Dot,
    /// The name of a function, if a parenthesis follows.
    Name,
    /// A word that may stand in front of a parenthesis.
    Harmless,
    /// A string with escapes, which the next one goes on.
    Escaping,
}

/// How much of `INSERT INTO name` has come, or of what else a query begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Insert,
    Into,
    /// The name, or a part of it.
    Name,
    /// All of it, and more.
    Whole,
}

impl LongText {
    /// One whose strings are read like this.
    pub(crate) fn new(strings: StandardConformingStrings) -> Self {
        let finding = match strings {
            StandardConformingStrings::On => Finding::Nothing,
            StandardConformingStrings::Off => Finding::Something,
        };
        let (place, before, seen) = (Place::Between, Before::Other, Seen::Nothing);
        Self { place, finding, word: Vec::new(), before, seen }
    }

    /// Reads on.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.finding == Finding::Something {
                return;
            }
            self.byte(*byte);
        }
    }

    /// Whether all that was read was one INSERT or query that calls nothing of users. What runs behind its table is another matter.
    pub(crate) fn leaves_nothing(&self) -> bool {
        self.finding != Finding::Something && self.seen == Seen::Whole
    }

    fn byte(&mut self, byte: u8) {
        use Place::{
            Between, Comment, CommentSlash, CommentStar, Dash, Dollar, Escaped, Escaping, Line, QuotedName,
            Slash, String, Word,
        };
        self.place = match (self.place, byte) {
            (Between | Word, _) => return self.outside(byte),
            (String, b'\'') => self.ended(Before::Other),
            (QuotedName, b'"') => {
                self.name();
                self.ended(Before::Name)
            }
            (Escaping, b'\'') => self.ended(Before::Escaping),
            (Escaping, b'\\') => Escaped,
            // Bytes that look like a backslash may be halves of characters, so that what is escaped is not known.
            (Escaping, 0x80..) => {
                self.finding = Finding::Something;
                Escaping
            }
            (Escaped, _) => Escaping,
            (Line, b'\n' | b'\r') => Between,
            (Comment(depth) | CommentStar(depth), b'*') => CommentStar(depth),
            (CommentStar(1), b'/') => Between,
            (CommentStar(depth), b'/') => Comment(depth - 1),
            (CommentSlash(depth), b'*') => Comment(depth + 1),
            (Comment(depth) | CommentSlash(depth), b'/') => CommentSlash(depth),
            (CommentStar(depth) | CommentSlash(depth), _) => Comment(depth),
            (Dash, b'-') => Line,
            (Slash, b'*') => Comment(1),
            (Dollar, b'0'..=b'9') => Word,
            // A string quoted by dollars, most likely.
            (Dollar, _) => {
                self.finding = Finding::Something;
                Between
            }
            (Dash | Slash, _) => {
                self.symbol();
                return self.outside(byte);
            }
            (place, _) => place,
        };
    }

    /// Outside of strings, quoted names and comments.
    fn outside(&mut self, byte: u8) {
        let goes_on = self.place == Place::Word && byte == b'$';
        if goes_on || byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii() {
            self.place = Place::Word;
            if self.word.len() < WORD_MAX {
                self.word.push(byte.to_ascii_lowercase());
            }
            return;
        }
        let escapes = self.word == b"e" || self.word.is_empty() && self.before == Before::Escaping;
        self.end_word();
        self.place = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0 => Place::Between,
            b'-' => Place::Dash,
            b'/' => Place::Slash,
            _ => {
                self.begins();
                match byte {
                    b'\'' if escapes => Place::Escaping,
                    b'\'' => Place::String,
                    b'"' => Place::QuotedName,
                    b'$' => Place::Dollar,
                    _ => {
                        self.punctuation(byte);
                        Place::Between
                    }
                }
            }
        };
    }

    /// Something that is neither white space nor a comment.
    fn begins(&mut self) {
        if self.finding == Finding::End || matches!(self.seen, Seen::Nothing | Seen::Insert) {
            self.finding = Finding::Something;
        }
    }

    fn symbol(&mut self) {
        self.begins();
        self.before = Before::Other;
        self.place = Place::Between;
    }

    fn punctuation(&mut self, byte: u8) {
        match (byte, self.seen, self.before) {
            (b';', ..) => self.finding = Finding::End,
            (b'.', Seen::Name, _) => self.seen = Seen::Into,
            // The columns.
            (b'(', Seen::Name, _) => self.seen = Seen::Whole,
            (b'(', _, Before::Name) => self.finding = Finding::Something,
            _ => {}
        }
        self.before = if byte == b'.' { Before::Dot } else { Before::Other };
    }

    fn ended(&mut self, before: Before) -> Place {
        self.before = before;
        Place::Between
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        if self.finding == Finding::End {
            self.finding = Finding::Something;
        }
        let known = || HARMLESS.split_ascii_whitespace().any(|harmless| harmless.as_bytes() == self.word);
        let harmless = self.before != Before::Dot && known();
        self.before = if harmless { Before::Harmless } else { Before::Name };
        self.name();
        self.word.clear();
    }

    /// A word or a quoted name has come.
    fn name(&mut self) {
        const QUERIES: [&[u8]; 4] = [b"select", b"values", b"table", b"with"];
        if self.seen == Seen::Whole && self.word == b"into" {
            // SELECT INTO may create a temporary table.
            self.finding = Finding::Something;
        }
        self.seen = match self.seen {
            Seen::Nothing if self.word == b"insert" => Seen::Insert,
            Seen::Nothing if QUERIES.contains(&&*self.word) => Seen::Whole,
            Seen::Insert if self.word == b"into" => Seen::Into,
            Seen::Into => Seen::Name,
            Seen::Name | Seen::Whole => Seen::Whole,
            Seen::Nothing | Seen::Insert => {
                self.finding = Finding::Something;
                Seen::Nothing
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves_nothing(sql: &str) -> bool {
        let whole = {
            let mut text = LongText::new(StandardConformingStrings::On);
            text.read(sql.as_bytes());
            text.read(&[0]);
            text.leaves_nothing()
        };
        let mut text = LongText::new(StandardConformingStrings::On);
        sql.bytes().for_each(|byte| text.read(&[byte]));
        text.read(&[0]);
        assert_eq!(text.leaves_nothing(), whole, "in pieces: {sql}");
        whole
    }

    #[test]
    fn plain_inserts_leave_nothing() {
        for sql in [
            "INSERT INTO t VALUES (1, 'f(x); SET ROLE a', -2.5e3), ('it''s', NULL, $1)",
            "insert into \"S\".\"T (x)\" (\"a\", b) values (1, default) ;  -- set role\n",
            "/* by /* the */ app */ INSERT INTO s.t(a) VALUES (E'a\\'f(x)'\n'\\'g(x)'), (now())",
            "INSERT INTO t (a) VALUES ('x'::text) ON CONFLICT (a) DO UPDATE SET a = EXCLUDED.a RETURNING t.a",
            "INSERT INTO t SELECT a - b / c FROM u WHERE a IN (1, 2) AND (b OR (c))",
            "INSERT INTO t VALUES (e, 'x') /* app */",
            "INSERT INTO t (a) SELECT * FROM UNNEST(('{1,2}'::varchar(9)[])::numeric(3, 1)[]) RETURNING t.a",
            "INSERT INTO t VALUES (U&'d\\0061t', B'1', '\\', 'f(')",
            "SELECT * FROM t WHERE (a, b) IN ((1, 'f(x)'), (2, $1)) AND NOT EXISTS (SELECT 1 FROM u) -- f(1)",
            "WITH w AS (VALUES (1), (2)) SELECT count(*), \"A\" FROM w JOIN t USING (a) WHERE b = ANY ('{1}') ORDER BY 1;",
            "values (1), (2)",
        ] {
            assert!(leaves_nothing(sql), "{sql}");
        }
    }

    #[test]
    fn anything_else_may_leave_something() {
        for sql in [
            "",
            "SELECT 1 INTO TEMP x",
            "SELECT f(1)",
            "SELECT 1, pg_catalog.now(2)",
            "SELECT treat(1 AS pg_advisory_lock)",
            "SELECT set_config('a', 'b', false)",
            "SELECT 1; SET a = 1",
            "WITH w AS (INSERT INTO t VALUES (1)) SELECT 1",
            "UPDATE t SET a = 1",
            "(INSERT INTO t VALUES (1))",
            "WITH w AS (INSERT INTO t VALUES (1)) SELECT 1",
            "INSERT INTO t VALUES (f(1))",
            "INSERT INTO t VALUES (s.now (1))",
            "INSERT INTO t VALUES (\"now\"())",
            "INSERT INTO t SELECT f(1)",
            "INSERT INTO t VALUES (set_config/**/('a', 'b', false))",
            "INSERT INTO t VALUES ('a'); SET ROLE x",
            "INSERT INTO t VALUES ('a');;LISTEN x",
            "INSERT INTO t VALUES ('\\'), (f(1), '')",
            "INSERT INTO t VALUES (E'\\\\'), (f(1))",
            "INSERT INTO t VALUES (E'a'\n'\\'', f(1), '')",
            "INSERT INTO t VALUES ($$'$$, f(1), $$'$$)",
            "INSERT INTO t VALUES (1 -- '\n, f(1)) -- '",
            "INSERT INTO t VALUES (1 /* ' */, f(1)) /* ' */",
            "INSERT INTO t VALUES (1 /*/ ' */, f(1)) /* ' */",
            "INSERT INTO t VALUES (E'\u{e9}')",
            "SET ROLE x; INSERT INTO t VALUES (1)",
        ] {
            assert!(!leaves_nothing(sql), "{sql}");
        }
        let mut text = LongText::new(StandardConformingStrings::Off);
        text.read(b"INSERT INTO t VALUES (1)");
        assert!(!text.leaves_nothing());
    }
}
