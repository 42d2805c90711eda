//! A prepared statement as all who prepare it share it: its text, its parameter types, and how its constants are read.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::backend::prepared::{Stamp, StatementId};
use crate::backend::settings::Settings;
use crate::sql::Verdict;

/// How a server reads the constants in a text. It does so when it prepares a statement, by the settings of that moment,
/// so sessions share statements only where they read alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reading {
    /// By settings with this fingerprint.
    By(u64),
    /// By settings that are not known for sure; no two of these are alike.
    Private(u64),
}

impl Reading {
    /// Under these settings.
    pub(crate) fn under(settings: &Settings) -> Self {
        /// What constants are read by, or what tells where they begin and end.
        const READ_BY: [&str; 11] = [
            "array_nulls",
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
        if settings.id() == 0 {
            return Self::By(0);
        }
        let mut hasher = DefaultHasher::new();
        let mut set = 0;
        for value in READ_BY.iter().filter_map(|name| Some((name, settings.get(name)?))) {
            value.hash(&mut hasher);
            set += 1;
        }
        Self::By(if set == 0 { 0 } else { hasher.finish() })
    }
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
    /// How its constants are read.
    pub(crate) reading: Reading,
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
        Self { id, sql, types, verdict: verdict.clone(), reading, renewed: AtomicU64::new(0) }
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
