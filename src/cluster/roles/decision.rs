//! Who is the primary: a pure function of what the probes saw of all servers.
//!
//! weir elects nobody. It follows what the servers say of themselves, keeps to what the operator configured, and
//! where two servers claim to be the primary, it believes the higher timeline: a promotion always begins a new one
//! (PostgreSQL manual, "Timelines"), so the lower one is the primary that was failed over from. What a server that
//! is down said last still counts: an old primary that returns while the new one is away is no primary.

use crate::cluster::topology::{Health, Role, ServerId};
use crate::config::RoleSetting;

/// What a server said of itself when it was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whether it accepts writes.
    pub(crate) state: State,
    /// Its timeline, where it tells.
    pub(crate) timeline: Option<u32>,
    /// The cluster's `system_identifier`, equal on a primary and its replicas, where it tells.
    pub(crate) system: Option<i64>,
    /// `server_version_num`.
    pub(crate) version: u32,
}

/// What `pg_is_in_recovery()` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not in recovery: it claims to be the primary.
    Writable,
    /// In recovery.
    InRecovery,
}

/// What is known about one server when roles are decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observation {
    /// Whose.
    pub(crate) server: ServerId,
    /// What the operator said.
    pub(crate) setting: RoleSetting,
    /// Whether it answers now.
    pub(crate) health: Health,
    /// What it said last; `None` when it was never reached.
    pub(crate) facts: Option<Facts>,
    /// Its role until now.
    pub(crate) role: Role,
    /// Whether its claim has been refused.
    pub(crate) past: Past,
}

/// What became of a server's claim to be the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// Nothing yet.
    Clear,
    /// It lost to a primary that was up at the same time, so it is a copy, and no failure of that primary makes it
    /// the successor. Holds until it is down or in recovery.
    Overruled,
}

/// Something about the roles that an operator must hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Two servers that answer claim to be the primary, or one that a higher timeline has overtaken.
    TwoPrimaries {
        /// The one that is believed.
        winner: ServerId,
        /// The one that gets neither writes nor reads.
        loser: ServerId,
    },
    /// Servers claim to be the primary on the same timeline, and nothing tells them apart: none is believed.
    Undecided(ServerId),
    /// A server is not what the configuration says.
    Contradiction {
        /// The server.
        server: ServerId,
        /// What it says of itself.
        state: State,
    },
    /// A replica of some other cluster: its `system_identifier` is not the primary's.
    Foreign(ServerId),
}

/// Everybody's role, and what there is to say about them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Indexed like the observations. At most one is [`Role::Primary`].
    pub(crate) roles: Vec<Role>,
    /// In the order of the servers.
    pub(crate) findings: Vec<Finding>,
}

/// Decides every server's role from what was seen of all of them.
pub(crate) fn decide(servers: &[Observation]) -> Decision {
    let primary = elected(servers);
    let mut decision = Decision::default();
    for server in servers {
        let role = role_of(server, primary, servers);
        decision.roles.push(role);
        decision.findings.extend(contradiction(server));
        decision.findings.extend(lost_claim(server, role, primary));
        if role == Role::Unknown && server.is_up() && server.claim() == Claim::Replica {
            decision.findings.push(Finding::Foreign(server.server));
        }
    }
    decision
}

/// What a server is taken to claim, by the operator's word or its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    Primary,
    Replica,
    Nothing,
}

impl Observation {
    fn claim(&self) -> Claim {
        match (self.setting, self.facts.map(|f| f.state)) {
            (RoleSetting::Primary, _) | (RoleSetting::Auto, Some(State::Writable)) => Claim::Primary,
            (RoleSetting::Replica, _) | (RoleSetting::Auto, Some(State::InRecovery)) => Claim::Replica,
            (RoleSetting::Auto, None) => Claim::Nothing,
        }
    }

    fn is_up(&self) -> bool {
        self.health == Health::Up
    }

    fn timeline(&self) -> Option<u32> {
        self.facts.and_then(|f| f.timeline)
    }

    fn system(&self) -> Option<i64> {
        self.facts.and_then(|f| f.system)
    }
}

/// The one claimant that is believed, if any.
fn elected(servers: &[Observation]) -> Option<ServerId> {
    // A configured primary keeps its role, so nobody else is heard.
    let configured = servers.iter().any(|s| s.setting == RoleSetting::Primary);
    let claimants: Vec<&Observation> = servers
        .iter()
        .filter(|s| s.claim() == Claim::Primary)
        .filter(|s| !configured || s.setting == RoleSetting::Primary)
        .collect();
    let highest = claimants.iter().map(|s| s.timeline()).max()?;
    // On one timeline the one that answers is believed (a disk moved to another machine keeps its timeline), and
    // of two that answer the one that clients have been writing to.
    let leading = || claimants.iter().filter(|s| s.timeline() == highest);
    only(leading())
        .or_else(|| only(leading().filter(|s| s.is_up() && s.past == Past::Clear)))
        .or_else(|| only(leading().filter(|s| s.role == Role::Primary)))
        .map(|s| s.server)
}

/// The item of an iterator that has exactly one.
fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    items.next().filter(|_| items.next().is_none())
}

fn role_of(server: &Observation, primary: Option<ServerId>, all: &[Observation]) -> Role {
    match server.claim() {
        Claim::Primary if primary == Some(server.server) => Role::Primary,
        Claim::Primary | Claim::Nothing => Role::Unknown,
        Claim::Replica if server.setting == RoleSetting::Auto && is_foreign(server, primary, all) => {
            Role::Unknown
        }
        Claim::Replica => Role::Replica,
    }
}

/// Whether a server belongs to another cluster than the primary: its data would be something else altogether.
fn is_foreign(server: &Observation, primary: Option<ServerId>, all: &[Observation]) -> bool {
    let ours = all.iter().find(|other| primary == Some(other.server)).and_then(Observation::system);
    matches!((ours, server.system()), (Some(ours), Some(theirs)) if ours != theirs)
}

fn contradiction(seen: &Observation) -> Option<Finding> {
    let state = seen.facts?.state;
    let contradicts = match seen.setting {
        RoleSetting::Auto => false,
        RoleSetting::Primary => state == State::InRecovery,
        RoleSetting::Replica => state == State::Writable,
    };
    (contradicts && seen.is_up()).then_some(Finding::Contradiction { server: seen.server, state })
}

/// A server that answers, says that it is the primary, and is not believed. One that is down says nothing: the
/// primary that died before a failover is no news.
fn lost_claim(server: &Observation, role: Role, primary: Option<ServerId>) -> Option<Finding> {
    if server.claim() != Claim::Primary || role == Role::Primary || !server.is_up() {
        return None;
    }
    Some(match primary {
        Some(winner) => Finding::TwoPrimaries { winner, loser: server.server },
        None => Finding::Undecided(server.server),
    })
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
