//! Regular expressions as PostgreSQL's files have them, matched as PostgreSQL matches them.
//!
//! PostgreSQL's are another kind than those of the regex crate: the same character means something else in the two (`\b`
//! is a backspace there), and which part a group holds is decided otherwise. So an expression is read here and written
//! anew, and one with anything in it that the crate would take differently is refused. What is left is what such files
//! have: literals, classes, repetitions, groups and alternatives.
//!
//! PostgreSQL manual: "POSIX Regular Expressions", flavor ARE, in the collation C.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

/// Most times that a thing may be repeated (DUPMAX).
const REPEATED_MAX: u32 = 255;

/// A compiled expression.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
    groups: Groups,
}

/// Whether it is certain which text the first group holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Groups {
    /// There is none.
    None,
    /// There is one way only, or the first of several is taken in both kinds.
    Certain,
    /// Alternatives, groups that are repeated, or repetitions that take as little as they can.
    Uncertain,
}

impl Pattern {
    /// Compiles what stands behind the slash.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let mut writer = Writer::new(text);
        writer.whole().map_err(|problem| format!("invalid regular expression \"{text}\": {problem}"))?;
        let regex = Regex::new(&writer.written).map_err(|error| {
            let message = error.to_string();
            let reason = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("invalid regular expression \"{text}\": {reason}")
        })?;
        let groups = match regex.captures_len() {
            1 => Groups::None,
            _ if writer.uncertain => Groups::Uncertain,
            _ => Groups::Certain,
        };
        Ok(Self { regex, groups })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Why `\1` cannot be had from it, if it cannot.
    pub(super) fn no_first_group(&self) -> Option<&'static str> {
        match self.groups {
            Groups::None => {
                Some("the regular expression has no subexpressions as requested by backreference")
            }
            Groups::Uncertain => Some(
                "weir cannot tell what \\1 would be in PostgreSQL; write the regular expression without alternatives, \
                 repeated groups, and repetitions that take as little as they can",
            ),
            Groups::Certain => None,
        }
    }

    /// What the first group holds; `None` when it does not match.
    pub(super) fn first_group<'t>(&self, text: &'t str) -> Option<&'t str> {
        Some(self.regex.captures(text)?.get(1)?.as_str())
    }
}

/// What was read last, as far as it matters to what may stand behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Nothing that can be repeated.
    Start,
    Atom,
    Group,
    Repetition,
}

struct Writer<'t> {
    rest: Peekable<Chars<'t>>,
    written: String,
    uncertain: bool,
    last: Last,
    depth: usize,
}

const BEYOND: &str = "weir does not do this part of PostgreSQL's regular expressions";
const NOTHING_TO_REPEAT: &str = "quantifier operand invalid";
const BRACKETS: &str = "brackets [] not balanced";

impl<'t> Writer<'t> {
    fn new(text: &'t str) -> Self {
        // Without the flag a dot is no newline; names hold none, but PostgreSQL's dot is one.
        let written = "(?s)".to_owned();
        Self { rest: text.chars().peekable(), written, uncertain: false, last: Last::Start, depth: 0 }
    }

    fn whole(&mut self) -> Result<(), String> {
        if self.rest.clone().take(3).eq("***".chars()) {
            return Err(BEYOND.to_owned());
        }
        while let Some(c) = self.rest.next() {
            self.one(c)?;
        }
        if self.depth > 0 { Err("parentheses () not balanced".to_owned()) } else { Ok(()) }
    }

    fn one(&mut self, c: char) -> Result<(), String> {
        match c {
            '^' | '$' => self.push(c, Last::Start),
            '.' => self.push(c, Last::Atom),
            '|' => {
                self.uncertain = true;
                self.push(c, Last::Start);
            }
            '(' => self.open()?,
            // PostgreSQL takes a closing one that nothing has opened for itself.
            ')' if self.depth == 0 => self.literal(c),
            ')' => {
                self.depth -= 1;
                self.push(c, Last::Group);
            }
            '[' => self.brackets()?,
            '*' | '+' | '?' => self.repetition(&c.to_string())?,
            '{' if self.rest.peek().is_some_and(char::is_ascii_digit) => {
                let count = self.count()?;
                self.repetition(&count)?;
            }
            '\\' => self.escape()?,
            _ => self.literal(c),
        }
        Ok(())
    }

