//! The servers as the probes found them, and what follows from each that comes, goes or is reported on. No I/O and no
//! clock of its own.

use std::sync::Arc;
use std::time::Instant;

use super::decision::{self, Facts, Finding, Observation, Past, State};
use super::probe::Failure;
use crate::cluster::defaults::{Conf, Defaults};
use crate::cluster::topology::{Address, Health, Load, Role, Server, ServerId, Topology};
use crate::config;
use crate::freshness::Freshness;

/// Everything that is known about the servers. The monitor owns it; everyone else sees [`Roster::topology`].
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// In the order in which they came.
    rows: Vec<Row>,
    /// How many have come so far, those that are gone included: the identity of the next.
    come: u64,
    /// What was found at the last report: each finding is told once, when it appears.
    findings: Vec<Finding>,
}

#[derive(Debug)]
struct Row {
    name: Arc<str>,
    address: Arc<Address>,
    connections: usize,
    weight: u32,
    seen: Observation,
    recovered: Option<Instant>,
    trouble: Option<Arc<str>>,
    load: Arc<Load>,
    freshness: Arc<Freshness>,
    defaults: Option<Arc<Defaults>>,
}

/// Who came and who went with another list of servers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    /// They were not tried yet.
    pub(crate) come: Vec<ServerId>,
    /// No topology names them any more.
    pub(crate) gone: Vec<ServerId>,
}

/// Something that a report changed, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A server answers that did not.
    Up(ServerId),
    /// A server that answered, or was not tried before, does not.
    Down(ServerId, Arc<str>),
    /// A server that is up declined the probe. It stays up.
    Declined(ServerId, Arc<str>),
    /// A server has another role than before.
    Role(ServerId, Role),
    /// Something is wrong with the roles.
    Finding(Finding),
}

impl Roster {
    /// From now on these are all the servers: who came, and who is gone. Those that stay keep what is known of them; a server
    /// is told by its address, with all that belongs to it.
    pub(crate) fn set(&mut self, servers: &[config::Server], epoch: Instant) -> (Moves, Vec<Event>) {
        let mut moves = Moves::default();
        self.rows.retain(|row| {
            let stays = servers.iter().any(|server| row.is(server));
            moves.gone.extend((!stays).then_some(row.seen.server));
            stays
        });
        for server in servers {
            match self.rows.iter_mut().find(|row| row.is(server)) {
                Some(row) => row.terms(server),
                None => moves.come.push(self.enter(server, epoch)),
            }
        }
        (moves, self.assign_roles())
    }

    /// Takes in a server that was not tried yet. Its identity was nobody's before. Nothing is asked about the time
    /// before `epoch`.
    #[cfg(test)]
    pub(crate) fn insert(&mut self, server: &config::Server, epoch: Instant) -> (ServerId, Vec<Event>) {
        let id = self.enter(server, epoch);
        // A configured role is known before any probe.
        (id, self.assign_roles())
    }

    fn enter(&mut self, server: &config::Server, epoch: Instant) -> ServerId {
        let id = ServerId(self.come);
        self.come += 1;
        self.rows.push(Row {
            name: server.name.clone(),
            address: Arc::new(address(server)),
            connections: server.connections,
            weight: server.weight,
            seen: Observation {
                server: id,
                setting: server.role,
                health: Health::Untried,
                facts: None,
                role: Role::Unknown,
                past: Past::Clear,
            },
            recovered: None,
            trouble: None,
            load: Arc::default(),
            freshness: Arc::new(Freshness::new(epoch)),
            defaults: None,
        });
        id
    }

    /// Forgets a server. The others' roles may be others without it.
    #[cfg(test)]
    pub(crate) fn remove(&mut self, id: ServerId) -> Vec<Event> {
        self.rows.retain(|row| row.seen.server != id);
        self.assign_roles()
    }

    /// Takes in one probe's outcome. Of a server that is gone meanwhile it changes nothing.
    pub(crate) fn record(
        &mut self,
        id: ServerId,
        outcome: Result<Facts, Failure>,
        now: Instant,
    ) -> Vec<Event> {
        let Some(row) = self.rows.iter_mut().find(|row| row.seen.server == id) else {
            return Vec::new();
        };
        let mut events: Vec<Event> = row.record(outcome, now).into_iter().collect();
        events.extend(self.assign_roles());
        events
    }

