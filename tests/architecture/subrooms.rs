//! The walls within a room that has rooms of its own. They are read by what defines an item, so that no face hides who
//! is named: what a room's `mod.rs` passes on belongs to the sub-room it comes from.

use std::collections::{BTreeMap, BTreeSet};

use crate::house::{House, Naming};
use crate::source::{Source, sources};

/// A room within a room, or a file that stands beside such rooms.
struct SubRoom {
    name: &'static str,
    /// What it may name of its room.
    beside: &'static [&'static str],
    /// What it may name of the other rooms, whole or in part.
    outside: &'static [&'static str],
    why: &'static str,
}

/// As much as the room around it may.
const AS_ITS_ROOM: &[&str] = &["*"];

/// The sub-rooms of each room that has some, from below to above. None names what its room's `mod.rs` defines: that
/// is made of them.
const SUB_ROOMS: &[SubRoom] = &[
    SubRoom {
        name: "sql/verdict",
        beside: &[],
        outside: &[],
        why: "what can be said of a statement depends on nothing that finds it out",
    },
    SubRoom {
        name: "sql/text",
        beside: &["verdict"],
        outside: &[],
        why: "a text is cut into words before anybody asks what they mean",
    },
    SubRoom {
        name: "sql/classify",
        beside: &["text", "verdict"],
        outside: &[],
        why: "what a statement is does not depend on whether it was seen before",
    },
    SubRoom {
        name: "sql/cache",
        beside: &["classify", "text", "verdict"],
        outside: &[],
        why: "it keeps what the others found",
    },
    SubRoom {
        name: "cluster/defaults",
        beside: &[],
        outside: &[],
        why: "what servers give to those who set nothing is a value like any other",
    },
    SubRoom {
        name: "cluster/topology",
        beside: &["defaults"],
        outside: &["config", "freshness", "net"],
        why: "the others fill the snapshot of the servers, and everybody reads it",
    },
    SubRoom {
        name: "cluster/control",
        beside: &["topology"],
        outside: &["config", "net"],
        why: "a connection of weir's own does not know what is asked over it",
    },
    SubRoom {
        name: "cluster/roles",
        beside: &["control", "defaults", "topology"],
        outside: &["config", "freshness"],
        why: "which server is what is known before anybody asks how far it is",
    },
    SubRoom {
        name: "cluster/sampling",
        beside: &["control", "roles", "topology"],
        outside: &["freshness"],
        why: "how far a server is does not depend on what the catalog says",
    },
    SubRoom {
        name: "cluster/catalog",
        beside: &["control", "roles", "topology"],
        outside: &["config", "freshness", "sql"],
        why: "what the catalog says does not depend on how far a server is",
    },
    SubRoom {
        name: "cluster/identity",
        beside: &["control", "roles", "topology"],
        outside: &["config"],
        why: "who may log in does not depend on how far a server is",
    },
    SubRoom {
        name: "cluster/survey",
        beside: &["control", "topology"],
        outside: &["config", "net"],
        why: "what is asked once, before anything runs, needs nothing of what runs",
    },
    SubRoom {
        name: "cluster/member",
        beside: &["control", "roles", "sampling", "topology"],
        outside: &[],
        why: "a server does not know which others there are",
    },
    SubRoom {
        name: "cluster/servers",
        beside: &["catalog", "control", "identity", "member", "roles", "sampling", "topology"],
        outside: &["config"],
        why: "the data's way asks here, and sees nothing behind it",
    },
    SubRoom {
        name: "session/model",
        beside: &[],
        outside: &[
            "backend::datestyle",
            "backend::prepared",
            "backend::past",
            "backend::settings",
            "backend::value",
            "error",
            "freshness",
            "sql",
            "wire",
        ],
        why: "what a client owns does not know which connection anything is on",
    },
    SubRoom {
        name: "session/transaction",
        beside: &["model"],
        outside: &["backend::settings", "backend::value", "error", "router::reason", "sql", "wire"],
        why: "a transaction is followed from what is sent and answered alone",
    },
    SubRoom {
        name: "session/shared",
        beside: &["model"],
        outside: &[
            "backend",
            "cluster",
            "config",
            "error",
            "freshness",
            "pool",
            "router",
            "sql",
            "telemetry",
            "wire",
        ],
        why: "what all sessions share does not know what one of them does with it",
    },
    SubRoom {
        name: "session/relay",
        beside: &["model"],
        outside: &["backend::ledger", "backend::prepared", "net", "sql", "wire"],
        why: "streams of bytes know no servers, no pools and no policy",
    },
    SubRoom {
        name: "session/consistency",
        beside: &["relay", "shared"],
        outside: &["cluster", "freshness", "router", "sql", "wire"],
        why: "what a read must see is said without waiting for it and without a connection",
    },
    SubRoom {
        name: "session/state",
        beside: &["consistency", "model", "relay", "shared", "transaction"],
        outside: &["backend", "sql"],
        why: "what a client owns does not know its socket, nor the connection that works for it",
    },
    SubRoom {
        name: "session/client",
        beside: &["relay"],
        outside: &["error", "net", "sql", "telemetry", "wire"],
        why: "a client's socket knows no server",
    },
    SubRoom {
        name: "session/leg",
        beside: &["consistency", "model", "relay", "shared", "state", "transaction"],
        outside: &["backend", "cluster::topology", "error", "pool", "router", "sql", "telemetry", "wire"],
        why: "a connection at work knows neither its client's socket nor why it was chosen",
    },
    SubRoom {
        name: "session/conversation",
        beside: &["consistency", "leg", "model", "relay", "shared", "state", "transaction"],
        outside: &["backend", "cluster", "config", "freshness", "router", "scram", "sql", "telemetry"],
        why: "what belongs to a client neither waits nor takes a connection",
    },
    SubRoom {
        name: "session/connections",
        beside: &["client", "consistency", "conversation", "leg", "relay", "shared", "state"],
        outside: &["backend", "cluster", "config", "error", "pool", "router", "sql", "telemetry"],
        why: "a connection is taken without knowing what will be written to it",
    },
    SubRoom {
        name: "session/flow",
        beside: &[
            "client",
            "connections",
            "consistency",
            "conversation",
            "leg",
            "model",
            "relay",
            "shared",
            "state",
            "transaction",
        ],
        outside: AS_ITS_ROOM,
        why: "it is the top: it may know all the others",
    },
];

