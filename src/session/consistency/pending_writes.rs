//! What a session has sent to the primary that may change data, until it is known to have been answered.

use std::sync::Arc;

use crate::cluster::catalog::{Catalog, Reach};
use crate::freshness::Slot;
use crate::router::FunctionLists;
use crate::session::consistency::observed_reads::Touched;
use crate::sql::{Access, Beyond, DataUse, Kind, Name, Statement, Verdict, Why};

/// Most texts that are told apart; of more than this, anything may have been written.
const TEXTS_MAX: usize = 64;

/// Statements that may have written and are not marked for good. Marking too much costs a trip to the primary,
/// marking too little shows somebody old data.
#[derive(Clone, Debug, Default)]
pub(crate) struct PendingWrites {
    texts: Vec<Arc<Verdict>>,
    extent: Extent,
    /// Whether a transaction may have been committed since it was asked.
    commit: Commit,
    /// What was sent last of that which lasts although it writes no relation: a sequence moves, others are notified. It
    /// waits for no mark, so it does not count as a write.
    besides: Option<Arc<Verdict>>,
    /// What the texts say of catalogs that all databases share, those that are not told apart included.
    beyond: Beyond,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Extent {
    /// What the texts name.
    #[default]
    Named,
    /// Anything.
    Anything,
    /// Anything, and by more texts than are told apart.
    Untold,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Commit {
    #[default]
    None,
    Seen,
}

impl PendingWrites {
    /// A statement goes to the primary.
    pub(crate) fn sent(&mut self, verdict: &Arc<Verdict>) {
        let lasts = |statement: &Statement| {
            matches!(statement.kind, Kind::Primary(Why::Sequence | Why::Notification))
        };
        if verdict.statements.iter().any(lasts) {
            self.besides = Some(verdict.clone());
        }
        let beyond: Beyond = verdict.statements.iter().map(|statement| statement.beyond).collect();
        self.beyond = self.beyond.with(beyond);
        if self.extent == Extent::Untold || !verdict.statements.iter().any(may_write) {
            return;
        }
        // The statements of a loop are one text.
        if self.texts.last().is_some_and(|last| Arc::ptr_eq(last, verdict)) {
            return;
        }
        if self.texts.len() < TEXTS_MAX {
            self.texts.push(verdict.clone());
        } else {
            self.extent = Extent::Untold;
        }
    }

    /// What goes to the primary may write anything, whatever its text says.
    pub(crate) fn sent_anything(&mut self) {
        self.extent = self.extent.max(Extent::Anything);
    }

    /// Whether nothing waits to be marked.
    pub(crate) fn is_clean(&self) -> bool {
        self.texts.is_empty() && self.extent == Extent::Named
    }

    /// A statement completed with this command tag: with some, a transaction has been committed although another one
    /// may be open already.
    pub(crate) fn completed(&mut self, tag: &[u8]) {
        if matches!(tag, b"COMMIT" | b"PREPARE TRANSACTION") {
            self.commit = Commit::Seen;
        }
    }

    /// Whether a commit was seen; asked once.
    pub(crate) fn take_commit(&mut self) -> bool {
        std::mem::take(&mut self.commit) == Commit::Seen
    }

    /// What may have been written.
    pub(crate) fn touched(&self, catalog: Option<&Catalog>, lists: &FunctionLists) -> Touched {
        let mut slots = Vec::new();
        let all = self.extent == Extent::Named
            && self.statements().all(|statement| reach(statement, &mut slots, catalog, lists).is_some());
        if all { Touched::These(slots) } else { Touched::Anything }
    }

    fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.texts.iter().flat_map(|verdict| &verdict.statements)
    }

    /// Whether it calls functions of which `is_code` finds that they may do anything, or procedures.
    pub(crate) fn runs_code(&self, is_code: impl Fn(&Name) -> bool) -> bool {
        self.extent == Extent::Untold
            || self.statements().any(|statement| {
                statement.kind == Kind::Primary(Why::Procedure) || statement.functions.iter().any(&is_code)
            })
    }

    /// Whether something in it may have changed definitions, whatever is known of functions.
    pub(crate) fn may_define(&self) -> bool {
        let anything = |statement: &Statement| statement.writes_what() == Access::Everything;
        self.extent > Extent::Named || self.runs_code(|_| true) || self.statements().any(anything)
    }

    /// Whether nothing of it leaves anything, by what is known of the functions that it calls.
    pub(crate) fn only_reads(&self, catalog: Option<&Catalog>, lists: &FunctionLists) -> bool {
        let reads = |statement: &Statement| {
            matches!(statement.writes_what(), Access::Nothing)
                && statement.functions.iter().all(|function| lists.only_reads(function, catalog))
        };
        self.extent == Extent::Named && self.besides.is_none() && self.statements().all(reads)
    }

    /// Whether it changes catalogs that all databases share, by its text or by what is known of the code that it runs.
    pub(crate) fn writes_shared(&self, catalog: Option<&Catalog>) -> bool {
        let shared = Beyond::WRITES_SHARED;
        let known = catalog.map(|catalog| &catalog.beyond).filter(|known| known.somewhere().has(shared));
        self.beyond.has(shared)
            || known.is_some_and(|known| {
                self.statements().any(|statement| {
                    let code = statement.effects.code.iter().flat_map(|code| &code.calls);
                    let mut functions = statement.functions.iter().chain(code);
                    functions.any(|function| known.function(function).has(shared))
                        || statement.writes.iter().any(|name| known.written(name).has(shared))
                })
            })
    }

    /// Whether something in it may make a transaction last that nobody commits: `PREPARE TRANSACTION`.
    pub(crate) fn may_prepare(&self) -> bool {
        let prepares = |statement: &Statement| {
            matches!(statement.kind, Kind::Primary(Why::TwoPhase | Why::Unparsable | Why::TooLong))
        };
        self.extent == Extent::Untold || self.statements().any(prepares)
    }

    /// All that was sent has been answered, and no transaction is open.
    pub(crate) fn settle(&mut self) {
        self.besides = None;
    }

    /// Whether something in it may write without a transaction.
    pub(crate) fn is_untransacted(&self) -> bool {
        let maintains = |statement: &Statement| statement.kind == Kind::Primary(Why::Maintenance);
        self.extent == Extent::Untold || self.statements().any(maintains)
    }

    /// All of it has been answered and marked.
    pub(crate) fn clear(&mut self) {
        self.texts.clear();
        self.extent = Extent::Named;
        self.beyond = Beyond::NOTHING;
        self.settle();
    }
}

/// Whether a statement that reads may write by that: what a view, a row policy or an operator calls is not in its text, nor
/// is it that a name means a user's function.
pub(crate) fn may_write_by_reading(statement: &Statement, catalog: Option<&Catalog>) -> bool {
    let known = catalog.filter(|catalog| catalog.since.is_some());
    let by_relation = !statement.reads.is_empty()
        && known.is_none_or(|catalog| statement.reads.iter().any(|name| catalog.is_volatile(name)));
    let unnamed = |catalog: &Catalog| catalog.code.unnamed(statement).data == DataUse::Writes;
    by_relation || catalog.is_none_or(|catalog| catalog.operators_write || unnamed(catalog))
}

/// Whether a statement may write at all. One that calls functions which the catalog knows may turn out not to.
fn may_write(statement: &Statement) -> bool {
    !matches!(statement.writes_what(), Access::Nothing) || !statement.functions.is_empty()
}

/// Adds what one statement may have written; `None` when that may be anything.
fn reach(
    statement: &Statement,
    slots: &mut Vec<Slot>,
    catalog: Option<&Catalog>,
    lists: &FunctionLists,
) -> Option<()> {
    if !statement.functions.iter().all(|function| lists.only_reads(function, catalog)) {
        return None;
    }
    let names: &[Name] = match statement.writes_what() {
        Access::Nothing => &[],
        Access::Relations(names) => names,
        Access::Everything => return None,
    };
    for name in names {
        match &catalog?.relation(name)?.written {
            Reach::These(these) => slots.extend(these),
            Reach::Everything => return None,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::catalog::{Relation, Volatility};
    use crate::sql::{Classifier, StandardConformingStrings};

    fn name(name: &str) -> Name {
        Name { schema: None, name: name.into() }
    }

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        let these = |slot| Reach::These(Box::new([slot]));
        for (table, slot) in [("a", Slot::of(1)), ("b", Slot::of(2))] {
            catalog.relations.insert(name(table), Relation { written: these(slot), read: these(slot) });
        }
        catalog
            .relations
            .insert(name("t"), Relation { written: Reach::Everything, read: these(Slot::of(1)) });
        catalog.functions.insert(name("reads"), Volatility::ReadOnly);
        catalog.functions.insert(name("writes"), Volatility::Volatile);
        catalog
    }

    /// The slots of `a` and `b` and everything, as marked by these texts.
    fn marked(texts: &[&str], catalog: Option<&Catalog>) -> [bool; 3] {
        let classifier = Classifier::new(10);
        let mut pending_writes = PendingWrites::default();
        for text in texts {
            pending_writes.sent(&classifier.classify(text.as_bytes(), StandardConformingStrings::On));
        }
        if pending_writes.is_clean() {
            return [false; 3];
        }
        match pending_writes.touched(catalog, &FunctionLists::default()) {
            Touched::These(slots) => [slots.contains(&Slot::of(1)), slots.contains(&Slot::of(2)), false],
            Touched::Anything => [true; 3],
        }
    }

    #[test]
    fn a_write_marks_what_it_names() {
        let catalog = catalog();
        let marked = |texts: &[&str]| marked(texts, Some(&catalog));
        assert_eq!(marked(&["UPDATE a SET x = 1"]), [true, false, false]);
        assert_eq!(marked(&["BEGIN", "DELETE FROM a", "INSERT INTO b VALUES (1)"]), [true, true, false]);
        assert_eq!(marked(&["SELECT * FROM a", "SELECT reads(1)", "COMMIT"]), [false; 3]);
        assert_eq!(marked(&["INSERT INTO a SELECT reads(x) FROM b"]), [true, false, false]);
    }

    #[test]
    fn what_only_calls_functions_that_read_only_reads() {
        let (catalog, classifier) = (catalog(), Classifier::new(10));
        for (text, expected) in [
            ("SELECT * FROM a FOR UPDATE", true),
            ("SELECT reads(1)", true),
            ("SELECT writes(1)", false),
            ("SELECT never_heard_of()", false),
            ("SELECT nextval('s')", false),
            ("NOTIFY a", false),
            ("UPDATE a SET x = reads(1)", false),
            ("CALL p()", false),
        ] {
            let mut pending_writes = PendingWrites::default();
            pending_writes.sent(&classifier.classify(text.as_bytes(), StandardConformingStrings::On));
            let lists = FunctionLists::default();
            assert_eq!(pending_writes.only_reads(Some(&catalog), &lists), expected, "{text}");
            pending_writes.sent_anything();
            assert!(!pending_writes.only_reads(Some(&catalog), &lists), "{text}");
        }
    }

    #[test]
    fn what_may_prepare_a_transaction_is_known() {
        let classifier = Classifier::new(10);
        for (text, expected) in
            [("UPDATE a SET x = 1", false), ("PREPARE TRANSACTION 'x'", true), ("gibberish", true)]
        {
            let mut pending_writes = PendingWrites::default();
            pending_writes.sent(&classifier.classify(text.as_bytes(), StandardConformingStrings::On));
            assert_eq!(pending_writes.may_prepare(), expected, "{text}");
        }
    }

    #[test]
    fn a_vacuum_writes_without_a_transaction() {
        let classifier = Classifier::new(10);
        for (text, expected) in [("VACUUM a", true), ("vacuum (analyze)", true), ("DELETE FROM a", false)] {
            let mut pending_writes = PendingWrites::default();
            pending_writes.sent(&classifier.classify(text.as_bytes(), StandardConformingStrings::On));
            assert_eq!(pending_writes.is_untransacted(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_known_marks_everything() {
        let catalog = catalog();
        for text in [
            "UPDATE unknown SET x = 1",
            "UPDATE t SET x = 1",
            "SELECT writes(1)",
            "SELECT never_heard_of()",
            "INSERT INTO a VALUES (writes(1))",
            "CREATE TABLE c ()",
            "CALL p()",
        ] {
            assert_eq!(marked(&[text], Some(&catalog)), [true; 3], "{text}");
        }
        assert_eq!(marked(&["UPDATE a SET x = 1"], None), [true; 3], "no catalog");
        let many: Vec<String> = (0..=TEXTS_MAX).map(|n| format!("UPDATE a SET x{n} = 1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(marked(&many, Some(&catalog)), [true; 3], "more than is told apart");
    }
}
