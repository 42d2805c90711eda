//! The journal of a transaction that has only read: what another connection must be told to stand where the client stands.
//!
//! Pure. It knows what was said and in which order, never where it ran. A savepoint that is rolled back to takes back what
//! was entered after it, as the server does.

use bytes::Bytes;

use crate::router::Reason;
use crate::sql::{AccessMode, Deferrable, Isolation, Kind, Modes, SkeletonId, Statement, Transactions};

/// Whether it has failed, and nothing has taken that back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    Well,
    Failed,
    /// Behind a savepoint: what was said in front of that is still in force.
    FailedBehind,
}

/// A statement that is told again: it changed settings, until the transaction ends at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Its text.
    pub sql: Bytes,
    /// What was bound to it, where it came by the extended protocol.
    pub bound: Option<Bound>,
}

/// Values of a statement's parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// The raw parameter type section of its Parse.
    pub types: Bytes,
    /// The Bind, from its type byte on.
    pub frame: Bytes,
}

/// What was said behind BEGIN, as far as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Savepoint(Box<str>),
    Ran(Run),
    /// A cursor or portal of this name was opened on the replica's connection, by a statement of this shape.
    Portal(Box<[u8]>, Option<SkeletonId>),
}

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ran {
    /// Without any connection of its own.
    #[default]
    Nowhere,
    /// On a replica.
    Replica,
    /// On the primary, from its first statement on.
    Primary,
    /// On the primary, after it had read elsewhere.
    Upgraded,
}

/// How a connection took it that was told of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Taken {
    /// None has been told.
    #[default]
    Untold,
    /// Nothing was heard of it yet.
    Unheard,
    /// It has answered something of the transaction, which stands there.
    Heard,
    /// It refused a setting that was said in it, as any server would.
    Refused,
}

/// What is known of a transaction that weir has begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Journal {
    modes: Modes,
    /// Those of them that it has from the one before, by `AND CHAIN`.
    inherited: Modes,
    /// How many flights have had a query, which fixes some of the modes.
    queries: u32,
    standing: Standing,
    /// How many requests have left on the primary's connection what is not in here: writes, locks, settings, cursors.
    untold: u32,
    entries: Vec<Entry>,
    /// What was sent to a connection of its own and has not completed.
    sent: Vec<Run>,
    /// What is bound to portals there and not executed yet, of statements that change settings.
    bound: Vec<(Box<[u8]>, Run)>,
    /// How the connection took it that was told of it last.
    taken: Taken,
    /// How far it has come.
    pub(crate) ran: Ran,
    /// Where it is to run.
    pub(crate) transactions: Transactions,
    /// The shape of the first statement in it, and how many requests in it have acted on the primary.
    pub(crate) first: Option<SkeletonId>,
    pub(crate) acts: usize,
    /// Why it runs on the primary, once it does.
    pub(crate) because: Option<Reason>,
}

impl Journal {
    /// Of a transaction that begins with these modes.
    pub(crate) fn new(modes: Modes, transactions: Transactions) -> Self {
        Self { modes, transactions, ..Self::default() }
    }

    /// The same, and this is how far it has come, and why.
    pub(super) fn on(self, ran: Ran, because: Option<Reason>) -> Self {
        Self { ran, because, ..self }
    }

    /// A request leaves something on the primary's connection that is not in here.
    pub(crate) fn leaves_more(&mut self) {
        self.untold = self.untold.saturating_add(1);
    }

    /// Whether there is nothing of the kind.
    pub(crate) fn is_told(&self) -> bool {
        self.untold == 0
    }

    /// The primary's connection is given up, and with it what was there.
    pub(super) fn leaves_primary(&mut self) {
        if self.is_on_primary() {
            (self.ran, self.untold) = (Ran::Nowhere, 0);
        }
    }

    /// A connection is told of it that runs it there.
    pub(super) fn begins(&mut self, ran: Ran) {
        (self.ran, self.taken) = (ran, Taken::Unheard);
        self.bound.clear();
    }

    /// Something of it was answered where it runs.
    pub(super) fn heard(&mut self) {
        if self.taken == Taken::Unheard {
            self.taken = Taken::Heard;
        }
    }

    /// Whether its connection was told of it, and nothing has come of that yet.
    pub(crate) fn is_unheard(&self) -> bool {
        self.taken == Taken::Unheard
    }

