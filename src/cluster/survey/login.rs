//! Where a search begins, and as whom.

use std::sync::Arc;
use std::time::Duration;

use super::leads::Place;
use crate::config::Secret;
use crate::net::tls::Terms;

/// Where a search begins, and as whom.
#[derive(Clone, Debug)]
pub struct Login {
    /// Servers that are known already, at least one.
    pub places: Vec<Place>,
    /// Ports at which servers are looked for beside those of `places`: nobody tells at which one a replica listens.
    pub ports: Vec<u16>,
    /// As whom.
    pub user: Arc<str>,
    /// With which password.
    pub password: Option<Secret>,
    /// In which database.
    pub database: Arc<str>,
    /// How it is encrypted.
    pub tls: Terms,
    /// How long one server may take.
    pub patience: Duration,
}
