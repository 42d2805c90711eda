//! What the servers' answers amount to: which of the primary's samples count, and how far each replica is known to be.
//! No I/O and no clock of its own.
//!
//! All publishing and all forgetting of freshness happens here, by whoever holds the lock around this: what was drawn
//! from samples that were dropped meanwhile is never published after the forgetting.

use std::collections::HashMap;
use std::time::Instant;

use super::demand::Demand;
use crate::cluster::topology::{Role, Server, ServerId, Topology};
use crate::freshness::{Lsn, Samples, Xid, pace};

/// The primary's samples, and what each replica said in its present life.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    source: Option<Source>,
    /// Its insert positions, as replay will see them.
    samples: Samples<Lsn>,
    /// The first transactions that had not ended.
    ended: Samples<Xid>,
    /// Those that are connected to.
    replicas: HashMap<ServerId, Reached>,
}

/// Where samples come from. Positions of two sources cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Source {
    server: ServerId,
    timeline: u32,
}

/// How far one replica said it was, over its present connection.
#[derive(Clone, Copy, Debug)]
struct Reached {
    replayed: Lsn,
    /// All transactions before this have ended there.
    ended: Xid,
    answered: Instant,
    /// The most that was found of it; what was true once stays so.
    through: Option<Instant>,
    standing: Standing,
}

/// How a server stands to the primary, by its last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No primary has been sampled yet.
    Unproven,
    /// Its positions are positions of the primary's history.
    Follows,
    /// It may be on an older timeline: its positions may be of a history that is no more.
    OlderTimeline,
    /// It has replayed what the primary, asked later, had not written: its history is another one. Nothing that it says
    /// over this connection counts any more, because the primary's positions will overtake it.
    Ahead,
    /// It was further before: this is not the server that answered over this connection until now.
    WentBack,
    /// It answered as something else than it is known as.
    OtherRole,
}

/// What a primary said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrimarySaid {
    pub(crate) asked: Instant,
    pub(crate) answered: Instant,
    /// Its insert position, and the same as replay will see it.
    pub(crate) inserted: Lsn,
    pub(crate) normalised: Lsn,
    /// No transaction from this on had ended.
    pub(crate) ended: Xid,
    pub(crate) timeline: u32,
}

/// What a replica said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplicaSaid {
    pub(crate) asked: Instant,
    pub(crate) answered: Instant,
    pub(crate) replayed: Lsn,
    /// What it has received, which is not less; `None` where it does not know.
    pub(crate) received: Option<Lsn>,
    /// All transactions before this have ended there.
    pub(crate) ended: Xid,
    /// Not greater than its real timeline; `None` where it cannot tell.
    pub(crate) timeline: Option<u32>,
}

impl Positions {
    /// The timeline that a replica must have reached to count.
    pub(crate) fn timeline(&self) -> Option<u32> {
        self.source.map(|source| source.timeline)
    }

    /// Takes in a primary's answer. `topology` is as it was when the answer was there.
    ///
    /// It counts only while this server is still known as the primary. Whoever writes through weir wrote to this server
    /// then until after `asked`: the sample covers all writes that were acknowledged before it, whatever happens next.
    pub(crate) fn primary_said(
        &mut self,
        topology: &Topology,
        demand: &Demand,
        server: ServerId,
        said: PrimarySaid,
    ) -> Standing {
        if topology.primary().is_none_or(|primary| primary.id != server) {
            self.lost(topology, server);
            return Standing::OtherRole;
        }
        let source = Source { server, timeline: said.timeline };
        if self.source != Some(source) {
            self.drop_samples(topology, demand);
            self.source = Some(source);
        }
        self.samples.push(said.asked, said.normalised);
        self.ended.push(said.asked, said.ended);
        for known in &topology.servers {
            let reached = self.replicas.get_mut(&known.id);
            let ahead = |r: &&mut Reached| r.answered <= said.asked && r.replayed > said.inserted;
            if let Some(reached) = reached.filter(ahead) {
                reached.standing = Standing::Ahead;
                known.freshness.forget();
            }
        }
        self.vouch(topology, demand, said.asked);
        demand.sampled(said.asked, said.answered, said.normalised);
        Standing::Follows
    }