    /// What a server gives to those who set nothing. Configurations that say the same are one.
    pub(crate) fn gives(&mut self, id: ServerId, mut defaults: Defaults) {
        let mut known = self.rows.iter().filter_map(|row| row.defaults.as_ref()).map(|row| &row.conf.visible);
        if let Some(same) = known.find(|visible| **visible == defaults.conf.visible) {
            let besides = defaults.conf.besides.clone();
            defaults.conf = Arc::new(Conf { visible: same.clone(), besides });
        }
        if let Some(row) = self.rows.iter_mut().find(|row| row.seen.server == id) {
            row.defaults = Some(Arc::new(defaults));
        }
    }

    /// The snapshot for everyone else.
    pub(crate) fn topology(&self) -> Topology {
        let server = |row: &Row| Server {
            id: row.seen.server,
            name: row.name.clone(),
            address: row.address.clone(),
            connections: row.connections,
            weight: row.weight,
            role: row.seen.role,
            health: row.seen.health,
            timeline: row.seen.facts.and_then(|facts| facts.timeline),
            version: row.seen.facts.map(|facts| facts.version),
            recovered: row.recovered,
            trouble: row.trouble.clone(),
            load: row.load.clone(),
            freshness: row.freshness.clone(),
            defaults: row.defaults.clone(),
        };
        Topology { servers: self.rows.iter().map(server).collect() }
    }

    fn assign_roles(&mut self) -> Vec<Event> {
        let seen: Vec<Observation> = self.rows.iter().map(|row| row.seen).collect();
        let decision = decision::decide(&seen);
        let mut events = Vec::new();
        for (row, role) in self.rows.iter_mut().zip(&decision.roles) {
            if row.seen.role != *role {
                row.seen.role = *role;
                events.push(Event::Role(row.seen.server, *role));
            }
            row.seen.past = row.seen.past_after(&decision.findings);
        }
        let new = decision.findings.iter().filter(|finding| !self.findings.contains(finding));
        events.extend(new.map(|finding| Event::Finding(*finding)));
        self.findings = decision.findings;
        events
    }
}

fn address(server: &config::Server) -> Address {
    Address {
        host: server.host.clone(),
        at: server.address,
        port: server.port,
        tls: server.tls.clone(),
        channel_binding: server.channel_binding,
    }
}

impl Row {
    /// Whether it is the row of this server.
    fn is(&self, server: &config::Server) -> bool {
        self.address.leads_where(&address(server))
    }

    /// Takes over what may change of a server while it stays the same.
    fn terms(&mut self, server: &config::Server) {
        self.name = server.name.clone();
        (self.connections, self.weight) = (server.connections, server.weight);
        self.seen.setting = server.role;
    }

    fn record(&mut self, outcome: Result<Facts, Failure>, now: Instant) -> Option<Event> {
        let (id, before) = (self.seen.server, self.seen.health);
        let failure = match outcome {
            Ok(facts) => {
                self.seen.facts = Some(facts);
                self.seen.health = Health::Up;
                self.trouble = None;
                if before == Health::Down {
                    self.recovered = Some(now);
                }
                return (before != Health::Up).then_some(Event::Up(id));
            }
            Err(failure) => failure,
        };
        let text = failure.text();
        let known = self.trouble.replace(text.clone()).is_some_and(|old| old == text);
        match failure {
            Failure::Declined(_) if before == Health::Up => (!known).then_some(Event::Declined(id, text)),
            Failure::Declined(_) | Failure::Failed(_) | Failure::TimedOut => {
                self.seen.health = Health::Down;
                (before != Health::Down).then_some(Event::Down(id, text))
            }
        }
    }
}

impl Observation {
    fn past_after(&self, findings: &[Finding]) -> Past {
        let overruled =
            |f: &Finding| matches!(f, Finding::TwoPrimaries { loser, .. } if *loser == self.server);
        let claims = self.health == Health::Up && self.facts.is_some_and(|f| f.state == State::Writable);
        match self.past {
            _ if !claims => Past::Clear,
            _ if findings.iter().any(overruled) => Past::Overruled,
            past => past,
        }
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
