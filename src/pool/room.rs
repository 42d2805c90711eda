//! Whether a server has room for another connection of one pool. It says so only when it is asked, by refusing (53300),
//! and there are many reasons: its own limit, slots that are reserved, a limit of the role or of the database. So what a
//! pool can have is what it has when it is refused, until asking again tells otherwise: after a pause that grows, one
//! connection at a time. It never counts connections, nor opens any.

use std::time::{Duration, Instant};

use super::terms::PoolKey;
use crate::error::Error;

/// The pause after the first refusal, doubled with each that follows.
const PAUSE_FIRST: Duration = Duration::from_millis(50);

/// The longest pause: a server that is full costs a pool, and a pool costs the server, one attempt in this time.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A server that has refused nothing for so long is asked as one that never has.
const CALM: Duration = Duration::from_secs(10);

/// Time between two lines in the log.
const TOLD: Duration = Duration::from_secs(60);

/// What is known of the room that a server has for one pool.
#[derive(Debug, Default)]
pub(super) struct Room {
    full: Option<Full>,
    told: Option<Instant>,
    /// When another pool was last asked to make room for this one.
    asked: Option<Instant>,
}

/// A server that has refused another connection.
#[derive(Debug)]
struct Full {
    words: Words,
    refused: Instant,
    /// Not before this is it asked again.
    next: Instant,
    pause: Duration,
}

/// What it said.
#[derive(Clone, Debug)]
struct Words {
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

/// Who shares the limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All who log in to the server.
    Server,
    /// All who do as this user.
    User,
    /// All who do to this database.
    Database,
    /// One of these two, which have one name.
    UserOrDatabase,
}

impl Scope {
    /// As the server's words tell, in whatever language: they name what has a limit of its own.
    pub(super) fn of(error: &Error, key: &PoolKey) -> Self {
        let Error::Refused { message, .. } = error else { return Self::Server };
        let names = |name: &str| {
            let mut found = message.match_indices(name);
            found.any(|(at, _)| {
                is_quote(message[..at].chars().last(), message[at + name.len()..].chars().next())
            })
        };
        match (names(&key.user), names(&key.database)) {
            (true, true) => Self::UserOrDatabase,
            (true, false) => Self::User,
            (false, true) => Self::Database,
            (false, false) => Self::Server,
        }
    }

    /// Whether a connection less of that pool is a place for one of this.
    pub(super) fn covers(self, this: &PoolKey, other: &PoolKey) -> bool {
        match self {
            Self::Server => true,
            Self::User => this.user == other.user,
            Self::Database => this.database == other.database,
            Self::UserOrDatabase => this.user == other.user || this.database == other.database,
        }
    }
}

/// Whether these stand around a name that is quoted, and are no part of a longer one.
fn is_quote(before: Option<char>, behind: Option<char>) -> bool {
    let outside = |c: Option<char>| c.is_some_and(|c| !c.is_alphanumeric() && !c.is_whitespace());
    outside(before) && outside(behind)
}

impl Room {
    /// Whether another connection may be asked for while so many are being opened.
    pub(super) fn may_open(&self, opening: usize, now: Instant) -> bool {
        self.lately(now).is_none_or(|full| opening == 0 && now >= full.next)
    }

