//! What a scenario may cost, and whether it did not cost more.

use std::time::Duration;

use crate::clients::Part;
use crate::oracle::{Findings, Told};
use crate::stage::{INTERVAL, LOST_AFTER, TIMEOUT};

/// What a loaded machine may add to any time: everybody's processes, a debug build and the servers share its processors.
pub(crate) const MARGIN: Duration = Duration::from_millis(1000);

/// When a silent server is known to be one.
pub(crate) const SILENCE: Duration = INTERVAL.saturating_add(TIMEOUT);

/// When whoever was writing on a server that has fallen silent has been told.
const GIVEN_UP: Duration = SILENCE.saturating_add(LOST_AFTER);

/// What a writer does when it has written something that is not acknowledged yet.
const WRITING: [&str; 5] =
    ["locking", "inserting", "inserting in a transaction", "reading after it wrote", "committing"];

/// Errors that one client may be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errors {
    None,
    /// So many for each fault.
    Each(usize),
    /// One for each fault, and only for who reads on in a snapshot of which it has seen something.
    Seen,
    /// One for each fault, and only for who had written something that was not acknowledged.
    Written,
}

/// The longest that a client may be without an answer, the margin not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stall {
    None,
    /// While a silent server is not known to be one.
    Silence,
    /// While there is no primary.
    Absence,
    /// Both.
    AbsenceAndSilence,
}

/// What one part of the clients may be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    pub(crate) errors: Errors,
    pub(crate) stall: Stall,
}

/// What acknowledged writes may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    None,
    /// Replication is asynchronous: what was acknowledged before weir saw the new primary.
    BeforeSeen,
}

/// The bound of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) still: Allowed,
    pub(crate) fresh: Allowed,
    pub(crate) snapshot: Allowed,
    pub(crate) writers: Allowed,
    pub(crate) loss: Loss,
}

const fn allowed(errors: Errors, stall: Stall) -> Allowed {
    Allowed { errors, stall }
}

/// Nothing is noticed.
pub(crate) const UNNOTICED: Bound = Bound {
    still: allowed(Errors::None, Stall::None),
    fresh: allowed(Errors::None, Stall::None),
    snapshot: allowed(Errors::None, Stall::None),
    writers: allowed(Errors::None, Stall::None),
    loss: Loss::None,
};

/// A replica is gone and says so: who has seen a snapshot there cannot have it anywhere else.
pub(crate) const REPLICA: Bound = Bound { snapshot: allowed(Errors::Seen, Stall::None), ..UNNOTICED };

/// A replica is silent.
pub(crate) const SILENT_REPLICA: Bound = Bound {
    still: allowed(Errors::None, Stall::Silence),
    fresh: allowed(Errors::None, Stall::Silence),
    snapshot: allowed(Errors::Seen, Stall::Silence),
    // Their transactions begin with reads.
    writers: allowed(Errors::None, Stall::Silence),
    ..UNNOTICED
};

/// The primary is gone: who was writing is told, once, and waits until there is one. What is being written can be read
/// when it is known what became of it, and who keeps a snapshot asks for everything.
pub(crate) const PRIMARY: Bound = Bound {
    fresh: allowed(Errors::None, Stall::Absence),
    snapshot: allowed(Errors::Seen, Stall::Absence),
    writers: allowed(Errors::Written, Stall::Absence),
    ..UNNOTICED
};

/// The primary is silent.
pub(crate) const SILENT_PRIMARY: Bound = Bound {
    still: allowed(Errors::None, Stall::Silence),
    fresh: allowed(Errors::None, Stall::AbsenceAndSilence),
    snapshot: allowed(Errors::Seen, Stall::AbsenceAndSilence),
    writers: allowed(Errors::Written, Stall::AbsenceAndSilence),
    ..UNNOTICED
};

impl Bound {
    /// The same, where replication is asynchronous and another primary is made.
    pub(crate) const fn may_lose(self) -> Self {
        Self { loss: Loss::BeforeSeen, ..self }
    }

    /// The same with other errors for writers.
    pub(crate) const fn writers(self, errors: Errors) -> Self {
        Self { writers: allowed(errors, self.writers.stall), ..self }
    }

    /// What is beyond it.
    pub(crate) fn breaches(&self, findings: &Findings) -> Vec<String> {
        let mut breaches: Vec<String> = findings.broken.iter().cloned().collect();
        let parts = [
            (Part::Still, "reads of what nobody writes", self.still),
            (Part::Fresh, "reads of what is written", self.fresh),
            (Part::Snapshot, "snapshots", self.snapshot),
            (Part::Writer, "writes", self.writers),
        ];
        for (part, name, allowed) in parts {
            if let Some(told) = findings.parts.get(&part) {
                breaches.extend(
                    allowed.breaches(told, findings.times.faults).map(|breach| format!("{name}: {breach}")),
                );
            }
        }
        let lost = match self.loss {
            Loss::None => findings.lost.len(),
            Loss::BeforeSeen => findings.lost_after_seen(),
        };
        for (count, what) in [
            (lost, "acknowledged writes lost"),
            (findings.doubled, "writes doubled"),
            (findings.disordered, "writes out of order"),
            (findings.stale.len(), "reads older than promised"),
        ] {
            if count > 0 {
                breaches.push(format!("{count} {what}"));
            }
        }
        breaches
    }
}

impl Told {
    /// Errors beyond one for each fault, or of who was doing anything but this.
    fn once(&self, doing: &[&str], faults: usize) -> Option<String> {
        let other = self.kinds.keys().find(|(_, found, _)| !doing.contains(found));
        other.map(|(sort, doing, kind)| format!("{kind} for {sort}, {doing}")).or_else(|| {
            (self.most() > faults).then(|| format!("{} errors of one, for {faults} faults", self.most()))
        })
    }
}

impl Allowed {
    fn breaches(self, told: &Told, faults: usize) -> impl Iterator<Item = String> {
        let errors = match self.errors {
            Errors::None => (told.count() > 0).then(|| format!("{} errors", told.count())),
            Errors::Each(each) => {
                (told.most() > each * faults).then(|| format!("{} errors of one", told.most()))
            }
            Errors::Written => told.once(&WRITING, faults),
            Errors::Seen => told.once(&["reading on in a transaction"], faults),
        };
        let (stall, limit) = match self.stall {
            Stall::None => (told.stall, MARGIN),
            Stall::Silence => (told.stall, SILENCE + MARGIN),
            Stall::Absence => (told.net_stall, MARGIN),
            Stall::AbsenceAndSilence => (told.net_stall, SILENCE + MARGIN),
        };
        let late = (self.errors == Errors::Written
            && self.stall == Stall::AbsenceAndSilence
            && told.first_word > GIVEN_UP + MARGIN)
            .then(|| format!("told after {:.1?}, of {:.1?}", told.first_word, GIVEN_UP + MARGIN));
        let stalled = (stall > limit)
            .then(|| format!("{stall:.1?} without an answer, of {limit:.1?}: {}", told.stalled));
        errors.into_iter().chain(stalled).chain(late)
    }
}
