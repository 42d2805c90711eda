//! How the servers stand, as `SHOW` tells it.

use std::fmt::Write as _;
use std::time::Instant;

use crate::cluster::topology::{Health, Role, Server, ServerId, Topology};
use crate::freshness::Lsn;
use crate::router::Decision;

/// `replica1 (replica, read)`.
pub(crate) fn route(topology: &Topology, (server, decision): (ServerId, Decision)) -> String {
    let name = topology.server(server).map_or("", |server| &server.name);
    format!("{name} ({}, {})", decision.route.as_str(), decision.reason)
}

/// A JSON array with an object for each server. `position` is the primary's.
pub(crate) fn freshness(topology: &Topology, position: Option<Lsn>, now: Instant) -> String {
    let rows: Vec<_> = topology.servers.iter().map(|server| row(server, position, now)).collect();
    format!("[{}]", rows.join(","))
}

fn row(server: &Server, position: Option<Lsn>, now: Instant) -> String {
    let role = match server.role {
        Role::Primary => "primary",
        Role::Replica => "replica",
        Role::Unknown => "unknown",
    };
    let state = match server.health {
        Health::Up => "up",
        Health::Down => "down",
        Health::Untried => "untried",
    };
    let freshness = &server.freshness;
    let (staleness, lag, replayed) = match server.role {
        Role::Primary => (position.map(|_| 0), position.map(|_| 0), position),
        _ => {
            let age = |through| now.saturating_duration_since(through).as_millis();
            let replayed = freshness.sampled().map(|_| freshness.replayed());
            (freshness.through().map(age), freshness.behind(), replayed)
        }
    };
    let null = || "null".to_owned();
    format!(
        r#"{{"server":{},"role":"{role}","state":"{state}","staleness_ms":{},"lag_bytes":{},"replayed":{}}}"#,
        json_string(&server.name),
        staleness.map_or_else(null, |staleness| staleness.to_string()),
        lag.map_or_else(null, |lag| lag.to_string()),
        replayed.map_or_else(null, |replayed| format!("\"{replayed}\"")),
    )
}

fn json_string(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            // Writing to a String cannot fail.
            c if c.is_control() => _ = write!(quoted, "\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::freshness::Freshness;
    use crate::router::{Reason, Route};

    fn server(id: u64, name: &str, role: Role, freshness: Freshness) -> Server {
        Server { name: name.into(), role, freshness: Arc::new(freshness), ..Server::example(id) }
    }

    #[test]
    fn each_server_is_told_with_what_is_known_of_it() {
        let now = Instant::now();
        let known = Freshness::new(now);
        known.publish(now, Lsn(0x300), 16, Some(now));
        let unknown = server(2, "c\"\n", Role::Replica, Freshness::new(now));
        let topology = Topology {
            servers: vec![
                server(0, "a", Role::Primary, Freshness::new(now)),
                server(1, "b", Role::Replica, known),
                Server { health: Health::Down, ..unknown },
            ],
        };
        let expected = r#"[{"server":"a","role":"primary","state":"up","staleness_ms":0,"lag_bytes":0,"replayed":"0/310"},{"server":"b","role":"replica","state":"up","staleness_ms":7,"lag_bytes":16,"replayed":"0/300"},{"server":"c\"\u000a","role":"replica","state":"down","staleness_ms":null,"lag_bytes":null,"replayed":null}]"#;
        assert_eq!(freshness(&topology, Some(Lsn(0x310)), now + Duration::from_millis(7)), expected);
        let last = (ServerId(1), Decision { route: Route::Replica, reason: Reason::Read });
        assert_eq!(route(&topology, last), "b (replica, read)");
    }
}
