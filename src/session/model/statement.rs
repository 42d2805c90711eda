//! A prepared statement as all who prepare it share it: its text, its parameter types, and how its constants are read.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::backend::prepared::{Stamp, StatementId};
use crate::backend::settings::Settings;
use crate::backend::value::Value;
use crate::sql::{CursorUse, Kind, Verdict};

/// How a server reads a text. It does so when it prepares a statement, by the settings of that moment, so sessions share
/// statements only where they read alike.
///
/// It may read it once more: when a relation of the statement's changes or is analyzed, or when the statement is executed
/// under another search path, and then by the settings of that moment. So a statement that is executed under others than
/// it was prepared under is shared only by those that do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reading {
    /// By settings with these fingerprints, and executed under such.
    By(ReadBy),
    /// Prepared by the first, executed under the second.
    Kept(ReadBy, ReadBy),
    /// By settings that are not known for sure; no two of these are alike.
    Private(u64),
}

/// Fingerprints of the settings by which a text is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ReadBy {
    /// Of those by which names are looked up. PostgreSQL itself looks them up again when these change.
    names: u64,
    /// Of those by which constants are read, and by which it is found where they begin and end.
    constants: u64,
}

/// What names are looked up by.
pub(crate) const NAMES_BY: [&str; 1] = ["search_path"];

/// What constants are read by, or what tells where they begin and end. All others of PostgreSQL's settings come into play
/// when a statement is planned or executed.
pub(crate) const CONSTANTS_BY: [&str; 12] = [
    "array_nulls",
    "backslash_quote",
    "client_encoding",
    "datestyle",
    "intervalstyle",
    "lc_monetary",
    "lc_numeric",
    "standard_conforming_strings",
    "timezone",
    "timezone_abbreviations",
    "transform_null_equals",
    "xmloption",
];

impl ReadBy {
    /// How these settings have this text read.
    pub(crate) fn under(settings: &Settings, sql: &[u8]) -> Self {
        if settings.id() == 0 {
            return Self::default();
        }
        let fingerprint = |names: &[&str]| {
            let mut hasher = DefaultHasher::new();
            let mut set = 0;
            for value in names.iter().filter_map(|name| Some((name, settings.get(name)?))) {
                value.hash(&mut hasher);
                set += 1;
            }
            if set == 0 { 0 } else { hasher.finish() }
        };
        let constants = fingerprint(&CONSTANTS_BY);
        let constants = if constants == 0 || may_hold_constants(sql) { constants } else { 0 };
        Self { names: fingerprint(&NAMES_BY), constants }
    }
}

impl Reading {
    /// How it is read when it is executed from now on, under settings that read like this.
    pub(crate) fn executed_under(self, now: ReadBy) -> Self {
        match self {
            Reading::By(by) | Reading::Kept(by, _) if by.constants == now.constants => Reading::By(by),
            Reading::By(by) | Reading::Kept(by, _) => Reading::Kept(by, now),
            Reading::Private(_) => self,
        }
    }
}

/// Whether what a statement returns is its cursor's affair: PostgreSQL looks it up when that is prepared, and not again.
pub(crate) fn fetches(verdict: &Verdict) -> bool {
    verdict.statements.iter().any(|one| matches!(one.kind, Kind::Cursor(CursorUse::Fetch(_))))
}

/// Whether a text may hold what settings give a meaning: literals of any kind, letters of an encoding, comparisons with
/// NULL.
fn may_hold_constants(sql: &[u8]) -> bool {
    sql.iter().enumerate().any(|(at, byte)| match byte {
        b'\'' | 0x80.. => true,
        // Not a parameter's.
        b'$' => !sql.get(at + 1).is_some_and(u8::is_ascii_digit),
        b'n' | b'N' => sql.get(at..at + 4).is_some_and(|word| word.eq_ignore_ascii_case(b"null")),
        _ => false,
    })
}

/// A statement's text and parameter types, shared by all who prepare it.
#[derive(Debug)]
pub(crate) struct Statement {
    /// Its identity.
    pub id: StatementId,
    /// The text in the encoding of the client that came first.
    pub sql: Bytes,
    /// The raw parameter type section of Parse.
    pub types: Bytes,
    /// What is known of it from its text.
    pub verdict: Arc<Verdict>,
    /// How it is read.
    pub(crate) reading: Reading,
    /// The settings by which it is prepared, as soon as they are known.
    settings: OnceLock<Settings>,
    /// Preparations older than this are stale.
    renewed: AtomicU64,
}

