//! Whether a leg's server can be believed, by what the probes have found.
//!
//! Pure. A server that does not answer its probes may have been overtaken by another primary while it was silent: what it
//! says then may be lost, so that nobody may take it for committed.

use std::time::Instant;

use crate::cluster::topology::{Health, ServerId, Topology};
use crate::router::Route;

/// How a leg's server stands with the probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It answered the last one.
    #[default]
    Sound,
    /// It did not; this was first seen, or the replica was last heard, at this moment.
    Silent(Instant),
    /// It is no primary any more: another one is.
    Deposed,
}

impl Trust {
    /// What is now known of a server to which a leg was opened for this route.
    pub(crate) fn of(self, topology: &Topology, server: ServerId, route: Route, now: Instant) -> Self {
        // What runs on a server that was removed comes to its end.
        let Some(found) = topology.server(server) else { return Trust::Sound };
        let another = topology.primary().is_some_and(|primary| primary.id != server);
        match self {
            _ if route == Route::Primary && another => Trust::Deposed,
            Trust::Silent(since) if found.health == Health::Down => Trust::Silent(since),
            _ if found.health == Health::Down => Trust::Silent(now),
            _ => Trust::Sound,
        }
    }

    /// Whether the server answered its last probe.
    pub(crate) fn is_sound(self) -> bool {
        self == Trust::Sound
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::topology::{Role, Server};

    fn topology(servers: &[(u64, Role, Health)]) -> Topology {
        let server = |(id, role, health): &(u64, Role, Health)| Server {
            role: *role,
            health: *health,
            ..Server::example(*id)
        };
        Topology { servers: servers.iter().map(server).collect() }
    }

    #[test]
    fn a_server_is_believed_until_its_probes_fail_or_another_is_the_primary() {
        use Health::{Down, Up};
        use Role::{Primary, Replica, Unknown};
        let now = Instant::now();
        let silent = Trust::Silent(now);
        for (what, first, other, route, trust) in [
            ("all is well", (Primary, Up), (Replica, Up), Route::Primary, Trust::Sound),
            ("it is silent", (Primary, Down), (Replica, Up), Route::Primary, silent),
            ("another was promoted", (Unknown, Up), (Primary, Up), Route::Primary, Trust::Deposed),
            ("while it was silent", (Unknown, Down), (Primary, Up), Route::Primary, Trust::Deposed),
            ("and is silent as well", (Unknown, Up), (Primary, Down), Route::Primary, Trust::Deposed),
            ("nobody knows who it is", (Unknown, Up), (Unknown, Up), Route::Primary, Trust::Sound),
            ("a replica", (Replica, Up), (Primary, Up), Route::Replica, Trust::Sound),
            ("a silent one", (Replica, Down), (Primary, Up), Route::Replica, silent),
            ("a replica that was promoted", (Primary, Up), (Unknown, Up), Route::Replica, Trust::Sound),
        ] {
            let topology = topology(&[(1, first.0, first.1), (2, other.0, other.1)]);
            assert_eq!(Trust::Sound.of(&topology, ServerId(1), route, now), trust, "{what}");
        }
        let gone = topology(&[(2, Primary, Up)]);
        assert_eq!(silent.of(&gone, ServerId(1), Route::Primary, now), Trust::Sound, "it was removed");
    }

    #[test]
    fn a_silence_is_counted_from_its_beginning() {
        let (begun, later) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let down = topology(&[(1, Role::Primary, Health::Down)]);
        let silent = Trust::Sound.of(&down, ServerId(1), Route::Primary, begun);
        assert_eq!(silent.of(&down, ServerId(1), Route::Primary, later), Trust::Silent(begun));
        let up = topology(&[(1, Role::Primary, Health::Up)]);
        assert!(silent.of(&up, ServerId(1), Route::Primary, later).is_sound());
    }
}
