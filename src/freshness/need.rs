//! What a read needs of the replica that serves it.

use std::time::{Duration, Instant};

use super::{Freshness, Lsn};

/// Where and when a session last looked at data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<Id> {
    /// Where.
    pub server: Id,
    /// When the answer was complete.
    pub at: Instant,
}

/// The moment at which a need is weighed, and how things stand with the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Now.
    pub now: Instant,
    /// Whether there is a primary.
    pub primary: Primary,
}

/// How things stand with the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primary {
    /// There is one: whatever it holds can be had there.
    There,
    /// There is none at the moment, and whoever needs what it alone has waits for it.
    Missing(Missing),
    /// There has been none for so long that nobody waits any more, and this is how far the furthest replica is. What was
    /// acknowledged afterwards, in the last moments of the primary, can be had nowhere: a replica that holds what any does
    /// is as good as it gets, and grows no older.
    Gone(Option<Furthest>),
}

/// How far the replica is that has come furthest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Furthest {
    /// It is fresh through this, as others may be that have less of what came after the last answer of the primary.
    pub through: Instant,
    /// It has replayed this, and so have those that hold what it does.
    pub replayed: Lsn,
}

/// What is known while there is no primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Since when. Nothing is acknowledged from then on, so that no replica grows older.
    pub since: Instant,
    /// What it has left to its replicas; `None` where some of them does not tell.
    pub legacy: Option<Legacy>,
}

/// What a primary that is gone has left to its replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Legacy {
    /// When the replica was asked that has not been asked for longest.
    pub asked: Instant,
    /// How far the one has received that has received most. None of them will ever have more.
    pub received: Lsn,
}

/// Writes that may have happened though nobody was told so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// When the last of them was given up: it has happened before this or never will.
    pub at: Instant,
    /// When anybody last looked, on the primary, at what they may have written.
    pub looked: Option<Instant>,
}

/// What a replica must hold to serve a read. `Id` names servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need<Id> {
    /// Everything that was acknowledged before this.
    pub written: Option<Instant>,
    /// These too, and without a primary what there is of them.
    pub doubt: Option<Doubt>,
    /// The same as what was acknowledged before this, even if there is no primary any more that could tell.
    pub strictly: Option<Instant>,
    /// What the session saw last, unless it saw it there.
    pub seen: Option<Seen<Id>>,
    /// At most this old.
    pub max_staleness: Option<Duration>,
    /// Replayed up to here.
    pub min_lsn: Option<Lsn>,
}

impl<Id: Copy + PartialEq> Need<Id> {
    /// Nothing: any replica will do, however old.
    pub const NOTHING: Self =
        Self { written: None, doubt: None, strictly: None, seen: None, max_staleness: None, min_lsn: None };

    /// Whether any replica meets it, whatever is known of that.
    pub fn is_nothing(&self) -> bool {
        *self == Self::NOTHING
    }

    /// The instant through which a replica must be fresh if the session never looked at it before: what to have
    /// samples taken for.
    pub fn through(&self, moment: Moment) -> Option<Instant> {
        self.through_seen(self.seen.map(|seen| seen.at), moment)
    }

    /// The same where only this counts of what the session saw.
    fn through_seen(&self, seen: Option<Instant>, moment: Moment) -> Option<Instant> {
        let (known, present) = match moment.primary {
            Primary::There => (self.last(seen), Some(moment.now)),
            // What is in doubt is another matter then.
            Primary::Missing(missing) => (self.written.max(seen), Some(missing.since)),
            Primary::Gone(best) => {
                let best = best.map(|best| best.through);
                (self.last(seen).min(best), best)
            }
        };
        let oldest = present.zip(self.max_staleness).and_then(|(present, age)| present.checked_sub(age));
        known.max(oldest).max(self.strictly)
    }

    /// Until when what it asks for may have happened, where this counts of what the session saw.
    fn last(&self, seen: Option<Instant>) -> Option<Instant> {
        self.written.max(seen).max(self.doubt.map(|doubt| doubt.at))
    }

