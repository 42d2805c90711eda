//! The walls of the house, kept by reading the source: which room may name which, where each library may be named,
//! what stays pure, and what is nowhere; which room within a room may name which, that no files name each other in a
//! circle, and what shape types have. A sentence that says file, line, what, and why is what a breach looks like.
//!
//! Test code (behind `#[cfg(test)]`, and `*_tests.rs`) may name what it likes. Comments and the text of
//! strings do not count.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod circles;
mod house;
mod items;
mod shapes;
mod source;
mod subrooms;

use source::{Source, blank, sources, words};

/// Every room, what it may name of the others (a whole room, or a part of it), and what the wall is there for.
const ROOMS: &[(&str, &[&str], &str)] = &[
    ("error", &[], "the words for failures depend on nothing"),
    ("wire", &["error"], "the protocol's bytes know no sockets, no SQL and no policy"),
    ("sql", &[], "what a statement is follows from its text alone"),
    ("config", &["net::tls", "sql"], "a configuration is read before anything else is there"),
    ("net", &[], "sockets know nothing of what passes over them"),
    ("scram", &[], "keys and proofs follow from bytes alone"),
    ("hba", &["config", "net"], "who may come from where follows from files and the client's stream"),
    ("users", &["config", "error", "scram"], "who may log in is known without a connection"),
    (
        "frontend",
        &["config", "error", "hba", "net", "scram", "users", "wire"],
        "the front door knows no servers",
    ),
    (
        "backend",
        &["cluster::defaults", "cluster::topology", "config", "error", "net", "scram", "wire"],
        "a connection to a server knows no sessions and no SQL",
    ),
    ("freshness", &[], "what is fresh enough follows from instants alone"),
    (
        "cluster",
        &["config", "freshness", "net", "sql"],
        "watching the servers is independent of the data's way",
    ),
    ("discovery", &["config", "net"], "who finds servers neither watches them nor knows who uses them"),
    (
        "pool",
        &["backend", "cluster::topology", "config", "error", "net"],
        "pools know no SQL and no sessions",
    ),
    (
        "router",
        &["cluster::catalog", "cluster::topology", "cluster::traces", "config", "sql"],
        "where a request goes is decided from values, without any I/O",
    ),
    (
        "telemetry",
        &["cluster::topology", "config", "sql"],
        "figures and logs are told things; they ask nobody",
    ),
    (
        "init",
        &["cluster::survey", "cluster::topology", "config", "net::tls"],
        "a first configuration is written from what a survey found, and nothing of it runs",
    ),
    ("import", &["config"], "another pooler's configuration is read without any server"),
    ("admin", &["telemetry"], "the HTTP endpoint asks through a trait, so it cannot reach into the rest"),
    (
        "session",
        &[
            "backend",
            "cluster",
            "config",
            "error",
            "freshness",
            "frontend",
            "net",
            "pool",
            "router",
            "scram",
            "sql",
            "telemetry",
            "wire",
        ],
        "a session is no part of what starts and stops it",
    ),
    (
        "console",
        &[
            "backend::Key",
            "cluster::topology",
            "config",
            "discovery",
            "error",
            "frontend",
            "net",
            "pool",
            "session",
            "sql",
            "wire",
        ],
        "operators see and turn what there is by the same face as the daemon",
    ),
    (
        "server",
        &[
            "admin",
            "backend::Key",
            "cluster",
            "config",
            "console",
            "discovery",
            "error",
            "frontend",
            "hba",
            "net",
            "pool",
            "router",
            "session",
            "telemetry",
            "users",
            "wire",
        ],
        "only the program is above the daemon",
    ),
    ("top", &["admin"], "a terminal shows what a running weir tells it, and knows nothing else"),
    // The command line and the map of the library.
    ("cli", &[], "commands use the library by its public face"),
    ("main", &[], "the command line uses the library by its public face"),
    ("lib", &[], "the map names rooms and nothing in them"),
];