impl SubRoom {
    fn allows(&self, path: &str) -> bool {
        let within = |place: &str| {
            let rest = path.strip_prefix(place);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        self.outside == AS_ITS_ROOM || self.outside.iter().any(|place| within(place))
    }
}

/// The room of a file and, where the room has some, its sub-room. A room's face is in none.
fn place<'a>(path: &'a str, rooms: &[SubRoom]) -> (&'a str, Option<&'a str>) {
    let (room, rest) = path.split_once('/').unwrap_or((path, "mod.rs"));
    let room = room.strip_suffix(".rs").unwrap_or(room);
    let has_some = rooms.iter().any(|sub| sub.name.split_once('/').is_some_and(|(of, _)| of == room));
    let first = rest.split('/').next().unwrap_or(rest);
    let first = first.strip_suffix(".rs").unwrap_or(first);
    (room, Some(first).filter(|first| has_some && *first != "mod"))
}

/// A path below `src/` as a path in the code.
fn as_module(path: &str) -> String {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    stem.strip_suffix("/mod").unwrap_or(stem).replace('/', "::")
}

/// What is named where a sub-room may not name it.
fn forbidden(naming: &Naming, sub: &SubRoom, rooms: &[SubRoom]) -> Option<String> {
    let (room, within) = place(&naming.from, rooms);
    let (to_room, to_within) = place(&naming.to, rooms);
    if to_room == room {
        let to = to_within.unwrap_or("mod");
        return (Some(to) != within && !sub.beside.contains(&to)).then(|| to.to_owned());
    }
    let module = as_module(&naming.to);
    (!sub.allows(&module)).then_some(module)
}

/// The row of the sub-room that a file is in.
fn row<'a>(path: &str, rooms: &'a [SubRoom]) -> Option<&'a SubRoom> {
    let (room, within) = place(path, rooms);
    let name = format!("{room}/{}", within?);
    rooms.iter().find(|sub| sub.name == name)
}

