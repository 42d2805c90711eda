//! What a session has seen and done on the primary: it must not see less of it on a replica.
//!
//! The primary shows what no mark tells of yet: commits whose acknowledgement is still on its way, and what others write
//! past weir. By relation, so that a session that once read or wrote a busy table there may read others on replicas.

use std::time::Instant;

use crate::cluster::catalog::{Catalog, Reach};
use crate::freshness::{Instants, Slot};
use crate::sql::{Access, DataUse, Statement};

/// Most relations that are told apart.
const RELATIONS_MAX: usize = 64;

/// What was seen on the primary, and when.
#[derive(Debug, Default)]
pub(crate) struct ObservedReads {
    /// What requests in flight look at.
    looking: Option<Touched>,
    /// What of that is looked at by statements that do not write. Of those that do, others see more in what they write.
    showing: Option<Touched>,
    seen: Vec<(Slot, Instant)>,
    /// When anything may have been seen.
    anything: Option<Instant>,
}

/// What statements look at, or may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Touched {
    /// These relations.
    These(Vec<Slot>),
    /// It cannot be told.
    Anything,
}

impl Touched {
    const NOTHING: Self = Self::These(Vec::new());

    /// What the answers of these statements depend on, as far as the catalog knows.
    pub(crate) fn by<'s>(
        statements: impl IntoIterator<Item = &'s Statement>,
        catalog: Option<&Catalog>,
    ) -> Self {
        let mut touched = Self::NOTHING;
        for statement in statements {
            touched.add(statement, catalog);
        }
        touched
    }

    /// Enters an instant at which it was touched.
    pub(crate) fn mark(&self, instants: &Instants, at: Instant) {
        match self {
            Touched::These(slots) => instants.enter(slots, at),
            Touched::Anything => instants.enter_anything(at),
        }
    }

    /// The places of the relations, if it can be told which they are.
    pub(crate) fn slots(&self) -> &[Slot] {
        match self {
            Touched::These(slots) => slots,
            Touched::Anything => &[],
        }
    }

    /// And this.
    fn join(&mut self, other: Self) {
        match (&mut *self, other) {
            (Touched::Anything, _) => {}
            (Touched::These(all), Touched::These(more)) if !all.is_empty() => all.extend(more),
            (Touched::These(_), other) => *self = other,
        }
    }

    fn add(&mut self, statement: &Statement, catalog: Option<&Catalog>) {
        let Touched::These(all) = self else { return };
        if catalog.is_some_and(|catalog| catalog.code.unnamed(statement).data > DataUse::None) {
            *self = Touched::Anything;
            return;
        }
        let names = match statement.reads_what() {
            Access::Nothing => return,
            Access::Relations(names) => names,
            Access::Everything => {
                *self = Touched::Anything;
                return;
            }
        };
        for name in names {
            match catalog.and_then(|catalog| catalog.relation(name)).map(|relation| &relation.read) {
                Some(Reach::These(slots)) => all.extend(slots),
                Some(Reach::Everything) | None => {
                    *self = Touched::Anything;
                    return;
                }
            }
        }
    }
}

