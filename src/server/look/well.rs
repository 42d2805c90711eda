//! Whether everything is well, in a sentence; and a sentence for each thing that is not. Of what was seen alone.

use std::time::Duration;

use crate::admin::snapshot::{Server, Snapshot, Verdict};

/// Whoever waits for less than that does not wait for long.
const LONG: Duration = Duration::from_secs(1);

/// What is not seen in a snapshot, and matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside<'a> {
    /// How far a replica may be behind.
    pub(super) behind: Duration,
    /// Whether an operator has all transactions wait.
    pub(super) paused: bool,
    /// What went wrong when servers were looked for last.
    pub(super) unanswered: Option<&'a str>,
}

/// How bad something is: the worst is said first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Well,
    Attention,
    Trouble,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Level::Well => "well",
            Level::Attention => "attention",
            Level::Trouble => "trouble",
        }
    }
}

pub(super) fn verdict(seen: &Snapshot, beside: Beside<'_>) -> Verdict {
    let mut found = Vec::new();
    of_the_whole(seen, beside, &mut found);
    of_servers(seen, beside, &mut found);
    of_clients(seen, &mut found);
    // What is as bad as another stays in this order.
    found.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    let level = found.first().map_or(Level::Well, |(level, _)| *level);
    let mut says = found.into_iter().map(|(_, says)| says);
    let first = says.next().unwrap_or_else(|| all_is_well(seen));
    Verdict { level: level.as_str().to_owned(), says: first, also: says.collect() }
}

type Found = Vec<(Level, String)>;

fn is_up(server: &Server) -> bool {
    server.health == "up"
}

/// The words of a probe, behind a colon, without the full stop that may be there.
fn because(server: &Server) -> String {
    server.trouble.as_ref().map(|why| format!(": {}", why.trim_end_matches('.'))).unwrap_or_default()
}

fn of_the_whole(seen: &Snapshot, beside: Beside<'_>, found: &mut Found) {
    let primary = seen.servers.iter().find(|server| server.role == "primary");
    if seen.servers.iter().all(|server| !is_up(server)) {
        found.push((Level::Trouble, "No server can be reached.".to_owned()));
    } else if primary.is_none() {
        found.push((Level::Trouble, "No server is a primary: nothing can be written.".to_owned()));
    }
    if let Some(primary) = primary.filter(|primary| !is_up(primary)) {
        let (name, why) = (&primary.name, because(primary));
        found.push((Level::Trouble, format!("The primary {name} is down, nothing can be written{why}.")));
    }
    if seen.weir.state == "draining" {
        found.push((Level::Attention, "weir is about to end: nothing new begins.".to_owned()));
    }
    if beside.paused {
        found.push((
            Level::Attention,
            "An operator has paused weir: transactions wait for RESUME.".to_owned(),
        ));
    }
    if let Some(why) = beside.unanswered {
        let says = format!("Servers are looked for, and not all who are asked answer: {why}.");
        found.push((Level::Attention, says));
    }
    let takes = |server: &&Server| server.role == "replica" && is_up(server) && server.weight > 0;
    if seen.servers.len() > 1 && seen.servers.iter().filter(takes).count() == 0 {
        found.push((Level::Attention, "No replica takes reads: all of them run on the primary.".to_owned()));
    }
}

fn of_servers(seen: &Snapshot, beside: Beside<'_>, found: &mut Found) {
    // Without one nobody knows what a replica lacks: all of them grow old.
    let has_primary = seen.servers.iter().any(|server| server.role == "primary" && is_up(server));
    for server in seen.servers.iter().filter(|server| server.role != "primary") {
        let name = &server.name;
        match server.health.as_str() {
            "down" => found.push((Level::Attention, format!("{name} is down{}.", because(server)))),
            "untried" => found.push((Level::Attention, format!("{name} has not been reached yet."))),
            _ if server.role == "unknown" => {
                let says = format!("{name} is neither primary nor replica{}.", because(server));
                found.push((Level::Attention, says));
            }
            _ => {}
        }
        let behind = server.staleness_ms.map(Duration::from_millis).unwrap_or_default();
        if is_up(server) && has_primary && behind > beside.behind {
            let says = format!("{name} is {} behind: reads that must see more run elsewhere.", long(behind));
            found.push((Level::Attention, says));
        }
    }
}

fn of_clients(seen: &Snapshot, found: &mut Found) {
    let waits = seen.clients.top.iter().filter(|client| client.state == "waiting");
    let longest = waits.filter_map(|client| client.for_ms).max().map(Duration::from_millis);
    if let Some(longest) = longest.filter(|longest| *longest >= LONG) {
        let says = match seen.clients.waiting {
            1 => format!("A client has been waiting for a connection for {}.", long(longest)),
            all => format!("{all} clients wait for a connection, one for {}.", long(longest)),
        };
        found.push((Level::Attention, says));
    }
    for pool in &seen.pools {
        let held = pool.pinned + pool.idle_in_transaction;
        if pool.waiting > 0 && held > 0 && held * 2 >= pool.size {
            let (server, database, user, size) = (&pool.server, &pool.database, &pool.user, pool.size);
            let says = format!(
                "{held} of {size} connections to {server} for {user} in {database} are kept by sessions that run nothing."
            );
            found.push((Level::Attention, says));
        }
    }
}