impl Statement {
    /// One that nobody has renewed.
    pub(crate) fn new(
        id: StatementId,
        sql: &[u8],
        types: &[u8],
        verdict: &Arc<Verdict>,
        reading: Reading,
    ) -> Self {
        let (sql, types) = (Bytes::copy_from_slice(sql), Bytes::copy_from_slice(types));
        Self {
            id,
            sql,
            types,
            verdict: verdict.clone(),
            reading,
            settings: OnceLock::new(),
            renewed: AtomicU64::new(0),
        }
    }

    /// It is prepared under these settings, or others by which it is read alike.
    pub(crate) fn is_prepared_under(&self, settings: &Settings) {
        self.settings.get_or_init(|| settings.clone());
    }

    /// Whether it is read by settings that nobody knows for sure.
    pub(crate) fn is_private(&self) -> bool {
        matches!(self.reading, Reading::Private(_))
    }

    /// The settings by which it is prepared, where they are known.
    pub(crate) fn prepared_under(&self) -> Option<&Settings> {
        self.settings.get()
    }

    /// It is prepared under the settings of another one.
    pub(crate) fn is_prepared_as(&self, other: &Self) {
        if let Some(settings) = other.settings.get() {
            self.is_prepared_under(settings);
        }
    }

    /// How it is read, and under which settings, when those by which it is prepared rest on other defaults; `None` where
    /// that is as before, or not known.
    pub(crate) fn resting_on(&self, rest: impl Fn(&Settings) -> Settings) -> Option<(Reading, Settings)> {
        let settings = self.settings.get().filter(|_| !matches!(self.reading, Reading::Private(_)))?;
        let rested = rest(settings);
        let reading = Reading::By(ReadBy::under(&rested, &self.sql));
        (reading != self.reading).then_some((reading, rested))
    }

    /// What must be set while it is prepared, where the settings of the moment are these: names, and values that differ.
    pub(crate) fn read_otherwise_than<'a>(
        &'a self,
        now: &'a Settings,
    ) -> impl Iterator<Item = (&'static str, Option<&'a Value>)> {
        let constants = if may_hold_constants(&self.sql) { &CONSTANTS_BY[..] } else { &[] };
        let names = NAMES_BY.iter().chain(constants).copied();
        let by = self.settings.get().filter(|by| *by != now);
        by.into_iter().flat_map(move |by| {
            names.clone().filter(|name| by.get(name) != now.get(name)).map(|name| (name, by.get(name)))
        })
    }

    /// A client closed and parsed it again: it wants a new preparation, whatever its reason.
    pub(crate) fn renew(&self, stamp: Stamp) {
        self.renewed.fetch_max(stamp.0, Ordering::AcqRel);
    }

    /// The epoch of a preparation made now, given the last DDL in the database.
    pub(crate) fn epoch(&self, ddl: Stamp) -> Stamp {
        ddl.max(Stamp(self.renewed.load(Ordering::Acquire)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_without_constants_are_told_from_the_rest() {
        for sql in ["select $1", "SELECT a.b, 1, 2.5 FROM \"A\" WHERE n = $12 AND nul", "", "n", "nul"] {
            assert!(!may_hold_constants(sql.as_bytes()), "{sql}");
        }
        for sql in
            ["select 'x'", "select $$x$$", "select $a$x$a$", "select n = Null", "select \u{e4}", "select 1$"]
        {
            assert!(may_hold_constants(sql.as_bytes()), "{sql}");
        }
    }

    #[test]
    fn what_is_executed_under_other_settings_is_shared_by_those_that_do_the_same() {
        let (one, two) = (ReadBy { names: 1, constants: 1 }, ReadBy { names: 1, constants: 2 });
        let path = ReadBy { names: 2, constants: 1 };
        let by = Reading::By(one);
        assert_eq!(by.executed_under(one), by);
        assert_eq!(by.executed_under(path), by, "PostgreSQL itself looks at names again");
        assert_eq!(by.executed_under(two), Reading::Kept(one, two));
        assert_eq!(by.executed_under(two).executed_under(path), by);
        assert_eq!(Reading::Private(3).executed_under(two), Reading::Private(3));
    }
}