/// Libraries that are named in few places, where, and why only there.
const LIBRARIES: &[(&str, &[&str], &str)] = &[
    (
        "tokio",
        &[
            "admin/",
            "backend/",
            "cli/",
            "cluster/",
            "console/orders.rs",
            "console/serve.rs",
            "discovery/dns.rs",
            "discovery/patroni.rs",
            "frontend/",
            "main.rs",
            "net/",
            "pool/",
            "server/",
            "session/client.rs",
            "session/connections/",
            "session/flow/",
            "session/leg/",
            "session/relay/client_buffer.rs",
            "session/shared/",
            "top/mod.rs",
            "users/query.rs",
        ],
        "the rest of the house neither waits nor reads a socket",
    ),
    ("tokio_postgres", &["cluster/"], "clients' data never passes a driver"),
    ("deadpool_postgres", &["cluster/"], "it pools control connections only"),
    ("pgwire", &["wire/reply.rs", "frontend/scram/"], "it builds messages; it must not read a peer's"),
    (
        "postgres_protocol",
        &["backend/login.rs", "backend/sasl.rs", "frontend/password.rs", "scram/verifier.rs"],
        "it is for logins, on either side",
    ),
    ("webpki", &["net/tls/revocation.rs"], "rustls does the rest of what there is to be verified"),
    ("pkcs8", &["net/tls/passphrase.rs"], "keys are opened in one place"),
    ("sqlparser", &["sql/"], "the rest of the house sees verdicts, not syntax trees"),
    ("quick_cache", &["sql/cache.rs"], "the cache of verdicts is the classifier's own affair"),
    (
        "lru",
        &["backend/prepared.rs", "cluster/identity/rounds.rs", "users/cache.rs"],
        "it bounds what is kept for whoever asks",
    ),
    ("prometheus", &["telemetry/"], "the rest of the house counts by calling methods"),
    ("ratatui", &["top/"], "the rest of the house knows of no terminal"),
    ("axum", &["admin/", "discovery/patroni.rs"], "HTTP ends at the endpoint, and where Patroni is asked"),
    (
        "hyper_util",
        &["admin/", "discovery/patroni.rs"],
        "HTTP ends at the endpoint, and where Patroni is asked",
    ),
    ("hyper", &["admin/", "discovery/patroni.rs"], "HTTP ends at the endpoint, and where Patroni is asked"),
    ("hickory_resolver", &["discovery/dns.rs"], "names whose answers have an end are looked up in one place"),
    ("futures_util", &["admin/"], "what watchers are sent is a stream, and nothing else is"),
    (
        "serde",
        &["admin/snapshot.rs", "server/takeover/", "session/model/portable.rs"],
        "what is told of weir, and what one weir tells another, is JSON, and nothing else is",
    ),
    (
        "serde_json",
        &["admin/", "discovery/members.rs", "server/takeover/line.rs"],
        "what is told of weir, what one weir tells another and what Patroni tells is JSON, and nothing else is",
    ),
    ("opentelemetry_proto", &["telemetry/spans.rs"], "what a collector reads is put together in one place"),
    ("prost", &["telemetry/spans.rs"], "it encodes spans"),
    ("percent_encoding", &["admin/", "init/target.rs"], "URLs are read where they come in"),
    (
        "tracing_subscriber",
        &["telemetry/log.rs", "telemetry/log_format.rs", "config/log_filter.rs"],
        "logging is set up in one place",
    ),
    (
        "tracing_appender",
        &["telemetry/log_queue.rs"],
        "who reads the log is waited for in one place, and not long",
    ),
    (
        "rustix",
        &[
            "server/descriptors.rs",
            "server/supervisor.rs",
            "server/takeover/line.rs",
            "net/unix.rs",
            "net/tls/pem.rs",
        ],
        "weir asks the system for descriptors and sockets once, at its start, as whom it runs where a key's file is opened, and for systemd's clock",
    ),
    ("nix", &["net/"], "names and numbers of users and groups, and addresses, are asked of the system"),
    ("toml", &["config/"], "the rest of the house gets checked values"),
    ("dns_lookup", &["net/"], "who has which name is asked in one place"),
    ("listenfd", &["net/given.rs"], "what systemd hands over is taken in one place"),
    ("socket2", &["net/"], "socket options are set where sockets are made"),
    ("clap", &["main.rs", "cli/"], "the library has no command line"),
    ("clap_complete", &["cli/pages.rs"], "the library has no command line"),
    ("clap_mangen", &["cli/pages.rs"], "the library has no command line"),
    ("rpassword", &["cli/init.rs"], "nobody but who types it is asked for a password"),
    ("anyhow", &["main.rs", "cli/"], "the library's errors have types"),
];