    /// What a replica has replayed it has, so that it need not be asked again to be known to have what the primary was just
    /// found to have: where nothing is written, a read that waits for a fresh answer waits for the primary's alone. Not so of
    /// one that has not answered for longer than any is left alone: it may hang.
    fn vouch(&mut self, topology: &Topology, demand: &Demand, asked: Instant) {
        for known in &topology.servers {
            let Some(reached) = self.replicas.get(&known.id).copied() else { continue };
            let silence = asked.saturating_duration_since(reached.answered);
            if reached.standing != Standing::Follows || silence > pace::ALONE_MAX {
                continue;
            }
            let through = self.through(reached.replayed, reached.ended, demand.untransacted());
            if through > reached.through
                && let Some(through) = through
            {
                known.freshness.advance(through);
                self.replicas.insert(known.id, Reached { through: Some(through), ..reached });
            }
        }
    }

    /// Takes in a replica's answer. `topology` is as it was when the answer was there.
    pub(crate) fn replica_said(
        &mut self,
        topology: &Topology,
        demand: &Demand,
        server: ServerId,
        said: ReplicaSaid,
    ) -> Standing {
        let Some(replica) = topology.server(server).filter(|server| server.role == Role::Replica) else {
            self.lost(topology, server);
            return Standing::OtherRole;
        };
        self.review(topology, demand);
        let before = self.replicas.remove(&server);
        if before.is_some_and(|before| before.replayed > said.replayed) {
            replica.freshness.forget();
            return Standing::WentBack;
        }
        let standing = self.standing(before, said.timeline);
        let mut reached = Reached {
            replayed: said.replayed,
            ended: said.ended,
            answered: said.answered,
            through: None,
            standing,
        };
        if standing == Standing::Follows {
            let found = self.through(said.replayed, said.ended, demand.untransacted());
            reached.through = found.max(before.and_then(|b| b.through));
            replica.freshness.receives(said.received);
            self.publish(replica, said.asked, reached);
        } else {
            replica.freshness.forget();
        }
        self.replicas.insert(server, reached);
        // Though it has not moved: that it answered is what a connection opened a moment ago waits for.
        demand.learned();
        standing
    }

    /// The instant such that a replica that has come so far holds whatever was acknowledged before it. Either measure suffices,
    /// but what was written without a transaction at `untransacted` only a position vouches for.
    fn through(&self, replayed: Lsn, ended: Xid, untransacted: Option<Instant>) -> Option<Instant> {
        let by_position = self.samples.through(replayed);
        let by_transactions = self.ended.through(ended);
        let vouched = match untransacted {
            Some(_) if by_position <= untransacted => by_transactions.min(untransacted),
            _ => by_transactions,
        };
        by_position.max(vouched)
    }

    /// A server's control connection is gone, and with it the certainty that it is still the server that answered: it
    /// may be another life of it, which begins with less. The same where the server itself was removed: then
    /// `topology` is as it was before. What a primary that is gone said goes on being true of the replicas.
    pub(crate) fn lost(&mut self, topology: &Topology, server: ServerId) {
        self.replicas.remove(&server);
        if let Some(server) = topology.server(server) {
            server.freshness.forget();
        }
    }

    /// Drops what another primary than the present one said.
    pub(crate) fn review(&mut self, topology: &Topology, demand: &Demand) {
        let other = |source: Source| topology.primary().is_some_and(|primary| primary.id != source.server);
        if self.source.is_some_and(other) {
            self.drop_samples(topology, demand);
        }
    }

    fn standing(&self, before: Option<Reached>, timeline: Option<u32>) -> Standing {
        match self.source {
            _ if before.is_some_and(|before| before.standing == Standing::Ahead) => Standing::Ahead,
            None => Standing::Unproven,
            // No timeline is lower than the first.
            Some(source) if timeline.unwrap_or(1) < source.timeline => Standing::OlderTimeline,
            Some(_) => Standing::Follows,
        }
    }

    fn publish(&self, replica: &Server, asked: Instant, reached: Reached) {
        let newest = self.samples.position().map_or(0, |position| position.0);
        let behind = newest.saturating_sub(reached.replayed.0);
        replica.freshness.publish(asked, reached.replayed, behind, reached.through);
    }

    /// What replicas were found to hold is kept by none of them: on another timeline it need not be there.
    fn drop_samples(&mut self, topology: &Topology, demand: &Demand) {
        self.source = None;
        self.samples.clear();
        self.ended.clear();
        demand.forget();
        for reached in self.replicas.values_mut() {
            (reached.through, reached.standing) = (None, Standing::Unproven);
        }
        topology.servers.iter().for_each(|server| server.freshness.forget());
    }
}

#[cfg(test)]
#[path = "positions_tests.rs"]
mod tests;
