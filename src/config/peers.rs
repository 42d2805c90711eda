//! `[[peers]]` and `[listen] peer_id`, read and checked.

use std::collections::HashSet;

use super::host::host;
use super::kinds::count;
use super::listeners::PORT;
use super::peer::{Peer, Peers};
use super::section::Section;
use super::server_tls;
use super::users::Surroundings;

/// A number by which a copy is known.
pub(super) fn id(entry: &mut Section, key: &'static str) -> Option<u8> {
    entry.read(key, count(1..=255)).and_then(|id| u8::try_from(id).ok())
}

/// The list, which is the same for all copies.
pub(super) fn peers(root: &mut Section, around: &Surroundings, own: Option<u8>) -> Peers {
    let mut ids = HashSet::new();
    let all = root.list("peers", |entry| {
        if !entry.has("id") {
            entry.note("id", "is missing");
        }
        let id = id(entry, "id").unwrap_or_default();
        if id != 0 && !ids.insert(id) {
            entry.note("id", format!("another copy is {id} already"));
        }
        let host = entry.require("host", host).unwrap_or_default();
        let port = entry.read("port", count(1..=65_535)).and_then(|port| u16::try_from(port).ok());
        let tls = server_tls::tls(entry, &host, around);
        Peer { id, host: host.into(), port: port.unwrap_or(PORT), tls }
    });
    if own.is_none() && !all.is_empty() {
        root.note("peers", "which of them is this copy? [listen] peer_id says it, or WEIR__LISTEN__PEER_ID");
    }
    Peers { own, all }
}