    /// The modes that were said, by BEGIN or behind it.
    pub(crate) fn modes(&self) -> Modes {
        self.modes
    }

    /// `SET TRANSACTION` in front of everything else.
    pub(crate) fn set_modes(&mut self, modes: Modes) {
        self.modes = modes.or(self.modes);
    }

    /// It has failed.
    pub(crate) fn fails(&mut self) {
        let behind = self.savepoints().next().is_some();
        self.standing = if behind { Standing::FailedBehind } else { Standing::Failed };
    }

    /// It has failed, and no server can be told of it as it stands.
    pub(super) fn strands(&mut self) {
        self.taken = Taken::Refused;
    }

    /// Whether that is so.
    pub(super) fn is_stranded(&self) -> bool {
        self.taken == Taken::Refused
    }

    /// Whether it is on the primary, to the end.
    pub(crate) fn is_on_primary(&self) -> bool {
        matches!(self.ran, Ran::Primary | Ran::Upgraded)
    }

    /// A query runs, so that there is a snapshot from now on.
    pub(crate) fn queries(&mut self) {
        self.queries = self.queries.saturating_add(1);
    }

    /// Whether one has.
    pub(crate) fn has_queried(&self) -> bool {
        self.queries > 0
    }

    /// Whether `SET TRANSACTION` cannot fail: nothing has been said but the modes.
    pub(crate) fn is_fresh(&self) -> bool {
        self.queries == 0 && self.entries.is_empty()
    }

    /// The names of all savepoints, oldest first.
    pub(crate) fn savepoints(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Savepoint(name) => Some(&**name),
            _ => None,
        })
    }

    /// Whether what follows must run where what was said before is in force.
    pub(crate) fn has_run(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry, Entry::Ran(_)))
    }

    /// Whether a cursor or portal is open, of this name or of any.
    pub(crate) fn has_portal(&self, wanted: Option<&[u8]>) -> bool {
        self.portals().any(|(name, _)| wanted.is_none_or(|wanted| wanted == name))
    }

    /// Cursors and portals that are open, each with the shape of its statement.
    pub(crate) fn portals(&self) -> impl Iterator<Item = (&[u8], Option<SkeletonId>)> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Portal(name, shape) => Some((&**name, *shape)),
            _ => None,
        })
    }

    /// A cursor or portal was opened.
    pub(crate) fn opens(&mut self, name: &[u8], shape: Option<SkeletonId>) {
        self.closes(Some(name));
        self.entries.push(Entry::Portal(name.into(), shape));
    }

    /// A cursor or portal was closed, or all of them.
    pub(crate) fn closes(&mut self, name: Option<&[u8]>) {
        self.entries.retain(|entry| match entry {
            Entry::Portal(open, _) => name.is_some_and(|name| **open != *name),
            _ => true,
        });
    }

    /// A statement that changes settings is sent.
    pub(crate) fn sends(&mut self, run: Run) {
        self.sent.push(run);
    }

    /// A portal of the replica's connection is bound, to this where that changes settings.
    pub(crate) fn binds(&mut self, portal: &[u8], run: Option<Run>) {
        self.bound.retain(|(bound, _)| **bound != *portal);
        self.bound.extend(run.map(|run| (portal.into(), run)));
    }

    /// A portal is executed, perhaps one of those.
    pub(crate) fn executes(&mut self, portal: &[u8]) {
        if let Some(at) = self.bound.iter().position(|(bound, _)| **bound == *portal) {
            let (_, run) = self.bound.swap_remove(at);
            self.sends(run);
        }
    }

    /// The oldest statement that was sent has completed.
    pub(crate) fn completes(&mut self) {
        if !self.sent.is_empty() {
            self.entries.push(Entry::Ran(self.sent.remove(0)));
        }
    }

    /// All that was sent has been answered.
    pub(crate) fn answered(&mut self) {
        self.sent.clear();
        self.heard();
    }

    /// A statement completed that moves in the transaction.
    pub(crate) fn follow(&mut self, statement: &Statement) {
        match &statement.kind {
            Kind::Savepoint(name) => self.entries.push(Entry::Savepoint(name.clone())),
            Kind::Release(name) => {
                let Some(at) = self.position(name) else { return };
                let behind = self.entries.split_off(at);
                self.entries.extend(behind.into_iter().filter(|entry| !matches!(entry, Entry::Savepoint(_))));
            }
            Kind::RollbackTo(name) => {
                if let Some(at) = self.position(name) {
                    self.entries.truncate(at + 1);
                    self.standing = Standing::Well;
                    if self.taken == Taken::Refused {
                        self.taken = Taken::Untold;
                    }
                }
            }
            _ if takes_snapshot(statement) => self.queries(),
            _ => {}
        }
    }

    /// The transaction that `AND CHAIN` begins. The modes that were said in one that has failed are gone, unless a savepoint
    /// stands before that.
    pub(crate) fn chained(&self) -> Self {
        let modes = if self.standing == Standing::Failed { self.inherited } else { self.modes };
        Self { inherited: modes, ..Self::new(modes, self.transactions) }
    }

    fn position(&self, name: &str) -> Option<usize> {
        let is_it = |entry: &Entry| matches!(entry, Entry::Savepoint(savepoint) if **savepoint == *name);
        self.entries.iter().rposition(is_it)
    }

    /// What is to be told again behind BEGIN, in order.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// BEGIN as it is told to a server that is to judge whether modes may still be changed: with a query behind it, where one
    /// has run.
    pub(crate) fn begin_and_query(&self, on: Ran) -> String {
        let mut sql = self.begin(on);
        if self.has_queried() {
            sql.push_str(";SELECT");
        }
        sql
    }

    /// BEGIN as it is told to a server.
    pub(crate) fn begin(&self, on: Ran) -> String {
        let (modes, inherited) = (admitted(self.modes, on), admitted(self.inherited, on));
        let mut sql = String::from("BEGIN");
        if inherited == Modes::default() {
            put(&mut sql, modes);
        } else {
            // Of these the server knows as well that it has them from the one before: a failure does not take them away.
            put(&mut sql, inherited);
            sql.push_str(";COMMIT AND CHAIN");
            // Without words where a replica is spared the only one.
            if modes != inherited && modes != Modes::default() {
                sql.push_str(";SET TRANSACTION");
                put(&mut sql, modes);
            }
        }
        sql
    }
}

