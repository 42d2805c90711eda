//! What the session's own requests mean for later reads, its own and those of others: what they may have written is
//! marked before the client hears of it, and what they have seen is remembered.

use std::time::Instant;

use crate::cluster::catalog::Catalog;
use crate::cluster::topology::ServerId;
use crate::freshness::{Freshness, Instants, Marks, Seen};
use crate::session::consistency::observed_reads::{ObservedReads, Touched};
use crate::session::consistency::pending_writes::{PendingWrites, may_write_by_reading};
use crate::session::consistency::shared_catalogs;
use crate::session::relay::facts::reads;
use crate::session::relay::request::Request;
use crate::session::shared::Shared;
use crate::session::shared::databases::Database;
use crate::wire::TxStatus;

/// What a session has written and seen.
#[derive(Debug, Default)]
pub(crate) struct Tracking {
    /// On which replica and when it last looked at data.
    seen: Option<Seen<ServerId>>,
    /// When it last looked at data on any replica but that one.
    moved: Option<Instant>,
    /// What it has seen and done on the primary.
    observed: ObservedReads,
}

/// What the server's last words amount to for what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// Nothing that counts.
    Nothing,
    /// What is pending may have been committed, and more of it may follow.
    Part,
    /// All that is pending has been committed or taken back.
    All,
}

/// How things stood and stand on the primary's connection when it has said something.
pub(crate) struct Answers {
    /// The transaction status before the last words.
    pub before: TxStatus,
    /// And behind them.
    pub now: Standing,
}

/// How things stand on a connection, with the transaction status as the server last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// More is owed, or a batch is open, whose end alone commits it.
    UnderWay(TxStatus),
    /// All is answered.
    Over(TxStatus),
}

impl Tracking {
    pub(crate) fn seen(&self) -> Option<Seen<ServerId>> {
        self.seen
    }

    pub(crate) fn moved(&self) -> Option<Instant> {
        self.moved
    }

    pub(crate) fn observed(&self) -> &ObservedReads {
        &self.observed
    }

    /// A request that looks at data goes to the primary: what it looks at is remembered until it has been answered.
    pub(crate) fn looks(&mut self, request: &Request, catalog: Option<&Catalog>) {
        self.observed.look(request.statements().filter(|statement| reads(statement)), catalog);
    }

    /// The same of a request of which nobody tells what it looks at.
    pub(crate) fn looks_at_anything(&mut self) {
        self.observed.look_at_anything();
    }

    /// What the session looks at on the primary will not be shown to it.
    pub(crate) fn looks_no_more(&mut self) {
        self.observed.forgo();
    }

    /// The session has looked at data on a replica, over a connection that was opened then; `freshness` is the replica's,
    /// while it is there.
    pub(crate) fn looked(
        &mut self,
        (server, opened): (ServerId, Instant),
        freshness: Option<&Freshness>,
        at: Instant,
    ) {
        let same = |seen: &Seen<ServerId>| {
            seen.server == server
                && freshness.map_or(opened <= seen.at, |known| known.is_life_of(seen.at, opened))
        };
        let before = self.seen.replace(Seen { server, at });
        // It moved. The move may have asked for less than the next read will.
        self.moved = before.filter(|seen| !same(seen)).map(|seen| seen.at).max(self.moved);
    }

    /// The session has looked at data on the primary. Others count it too: it may have seen what nobody is told of.
    pub(crate) fn saw(&mut self, database: &Database, at: Instant) {
        let Some(shown) = self.observed.saw(at) else { return };
        shown.mark(&database.marks.looked, at);
        if shown == Touched::Anything {
            database.common.looked.enter_something(at);
        }
    }

    /// The session has heard at `at` of something that others did, whatever that was.
    pub(crate) fn hears(&mut self, at: Instant) {
        self.observed.knows(&Touched::Anything, at);
    }

    /// A write of the session was acknowledged at `at`, or given up.
    pub(crate) fn wrote(&mut self, touched: &Touched, at: Instant) {
        self.observed.knows(touched, at);
    }
}

/// Which marks of a database are meant.
pub(crate) type KindOfMark = fn(&Marks) -> &Instants;

