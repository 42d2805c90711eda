//! PostgreSQL's lexical rules over bytes: where each token begins and ends, and nothing about what it means.
//!
//! Follows `src/backend/parser/scan.l` and works on bytes, because a statement is in the client's encoding, not
//! necessarily UTF-8. Never panics; what it cannot read for sure is a [`LexError`], and the caller fails closed.
//! Where PostgreSQL versions disagree (`1$$`, `E'\xe3\''` in a double-byte encoding) it refuses to guess.

/// `standard_conforming_strings` as the session has it: whether a backslash is plain in `'...'`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StandardConformingStrings {
    /// A backslash is an ordinary character, as the SQL standard says. PostgreSQL's default.
    #[default]
    On,
    /// A backslash escapes in every string, and `U&'...'` is refused.
    Off,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// An unquoted identifier or a keyword.
    Word,
    /// `"..."`.
    QuotedName,
    /// `U&"..."`.
    UnicodeName,
    /// A string or bit string of any form; its text includes prefix, quotes and continuations.
    String(StringForm),
    /// An integer or numeric literal. A sign is an operator.
    Number,
    /// `$1`.
    Parameter,
    /// An operator, after PostgreSQL's rules on comments, `+` and `-` inside it.
    Operator,
    /// `( ) [ ] , ; .` and `:`, `::`, `:=`, `..`.
    Punctuation,
    /// A byte that begins no token. PostgreSQL answers it with a syntax error.
    Other,
}

/// The forms of string literals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StringForm {
    /// `'...'`.
    Plain,
    /// `E'...'`.
    Escape,
    /// `U&'...'`.
    Unicode,
    /// `B'...'`.
    Bit,
    /// `X'...'`.
    Hex,
    /// `N'...'`.
    National,
    /// `$tag$...$tag$`.
    Dollar,
}

/// One token: a slice of the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: TokenKind,
    /// Its bytes, as written.
    pub text: &'a [u8],
    /// Where it begins, in bytes from the start of the text.
    pub start: usize,
}

/// Why the text could not be cut into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LexError {
    /// A string, a quoted identifier, a dollar quote or a comment does not end.
    #[error("unterminated string, quoted identifier or comment")]
    Unterminated,
    /// A zero byte, which cannot be part of a statement.
    #[error("zero byte")]
    Zero,
    /// Versions or encodings of PostgreSQL would read it differently.
    #[error("ambiguous token")]
    Ambiguous,
}

/// Cuts a text into tokens, skipping white space and comments.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    sql: &'a [u8],
    at: usize,
    strings: StandardConformingStrings,
}

/// How the inside of a quoted string is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// Only a doubled quote is special.
    Doubling,
    /// A backslash takes the next byte with it, too.
    Backslash,
    /// The first quote ends it (bit strings).
    Bare,
}

/// Lexical classes of bytes, as a set of bits for one table look-up.
const SPACE: u8 = 1;
const NAME_START: u8 = 2;
const DIGIT: u8 = 4;
const OPERATOR: u8 = 8;
const NAME_REST: u8 = 16;

const CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let byte = i as u8;
        table[i] = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => SPACE,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80..=0xff => NAME_START | NAME_REST,
            b'0'..=b'9' => DIGIT | NAME_REST,
            b'$' => NAME_REST,
            b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' => OPERATOR,
            b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'>' | b'=' => OPERATOR,
            _ => 0,
        };
        i += 1;
    }
    table
}

const fn is(byte: u8, class: u8) -> bool {
    CLASS[byte as usize] & class != 0
}

impl<'a> Lexer<'a> {
    /// A lexer at the start of `sql`.
    pub fn new(sql: &'a [u8], strings: StandardConformingStrings) -> Self {
        Self { sql, at: 0, strings }
    }