/// Places without sockets, tasks and clocks: what they decide follows from what they are given.
const PURE: &[&str] = &[
    "wire/",
    "scram/",
    "hba/address.rs",
    "hba/decide.rs",
    "hba/ident.rs",
    "hba/mistake.rs",
    "hba/mod.rs",
    "hba/names.rs",
    "hba/options.rs",
    "hba/parse.rs",
    "hba/pattern.rs",
    "hba/rule.rs",
    "hba/tokens.rs",
    "sql/",
    "freshness/",
    "router/",
    "backend/ledger.rs",
    "backend/prepared.rs",
    "backend/settings.rs",
    "cluster/catalog/snapshot.rs",
    "cluster/defaults.rs",
    "cluster/catalog/traces.rs",
    "cluster/sampling/positions.rs",
    "cluster/roles/decision.rs",
    "cluster/roles/roster.rs",
    "cluster/survey/leads.rs",
    "cluster/topology.rs",
    "discovery/found.rs",
    "discovery/members.rs",
    "discovery/report.rs",
    "discovery/roll.rs",
    "discovery/servers.rs",
    "init/",
    "server/look/well.rs",
    "session/consistency/observed_reads.rs",
    "session/consistency/pending_writes.rs",
    "session/conversation/defaults.rs",
    "session/conversation/routing_settings.rs",
    "session/flow/failover.rs",
    "session/flow/plan.rs",
    "session/leg/observer.rs",
    "session/leg/progress.rs",
    "session/leg/state.rs",
    "session/model/",
    "session/relay/facts.rs",
    "session/relay/framer.rs",
    "session/relay/message.rs",
    "session/relay/pending_reply.rs",
    "session/relay/replay_buffer.rs",
    "session/relay/request.rs",
    "session/relay/responses.rs",
    "session/relay/server_errors.rs",
    "session/relay/unsettled.rs",
    "session/shared/statements.rs",
    "session/state.rs",
    "session/transaction/",
    "top/state.rs",
    "top/tables.rs",
    "top/words.rs",
    "users/cache.rs",
];

/// What would make such a place depend on more than its arguments.
const IMPURE: &[&str] = &[
    "tokio",
    "Instant::now",
    "SystemTime",
    ".elapsed()",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
];

/// Where the program may stop because an invariant does not hold, how often, and why it always does.
const STOPS: &[(&str, usize, &str)] = &[
    ("cluster/roles/probe.rs", 1, "deadpool only refuses a pool that has timeouts and no runtime"),
    ("cluster/identity/connections.rs", 1, "deadpool only refuses a pool that has timeouts and no runtime"),
    ("pool/connections.rs", 2, "only what ends a lease takes its connection"),
    ("telemetry/registry.rs", 10, "names and help texts are constants, registered in the tests as well"),
    (
        "scram/verifier.rs",
        2,
        "HMAC takes keys of any length; postgres-protocol writes the form that PostgreSQL stores",
    ),
];

/// Lines of a file, tests not counted.
const LINES_MAX: usize = 600;