/// Modes that a server takes: a replica refuses READ WRITE. There nothing is written, and who asks what it is asks the primary.
fn admitted(modes: Modes, on: Ran) -> Modes {
    match (modes.access, on) {
        (Some(AccessMode::ReadWrite), Ran::Replica) => Modes { access: None, ..modes },
        _ => modes,
    }
}

/// Modes as they stand behind BEGIN.
fn put(sql: &mut String, modes: Modes) {
    let words = [modes.isolation.map(isolation), modes.access.map(access), modes.deferrable.map(deferrable)];
    for word in words.into_iter().flatten() {
        sql.push(' ');
        sql.push_str(word);
    }
}

fn isolation(level: Isolation) -> &'static str {
    match level {
        Isolation::ReadUncommitted => "ISOLATION LEVEL READ UNCOMMITTED",
        Isolation::ReadCommitted => "ISOLATION LEVEL READ COMMITTED",
        Isolation::RepeatableRead => "ISOLATION LEVEL REPEATABLE READ",
        Isolation::Serializable => "ISOLATION LEVEL SERIALIZABLE",
    }
}

fn access(mode: AccessMode) -> &'static str {
    match mode {
        AccessMode::ReadOnly => "READ ONLY",
        AccessMode::ReadWrite => "READ WRITE",
    }
}

fn deferrable(mode: Deferrable) -> &'static str {
    match mode {
        Deferrable::Deferrable => "DEFERRABLE",
        Deferrable::NotDeferrable => "NOT DEFERRABLE",
    }
}

