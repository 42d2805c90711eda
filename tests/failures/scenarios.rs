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

/// One of them.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) scene: fn(&mut Play<'_>) -> Result<()>,
    pub(crate) bound: Bound,
    pub(crate) needs: Needs,
    /// How many seconds it takes, about.
    pub(crate) seconds: u32,
}

const fn scenario(
    name: &'static str,
    seconds: u32,
    bound: Bound,
    scene: fn(&mut Play<'_>) -> Result<()>,
) -> Scenario {
    Scenario { name, scene, bound, needs: Needs::Nothing, seconds }
}

impl Scenario {
    const fn apart(self) -> Self {
        Self { needs: Needs::Apart, ..self }
    }
}

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("replica stopped", 3, REPLICA, |play| faults::stops(play, Whose::Replica, Stop::Immediate, 1)),
    scenario("replica killed", 3, REPLICA, |play| faults::stops(play, Whose::Replica, Stop::Kill, 1)),
    scenario("replica frozen", 13, SILENT_REPLICA, |play| {
        faults::falls_silent(play, Whose::Replica, Silence::Frozen)
    }),
    scenario("replica cut off", 13, SILENT_REPLICA, |play| {
        faults::falls_silent(play, Whose::Replica, Silence::Cut)
    })
    .apart(),
    scenario("replica flapping", 12, REPLICA, |play| faults::stops(play, Whose::Replica, Stop::Fast, 5)),
    scenario("replay paused", 6, UNNOTICED, faults::replay_pauses),
    scenario("replay conflicts", 4, REPLICA, faults::replay_conflicts),
    scenario("replica recovering", 8, REPLICA, |play| faults::recovers(play, Whose::Replica)),
    scenario("primary stopped", 3, PRIMARY, |play| faults::stops(play, Whose::Primary, Stop::Immediate, 1)),
    scenario("primary killed", 3, PRIMARY, |play| faults::stops(play, Whose::Primary, Stop::Kill, 1)),
    scenario("primary frozen", 12, SILENT_PRIMARY, |play| {
        faults::falls_silent(play, Whose::Primary, Silence::Frozen)
    }),
    scenario("primary cut off", 12, SILENT_PRIMARY, |play| {
        faults::falls_silent(play, Whose::Primary, Silence::Cut)
    })
    .apart(),
    scenario("primary flapping", 6, PRIMARY, |play| faults::stops(play, Whose::Primary, Stop::Fast, 3)),
    scenario("primary recovering", 5, PRIMARY, |play| faults::recovers(play, Whose::Primary)),
    scenario("switchover", 4, PRIMARY, faults::switches_over),
    scenario("promotion after 2 s", 5, PRIMARY, |play| {
        faults::promotes_after(play, 2.0, Replication::Synchronous)
    }),
    scenario("promotion after 2 s, asynchronous", 5, PRIMARY.may_lose(), |play| {
        faults::promotes_after(play, 2.0, Replication::Asynchronous)
    }),
    // Beyond primary_wait: one error more, for whoever waited that long.
    scenario("promotion after 14 s", 17, PRIMARY.writers(Errors::Each(2)), |play| {
        faults::promotes_after(play, 14.0, Replication::Synchronous)
    }),
    scenario("primary frozen and deposed", 11, SILENT_PRIMARY, |play| {
        faults::deposes(play, Silence::Frozen, Replication::Synchronous)
    }),
    scenario("primary frozen and deposed, asynchronous", 11, SILENT_PRIMARY.may_lose(), |play| {
        faults::deposes(play, Silence::Frozen, Replication::Asynchronous)
    }),
    scenario("primary cut off and deposed", 11, SILENT_PRIMARY, |play| {
        faults::deposes(play, Silence::Cut, Replication::Synchronous)
    })
    .apart(),
    scenario("primary cut off and deposed, asynchronous", 11, SILENT_PRIMARY.may_lose(), |play| {
        faults::deposes(play, Silence::Cut, Replication::Asynchronous)
    })
    .apart(),
    scenario("split brain", 6, PRIMARY.may_lose(), faults::splits),
    scenario("old primary back as a primary", 5, PRIMARY, faults::old_primary_returns),
    scenario("sessions terminated", 5, PRIMARY, faults::terminates),
    scenario("disk full", 6, PRIMARY, faults::fills_up).apart(),
    scenario("database dropped", 6, UNNOTICED, faults::drops_database),
];