    fn push(&mut self, c: char, last: Last) {
        self.written.push(c);
        self.last = last;
    }

    /// A character that stands for itself.
    fn literal(&mut self, c: char) {
        let _ = write!(self.written, "\\x{{{:x}}}", u32::from(c));
        self.last = Last::Atom;
    }

    fn open(&mut self) -> Result<(), String> {
        self.written.push('(');
        if self.rest.next_if_eq(&'?').is_some() {
            if self.rest.next_if_eq(&':').is_none() {
                return Err(BEYOND.to_owned());
            }
            self.written.push_str("?:");
        }
        self.depth += 1;
        self.last = Last::Start;
        Ok(())
    }

    fn repetition(&mut self, count: &str) -> Result<(), String> {
        match self.last {
            Last::Start | Last::Repetition => return Err(NOTHING_TO_REPEAT.to_owned()),
            Last::Group => self.uncertain = true,
            Last::Atom => {}
        }
        self.written.push_str(count);
        if self.rest.next_if_eq(&'?').is_some() {
            self.uncertain = true;
            self.written.push('?');
        }
        self.last = Last::Repetition;
        Ok(())
    }

    /// `{m}`, `{m,}` or `{m,n}`, of which the first brace has been read.
    fn count(&mut self) -> Result<String, String> {
        const INVALID: &str = "invalid repetition count(s)";
        let text: String = std::iter::from_fn(|| self.rest.next_if(|c| *c != '}')).collect();
        self.rest.next().ok_or("braces {} not balanced")?;
        let (least, most) = text.split_once(',').unwrap_or((&text, &text));
        let number =
            |digits: &str| digits.parse().ok().filter(|count: &u32| *count <= REPEATED_MAX).ok_or(INVALID);
        let least = number(least)?;
        match most {
            "" => Ok(format!("{{{least},}}")),
            _ if number(most)? < least => Err(INVALID.to_owned()),
            _ => Ok(format!("{{{least},{}}}", number(most)?)),
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        match self.rest.next().ok_or("invalid escape \\ sequence")? {
            'A' => self.written.push_str("\\A"),
            'Z' => self.written.push_str("\\z"),
            'n' => self.literal('\n'),
            't' => self.literal('\t'),
            'r' => self.literal('\r'),
            c @ ('d' | 's' | 'w') => {
                let _ = write!(self.written, "[{}]", class(c));
                self.last = Last::Atom;
            }
            c @ ('D' | 'S' | 'W') => {
                let _ = write!(self.written, "[^{}]", class(c.to_ascii_lowercase()));
                self.last = Last::Atom;
            }
            c if c.is_alphanumeric() => return Err(BEYOND.to_owned()),
            c => self.literal(c),
        }
        Ok(())
    }

    /// A bracket expression, of which the opening bracket has been read.
    fn brackets(&mut self) -> Result<(), String> {
        self.written.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.written.push('^');
        }
        let mut first = true;
        loop {
            let c = self.rest.next().ok_or(BRACKETS)?;
            if c == ']' && !first {
                break;
            }
            first = false;
            let Some(from) = self.member(c)? else { continue };
            let _ = write!(self.written, "\\x{{{:x}}}", u32::from(from));
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']') {
                self.rest.next();
                let c = self.rest.next().ok_or(BRACKETS)?;
                let to = self.member(c)?.ok_or("invalid character range")?;
                let _ = write!(self.written, "-\\x{{{:x}}}", u32::from(to));
            }
        }
        self.push(']', Last::Atom);
        Ok(())
    }

    /// One member of a bracket expression: a character, or `None` for a class that has been written.
    fn member(&mut self, c: char) -> Result<Option<char>, String> {
        match (c, self.rest.peek().copied()) {
            ('[', Some(':')) => {
                self.rest.next();
                let name: String = std::iter::from_fn(|| self.rest.next_if(|c| *c != ':')).collect();
                const CLASSES: [&str; 12] = [
                    "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
                    "upper", "xdigit",
                ];
                if !CLASSES.contains(&&*name)
                    || self.rest.next() != Some(':')
                    || self.rest.next() != Some(']')
                {
                    return Err("invalid character class".to_owned());
                }
                let _ = write!(self.written, "[:{name}:]");
                Ok(None)
            }
            ('[', Some('.' | '=')) => Err(BEYOND.to_owned()),
            ('\\', _) => match self.rest.next().ok_or(BRACKETS)? {
                c @ ('d' | 's' | 'w') => {
                    self.written.push_str(class(c));
                    Ok(None)
                }
                'n' => Ok(Some('\n')),
                't' => Ok(Some('\t')),
                'r' => Ok(Some('\r')),
                c if c.is_alphanumeric() => Err(BEYOND.to_owned()),
                c => Ok(Some(c)),
            },
            _ => Ok(Some(c)),
        }
    }
}

