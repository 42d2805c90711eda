//! What may be asked of a read: where it may run, and how fresh the answer must be; and of a transaction: where it runs.
//! These as they are written in a hint, in `SET weir.*`, in a startup option. What is meant by them is decided elsewhere.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Where a request may be sent, as an operator or an application says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Target {
    /// The router decides.
    #[default]
    Auto,
    /// Always the primary.
    Primary,
    /// A replica whenever one can run it.
    Replica,
}

/// Where a transaction runs that does not say `READ ONLY`. Of two that are asked for, the greater asks for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transactions {
    /// One that has only read has no connection to the primary.
    #[default]
    Lazy,
    /// One that may write runs on the primary from its first statement.
    Primary,
}

/// How fresh a replica must be to serve a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Consistency {
    /// Not older than the maximal staleness.
    Eventual,
    /// Holds this session's own writes.
    Session,
    /// Holds every session's writes to the relations that are read.
    #[default]
    Global,
    /// Holds everything committed before the read arrived.
    Strong,
}

/// The oldest that a replica may be to serve a read. The strictest is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MaxStaleness {
    /// This old.
    AtMost(Duration),
    /// However old.
    Off,
}

/// What a leading comment `/* weir: ... */` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// `primary`, `replica`, `auto`.
    pub target: Option<Target>,
    /// `consistency=...`.
    pub consistency: Option<Consistency>,
    /// `max_staleness=...`.
    pub max_staleness: Option<MaxStaleness>,
    /// `transactions=...`, in front of what begins a transaction.
    pub transactions: Option<Transactions>,
}

/// Not a value that the setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchValue;

impl Target {
    /// Every target by its word.
    pub(crate) const WORDS: [(&'static str, Self); 3] =
        [("auto", Self::Auto), ("primary", Self::Primary), ("replica", Self::Replica)];

    /// Its word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

impl Transactions {
    /// Both by their words.
    pub(crate) const WORDS: [(&'static str, Self); 2] = [("lazy", Self::Lazy), ("primary", Self::Primary)];

    /// Its word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Lazy => "lazy",
            Self::Primary => "primary",
        }
    }
}

impl Consistency {
    /// Every level by its word, from the least to the most.
    pub(crate) const WORDS: [(&'static str, Self); 4] = [
        ("eventual", Self::Eventual),
        ("session", Self::Session),
        ("global", Self::Global),
        ("strong", Self::Strong),
    ];

    /// Its word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Eventual => "eventual",
            Self::Session => "session",
            Self::Global => "global",
            Self::Strong => "strong",
        }
    }
}

/// PostgreSQL takes the words of its own settings in any case.
fn word<T: Copy>(words: &[(&str, T)], text: &str) -> Result<T, NoSuchValue> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    found.map(|(_, meaning)| *meaning).ok_or(NoSuchValue)
}

impl FromStr for Target {
    type Err = NoSuchValue;

    fn from_str(text: &str) -> Result<Self, NoSuchValue> {
        word(&Self::WORDS, text)
    }
}

impl FromStr for Transactions {
    type Err = NoSuchValue;

    fn from_str(text: &str) -> Result<Self, NoSuchValue> {
        word(&Self::WORDS, text)
    }
}

impl FromStr for Consistency {
    type Err = NoSuchValue;

    fn from_str(text: &str) -> Result<Self, NoSuchValue> {
        word(&Self::WORDS, text)
    }
}

impl MaxStaleness {
    /// The limit, if there is one.
    pub(crate) fn limit(self) -> Option<Duration> {
        match self {
            Self::Off => None,
            Self::AtMost(age) => Some(age),
        }
    }
}

impl From<Option<Duration>> for MaxStaleness {
    fn from(limit: Option<Duration>) -> Self {
        limit.map_or(Self::Off, Self::AtMost)
    }
}

/// Units of time as PostgreSQL's settings take them, with their length in milliseconds.
const UNITS: [(&str, f64); 7] = [
    ("us", 0.001),
    ("ms", 1.0),
    ("s", 1_000.0),
    ("min", 60_000.0),
    ("h", 3_600_000.0),
    ("d", 86_400_000.0),
    ("", 1.0),
];

impl FromStr for MaxStaleness {
    type Err = NoSuchValue;