    /// Whether a replica meets it over a connection that was opened at `opened`, or may meet it over some connection
    /// when that is `None`.
    pub fn is_met(&self, server: Id, freshness: &Freshness, opened: Option<Instant>, moment: Moment) -> bool {
        // In this order: see `Freshness::publish`.
        let sampled = freshness.sampled();
        // A replica does not go back, as long as it lives.
        let same = |seen: &Seen<Id>| {
            seen.server == server && opened.is_none_or(|opened| freshness.is_life_of(seen.at, opened))
        };
        let seen = self.seen.filter(|seen| !same(seen)).map(|seen| seen.at);
        let through = self.through_seen(seen, moment);
        let doubt = match moment.primary {
            Primary::Missing(missing) => self.doubt.map(|doubt| (doubt, missing.legacy)),
            Primary::There | Primary::Gone(_) => None,
        };
        // What nobody can be asked about is where there is most of it: who saw it there sees it again.
        let furthest = match moment.primary {
            Primary::Gone(Some(best)) if self.last(seen) > Some(best.through) => Some(best.replayed),
            _ => None,
        };
        let replayed = self.min_lsn.max(furthest);
        if through.is_none() && doubt.is_none() && replayed.is_none() {
            return true;
        }
        // What was sampled was this life of the server.
        opened.is_none_or(|opened| sampled.is_some_and(|sampled| sampled >= opened))
            && through.is_none_or(|needed| freshness.through().is_some_and(|through| through >= needed))
            && doubt.is_none_or(|(doubt, legacy)| doubt.is_settled(freshness, legacy))
            && replayed.is_none_or(|lsn| freshness.replayed() >= lsn)
    }
}