/// The members of `\d`, `\s` and `\w`: in the collation C, ASCII only.
fn class(letter: char) -> &'static str {
    match letter {
        'd' => "0-9",
        's' => " \\t\\n\\r\\x0b\\x0c",
        _ => "A-Za-z0-9_",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).unwrap_or_else(|problem| panic!("{problem}")).matches(text)
    }

    #[test]
    fn what_both_kinds_mean_alike_is_matched() {
        for (pattern, text, matched) in [
            ("^db[0-9]+$", "db42", true),
            ("^db[0-9]+$", "xdb42", false),
            ("db", "a db in it", true),
            ("^db\\d{2,4}$", "db123", true),
            ("^db\\d{2,4}$", "db1", false),
            ("^(alice|bob)$", "bob", true),
            ("^(?:alice|bob)$", "carol", false),
            ("^a.c$", "a\nc", true),
            ("^[[:alpha:]_]+$", "a_b", true),
            ("^[[:alpha:]_]+$", "é", false),
            ("^[^]x]$", "]", false),
            ("^[]x]$", "]", true),
            ("^[a-c-]$", "-", true),
            ("^[[]$", "[", true),
            ("^[a&&b]+$", "a&b", true),
            ("^a{b$", "a{b", true),
            ("^a)$", "a)", true),
            ("^a\\.b$", "axb", false),
            ("^\\w+$", "é", false),
            ("^\\W$", "é", true),
            ("^[\\w.]+$", "a.b", true),
            ("", "anything", true),
            ("#", "a#b", true),
            ("Ä", "aÄb", true),
        ] {
            assert_eq!(matches(pattern, text), matched, "{pattern} {text}");
        }
    }

    #[test]
    fn what_they_do_not_is_refused() {
        for pattern in [
            "\\bword",
            "\\mword",
            "\\yword",
            "(a)\\1",
            "(?=a)",
            "(?!a)",
            "(?<=a)b",
            "(?i)a",
            "***:a",
            "a**",
            "*a",
            "^*",
            "(*a)",
            "a|*",
            "a{1",
            "a{2,1}",
            "a{256}",
            "[a",
            "(a",
            "a\\",
            "[[.a.]]",
            "[[:word:]]",
            "[b-a]",
            "\\x41",
        ] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn the_first_group_is_told_where_it_is_certain() {
        let pattern = Pattern::new("^(.*)@example\\.com$").unwrap();
        assert_eq!((pattern.no_first_group(), pattern.first_group("a@b@example.com")), (None, Some("a@b")));
        assert_eq!(pattern.first_group("a@example.org"), None);
        for uncertain in ["^(a|ab)(c|bcd)$", "^(a*?)b", "(a*)*", "^a(?:bc)*(d)"] {
            assert!(Pattern::new(uncertain).unwrap().no_first_group().is_some(), "{uncertain}");
        }
        assert!(Pattern::new("^a$").unwrap().no_first_group().unwrap().contains("no subexpressions"));
    }
}