fn breaches(sources: &[Source], rooms: &[SubRoom]) -> Vec<String> {
    let (namings, _) = House::new(sources).namings();
    // What a file names of one place is told together.
    let mut told: BTreeMap<(&str, String), (&SubRoom, usize, BTreeSet<&str>)> = BTreeMap::new();
    for naming in &namings {
        let Some(sub) = row(&naming.from, rooms) else { continue };
        if let Some(named) = forbidden(naming, sub, rooms) {
            let (_, line, items) =
                told.entry((&naming.from, named)).or_insert((sub, naming.line, BTreeSet::new()));
            *line = naming.line.min(*line);
            items.insert(&naming.item);
        }
    }
    let told = told.iter().map(|((from, named), (SubRoom { name, why, .. }, line, items))| {
        let items: Vec<&str> = items.iter().copied().collect();
        format!("src/{from}:{line}: {name} may not name {named} ({}): {why}", items.join(", "))
    });
    let mut found: Vec<String> = told.collect();
    let here: BTreeSet<String> = sources
        .iter()
        .filter_map(|source| match place(&source.path, rooms) {
            (room, Some(within)) => Some(format!("{room}/{within}")),
            _ => None,
        })
        .collect();
    let new = here.iter().filter(|name| !rooms.iter().any(|sub| sub.name == **name));
    found.extend(new.map(|name| format!("src/{name} is new: tests/architecture must say what it may name")));
    for sub in rooms {
        found.extend(outdated(sub, rooms, &here, &namings));
    }
    found
}

/// What a row says of what is no more.
fn outdated(sub: &SubRoom, rooms: &[SubRoom], here: &BTreeSet<String>, namings: &[Naming]) -> Vec<String> {
    let SubRoom { name, .. } = sub;
    if !here.contains(*name) {
        return vec![format!("there is no src/{name}")];
    }
    let room = name.split('/').next().unwrap_or(name);
    let own =
        |path: &str| matches!(place(path, rooms), (of, Some(within)) if format!("{of}/{within}") == *name);
    let targets: Vec<&str> = namings.iter().filter(|n| own(&n.from)).map(|n| n.to.as_str()).collect();
    let beside = sub.beside.iter().filter(|other| {
        !targets
            .iter()
            .any(|to| matches!(place(to, rooms), (of, Some(within)) if of == room && within == **other))
    });
    let outside = sub.outside.iter().filter(|other| {
        let only = SubRoom { outside: std::slice::from_ref(*other), ..*sub };
        **other != "*" && !targets.iter().any(|to| only.allows(&as_module(to)))
    });
    beside
        .chain(outside)
        .map(|other| format!("src/{name} does not name {other}: take it from its list"))
        .collect()
}

#[test]
fn sub_rooms_name_only_the_sub_rooms_below_them() {
    let found = breaches(&sources(), SUB_ROOMS);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &[SubRoom] = &[
        SubRoom { name: "a/low", beside: &[], outside: &["c::x"], why: "it is low" },
        SubRoom { name: "a/high", beside: &["low"], outside: AS_ITS_ROOM, why: "it is high" },
        SubRoom { name: "a/file", beside: &["low"], outside: &["c"], why: "it is a file" },
        SubRoom { name: "a/gone", beside: &[], outside: &[], why: "it was" },
    ];

    #[test]
    fn a_breach_is_seen_and_told() {
        let files = [
            ("lib.rs", "mod a; mod c;"),
            ("a/mod.rs", "mod file; mod high; mod low; mod new;\npub use high::h::H;\npub struct Top(H);\n"),
            ("a/low/mod.rs", "pub mod l;"),
            ("a/low/l.rs", "use crate::a::H;\nuse crate::c::x::X;\npub fn l(h: H, x: X) { crate::c::C }\n"),
            ("a/high/mod.rs", "pub mod h;"),
            ("a/high/h.rs", "use super::super::low::l;\npub struct H;\nfn h() { l::l(crate::c::C) }\n"),
            ("a/file.rs", "fn f(_: super::Top) {}"),
            ("a/new.rs", ""),
            ("c/mod.rs", "pub mod x;\npub struct C;"),
            ("c/x.rs", "pub struct X;\npub fn up() { crate::a::H }\n"),
        ];
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        assert_eq!(
            breaches(&sources, ROWS),
            [
                "src/a/file.rs:1: a/file may not name mod (Top): it is a file",
                "src/a/low/l.rs:3: a/low may not name c (C): it is low",
                "src/a/low/l.rs:1: a/low may not name high (H): it is low",
                "src/a/new is new: tests/architecture must say what it may name",
                "src/a/file does not name low: take it from its list",
                "src/a/file does not name c: take it from its list",
                "there is no src/a/gone",
            ]
        );
    }
}
