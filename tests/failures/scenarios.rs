//! The list of scenarios: what happens, and what it may cost. docs/failures.md has the same list for people.

use harness::{Result, Stop};

use crate::bounds::{Bound, Errors, PRIMARY, REPLICA, SILENT_PRIMARY, SILENT_REPLICA, UNNOTICED};
use crate::faults::{self, Replication, Silence, Whose};
use crate::stage::Play;

/// Whether a scenario can be played by anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// Cables that can be cut, or mounts.
    Apart,
}

/// Whether weir keeps within the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    Yes,
    /// Not yet, and why: played by the long commands only, which fail for it.
    NotYet(&'static str),
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) scene: fn(&mut Play<'_>) -> Result<()>,
    pub(crate) bound: Bound,
    pub(crate) needs: Needs,
    /// How many seconds it takes, about.
    pub(crate) seconds: u32,
    pub(crate) met: Met,
}

const fn scenario(
    name: &'static str,
    seconds: u32,
    bound: Bound,
    scene: fn(&mut Play<'_>) -> Result<()>,
) -> Scenario {
    Scenario { name, scene, bound, needs: Needs::Nothing, seconds, met: Met::Yes }
}

impl Scenario {
    const fn apart(self) -> Self {
        Self { needs: Needs::Apart, ..self }
    }

    const fn not_yet(self, why: &'static str) -> Self {
        Self { met: Met::NotYet(why), ..self }
    }
}

/// Reads that the primary was running when it went, and the first statement of a transaction there.
const IN_FLIGHT: &str = "what only read on the primary is lost with it";

/// Reads when `max_staleness` has run out.
const ORPHANED: &str = "without a primary, what nobody writes is read for max_staleness only";

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("replica stopped", 4, REPLICA, |play| faults::stops(play, Whose::Replica, Stop::Immediate, 1)),
    scenario("replica killed", 4, REPLICA, |play| faults::stops(play, Whose::Replica, Stop::Kill, 1)),
    scenario("replica frozen", 13, SILENT_REPLICA, |play| {
        faults::falls_silent(play, Whose::Replica, Silence::Frozen)
    }),
    scenario("replica cut off", 13, SILENT_REPLICA, |play| {
        faults::falls_silent(play, Whose::Replica, Silence::Cut)
    })
    .apart(),
    scenario("replica flapping", 9, REPLICA, |play| faults::stops(play, Whose::Replica, Stop::Fast, 5)),
    scenario("replay paused", 5, UNNOTICED, faults::replay_pauses),
    scenario("replay conflicts", 5, REPLICA, faults::replay_conflicts),
    scenario("replica recovering", 6, REPLICA, |play| faults::recovers(play, Whose::Replica)),
    scenario("primary stopped", 4, PRIMARY, |play| faults::stops(play, Whose::Primary, Stop::Immediate, 1))
        .not_yet(IN_FLIGHT),
    scenario("primary killed", 4, PRIMARY, |play| faults::stops(play, Whose::Primary, Stop::Kill, 1))
        .not_yet(IN_FLIGHT),
    scenario("primary frozen", 13, SILENT_PRIMARY, |play| {
        faults::falls_silent(play, Whose::Primary, Silence::Frozen)
    })
    .not_yet(IN_FLIGHT),
    scenario("primary cut off", 13, SILENT_PRIMARY, |play| {
        faults::falls_silent(play, Whose::Primary, Silence::Cut)
    })
    .apart()
    .not_yet(IN_FLIGHT),
    scenario("primary flapping", 8, PRIMARY, |play| faults::stops(play, Whose::Primary, Stop::Fast, 3))
        .not_yet(IN_FLIGHT),
    scenario("primary recovering", 6, PRIMARY, |play| faults::recovers(play, Whose::Primary))
        .not_yet(IN_FLIGHT),
    scenario("switchover", 5, PRIMARY, faults::switches_over).not_yet(IN_FLIGHT),
    scenario("promotion after 2 s", 7, PRIMARY, |play| {
        faults::promotes_after(play, 2.0, Replication::Synchronous)
    })
    .not_yet(IN_FLIGHT),
    scenario("promotion after 2 s, asynchronous", 7, PRIMARY.may_lose(), |play| {
        faults::promotes_after(play, 2.0, Replication::Asynchronous)
    })
    .not_yet(IN_FLIGHT),
    // Beyond primary_wait: one error more, for whoever waited that long.
    scenario("promotion after 14 s", 19, PRIMARY.writers(Errors::Each(2)), |play| {
        faults::promotes_after(play, 14.0, Replication::Synchronous)
    })
    .not_yet(ORPHANED),
    scenario("primary frozen and deposed", 10, SILENT_PRIMARY, |play| {
        faults::deposes(play, Silence::Frozen, Replication::Synchronous)
    })
    .not_yet(IN_FLIGHT),
    scenario("primary frozen and deposed, asynchronous", 10, SILENT_PRIMARY.may_lose(), |play| {
        faults::deposes(play, Silence::Frozen, Replication::Asynchronous)
    })
    .not_yet(IN_FLIGHT),
    scenario("primary cut off and deposed", 10, SILENT_PRIMARY, |play| {
        faults::deposes(play, Silence::Cut, Replication::Synchronous)
    })
    .apart()
    .not_yet(IN_FLIGHT),
    scenario("primary cut off and deposed, asynchronous", 10, SILENT_PRIMARY.may_lose(), |play| {
        faults::deposes(play, Silence::Cut, Replication::Asynchronous)
    })
    .apart()
    .not_yet(IN_FLIGHT),
    scenario("split brain", 7, PRIMARY.may_lose(), faults::splits),
    scenario("old primary back as a primary", 8, PRIMARY, faults::old_primary_returns).not_yet(IN_FLIGHT),
    scenario("sessions terminated", 5, PRIMARY, faults::terminates).not_yet(IN_FLIGHT),
    scenario("disk full", 12, PRIMARY, faults::fills_up).apart().not_yet(IN_FLIGHT),
    scenario("database dropped", 5, UNNOTICED, faults::drops_database),
];
