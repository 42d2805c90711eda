//! How the servers are found, where `[[servers]]` does not name each of them: where to look, and for how long what was found
//! counts. What is found is no part of the configuration.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Secret;
use crate::net::tls::ServerTls;

/// `[discovery]`.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// By what servers are found.
    pub source: Source,
    /// How long one that is not found any more stays.
    pub keep: Duration,
    /// How long an answer is waited for.
    pub timeout: Duration,
}

/// `kind`, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// By nothing: they are those of `[[servers]]`.
    Static,
    /// By the names in `[[servers]]`.
    Dns {
        /// Who is asked; those of `/etc/resolv.conf` when empty.
        nameservers: Vec<SocketAddr>,
    },
    /// By Patroni's REST API.
    Patroni(Patroni),
}

/// Whom to ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patroni {
    /// `urls`, at least one. Each may answer for all.
    pub endpoints: Vec<Endpoint>,
    /// User and password, where Patroni asks for them.
    pub login: Option<(String, Secret)>,
    /// How often it is asked.
    pub interval: Duration,
}

/// One of `urls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS towards it; `None` for `http`.
    pub tls: Option<Arc<ServerTls>>,
}

impl Endpoint {
    /// Host and port, as a request names them.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl Discovery {
    /// Whether servers may be other ones than those of `[[servers]]`.
    pub fn finds(&self) -> bool {
        self.source != Source::Static
    }
}

/// Whether a name is one of SRV records.
pub fn names_service(host: &str) -> bool {
    let mut labels = host.split('.');
    let mut underscored = || labels.next().is_some_and(|label| label.starts_with('_'));
    underscored() && underscored()
}
