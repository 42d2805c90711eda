//! Looking once, by whichever way the configuration names.

use std::collections::BTreeSet;

use super::dns::Names;
use super::found::Look;
use super::patroni::Api;
use crate::config::{Config, Source};

/// Who looks.
#[derive(Debug)]
pub(crate) enum Finder {
    /// Nobody: there is nothing to be found.
    Nobody,
    /// By names.
    Dns(Names),
    /// By Patroni.
    Patroni(Api),
}

impl Finder {
    /// As the configuration has it. Nothing is asked yet.
    pub(crate) fn new(source: &Source) -> Self {
        match source {
            Source::Static => Self::Nobody,
            Source::Dns { nameservers } => Self::Dns(Names::new(nameservers.clone())),
            Source::Patroni(patroni) => Self::Patroni(Api::new(patroni.clone())),
        }
    }

    /// Looks once. By their names is known who was there. Cancel safe.
    pub(crate) async fn look(&mut self, config: &Config, known: &BTreeSet<String>) -> Look {
        let patience = config.discovery.timeout;
        match self {
            Self::Nobody => Look::default(),
            Self::Dns(names) => names.look(&config.servers, patience).await,
            Self::Patroni(api) => api.look(known, patience).await,
        }
    }
}