/// Enters what may have been written in a database (its name on the servers), acknowledged or given up at `at`, and has
/// the samplers see to it that replicas are soon known to hold it. Returns what that is and its instant, which may be
/// later.
pub(crate) fn mark(
    shared: &Shared,
    (name, database, kind): (&str, &Database, KindOfMark),
    pending: &PendingWrites,
    at: Instant,
) -> (Touched, Instant) {
    let (cluster, policy) = (&shared.cluster, shared.policy());
    let catalog = cluster.catalogs().of(name);
    let at = if pending.is_untransacted() { cluster.demand().wrote_untransacted(at) } else { at };
    let touched = pending.touched(catalog.as_deref(), &policy.functions);
    touched.mark(kind(&database.marks), at);
    shared_catalogs::mark(kind(&database.common), (pending, &touched), catalog.as_deref(), at);
    cluster.demand().wrote(at);
    (touched, at)
}

/// The same of what was acknowledged to a client that may have gone since.
pub(crate) fn acknowledge(shared: &Shared, (name, database): (&str, &Database), pending: &PendingWrites) {
    mark(shared, (name, database, |marks| &marks.acknowledged), pending, Instant::now());
}

/// The same of what nobody waits for any more: it may have happened.
pub(crate) fn give_up(shared: &Shared, (name, database): (&str, &Database), pending: &PendingWrites) {
    mark(shared, (name, database, |marks| &marks.unanswered), pending, Instant::now());
}

/// Whether a request that goes to the primary may write although its statements only read.
pub(crate) fn may_write_unseen(request: &Request, catalog: Option<&Catalog>) -> bool {
    request
        .statements()
        .filter(|statement| reads(statement))
        .any(|statement| may_write_by_reading(statement, catalog))
}

impl PendingWrites {
    /// What the server's last words acknowledge of this.
    pub(crate) fn acknowledged_by(&mut self, answers: &Answers) -> Acknowledged {
        let commit = self.take_commit();
        if answers.now == Standing::Over(TxStatus::Idle) {
            self.settle();
        }
        if self.is_clean() {
            return Acknowledged::Nothing;
        }
        // What a batch has done so far is committed by its end only, whatever was answered before.
        match answers.now {
            Standing::Over(TxStatus::Idle) => Acknowledged::All,
            Standing::UnderWay(TxStatus::Idle) => Acknowledged::Part,
            _ if commit || answers.before == TxStatus::Idle => Acknowledged::Part,
            _ => Acknowledged::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sql::{Classifier, StandardConformingStrings};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_was_written_is_acknowledged_when_nothing_of_it_can_come_any_more() {
        use TxStatus::{Idle, Open};
        let answered = |before, now, tag: &[u8]| {
            let mut pending = PendingWrites::default();
            let verdict = Classifier::new(1).classify(b"UPDATE t SET x = 1", StandardConformingStrings::On);
            pending.sent(&verdict);
            pending.completed(tag);
            pending.acknowledged_by(&Answers { before, now })
        };
        for (before, now, tag, expected) in [
            (Idle, Standing::Over(Idle), &b"UPDATE 1"[..], Acknowledged::All),
            (Open, Standing::Over(Idle), b"COMMIT", Acknowledged::All),
            (Open, Standing::UnderWay(Idle), b"COMMIT", Acknowledged::Part),
            (Open, Standing::UnderWay(Open), b"COMMIT", Acknowledged::Part),
            (Open, Standing::UnderWay(Open), b"UPDATE 1", Acknowledged::Nothing),
            (Open, Standing::Over(Open), b"UPDATE 1", Acknowledged::Nothing),
            (Idle, Standing::Over(Open), b"UPDATE 1", Acknowledged::Part),
        ] {
            assert_eq!(answered(before, now, tag), expected, "{before:?} {now:?}");
        }
        let mut nothing = PendingWrites::default();
        let over = Answers { before: Idle, now: Standing::Over(Idle) };
        assert_eq!(nothing.acknowledged_by(&over), Acknowledged::Nothing);
    }

    #[test]
    fn a_session_that_moves_from_replica_to_replica_remembers_when_it_left() {
        let (opened, mut tracking) = (Instant::now(), Tracking::default());
        let (one, other) = (ServerId(1), ServerId(2));
        tracking.looked((one, opened), None, opened + SECOND);
        tracking.looked((one, opened), None, opened + 2 * SECOND);
        assert_eq!(tracking.moved(), None);
        tracking.looked((other, opened), None, opened + 3 * SECOND);
        assert_eq!(tracking.moved(), Some(opened + 2 * SECOND));
        // The same server, but perhaps another life of it.
        tracking.looked((other, opened + 4 * SECOND), None, opened + 5 * SECOND);
        assert_eq!(tracking.moved(), Some(opened + 3 * SECOND));
    }
}