    /// Whether the server has refused one lately.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.lately(now).is_some()
    }

    fn lately(&self, now: Instant) -> Option<&Full> {
        self.full.as_ref().filter(|full| now.saturating_duration_since(full.refused) < CALM)
    }

    /// What the server said when it refused one lately.
    pub(super) fn refusal(&self, now: Instant) -> Option<Error> {
        let Words { message, detail, hint } = self.lately(now)?.words.clone();
        Some(Error::Refused { sqlstate: "53300".into(), message, detail, hint })
    }

    /// The server has refused one. The pause before the next attempt; none when one is to be made already, as for all
    /// but the first of those that were under way together.
    pub(super) fn refused(&mut self, error: &Error, now: Instant) -> Option<Duration> {
        let Error::Refused { message, detail, hint, .. } = error else { return None };
        let words = Words { message: message.clone(), detail: detail.clone(), hint: hint.clone() };
        let before = self.lately(now).map(|full| (full.next, full.pause));
        let (next, pause) = match before {
            Some((next, pause)) if now < next => (next, pause),
            Some((_, pause)) => (now + pause, (pause * 2).min(PAUSE_MAX)),
            None => (now + PAUSE_FIRST, PAUSE_FIRST * 2),
        };
        self.full = Some(Full { words, refused: now, next, pause });
        before.is_none_or(|(next, _)| now >= next).then(|| next - now)
    }

    /// Whether another pool is to make room for this one. What has made none is tried ever more seldom: somebody else
    /// takes what comes free, or it counts for nothing.
    pub(super) fn asks_others(&mut self, now: Instant) -> bool {
        let pause = self.lately(now).map_or(Duration::ZERO, |full| full.pause);
        let due = self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= pause);
        if due {
            self.asked = Some(now);
        }
        due
    }

    /// One was opened: the next may follow at once.
    pub(super) fn opened(&mut self, now: Instant) {
        self.asked = None;
        if let Some(full) = &mut self.full {
            (full.next, full.pause) = (now, PAUSE_FIRST);
        }
    }

    /// A connection to the server was closed, and its place is free when its process has ended. When to ask again, if
    /// that is sooner than it would have been.
    pub(super) fn eased(&mut self, now: Instant) -> Option<Duration> {
        let full = self.full.as_mut()?;
        let sooner = now + PAUSE_FIRST;
        if full.next <= sooner {
            return None;
        }
        full.next = sooner;
        Some(PAUSE_FIRST)
    }

    /// Whether it is to be told that the server is full: once a minute.
    pub(super) fn tells(&mut self, now: Instant) -> bool {
        let due = self.told.is_none_or(|told| now.saturating_duration_since(told) >= TOLD);
        if due {
            self.told = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::topology::ServerId;

    fn refusal(message: &str) -> Error {
        Error::Refused { sqlstate: "53300".into(), message: message.into(), detail: None, hint: None }
    }

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[test]
    fn a_server_that_refuses_is_asked_ever_more_seldom_and_one_at_a_time() {
        let (mut room, start) = (Room::default(), Instant::now());
        assert!(room.may_open(7, start) && room.refusal(start).is_none());
        let full = refusal("sorry, too many clients already");
        assert_eq!(room.refused(&full, start), Some(ms(50)));
        assert_eq!(room.refused(&full, start + ms(1)), None, "it was under way already");
        let mut now = start;
        for pause in [50, 100, 200, 400, 800, 1000, 1000] {
            assert!(!room.may_open(0, now + ms(pause - 1)), "{pause}");
            now += ms(pause);
            assert!(room.may_open(0, now) && !room.may_open(1, now));
            room.refused(&full, now);
        }
        assert_eq!(room.refusal(now).unwrap().to_string(), "sorry, too many clients already");
        assert!(!room.is_full(now + CALM) && room.may_open(7, now + CALM));
        assert_eq!(room.refused(&full, now + CALM), Some(ms(50)));
    }

    #[test]
    fn where_there_was_room_the_next_is_asked_for_at_once() {
        let (mut room, start) = (Room::default(), Instant::now());
        let full = refusal("sorry, too many clients already");
        assert_eq!(room.eased(start), None);
        for n in 0..5 {
            room.refused(&full, start + ms(n * 1000));
        }
        let now = start + ms(4000);
        assert_eq!(room.eased(now), Some(ms(50)), "sooner than it would have been");
        assert_eq!(room.eased(now), None);
        assert!(!room.may_open(0, now) && room.may_open(0, now + ms(50)));
        room.opened(now + ms(60));
        assert!(room.may_open(0, now + ms(60)));
        assert_eq!(room.refused(&full, now + ms(61)), Some(ms(50)), "patience begins anew");
    }

    #[test]
    fn others_make_room_ever_more_seldom_where_it_does_not_help() {
        let (mut room, start) = (Room::default(), Instant::now());
        let full = refusal("sorry, too many clients already");
        // Each time what was closed has it ask again after 50 ms.
        let asked = (0..200).filter(|n| {
            let now = start + ms(n * 50);
            room.refused(&full, now);
            room.asks_others(now)
        });
        let asked: Vec<_> = asked.map(|n| n * 50).collect();
        let pauses: Vec<_> = asked.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(asked[0] == 0 && pauses.is_sorted() && pauses.ends_with(&[1000, 1000]), "{asked:?}");
        room.opened(start + ms(10_000));
        room.refused(&full, start + ms(10_001));
        assert!(room.asks_others(start + ms(10_001)), "it did help");
    }

    #[test]
    fn it_is_told_once_a_minute() {
        let (mut room, start) = (Room::default(), Instant::now());
        let told = |room: &mut Room, seconds| room.tells(start + Duration::from_secs(seconds));
        let told: Vec<_> = [0, 1, 59, 60, 61, 120].into_iter().map(|at| told(&mut room, at)).collect();
        assert_eq!(told, [true, false, false, true, false, true]);
    }

    #[test]
    fn the_words_tell_whose_limit_it_is() {
        let key = |database: &str, user: &str| PoolKey {
            server: ServerId(0),
            database: database.into(),
            user: user.into(),
        };
        let shop = key("shop", "too");
        for (message, scope) in [
            ("sorry, too many clients already", Scope::Server),
            ("remaining connection slots are reserved for roles with the SUPERUSER attribute", Scope::Server),
            ("too many connections for role \"too\"", Scope::User),
            ("zu viele Verbindungen für Rolle »too«", Scope::User),
            ("too many connections for database \"shop\"", Scope::Database),
            ("too many connections for database \"workshop\"", Scope::Server),
            ("", Scope::Server),
        ] {
            assert_eq!(Scope::of(&refusal(message), &shop), scope, "{message}");
        }
        let app = key("app", "app");
        let either = Scope::of(&refusal("too many connections for role \"app\""), &app);
        assert_eq!(either, Scope::UserOrDatabase);
        assert!(either.covers(&app, &key("app", "other")) && either.covers(&app, &key("other", "app")));
        assert!(!either.covers(&app, &shop), "none of this is any of his");
        assert!(Scope::User.covers(&shop, &key("other", "too")) && !Scope::User.covers(&shop, &app));
        assert!(Scope::Database.covers(&shop, &key("shop", "other")) && !Scope::Database.covers(&shop, &app));
        assert!(Scope::Server.covers(&shop, &app));
    }
}