impl Doubt {
    /// Whether a replica has all that there will ever be of these writes, as long as there is no primary: as all that do
    /// show the same, nobody who sees one of them finds it gone in his next read, or another in theirs.
    fn is_settled(self, freshness: &Freshness, legacy: Option<Legacy>) -> bool {
        let through = freshness.through();
        let inherits = |legacy: Legacy| legacy.asked >= self.at && freshness.replayed() >= legacy.received;
        // What somebody saw on the primary nobody else has a second source for.
        through >= Some(self.at) || (through >= self.looked && legacy.is_some_and(inherits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEED: Need<u8> = Need::NOTHING;

    fn at(epoch: Instant, ms: u64) -> Instant {
        epoch + Duration::from_millis(ms)
    }

    fn there(now: Instant) -> Moment {
        Moment { now, primary: Primary::There }
    }

    fn gone(epoch: Instant, through: u64, replayed: u64) -> Primary {
        Primary::Gone(Some(Furthest { through: at(epoch, through), replayed: Lsn(replayed) }))
    }

    /// A replica that answered a sample asked for at 50 ms and is fresh through 40 ms.
    fn replica(epoch: Instant) -> Freshness {
        let freshness = Freshness::new(epoch);
        freshness.publish(at(epoch, 50), Lsn(100), 0, Some(at(epoch, 40)));
        freshness
    }

    fn met(need: &Need<u8>, epoch: Instant, opened: u64) -> bool {
        need.is_met(1, &replica(epoch), Some(at(epoch, opened)), there(at(epoch, 60)))
    }

    #[test]
    fn whoever_needs_nothing_takes_any_replica() {
        let epoch = Instant::now();
        assert!(NEED.is_met(1, &Freshness::new(epoch), Some(epoch), there(epoch)));
        let some = Need { written: Some(epoch), ..NEED };
        assert!(!some.is_met(1, &Freshness::new(epoch), None, there(epoch)), "of which nothing is known");
    }

    #[test]
    fn what_was_written_before_the_instant_is_there() {
        let epoch = Instant::now();
        let wrote = |ms| Need { written: Some(at(epoch, ms)), ..NEED };
        assert!(met(&wrote(40), epoch, 0) && !met(&wrote(41), epoch, 0));
    }

    #[test]
    fn a_connection_opened_after_the_sample_may_lead_to_another_life_of_the_server() {
        let epoch = Instant::now();
        let need = Need { written: Some(at(epoch, 10)), ..NEED };
        assert!(met(&need, epoch, 50) && !met(&need, epoch, 51));
    }

    #[test]
    fn what_was_seen_elsewhere_must_be_there_and_what_was_seen_here_is() {
        let epoch = Instant::now();
        let saw = |server, ms| Need { seen: Some(Seen { server, at: at(epoch, ms) }), ..NEED };
        assert!(met(&saw(2, 40), epoch, 0) && !met(&saw(2, 41), epoch, 0));
        assert!(met(&saw(1, 45), epoch, 45), "seen here, in this life");
        assert!(
            !met(&saw(1, 45), epoch, 46),
            "the connection is younger: the server may have been restarted"
        );
    }

    #[test]
    fn age_counts_from_now_or_without_a_primary_from_the_freshest_replica() {
        let epoch = Instant::now();
        let age = |ms| Need { max_staleness: Some(Duration::from_millis(ms)), ..NEED };
        assert!(met(&age(20), epoch, 0) && !met(&age(19), epoch, 0));
        let late = Moment { now: at(epoch, 10_000), primary: gone(epoch, 45, 100) };
        assert!(
            age(5).is_met(1, &replica(epoch), None, late) && !age(4).is_met(1, &replica(epoch), None, late)
        );
    }

    #[test]
    fn without_a_primary_nothing_newer_than_the_best_replica_has_is_asked_for() {
        let epoch = Instant::now();
        let gone = |best: Option<u64>| {
            let primary = best.map_or(Primary::Gone(None), |through| gone(epoch, through, 100));
            Moment { now: at(epoch, 60), primary }
        };
        let wrote =
            Need { written: Some(at(epoch, 55)), seen: Some(Seen { server: 2, at: at(epoch, 56) }), ..NEED };
        let strong = Need { strictly: Some(at(epoch, 55)), ..NEED };
        let met = |need: &Need<u8>, moment| need.is_met(1, &replica(epoch), None, moment);
        assert!(!met(&wrote, there(at(epoch, 60))));
        assert!(met(&wrote, gone(Some(40))), "it is the best");
        assert!(!met(&wrote, gone(Some(41))), "another is better");
        assert!(met(&wrote, gone(None)), "of none is anything known");
        assert!(!met(&strong, gone(Some(40))) && !met(&strong, gone(None)));
        assert!(wrote.is_met(1, &Freshness::new(epoch), Some(epoch), gone(None)), "nor any replica sampled");
    }

    #[test]
    fn of_two_replicas_that_are_as_fresh_the_one_serves_that_is_ahead() {
        let epoch = Instant::now();
        let met = |need: Need<u8>, replayed| {
            let moment = Moment { now: at(epoch, 10_000), primary: gone(epoch, 40, replayed) };
            need.is_met(1, &replica(epoch), None, moment)
        };
        let wrote = |ms| Need { written: Some(at(epoch, ms)), ..NEED };
        assert!(met(wrote(41), 100) && !met(wrote(41), 101), "the other may hold it, and has shown it");
        assert!(met(wrote(40), 101), "both hold it");
        let doubt = |ms| Need { doubt: Some(Doubt { at: at(epoch, ms), looked: None }), ..NEED };
        assert!(met(doubt(41), 100) && !met(doubt(41), 101) && met(doubt(40), 101));
        let saw = |server| Need { seen: Some(Seen { server, at: at(epoch, 41) }), ..NEED };
        assert!(!met(saw(2), 101) && met(saw(1), 101), "what was seen here is here");
    }

    #[test]
    fn while_a_primary_is_missed_no_replica_grows_older() {
        let epoch = Instant::now();
        let missing = Primary::Missing(Missing { since: at(epoch, 60), legacy: None });
        let late = Moment { now: at(epoch, 10_000), primary: missing };
        let met = |need: Need<u8>| need.is_met(1, &replica(epoch), None, late);
        let age = |ms| Need { max_staleness: Some(Duration::from_millis(ms)), ..NEED };
        assert!(met(age(20)) && !met(age(19)));
        let wrote = |ms| Need { written: Some(at(epoch, ms)), ..NEED };
        assert!(met(wrote(40)) && !met(wrote(41)), "what was acknowledged is waited for");
        assert!(!met(Need { strictly: Some(at(epoch, 41)), ..NEED }));
    }

    #[test]
    fn what_nobody_was_told_of_is_where_all_is_that_the_primary_has_left() {
        let epoch = Instant::now();
        let doubt = |looked| Doubt { at: at(epoch, 45), looked };
        let met = |doubt, primary| {
            let need = Need { doubt: Some(doubt), ..NEED };
            need.is_met(1, &replica(epoch), None, Moment { now: at(epoch, 60), primary })
        };
        let missing = |asked, received| {
            let legacy = Some(Legacy { asked: at(epoch, asked), received: Lsn(received) });
            Primary::Missing(Missing { since: at(epoch, 55), legacy })
        };
        assert!(!met(doubt(None), Primary::There), "the primary may have it");
        assert!(met(doubt(None), missing(45, 100)));
        assert!(!met(doubt(None), missing(44, 100)), "more may have come since");
        assert!(!met(doubt(None), missing(45, 101)), "another replica has more, or this one will");
        assert!(!met(doubt(None), Primary::Missing(Missing { since: at(epoch, 55), legacy: None })));
        assert!(met(doubt(Some(at(epoch, 40))), missing(45, 100)));
        assert!(!met(doubt(Some(at(epoch, 41))), missing(45, 100)), "somebody may have seen it");
        assert!(met(doubt(None), gone(epoch, 40, 100)), "it is the best");
        let old = Doubt { at: at(epoch, 40), looked: Some(at(epoch, 50)) };
        assert!(met(old, missing(0, 101)), "a sample tells that it is there, if it ever was");
    }

    #[test]
    fn a_position_is_compared_with_what_was_replayed() {
        let epoch = Instant::now();
        let lsn = |lsn| Need { min_lsn: Some(Lsn(lsn)), ..NEED };
        assert!(met(&lsn(100), epoch, 0) && !met(&lsn(101), epoch, 0));
    }
}
