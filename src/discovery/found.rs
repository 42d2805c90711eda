//! What was found, by whomever. Pure.

use std::time::Duration;

use crate::net::HostAddress;

/// A server that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// What logs and metrics call it. No two that are found at once have the same.
    pub(crate) name: String,
    /// What its certificate is for.
    pub(crate) host: String,
    /// Where that is, when it is known.
    pub(crate) address: Option<HostAddress>,
    /// Port.
    pub(crate) port: u16,
    /// Host and port of the entry that it was found by, where there is one.
    pub(crate) entry: Option<(String, u16)>,
    /// What else is said of it, for people: its role, its state, its tags.
    pub(crate) said: String,
    /// Why it takes no reads, when it does not.
    pub(crate) quiet: Option<&'static str>,
}

impl Found {
    /// Whether both are the same server, whatever else is said of it.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (&self.host, self.address, self.port) == (&other.host, other.address, other.port)
    }
}

/// A name that was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// The name.
    pub(crate) name: String,
    /// For how long the answer holds; zero where there is none.
    pub(crate) ttl: Duration,
    /// What it leads to.
    pub(crate) leads_to: Vec<String>,
}

/// What one look brought.
#[derive(Debug)]
pub(crate) struct Look {
    /// Everybody who is there; nobody where nothing was answered.
    pub(crate) found: Vec<Found>,
    /// Whether those who are not found may be there all the same.
    pub(crate) is_paused: bool,
    /// Who leads, when that is another one than before.
    pub(crate) leader: Option<String>,
    /// Who answered.
    pub(crate) source: Option<String>,
    /// The names that were looked up.
    pub(crate) hosts: Vec<Host>,
    /// What went wrong, also where others answered.
    pub(crate) troubles: Vec<String>,
    /// When to look again.
    pub(crate) next: Duration,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            found: Vec::new(),
            is_paused: false,
            leader: None,
            source: None,
            hosts: Vec::new(),
            troubles: Vec::new(),
            next: Duration::from_secs(3600),
        }
    }
}
