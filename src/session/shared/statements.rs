//! The statements that all sessions share.
//!
//! Clients that prepare the same text with the same parameter types share one [`Statement`], so a backend connection
//! prepares it once for all of them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::backend::prepared::{Stamp, StatementId};
use crate::session::model::statement::{Reading, Statement};
use crate::sql::Verdict;

/// All statements that some client holds.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    shared: Mutex<Shared>,
    hasher: RandomState,
    ids: AtomicU64,
    clock: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    /// By hash of text and types; statements with equal hashes stand beside each other.
    by_hash: HashMap<u64, Vec<Weak<Statement>>>,
    /// Size at which those that nobody holds are swept out.
    sweep_at: usize,
}

impl Statements {
    /// The shared statement with this text and these types, read this way.
    pub(crate) fn intern(
        &self,
        sql: &[u8],
        types: &[u8],
        verdict: &Arc<Verdict>,
        reading: Reading,
    ) -> Arc<Statement> {
        let hash = self.hasher.hash_one((sql, types, reading));
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = shared.by_hash.entry(hash).or_default();
        slot.retain(|weak| weak.strong_count() > 0);
        let same = |s: &Arc<Statement>| {
            s.sql == sql && s.types == types && s.reading == reading && Arc::ptr_eq(&s.verdict, verdict)
        };
        if let Some(found) = slot.iter().filter_map(Weak::upgrade).find(same) {
            return found;
        }
        let id = StatementId(self.ids.fetch_add(1, Ordering::Relaxed) + 1);
        let statement = Arc::new(Statement::new(id, sql, types, verdict, reading));
        slot.push(Arc::downgrade(&statement));
        shared.sweep();
        statement
    }

    /// The next point in the order of preparations and changes.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp(self.clock.fetch_add(1, Ordering::AcqRel) + 1)
    }
}

impl Shared {
    /// Keeps the map in proportion to what is held: sweeps when it has doubled since the last time.
    fn sweep(&mut self) {
        if self.by_hash.len() < self.sweep_at.max(1024) {
            return;
        }
        self.by_hash.retain(|_, slot| slot.iter().any(|weak| weak.strong_count() > 0));
        self.sweep_at = self.by_hash.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::settings::Settings;
    use crate::backend::value::Value;
    use crate::session::model::statement::ReadBy;
    use crate::sql::{SkeletonId, Why};

    #[test]
    fn equal_text_is_shared_and_let_go() {
        let statements = Statements::default();
        let verdict = Arc::new(Verdict::opaque(SkeletonId(1), Why::Unparsable));
        let a = statements.intern(b"select 1", b"\0\0", &verdict, Reading::By(ReadBy::default()));
        let b = statements.intern(b"select 1", b"\0\0", &verdict, Reading::By(ReadBy::default()));
        let c = statements.intern(b"select 1", b"\0\x01\0\0\0\x17", &verdict, Reading::By(ReadBy::default()));
        assert!(Arc::ptr_eq(&a, &b));
        assert_ne!(a.id, c.id);
        let id = a.id;
        drop((a, b));
        assert_ne!(
            statements.intern(b"select 1", b"\0\0", &verdict, Reading::By(ReadBy::default())).id,
            id,
            "nobody held it"
        );
    }

    #[test]
    fn texts_are_shared_where_their_constants_are_read_alike() {
        let settings = |values: &[(&str, &str)]| {
            let value = |(name, value): &(&str, &str)| ((*name).into(), Value::Raw((*value).into()));
            let settings = Settings::new(values.iter().map(value).collect());
            Reading::By(ReadBy::under(&settings, b"select '1.2.2003'::date"))
        };
        let none = settings(&[]);
        assert_eq!(settings(&[("application_name", "a"), ("work_mem", "5MB")]), none);
        let german = settings(&[("datestyle", "german")]);
        assert_ne!(german, none);
        assert_eq!(settings(&[("application_name", "b"), ("datestyle", "german")]), german);
        assert_ne!(settings(&[("datestyle", "iso")]), german);
        assert_ne!(settings(&[("timezone", "german")]), german);

        let statements = Statements::default();
        let verdict = Arc::new(Verdict::opaque(SkeletonId(1), Why::Unparsable));
        let statement = |reading| statements.intern(b"select '1.2.2003'::date", b"\0\0", &verdict, reading);
        let (one, other) = (statement(none), statement(german));
        assert_ne!(one.id, other.id);
        assert!(Arc::ptr_eq(&one, &statement(none)));
        let private = (statement(Reading::Private(1)), statement(Reading::Private(2)));
        assert_ne!(private.0.id, private.1.id);
    }

    #[test]
    fn ddl_and_renewal_begin_an_epoch() {
        let statements = Statements::default();
        let verdict = Arc::new(Verdict::opaque(SkeletonId(1), Why::Unparsable));
        let statement = statements.intern(b"s", b"\0\0", &verdict, Reading::By(ReadBy::default()));
        assert_eq!(statement.epoch(Stamp(3)), Stamp(3));
        statement.renew(Stamp(9));
        assert_eq!(statement.epoch(Stamp(7)), Stamp(9));
        assert_eq!(statement.epoch(Stamp(12)), Stamp(12));
    }
}