fn all_is_well(seen: &Snapshot) -> String {
    let primary = seen.servers.iter().find(|server| server.role == "primary");
    let primary = primary.map_or("", |server| &server.name);
    let replicas = seen.servers.iter().filter(|server| server.role == "replica" && server.weight > 0).count();
    let share = seen.reads.minute.share();
    let share =
        share.map_or(String::new(), |share| format!(", {} of them in the last minute", percent(share)));
    match replicas {
        0 => format!("All is well: reads and writes go to {primary}."),
        1 => format!("All is well: writes go to {primary}, reads to a replica{share}."),
        more => format!("All is well: writes go to {primary}, reads to {more} replicas{share}."),
    }
}

/// Never rounded up to all of them, nor down to none.
fn percent(share: f64) -> String {
    match share * 100.0 {
        whole if whole <= 0.0 => "none".to_owned(),
        whole if whole >= 100.0 => "100 %".to_owned(),
        whole => format!("{:.0} %", whole.clamp(1.0, 99.0)),
    }
}

fn long(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 10.0 => format!("{seconds:.1} s"),
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds => format!("{:.0} min", seconds / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::snapshot::{Client, Pool, Split};

    const BESIDE: Beside<'_> = Beside { behind: Duration::from_secs(30), paused: false, unanswered: None };

    fn server(name: &str, role: &str) -> Server {
        Server {
            name: name.to_owned(),
            role: role.to_owned(),
            health: "up".to_owned(),
            weight: 1,
            ..Server::default()
        }
    }

    fn seen() -> Snapshot {
        let servers = vec![server("a", "primary"), server("b", "replica"), server("c", "replica")];
        Snapshot { servers, ..Snapshot::default() }
    }

    /// The level, what is said, and how much else.
    fn of(seen: &Snapshot) -> (String, String, usize) {
        let Verdict { level, says, also } = verdict(seen, BESIDE);
        (level, says, also.len())
    }

    #[test]
    fn what_is_well_is_said_in_one_line() {
        let mut seen = seen();
        let well = |says: &str| ("well".to_owned(), says.to_owned(), 0);
        assert_eq!(of(&seen), well("All is well: writes go to a, reads to 2 replicas."));
        seen.reads.minute = Split { replicas: 999, primary: 1 };
        let says = "All is well: writes go to a, reads to 2 replicas, 99 % of them in the last minute.";
        assert_eq!(of(&seen), well(says));
        seen.servers.truncate(1);
        assert_eq!(of(&seen), well("All is well: reads and writes go to a."));
    }

    #[test]
    fn the_worst_is_said_first_and_nothing_is_left_out() {
        let mut seen = seen();
        seen.servers[1].health = "down".to_owned();
        seen.servers[1].trouble = Some("connection refused".to_owned());
        assert_eq!(of(&seen), ("attention".to_owned(), "b is down: connection refused.".to_owned(), 0));
        seen.servers[0].health = "down".to_owned();
        let says = "The primary a is down, nothing can be written.";
        assert_eq!(of(&seen), ("trouble".to_owned(), says.to_owned(), 1));
        seen.servers[2].health = "down".to_owned();
        assert_eq!(of(&seen).1, "No server can be reached.");
        seen.servers.iter_mut().for_each(|server| server.health = "up".to_owned());
        seen.servers[0].role = "unknown".to_owned();
        assert_eq!(of(&seen).1, "No server is a primary: nothing can be written.");
    }

    #[test]
    fn replicas_that_are_far_behind_or_away_are_told() {
        let mut seen = seen();
        seen.servers[2].staleness_ms = Some(30_000);
        assert_eq!(of(&seen).0, "well");
        seen.servers[2].staleness_ms = Some(90_000);
        assert_eq!(of(&seen).1, "c is 90 s behind: reads that must see more run elsewhere.");
        seen.servers[0].health = "down".to_owned();
        assert_eq!(of(&seen).2, 0, "that the primary is down is all that is known");
        seen.servers[0].health = "up".to_owned();
        seen.servers.truncate(2);
        seen.servers[1].weight = 0;
        assert_eq!(of(&seen).1, "No replica takes reads: all of them run on the primary.");
        let beside = Beside { paused: true, unanswered: Some("http://a:8008: no answer in time"), ..BESIDE };
        let told = verdict(&seen, beside);
        assert_eq!(told.also.len(), 2);
        let says =
            "Servers are looked for, and not all who are asked answer: http://a:8008: no answer in time.";
        assert_eq!(told.also[0], says);
    }

    #[test]
    fn who_waits_for_long_is_told_with_what_keeps_the_pool() {
        let mut seen = seen();
        let client =
            |for_ms| Client { state: "waiting".to_owned(), for_ms: Some(for_ms), ..Client::default() };
        seen.clients.waiting = 2;
        seen.clients.top = vec![client(900), client(20)];
        assert_eq!(of(&seen).0, "well");
        seen.clients.top[0] = client(3_400);
        assert_eq!(of(&seen).1, "2 clients wait for a connection, one for 3.4 s.");
        let [server, database, user] = ["a", "shop", "app"].map(str::to_owned);
        seen.pools = vec![Pool { server, database, user, size: 4, pinned: 2, waiting: 2, ..Pool::default() }];
        assert_eq!(
            verdict(&seen, BESIDE).also,
            ["2 of 4 connections to a for app in shop are kept by sessions that run nothing."]
        );
    }
}