/// Other rooms that may not be named from this one.
fn wall_breaches(source: &Source) -> Vec<String> {
    let room = source.room();
    let Some((_, allowed, why)) = ROOMS.iter().find(|(name, ..)| *name == room) else {
        let why = "tests/architecture must say what it may name";
        return vec![source.breach(1, &format!("the room {room} is new"), why)];
    };
    let mut breaches = Vec::new();
    for (line, code) in source.lines() {
        for rest in words(code, "crate") {
            let Some(path) = rest.strip_prefix("::") else { continue };
            if path.starts_with('{') {
                breaches.push(source.breach(
                    line,
                    "use crate::{...}",
                    "one use for each room, to be read here",
                ));
                continue;
            }
            let within = |place: &str| {
                let rest = path.strip_prefix(place);
                rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
            };
            if !within(room) && !allowed.iter().any(|place| within(place)) {
                let named: Vec<&str> = path.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
                let named = named.iter().filter(|part| !part.is_empty()).take(2).copied();
                let what = format!("{room} may not name {}", named.collect::<Vec<_>>().join("::"));
                breaches.push(source.breach(line, &what, why));
            }
        }
        if words(code, "super").any(|rest| rest.starts_with("::super::")) {
            breaches.push(source.breach(line, "super::super", "say crate::..., so that walls can be read"));
        }
    }
    breaches
}

fn library_breaches(source: &Source) -> Vec<String> {
    let mut breaches = Vec::new();
    for (library, _, why) in LIBRARIES.iter().filter(|(_, places, _)| !source.is_in(places)) {
        for (line, code) in source.lines() {
            // A path, not a name that happens to be the same.
            if words(code, library).any(|rest| rest.starts_with("::")) {
                breaches.push(source.breach(line, &format!("{library} has no business here"), why));
            }
        }
    }
    breaches
}

fn purity_breaches(source: &Source) -> Vec<String> {
    if !source.is_in(PURE) {
        return Vec::new();
    }
    let found = |(line, code)| {
        let named = IMPURE.iter().filter(move |name| {
            if name.starts_with('.') {
                str::contains(code, **name)
            } else {
                words(code, name).next().is_some()
            }
        });
        named.map(move |name| (line, *name))
    };
    let why = "this place is pure; time, sockets and the system come from its callers";
    source.lines().flat_map(found).map(|(line, name)| source.breach(line, name, why)).collect()
}

/// State that everybody could reach from everywhere.
fn global_state_breaches(source: &Source) -> Vec<String> {
    const CHANGES: [&str; 8] =
        ["mut", "Atomic", "Mutex", "RwLock", "Cell", "OnceLock", "LazyLock", "ArcSwap"];
    let why = "no state is global: it is made at start and passed on";
    let global = |code: &str| {
        let items = code.replace("'static", "");
        let item = words(&items, "static")
            .any(|rest| rest.starts_with(' ') && CHANGES.iter().any(|word| rest.contains(word)));
        item || code.contains("thread_local!") || code.contains("lazy_static!")
    };
    source
        .lines()
        .filter(|(_, code)| global(code))
        .map(|(line, code)| source.breach(line, code.trim(), why))
        .collect()
}

fn stop_breaches(source: &Source) -> Vec<String> {
    const WAYS: [&str; 6] = [".unwrap()", ".expect(", "panic!", "unreachable!", "todo!", "unimplemented!"];
    let stops: Vec<_> =
        source.lines().filter(|(_, code)| WAYS.iter().any(|way| code.contains(way))).collect();
    let listed = STOPS.iter().find(|(path, ..)| *path == source.path).map_or(0, |(_, count, _)| *count);
    if stops.len() == listed {
        return Vec::new();
    }
    let line = stops.first().map_or(1, |(line, _)| *line);
    let what = format!("{} places stop the program, {listed} are listed", stops.len());
    vec![source.breach(line, &what, "return an error, or list it in tests/architecture with the reason")]
}

fn length_breaches(source: &Source) -> Vec<String> {
    let lines = source.code.len();
    let what = format!("{lines} lines without tests");
    let breach =
        || source.breach(lines, &what, &format!("a file has at most {LINES_MAX}: split it by subject"));
    (lines > LINES_MAX).then(breach).into_iter().collect()
}