    /// The next token, or `None` at the end.
    #[inline]
    pub fn token(&mut self) -> Result<Option<Token<'a>>, LexError> {
        self.skip_blank()?;
        let start = self.at;
        let Some(&first) = self.sql.get(start) else { return Ok(None) };
        let kind = if is(first, NAME_START) {
            self.word(first)?
        } else if is(first, DIGIT) {
            self.number()?
        } else {
            self.symbol(first)?
        };
        Ok(Some(Token { kind, text: &self.sql[start..self.at], start }))
    }

    #[inline]
    fn peek(&self, ahead: usize) -> u8 {
        // Zero stands for "past the end": a real zero byte is refused wherever a token begins.
        self.sql.get(self.at + ahead).copied().unwrap_or(0)
    }

    #[inline]
    fn skip_while(&mut self, class: u8) {
        while self.at < self.sql.len() && is(self.sql[self.at], class) {
            self.at += 1;
        }
    }

    /// White space, `--` and `/* */` comments.
    #[inline]
    pub(super) fn skip_blank(&mut self) -> Result<(), LexError> {
        loop {
            self.skip_while(SPACE);
            match self.peek(0) {
                b'-' if self.peek(1) == b'-' => self.line_comment(),
                b'/' if self.peek(1) == b'*' => self.block_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn line_comment(&mut self) {
        while self.at < self.sql.len() && !matches!(self.sql[self.at], b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// Block comments nest, which the SQL standard asks for and most other lexers do not do.
    fn block_comment(&mut self) -> Result<(), LexError> {
        let mut depth = 0usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ if self.at >= self.sql.len() => return Err(LexError::Unterminated),
                _ => self.at += 1,
            }
        }
    }

    /// A word, or a string with a letter in front of its quote.
    #[inline]
    fn word(&mut self, first: u8) -> Result<TokenKind, LexError> {
        let next = self.peek(1);
        if (next == b'\'' || next == b'&')
            && let Some(kind) = self.prefixed(first, next)?
        {
            return Ok(kind);
        }
        self.at += 1;
        self.skip_while(NAME_REST);
        Ok(TokenKind::Word)
    }

    #[inline(never)]
    fn prefixed(&mut self, first: u8, next: u8) -> Result<Option<TokenKind>, LexError> {
        let lower = first | 0x20;
        let (form, inside) = match (lower, next) {
            (b'e', b'\'') => (StringForm::Escape, Inside::Backslash),
            (b'b', b'\'') => (StringForm::Bit, Inside::Bare),
            (b'x', b'\'') => (StringForm::Hex, Inside::Bare),
            (b'n', b'\'') => (StringForm::National, self.plain()),
            (b'u', b'&') if self.peek(2) == b'"' => {
                self.at += 3;
                self.quoted_name()?;
                return Ok(Some(TokenKind::UnicodeName));
            }
            (b'u', b'&') if self.peek(2) == b'\'' => {
                if self.strings == StandardConformingStrings::Off {
                    return Err(LexError::Ambiguous);
                }
                self.at += 1;
                (StringForm::Unicode, Inside::Doubling)
            }
            _ => return Ok(None),
        };
        self.at += 1;
        self.string(inside)?;
        Ok(Some(TokenKind::String(form)))
    }

    fn plain(&self) -> Inside {
        match self.strings {
            StandardConformingStrings::On => Inside::Doubling,
            StandardConformingStrings::Off => Inside::Backslash,
        }
    }

    /// From the opening quote to past the last closing quote, continuations on further lines included.
    #[inline]
    fn string(&mut self, inside: Inside) -> Result<(), LexError> {
        self.at += 1;
        loop {
            self.string_segment(inside)?;
            let blank = is(self.peek(0), SPACE) || (self.peek(0) == b'-' && self.peek(1) == b'-');
            if !blank || !self.continued() {
                return Ok(());
            }
        }
    }

    /// Up to and past the quote that ends this segment.
    #[inline]
    fn string_segment(&mut self, inside: Inside) -> Result<(), LexError> {
        loop {
            let Some(&byte) = self.sql.get(self.at) else { return Err(LexError::Unterminated) };
            match byte {
                b'\'' if inside != Inside::Bare && self.peek(1) == b'\'' => self.at += 2,
                b'\'' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' if inside == Inside::Backslash => {
                    // In SJIS, Big5, GBK and the like a backslash can be the second byte of a character, which
                    // only the server knows. UTF-8 text pays for it when a backslash follows a letter like this.
                    if self.at > 0 && self.sql[self.at - 1] >= 0x80 {
                        return Err(LexError::Ambiguous);
                    }
                    self.at += 2;
                }
                0 => return Err(LexError::Zero),
                _ => self.at += 1,
            }
        }
    }

    /// Whether white space with a newline and a further quote follow: the SQL standard's string continuation.
    /// Consumes them and the quote if so, nothing otherwise.
    #[cold]
    fn continued(&mut self) -> bool {
        let back = self.at;
        let mut newline = false;
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'\n' | b'\r', _) => {
                    newline = true;
                    self.at += 1;
                }
                (b' ' | b'\t' | 0x0b | 0x0c, _) => self.at += 1,
                (b'-', b'-') => {
                    self.line_comment();
                    // A comment is blank only together with the newline that ends it.
                    if self.at >= self.sql.len() {
                        break;
                    }
                    newline = true;
                    self.at += 1;
                }
                (b'\'', _) if newline => {
                    self.at += 1;
                    return true;
                }
                _ => break,
            }
        }
        self.at = back;
        false
    }

    /// Past the closing quote of a quoted identifier; `at` stands behind the opening one.
    fn quoted_name(&mut self) -> Result<(), LexError> {
        loop {
            match (self.sql.get(self.at), self.peek(1)) {
                (None, _) => return Err(LexError::Unterminated),
                (Some(b'"'), b'"') => self.at += 2,
                (Some(b'"'), _) => {
                    self.at += 1;
                    return Ok(());
                }
                (Some(0), _) => return Err(LexError::Zero),
                _ => self.at += 1,
            }
        }
    }

    /// `1`, `1_000`, `0x1F`, `1.5`, `.5`, `1e-5`; not the dots of `1..2`.
    #[inline]
    fn number(&mut self) -> Result<TokenKind, LexError> {
        let radix_digit: Option<fn(u8) -> bool> = match (self.peek(0), self.peek(1) | 0x20) {
            (b'0', b'x') => Some(|b| b.is_ascii_hexdigit()),
            (b'0', b'o') => Some(|b| matches!(b, b'0'..=b'7')),
            (b'0', b'b') => Some(|b| matches!(b, b'0' | b'1')),
            _ => None,
        };
        if let Some(digit) = radix_digit {
            let skip = if self.peek(2) == b'_' { 3 } else { 2 };
            if digit(self.peek(skip)) {
                self.at += skip;
                self.digits(digit);
                return self.number_end();
            }
        }
        self.digits(|b| b.is_ascii_digit());
        if self.peek(0) == b'.' && self.peek(1) != b'.' {
            self.at += 1;
            self.digits(|b| b.is_ascii_digit());
        }
        self.exponent();
        self.number_end()
    }

    fn exponent(&mut self) {
        if self.peek(0) | 0x20 != b'e' {
            return;
        }
        let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
        if self.peek(1 + sign).is_ascii_digit() {
            self.at += 1 + sign;
            self.digits(|b| b.is_ascii_digit());
        }
    }

    /// PostgreSQL 14 reads `1$$` as a number and a dollar quote, later ones as an error.
    #[inline]
    fn number_end(&self) -> Result<TokenKind, LexError> {
        if self.peek(0) == b'$' { Err(LexError::Ambiguous) } else { Ok(TokenKind::Number) }
    }

    /// Digits with single underscores between them.
    #[inline]
    fn digits(&mut self, digit: fn(u8) -> bool) {
        while digit(self.peek(0)) || (self.peek(0) == b'_' && digit(self.peek(1))) {
            self.at += 1;
        }
    }

    /// Everything that begins with neither a letter nor a digit.
    #[inline]
    fn symbol(&mut self, first: u8) -> Result<TokenKind, LexError> {
        match first {
            b'\'' => {
                self.string(self.plain())?;
                Ok(TokenKind::String(StringForm::Plain))
            }
            b'"' => {
                self.at += 1;
                self.quoted_name()?;
                Ok(TokenKind::QuotedName)
            }
            b'$' => self.dollar(),
            b'.' if self.peek(1).is_ascii_digit() => self.number(),
            b'.' => Ok(self.punctuation(1 + usize::from(self.peek(1) == b'.'))),
            b':' => Ok(self.punctuation(1 + usize::from(matches!(self.peek(1), b':' | b'=')))),
            b'(' | b')' | b'[' | b']' | b',' | b';' => Ok(self.punctuation(1)),
            0 => Err(LexError::Zero),
            _ if is(first, OPERATOR) => {
                self.operator();
                Ok(TokenKind::Operator)
            }
            _ => {
                self.at += 1;
                Ok(TokenKind::Other)
            }
        }
    }

    #[inline]
    fn punctuation(&mut self, bytes: usize) -> TokenKind {
        self.at += bytes;
        TokenKind::Punctuation
    }

    /// The longest run of operator characters, cut before a comment; a trailing `+` or `-` belongs to it only
    /// when a character that SQL's own operators do not use is in it (`@-` is one operator, `=-` is two).
    #[inline]
    fn operator(&mut self) {
        let start = self.at;
        self.skip_while(OPERATOR);
        let run = &self.sql[start..self.at];
        let mut len = run.windows(2).position(|w| w == b"--" || w == b"/*").unwrap_or(run.len());
        let foreign = |run: &[u8]| {
            run.iter()
                .any(|b| matches!(b, b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'%'))
        };
        while len > 1 && matches!(run[len - 1], b'+' | b'-') && !foreign(&run[..len - 1]) {
            len -= 1;
        }
        self.at = start + len;
    }

    /// `$1`, `$$...$$`, `$tag$...$tag$`, or a lone dollar.
    fn dollar(&mut self) -> Result<TokenKind, LexError> {
        let start = self.at;
        self.at += 1;
        if self.peek(0).is_ascii_digit() {
            self.skip_while(DIGIT);
            return if self.peek(0) == b'$' { Err(LexError::Ambiguous) } else { Ok(TokenKind::Parameter) };
        }
        if is(self.peek(0), NAME_START) {
            self.skip_while(NAME_START | DIGIT);
        }
        if self.peek(0) != b'$' {
            self.at = start + 1;
            return Ok(TokenKind::Other);
        }
        self.at += 1;
        let tag = &self.sql[start..self.at];
        match find(&self.sql[self.at..], tag) {
            Some(offset) if self.sql[self.at..self.at + offset].contains(&0) => Err(LexError::Zero),
            Some(offset) => {
                self.at += offset + tag.len();
                Ok(TokenKind::String(StringForm::Dollar))
            }
            None => Err(LexError::Unterminated),
        }
    }
}

