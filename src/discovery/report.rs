//! What is told of servers that are found, to whoever looks. Pure.

use std::time::{Duration, Instant};

use super::found::Host;
use super::roll::{Listed, Roll};

/// How finding servers stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// `kind` of the configuration.
    pub(crate) kind: &'static str,
    /// Who answered last, where there are several.
    pub(crate) source: Option<String>,
    /// How long ago that was; `None` before the first answer.
    pub(crate) age: Option<Duration>,
    /// Those that were found, and those that are missed.
    pub(crate) members: Vec<Member>,
    /// Names that were looked up.
    pub(crate) hosts: Vec<Host>,
    /// What went wrong when it was looked last.
    pub(crate) troubles: Vec<String>,
    /// Whether Patroni's cluster is paused, so that nobody goes.
    pub(crate) is_paused: bool,
}

/// One that was found.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// What it is called.
    pub(crate) name: String,
    /// Its host.
    pub(crate) host: String,
    /// Where that is.
    pub(crate) address: Option<String>,
    /// Its port.
    pub(crate) port: u16,
    /// What is said of it.
    pub(crate) said: String,
    /// What of it counts, in words.
    pub(crate) remark: String,
}

impl Member {
    /// Those of a roll, as they are at `now`.
    pub(crate) fn all(roll: &Roll, now: Instant) -> Vec<Self> {
        roll.list().iter().map(|listed| Self::of(listed, now)).collect()
    }

    fn of(Listed { found, missing }: &Listed, now: Instant) -> Self {
        let missed = missing.map(|since| {
            format!("not found any more for {} s", now.saturating_duration_since(since).as_secs())
        });
        let quiet = found.quiet.map(|why| format!("takes no reads: {why}"));
        Self {
            name: found.name.clone(),
            host: found.host.clone(),
            address: found.address.map(|address| address.to_string()),
            port: found.port,
            said: found.said.clone(),
            remark: [missed, quiet].into_iter().flatten().collect::<Vec<_>>().join("; "),
        }
    }
}