impl ObservedReads {
    /// A request that looks at data goes to the primary.
    pub(crate) fn look<'s>(
        &mut self,
        statements: impl IntoIterator<Item = &'s Statement>,
        catalog: Option<&Catalog>,
    ) {
        let looking = self.looking.get_or_insert(Touched::NOTHING);
        for statement in statements {
            let touched = Touched::by([statement], catalog);
            if statement.writes_what() == Access::Nothing {
                self.showing.get_or_insert(Touched::NOTHING).join(touched.clone());
            }
            looking.join(touched);
        }
    }

    /// A request that may look at anything goes to the primary.
    pub(crate) fn look_at_anything(&mut self) {
        (self.looking, self.showing) = (Some(Touched::Anything), Some(Touched::Anything));
    }

    /// What is in flight will not be answered.
    pub(crate) fn forgo(&mut self) {
        (self.looking, self.showing) = (None, None);
    }

    /// All that was in flight had been answered at `at`. Returns what it has looked at without writing.
    pub(crate) fn saw(&mut self, at: Instant) -> Option<Touched> {
        if let Some(looked) = self.looking.take() {
            self.knows(&looked, at);
        }
        self.showing.take()
    }

    /// The session knows how these were at `at`: it has seen them there, or written them.
    pub(crate) fn knows(&mut self, touched: &Touched, at: Instant) {
        match touched {
            Touched::These(slots) => slots.iter().for_each(|slot| self.enter(*slot, at)),
            Touched::Anything => self.anything = self.anything.max(Some(at)),
        }
    }

    fn enter(&mut self, slot: Slot, at: Instant) {
        if let Some(entry) = self.seen.iter_mut().find(|entry| entry.0 == slot) {
            entry.1 = entry.1.max(at);
        } else if self.seen.len() < RELATIONS_MAX {
            self.seen.push((slot, at));
        } else {
            self.seen.clear();
            self.anything = self.anything.max(Some(at));
        }
    }

    /// When any of this was last seen.
    pub(crate) fn last(&self, touched: &Touched) -> Option<Instant> {
        let wanted = |slot: &Slot| match touched {
            Touched::These(slots) => slots.contains(slot),
            Touched::Anything => true,
        };
        let seen = self.seen.iter().filter(|(slot, _)| wanted(slot)).map(|(_, at)| *at).max();
        seen.max(self.anything)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::catalog::Relation;
    use crate::sql::{Classifier, Name, StandardConformingStrings};

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        for oid in 0..100 {
            let name = Name { schema: None, name: format!("t{oid}").into() };
            let these = Reach::These(Box::new([Slot::of(oid)]));
            catalog.relations.insert(name, Relation { written: these.clone(), read: these });
        }
        catalog
    }

    fn look(observed_reads: &mut ObservedReads, sql: &str, at: Instant) -> Option<Touched> {
        let verdict = Classifier::new(10).classify(sql.as_bytes(), StandardConformingStrings::On);
        observed_reads.look(&verdict.statements, Some(&catalog()));
        observed_reads.saw(at)
    }

    fn these(oids: &[u32]) -> Touched {
        Touched::These(oids.iter().map(|oid| Slot::of(*oid)).collect())
    }

    #[test]
    fn what_was_seen_counts_for_its_relations() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut observed_reads = ObservedReads::default();
        assert_eq!(observed_reads.last(&Touched::Anything), None);
        look(&mut observed_reads, "SELECT * FROM t1, t2", now);
        look(&mut observed_reads, "SELECT * FROM t2", later);
        assert_eq!(observed_reads.last(&these(&[1])), Some(now));
        assert_eq!(observed_reads.last(&these(&[1, 2])), Some(later));
        assert_eq!((observed_reads.last(&these(&[3])), observed_reads.last(&these(&[]))), (None, None));
        assert_eq!(observed_reads.last(&Touched::Anything), Some(later));
    }

    #[test]
    fn what_cannot_be_told_counts_for_all() {
        let now = Instant::now();
        for sql in ["SELECT * FROM unknown", "SELECT unknown()", "EXECUTE prepared"] {
            let mut observed_reads = ObservedReads::default();
            look(&mut observed_reads, sql, now);
            assert_eq!(observed_reads.last(&these(&[3])), Some(now), "{sql}");
        }
        let mut observed_reads = ObservedReads::default();
        (0..=64).for_each(|oid| _ = look(&mut observed_reads, &format!("SELECT * FROM t{oid}"), now));
        assert_eq!(observed_reads.last(&these(&[99])), Some(now), "more than are told apart");
    }

    #[test]
    fn what_a_session_writes_counts_for_its_relations_and_shows_nobody_anything() {
        let now = Instant::now();
        let mut observed_reads = ObservedReads::default();
        assert_eq!(look(&mut observed_reads, "SELECT * FROM t1", now), Some(these(&[1])));
        assert_eq!(look(&mut observed_reads, "UPDATE t2 SET v = 1", now), None);
        let mut observed_reads = ObservedReads::default();
        observed_reads.knows(&these(&[2]), now);
        assert_eq!((observed_reads.last(&these(&[1])), observed_reads.last(&these(&[2]))), (None, Some(now)));
        observed_reads.look_at_anything();
        observed_reads.forgo();
        assert_eq!((observed_reads.saw(now), observed_reads.last(&these(&[1]))), (None, None));
    }
}