/// The first place of `tag` in `text`. Linear: a tag begins and ends with the only dollars in it, so after a
/// mismatch the search goes on at the dollar that broke the match.
fn find(text: &[u8], tag: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text[from..].iter().position(|&b| b == b'$')?;
        let rest = &text[at..];
        if rest.starts_with(tag) {
            return Some(at);
        }
        from = at + 1;
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Result<Token<'a>, LexError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.token().transpose()
    }
}

impl Token<'_> {
    /// Whether this is the unquoted word `lower`, which must be given in lower case.
    pub(in crate::sql) fn is_word(&self, lower: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(lower.as_bytes())
    }

    /// Whether this is the given punctuation or operator.
    pub(in crate::sql) fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.kind, TokenKind::Punctuation | TokenKind::Operator) && self.text == symbol.as_bytes()
    }

    /// Whether this can stand where a name is expected (keywords included).
    pub(in crate::sql) fn is_name(&self) -> bool {
        matches!(self.kind, TokenKind::Word | TokenKind::QuotedName | TokenKind::UnicodeName)
    }

    /// Where it ends, in bytes from the start of the text.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: StandardConformingStrings = StandardConformingStrings::On;
    const OFF: StandardConformingStrings = StandardConformingStrings::Off;

    fn texts(sql: &str, strings: StandardConformingStrings) -> Vec<String> {
        let tokens: Result<Vec<_>, _> = Lexer::new(sql.as_bytes(), strings).collect();
        tokens.unwrap().iter().map(|t| String::from_utf8_lossy(t.text).into_owned()).collect()
    }

    fn error(sql: &[u8], strings: StandardConformingStrings) -> Option<LexError> {
        Lexer::new(sql, strings).find_map(Result::err)
    }

    fn kinds(sql: &str) -> Vec<TokenKind> {
        Lexer::new(sql.as_bytes(), ON).map(|t| t.unwrap().kind).collect()
    }

    #[test]
    fn strings() {
        assert_eq!(texts("'a''b' c", ON), ["'a''b'", "c"]);
        assert_eq!(texts(r"'a\' 'b'", ON), [r"'a\'", "'b'"]);
        assert_eq!(texts(r"'a\' b'", OFF), [r"'a\' b'"]);
        assert_eq!(texts(r"E'a\\' e'\'' n'x'", ON), [r"E'a\\'", r"e'\''", "n'x'"]);
        assert_eq!(texts(r"U&'\0041' u&'x'", ON), [r"U&'\0041'", "u&'x'"]);
        assert_eq!(texts("B'01' x'1F'", ON), ["B'01'", "x'1F'"]);
        assert_eq!(error(b"U&'x'", OFF), Some(LexError::Ambiguous));
    }

    #[test]
    fn strings_go_on_after_a_newline() {
        assert_eq!(texts("'a'\n'b'", ON), ["'a'\n'b'"]);
        assert_eq!(texts("'a' -- c 'x'\n  'b'", ON), ["'a' -- c 'x'\n  'b'"]);
        assert_eq!(texts("'a' 'b'", ON), ["'a'", "'b'"]);
        assert_eq!(texts("'a' /* c */\n 'b'", ON), ["'a'", "'b'"]);
        assert_eq!(texts("E'a'\n'\\''", ON), ["E'a'\n'\\''"]);
        assert_eq!(texts("'a' -- b", ON), ["'a'"]);
    }

    #[test]
    fn a_backslash_behind_a_letter_that_may_be_half_of_one_is_not_guessed_at() {
        assert_eq!(error("E'\u{e9}\\n'".as_bytes(), ON), Some(LexError::Ambiguous));
        assert_eq!(error("E'\u{e9} \\n'".as_bytes(), ON), None);
        assert_eq!(error(b"'caf\xe9\\' 'x'", ON), None);
        assert_eq!(error(b"'\x83\\'", OFF), Some(LexError::Ambiguous));
    }

    #[test]
    fn dollar_quotes() {
        assert_eq!(texts("$$a'b$$ $x$ $$ $y$ $x$", ON), ["$$a'b$$", "$x$ $$ $y$ $x$"]);
        assert_eq!(texts("$a$b$a$a$", ON), ["$a$b$a$", "a$"]);
        assert_eq!(texts("a$x$ $x$y$x$", ON), ["a$x$", "$x$y$x$"]);
        assert_eq!(texts("$1 $23", ON), ["$1", "$23"]);
        assert_eq!(kinds("$ a"), [TokenKind::Other, TokenKind::Word]);
        assert_eq!(error(b"$x$ $X$", ON), Some(LexError::Unterminated));
        assert_eq!(error(b"1$$ $$", ON), Some(LexError::Ambiguous));
        assert_eq!(error(b"$1$$ $$", ON), Some(LexError::Ambiguous));
    }

    #[test]
    fn comments() {
        assert_eq!(texts("a /* b /* c */ d */ e -- f\ng", ON), ["a", "e", "g"]);
        assert_eq!(texts("a -- b\rc", ON), ["a", "c"]);
        assert_eq!(texts("/**/a/*/**/*/", ON), ["a"]);
        assert_eq!(error(b"/* /* */", ON), Some(LexError::Unterminated));
        assert_eq!(error(b"/*/", ON), Some(LexError::Unterminated));
    }

    #[test]
    fn names() {
        assert_eq!(texts("a_1$ \"b\"\"c\" U&\"d\" _x", ON), ["a_1$", "\"b\"\"c\"", "U&\"d\"", "_x"]);
        assert_eq!(texts("caf\u{e9}", ON), ["caf\u{e9}"]);
        assert_eq!(error(b"\"a", ON), Some(LexError::Unterminated));
        let latin1 = Lexer::new(b"t\xe9l\xff", ON).token().unwrap().unwrap();
        assert_eq!((latin1.kind, latin1.text), (TokenKind::Word, &b"t\xe9l\xff"[..]));
    }

    #[test]
    fn numbers() {
        assert_eq!(texts("1 2.5 .5 5. 1e5 1E-5 1.e2 0x1F 0o17 0b01 1_000", ON).len(), 11);
        assert_eq!(texts("1..2", ON), ["1", "..", "2"]);
        assert_eq!(texts("1e 1ex", ON), ["1", "e", "1", "ex"]);
        assert_eq!(texts("0x 0b2 1__0", ON), ["0", "x", "0", "b2", "1", "__0"]);
        assert_eq!(texts("1for", ON), ["1", "for"]);
        assert_eq!(texts("a.1", ON), ["a", ".1"]);
    }

    #[test]
    fn operators_end_before_comments_and_signs() {
        assert_eq!(texts("a--b\n+c", ON), ["a", "+", "c"]);
        assert_eq!(texts("a<-1", ON), ["a", "<", "-", "1"]);
        assert_eq!(texts("a@-1", ON), ["a", "@-", "1"]);
        assert_eq!(texts("a*-+-1", ON), ["a", "*", "-", "+", "-", "1"]);
        assert_eq!(texts("a->>'b'", ON), ["a", "->>", "'b'"]);
        assert_eq!(texts("a@/*c*/b", ON), ["a", "@", "b"]);
        assert_eq!(texts("a@--c", ON), ["a", "@"]);
        assert_eq!(texts("a::int:b:=c", ON), ["a", "::", "int", ":", "b", ":=", "c"]);
        assert_eq!(texts("a=>1", ON), ["a", "=>", "1"]);
    }

    #[test]
    fn zero_bytes_are_refused() {
        for sql in [&b"a\0"[..], b"'\0'", b"\"\0\"", b"$$\0$$"] {
            assert_eq!(error(sql, ON), Some(LexError::Zero));
        }
    }
}
