use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::freshness::Freshness;

/// A primary and two replicas, and what is known of them. Time is in milliseconds.
struct Stage {
    epoch: Instant,
    topology: Topology,
    demand: Demand,
    positions: Positions,
    /// What the primary and replicas say of their transactions. Unless a test has it otherwise, replicas lack some.
    ended: (Xid, Xid),
}

const PRIMARY: ServerId = ServerId(0);
const REPLICA: ServerId = ServerId(1);
const OTHER: ServerId = ServerId(2);

impl Stage {
    fn new() -> Self {
        let epoch = Instant::now();
        let server = |(index, role)| Server {
            role,
            freshness: Arc::new(Freshness::new(epoch)),
            ..Server::example(index)
        };
        let roles = [(0, Role::Primary), (1, Role::Replica), (2, Role::Replica)];
        let topology = Topology { servers: roles.map(server).to_vec() };
        Self {
            epoch,
            topology,
            demand: Demand::new(epoch),
            positions: Positions::default(),
            ended: (Xid(100), Xid(99)),
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.epoch + Duration::from_millis(ms)
    }

    fn set_roles(&mut self, roles: [Role; 3]) {
        self.topology.servers.iter_mut().zip(roles).for_each(|(server, role)| server.role = role);
    }

    /// A primary, asked at `ms`, answers a millisecond later.
    fn primary(&mut self, server: ServerId, timeline: u32, ms: u64, inserted: u64) -> Standing {
        let said = PrimarySaid {
            asked: self.at(ms),
            answered: self.at(ms + 1),
            inserted: Lsn(inserted),
            normalised: Lsn(inserted).as_replayed(8192, 16 << 20),
            ended: self.ended.0,
            timeline,
        };
        self.positions.primary_said(&self.topology, &self.demand, server, said)
    }

    /// A replica, asked at `ms`, answers a millisecond later.
    fn replica(&mut self, server: ServerId, timeline: Option<u32>, ms: u64, replayed: u64) -> Standing {
        self.replica_with(server, timeline, ms, (replayed, Some(replayed)))
    }

    /// The same of one that has replayed and received so much.
    fn replica_with(
        &mut self,
        server: ServerId,
        timeline: Option<u32>,
        ms: u64,
        (replayed, received): (u64, Option<u64>),
    ) -> Standing {
        let (asked, answered) = (self.at(ms), self.at(ms + 1));
        let (replayed, received, ended) = (Lsn(replayed), received.map(Lsn), self.ended.1);
        let said = ReplicaSaid { asked, answered, replayed, received, ended, timeline };
        self.positions.replica_said(&self.topology, &self.demand, server, said)
    }

    fn freshness(&self, server: ServerId) -> &Freshness {
        &self.topology.server(server).unwrap().freshness
    }

    /// Through when a server is known to be fresh, in milliseconds.
    fn through(&self, server: ServerId) -> Option<u128> {
        self.freshness(server).through().map(|through| (through - self.epoch).as_millis())
    }

    fn is_forgotten(&self, server: ServerId) -> bool {
        let freshness = self.freshness(server);
        (freshness.through(), freshness.sampled(), freshness.replayed()) == (None, None, Lsn(0))
    }
}

#[test]
fn a_replica_is_fresh_through_the_last_sample_that_it_has_reached() {
    let mut stage = Stage::new();
    stage.primary(PRIMARY, 1, 10, 100);
    stage.primary(PRIMARY, 1, 20, 200);
    assert_eq!(stage.replica(REPLICA, None, 30, 150), Standing::Follows);
    assert_eq!(stage.through(REPLICA), Some(10));
    let freshness = stage.freshness(REPLICA);
    assert_eq!((freshness.sampled(), freshness.replayed()), (Some(stage.at(30)), Lsn(150)));
    assert_eq!(freshness.behind(), Some(50));
    assert_eq!(stage.demand.newest(), Some(stage.at(20)));
    assert_eq!(stage.demand.answered(), Some(stage.at(21)));
    assert_eq!(stage.demand.position(), Some((Lsn(200), stage.at(20))));
    assert_eq!(stage.through(OTHER), None, "it was not asked");
}

#[test]
fn an_insert_position_behind_a_header_is_reached_in_front_of_it() {
    let mut stage = Stage::new();
    stage.primary(PRIMARY, 1, 10, 3 * 8192 + 24);
    stage.replica(REPLICA, None, 20, 3 * 8192);
    assert_eq!((stage.through(REPLICA), stage.freshness(REPLICA).behind()), (Some(10), Some(0)));
}

#[test]
fn a_replica_that_does_not_answer_grows_no_fresher() {
    let mut stage = Stage::new();
    stage.primary(PRIMARY, 1, 10, 100);
    stage.replica(REPLICA, None, 20, 100);
    stage.primary(PRIMARY, 1, 30, 101);
    assert_eq!(stage.through(REPLICA), Some(10));
    stage.replica(REPLICA, None, 40, 101);
    assert_eq!(stage.through(REPLICA), Some(30));
    // Whoever has not answered for so long may hang, whatever he has.
    stage.primary(PRIMARY, 1, 1042, 101);
    assert_eq!(stage.through(REPLICA), Some(30));
}

#[test]
fn a_replica_that_is_known_to_be_there_is_not_asked_again() {
    let mut stage = Stage::new();
    stage.primary(PRIMARY, 1, 10, 100);
    stage.replica(REPLICA, None, 20, 100);
    stage.replica(OTHER, None, 20, 99);
    stage.primary(PRIMARY, 1, 30, 100);
    assert_eq!((stage.through(REPLICA), stage.through(OTHER)), (Some(30), None));
    let freshness = stage.freshness(REPLICA);
    assert_eq!((freshness.sampled(), freshness.replayed()), (Some(stage.at(20)), Lsn(100)), "as it said");
    // It lacks WAL, and no transaction.
    stage.ended = (Xid(100), Xid(100));
    stage.replica(OTHER, None, 40, 99);
    stage.primary(PRIMARY, 1, 50, 120);
    assert_eq!(stage.through(OTHER), Some(50));
    // Not what no transaction stands for.
    stage.demand.wrote_untransacted(stage.at(60));
    stage.primary(PRIMARY, 1, 70, 130);
    assert_eq!(stage.through(OTHER), Some(60));
    // Nor in another life, nor on another timeline.
    stage.positions.lost(&stage.topology, REPLICA);
    stage.primary(PRIMARY, 1, 80, 130);
    assert!(stage.is_forgotten(REPLICA));
    stage.primary(PRIMARY, 2, 90, 130);
    assert!(stage.is_forgotten(OTHER));
}

#[test]
fn without_a_primary_nothing_is_known() {
    let mut stage = Stage::new();
    assert_eq!(stage.replica(REPLICA, Some(1), 10, 100), Standing::Unproven);
    assert!(stage.is_forgotten(REPLICA));
}

#[test]
fn only_the_primary_s_samples_count() {
    let mut stage = Stage::new();
    assert_eq!(stage.primary(REPLICA, 2, 10, 100), Standing::OtherRole);
    assert_eq!((stage.demand.newest(), stage.positions.timeline()), (None, None));
    stage.primary(PRIMARY, 1, 20, 100);
    stage.replica(REPLICA, None, 30, 100);
    assert_eq!(stage.primary(REPLICA, 2, 40, 500), Standing::OtherRole, "it was promoted");
    assert!(stage.is_forgotten(REPLICA));
    assert_eq!(stage.replica(PRIMARY, Some(1), 50, 100), Standing::OtherRole, "it was made a replica");
    assert_eq!(stage.demand.newest(), Some(stage.at(20)));
}

#[test]
fn another_primary_begins_anew() {
    let mut stage = Stage::new();
    stage.primary(PRIMARY, 1, 10, 100);
    stage.replica(REPLICA, Some(1), 20, 100);
    stage.replica(OTHER, Some(1), 20, 100);
    stage.set_roles([Role::Unknown, Role::Primary, Role::Replica]);
    stage.positions.review(&stage.topology, &stage.demand);
    assert!(stage.is_forgotten(REPLICA) && stage.is_forgotten(OTHER));
    assert_eq!((stage.demand.newest(), stage.demand.position()), (None, None));

    assert_eq!(stage.primary(PRIMARY, 1, 30, 150), Standing::OtherRole);
    assert_eq!(stage.primary(REPLICA, 2, 30, 150), Standing::Follows);
    assert_eq!(stage.replica(OTHER, Some(1), 40, 900), Standing::OlderTimeline);
    assert!(stage.is_forgotten(OTHER), "its position means nothing, though it is higher");
    assert_eq!(stage.replica(OTHER, None, 50, 900), Standing::OlderTimeline, "it cannot tell");
}

/// What it held of the old samples says nothing of the new ones, though its own position has not changed.
#[test]
fn a_new_timeline_begins_anew() {
    let mut stage = Stage::new();
    stage.primary(PRIMARY, 1, 10, 100);
    stage.replica(REPLICA, Some(1), 20, 100);
    stage.primary(PRIMARY, 2, 30, 200);
    assert!(stage.is_forgotten(REPLICA));
    assert_eq!(stage.replica(REPLICA, Some(2), 40, 100), Standing::Follows);
    assert_eq!((stage.through(REPLICA), stage.freshness(REPLICA).replayed()), (None, Lsn(100)));
    stage.replica(REPLICA, Some(2), 50, 200);
    assert_eq!(stage.through(REPLICA), Some(30));
}

#[test]
fn a_replica_with_a_higher_timeline_knows_more_than_we_do() {
    let mut stage = Stage::new();
    stage.primary(PRIMARY, 2, 10, 100);
    assert_eq!(stage.replica(REPLICA, Some(3), 20, 100), Standing::Follows);
}

#[test]
fn a_lost_connection_ends_what_is_known() {
    let mut stage = Stage::new();
    stage.primary(PRIMARY, 1, 10, 100);
    stage.primary(PRIMARY, 1, 20, 200);
    stage.replica(REPLICA, None, 30, 200);
    stage.positions.lost(&stage.topology, REPLICA);
    assert!(stage.is_forgotten(REPLICA));
    assert_eq!(stage.replica(REPLICA, None, 40, 100), Standing::Follows, "it came back with less");
    assert_eq!(stage.through(REPLICA), Some(10));
}

#[test]
fn who_goes_back_over_one_connection_is_somebody_else() {
    let mut stage = Stage::new();
    stage.primary(PRIMARY, 1, 10, 100);
    stage.replica(REPLICA, None, 20, 100);
    assert_eq!(stage.replica(REPLICA, None, 30, 99), Standing::WentBack);
    assert!(stage.is_forgotten(REPLICA));
}

/// The primary was put back to an older state of itself, by a copy of its disk. It writes again what the replica has in
/// another form, and soon stands where the replica has always been.
#[test]
fn a_replica_ahead_of_its_primary_is_never_fresh_again() {
    let mut stage = Stage::new();
    stage.primary(PRIMARY, 1, 10, 500);
    stage.replica(REPLICA, Some(1), 20, 500);
    assert_eq!(stage.through(REPLICA), Some(10));
    stage.primary(PRIMARY, 1, 30, 200);
    assert!(stage.is_forgotten(REPLICA));
    assert_eq!(stage.replica(REPLICA, Some(1), 40, 500), Standing::Ahead);
    stage.primary(PRIMARY, 1, 50, 600);
    assert_eq!(stage.replica(REPLICA, Some(1), 60, 500), Standing::Ahead);
    assert!(stage.is_forgotten(REPLICA));
    // Until it is connected to anew, or follows somebody else.
    stage.positions.lost(&stage.topology, REPLICA);
    assert_eq!(stage.replica(REPLICA, Some(1), 70, 600), Standing::Follows);
}

#[test]
fn a_replica_may_overtake_a_sample_that_was_on_its_way() {
    let mut stage = Stage::new();
    stage.primary(PRIMARY, 1, 10, 100);
    // Asked when the primary was asked, it answers later.
    stage.replica(REPLICA, None, 20, 300);
    stage.primary(PRIMARY, 1, 20, 200);
    assert_eq!(stage.replica(REPLICA, None, 30, 300), Standing::Follows);
    assert_eq!(stage.through(REPLICA), Some(20));
}

#[test]
fn what_was_true_stays_true_while_samples_are_thinned() {
    let mut stage = Stage::new();
    (1..=3000).for_each(|ms| _ = stage.primary(PRIMARY, 1, ms, 8_192_000 + ms * 64));
    let replayed = 8_192_000 + 2900 * 64;
    stage.replica(REPLICA, None, 3000, replayed);
    assert_eq!(stage.through(REPLICA), Some(2900));
    for ms in 3001..=20_000 {
        stage.primary(PRIMARY, 1, ms, 8_192_000 + ms * 64);
        stage.replica(REPLICA, None, ms, replayed);
        assert_eq!(stage.through(REPLICA), Some(2900), "at {ms}");
    }
}

#[test]
fn a_replica_that_lacks_wal_but_no_transaction_is_fresh() {
    let mut stage = Stage::new();
    stage.primary(PRIMARY, 1, 10, 500);
    stage.replica(REPLICA, None, 20, 400);
    assert_eq!(stage.through(REPLICA), None, "a transaction has ended that it does not know the end of");
    stage.ended = (Xid(100), Xid(100));
    stage.replica(REPLICA, None, 30, 400);
    assert_eq!(stage.through(REPLICA), Some(10));
    // Another one ends, and then all WAL is there, though an older transaction still runs.
    stage.ended = (Xid(102), Xid(100));
    stage.primary(PRIMARY, 1, 40, 600);
    stage.replica(REPLICA, None, 50, 500);
    assert_eq!(stage.through(REPLICA), Some(10));
    stage.replica(REPLICA, None, 60, 600);
    assert_eq!(stage.through(REPLICA), Some(40));
}

#[test]
fn what_no_transaction_stands_for_needs_a_position() {
    let mut stage = Stage::new();
    stage.ended = (Xid(100), Xid(100));
    stage.primary(PRIMARY, 1, 10, 100);
    stage.replica(REPLICA, None, 12, 90);
    assert_eq!(stage.through(REPLICA), Some(10), "it lacks no transaction");
    // A VACUUM, whose write-ahead log nobody flushes at its end.
    stage.demand.wrote_untransacted(stage.at(20));
    stage.primary(PRIMARY, 1, 30, 200);
    stage.replica(REPLICA, None, 32, 90);
    assert_eq!(stage.through(REPLICA), Some(20), "no further than to the VACUUM");
    stage.replica(REPLICA, None, 40, 200);
    assert_eq!(stage.through(REPLICA), Some(30));
    stage.primary(PRIMARY, 1, 50, 300);
    stage.replica(REPLICA, None, 52, 200);
    assert_eq!(stage.through(REPLICA), Some(50), "it is known to have replayed the VACUUM");
}

#[test]
fn what_a_replica_has_received_is_known_as_long_as_the_rest() {
    let mut stage = Stage::new();
    stage.primary(PRIMARY, 1, 10, 100);
    for (received, at_rest) in [(Some(150), false), (Some(120), true), (None, false)] {
        stage.replica_with(REPLICA, Some(1), 20, (120, received));
        let freshness = stage.freshness(REPLICA);
        assert_eq!((freshness.received(), freshness.is_at_rest()), (received.map(Lsn), at_rest));
    }
    stage.replica_with(REPLICA, Some(1), 30, (120, Some(150)));
    stage.positions.lost(&stage.topology, REPLICA);
    assert_eq!(stage.freshness(REPLICA).received(), None);
}