/// Whether a server takes a snapshot for a statement, where its transaction keeps one and has none yet.
pub(crate) fn takes_snapshot(statement: &Statement) -> bool {
    matches!(
        statement.kind,
        Kind::Read | Kind::Primary(_) | Kind::Execute(_) | Kind::Cursor(_) | Kind::Prepare(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Classifier, StandardConformingStrings};

    fn follow(journal: &mut Journal, texts: &[&str]) {
        let classifier = Classifier::new(10);
        for text in texts {
            match text.split_once(' ') {
                Some(("SET", _)) => {
                    journal.sends(Run { sql: Bytes::copy_from_slice(text.as_bytes()), bound: None });
                    journal.completes();
                }
                Some(("open", name)) => journal.opens(name.as_bytes(), None),
                Some(("close", name)) => journal.closes(Some(name.as_bytes())),
                _ => {
                    let verdict = classifier.classify(text.as_bytes(), StandardConformingStrings::On);
                    journal.follow(&verdict.statements[0]);
                }
            }
        }
    }

    fn told(texts: &[&str]) -> String {
        let mut journal = Journal::default();
        follow(&mut journal, texts);
        let word = |entry: &Entry| match entry {
            Entry::Savepoint(name) => format!("<{name}>"),
            Entry::Ran(run) => String::from_utf8(run.sql.to_vec()).unwrap(),
            Entry::Portal(name, _) => String::from_utf8(name.to_vec()).unwrap(),
        };
        journal.entries().iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn savepoints_take_back_what_is_behind_them() {
        for (texts, expected) in [
            (&["SAVEPOINT a", "SET x", "SAVEPOINT b", "SET y"][..], "<a> SET x <b> SET y"),
            (&["SAVEPOINT a", "SET x", "ROLLBACK TO a"], "<a>"),
            (&["SAVEPOINT a", "SET x", "RELEASE a"], "SET x"),
            (&["SAVEPOINT a", "SAVEPOINT b", "SET x", "SAVEPOINT a", "RELEASE b"], "<a> SET x"),
            (&["SAVEPOINT a", "SET x", "SAVEPOINT a", "SET y", "ROLLBACK TO a"], "<a> SET x <a>"),
            (&["SAVEPOINT a", "open c", "ROLLBACK TO a"], "<a>"),
            (&["open c", "SAVEPOINT a", "open d", "RELEASE a", "close c"], "d"),
            (&["SAVEPOINT a", "ROLLBACK TO b", "RELEASE b"], "<a>"),
        ] {
            assert_eq!(told(texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn begin_says_the_modes_and_that_a_query_ran() {
        let verdict = Classifier::new(1).classify(
            b"BEGIN READ ONLY, ISOLATION LEVEL REPEATABLE READ NOT DEFERRABLE",
            StandardConformingStrings::On,
        );
        let Kind::Begin(modes) = verdict.statements[0].kind else { panic!() };
        let mut journal = Journal::new(modes, Transactions::Lazy);
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY NOT DEFERRABLE";
        assert_eq!(journal.begin_and_query(Ran::Primary), begin);
        assert!(journal.is_fresh());
        journal.queries();
        assert_eq!(journal.begin(Ran::Primary), begin);
        assert_eq!(journal.begin_and_query(Ran::Primary), format!("{begin};SELECT"));
        let chained = journal.chained();
        assert_eq!(chained.begin_and_query(Ran::Primary), format!("{begin};COMMIT AND CHAIN"));
        journal.fails();
        assert_eq!(journal.chained().begin_and_query(Ran::Primary), "BEGIN");
        let mut again = chained.clone();
        again.fails();
        assert_eq!(again.chained(), chained, "what it had from the one before");
    }

    #[test]
    fn a_replica_is_not_told_of_read_write() {
        let modes = |access| Modes { access: Some(access), ..Modes::default() };
        let journal = Journal::new(modes(AccessMode::ReadWrite), Transactions::Lazy);
        assert_eq!(journal.begin(Ran::Primary), "BEGIN READ WRITE");
        assert_eq!(journal.begin(Ran::Replica), "BEGIN");
        let chained = journal.chained();
        assert_eq!(chained.begin(Ran::Primary), "BEGIN READ WRITE;COMMIT AND CHAIN");
        assert_eq!(chained.begin(Ran::Replica), "BEGIN");
        let read_only = Journal::new(modes(AccessMode::ReadOnly), Transactions::Lazy).chained();
        let changed = Journal { modes: modes(AccessMode::ReadWrite), ..read_only };
        let begin = "BEGIN READ ONLY;COMMIT AND CHAIN";
        assert_eq!(changed.begin(Ran::Primary), format!("{begin};SET TRANSACTION READ WRITE"));
        assert_eq!(changed.begin(Ran::Replica), begin);
    }
}