fn check(breaches: impl Fn(&Source) -> Vec<String>) {
    let found: Vec<String> = sources().iter().flat_map(breaches).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn rooms_name_only_the_rooms_below_them() {
    check(wall_breaches);
}

#[test]
fn libraries_stay_where_they_belong() {
    check(library_breaches);
}

#[test]
fn what_is_pure_stays_pure() {
    check(purity_breaches);
}

#[test]
fn no_state_is_global() {
    check(global_state_breaches);
}

#[test]
fn nothing_stops_the_program_without_a_reason() {
    check(stop_breaches);
}

#[test]
fn no_file_is_too_long() {
    check(length_breaches);
}

/// An exception that has become unnecessary, or a place that is no more, must not wait for the next breach.
#[test]
fn the_tables_name_what_is_there() {
    let sources = sources();
    let exists = |place: &str| sources.iter().any(|source| source.is_in(&[place]));
    for (room, allowed, _) in ROOMS {
        assert!(exists(&format!("{room}/")) || exists(&format!("{room}.rs")), "there is no room {room}");
        for other in *allowed {
            let named = |source: &Source| {
                source.room() == *room && source.code.iter().any(|l| l.contains(&format!("crate::{other}")))
            };
            assert!(sources.iter().any(named), "{room} does not name {other}: take it from its list");
        }
    }
    for place in PURE.iter().chain(LIBRARIES.iter().flat_map(|(_, places, _)| *places)) {
        assert!(exists(place), "there is no src/{place}");
    }
    for (path, ..) in STOPS {
        assert!(exists(path), "there is no src/{path}");
    }
}

#[test]
fn a_breach_is_seen_and_told() {
    let bad = "use crate::session::Session;\n\
               // use crate::pool::Pool;\n\
               fn f() { let s = \"crate::pool\"; crate::wire::header(b\"\\\"\"); g('\"'); tokio::spawn(x) }\n\
               static COUNT: AtomicU64 = AtomicU64::new(0);\n\
               fn g<'a>(x: &'static str) -> Option<pgwire::Error> { x.unwrap() }\n\
               #[cfg(test)]\n\
               mod tests { use crate::pool::Pool; }\n";
    let source = Source::new("router/new.rs", bad);
    assert_eq!(source.code.len(), 5);
    let why = "where a request goes is decided from values, without any I/O";
    assert_eq!(
        wall_breaches(&source),
        [
            format!("src/router/new.rs:1: router may not name session::Session: {why}"),
            format!("src/router/new.rs:3: router may not name wire::header: {why}"),
        ]
    );
    let starts = |breaches: Vec<String>, start: &str| {
        assert_eq!(breaches.len(), 1, "{breaches:?}");
        assert!(breaches[0].starts_with(start), "{breaches:?}");
    };
    starts(purity_breaches(&source), "src/router/new.rs:3: tokio: this place is pure");
    let libraries = library_breaches(&source);
    assert!(libraries[0].starts_with("src/router/new.rs:3: tokio has no business here"), "{libraries:?}");
    starts(libraries[1..].to_vec(), "src/router/new.rs:5: pgwire has no business here");
    starts(global_state_breaches(&source), "src/router/new.rs:4: static COUNT");
    starts(stop_breaches(&source), "src/router/new.rs:5: 1 places stop the program, 0 are listed");
    starts(length_breaches(&Source::new("sql/long.rs", &"\n".repeat(601))), "src/sql/long.rs:601: 601 lines");
    let whole = Source::new("router/part.rs", "use crate::cluster::topology_of;\n");
    starts(wall_breaches(&whole), "src/router/part.rs:1: router may not name cluster::topology_of");
    starts(wall_breaches(&Source::new("cellar/x.rs", "")), "src/cellar/x.rs:1: the room cellar is new");
    let raw = blank("let x = r#\"crate::pool \"quoted\" \"#; br\"a\\\"; 'x'; '\\''; \"a\\\\\"; y");
    assert_eq!(raw, "let x = \"\"; b\"\"; ; ; \"\"; y");
}