    /// As PostgreSQL reads a setting that is a time in milliseconds: `500ms`, `1.5 s`, `1min`, a bare `500`; `off` and
    /// -1 are no limit.
    fn from_str(text: &str) -> Result<Self, NoSuchValue> {
        if text.trim().eq_ignore_ascii_case("off") {
            return Ok(Self::Off);
        }
        match milliseconds(text) {
            Some(-1.0) => Ok(Self::Off),
            Some(millis) => timeout(millis).map(Self::AtMost).ok_or(NoSuchValue),
            None => Err(NoSuchValue),
        }
    }
}

/// A limit of time as PostgreSQL reads one of its own that counts milliseconds; 0 and what is no time set none.
pub fn time_limit(text: &str) -> Option<Duration> {
    milliseconds(text).and_then(timeout).filter(|limit| !limit.is_zero())
}

/// To the millisecond, as PostgreSQL keeps it.
fn milliseconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c))).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
    Some((number * factor).round_ties_even())
}

/// Within an int.
fn timeout(millis: f64) -> Option<Duration> {
    let fits = (0.0..=f64::from(i32::MAX)).contains(&millis);
    fits.then(|| Duration::from_secs_f64(millis / 1_000.0))
}

impl fmt::Display for MaxStaleness {
    /// As `SHOW` writes a time in milliseconds: in the largest unit that shows it whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LARGEST_FIRST: [(&str, u128); 5] =
            [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];
        let Self::AtMost(age) = self else { return f.write_str("off") };
        let millis = age.as_millis();
        match LARGEST_FIRST.iter().find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", millis / unit),
            None => f.write_str("0"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_in_any_case_and_written_in_one() {
        for (word, level) in Consistency::WORDS {
            assert_eq!(
                (word.parse(), word.to_uppercase().parse(), level.as_str()),
                (Ok(level), Ok(level), word)
            );
        }
        for (word, target) in Target::WORDS {
            assert_eq!((word.parse(), target.as_str()), (Ok(target), word));
        }
        for (word, transactions) in Transactions::WORDS {
            assert_eq!((word.parse(), transactions.as_str()), (Ok(transactions), word));
        }
        assert_eq!("".parse::<Consistency>(), Err(NoSuchValue));
        assert_eq!("global ".parse::<Consistency>(), Err(NoSuchValue));
    }

    #[test]
    fn times_are_read_and_written_as_postgresql_does() {
        for (text, millis, shown) in [
            ("500ms", 500, "500ms"),
            ("500", 500, "500ms"),
            (" 2 s ", 2_000, "2s"),
            ("1.5s", 1_500, "1500ms"),
            ("90s", 90_000, "90s"),
            ("1min", 60_000, "1min"),
            ("120min", 7_200_000, "2h"),
            ("2d", 172_800_000, "2d"),
            ("1500us", 2, "2ms"),
            ("0", 0, "0"),
            (".5s", 500, "500ms"),
        ] {
            let read = text.parse::<MaxStaleness>();
            assert_eq!(read, Ok(MaxStaleness::AtMost(Duration::from_millis(millis))), "{text}");
            assert_eq!(read.unwrap().to_string(), shown);
        }
        for text in ["off", "OFF", "-1"] {
            assert_eq!(text.parse(), Ok(MaxStaleness::Off), "{text}");
        }
        assert_eq!(MaxStaleness::Off.to_string(), "off");
        for (text, millis) in [("1000", 1000), ("1.5s", 1500), (" 2 min ", 120_000), ("1d", 86_400_000)] {
            assert_eq!(time_limit(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["0", "0s", "1us", "-1", "", "off", "1S"] {
            assert_eq!(time_limit(text), None, "{text}");
        }
        for text in ["", "x", "ms", "-2", "-1s", "1 parsec", "1S", "5m", "inf", "NaN", "25d", "1 2", "--1"] {
            assert_eq!(text.parse::<MaxStaleness>(), Err(NoSuchValue), "{text}");
        }
    }
}
