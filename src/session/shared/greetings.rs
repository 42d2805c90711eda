//! What clients are told of their settings at login, kept for a while for the next one that comes with the same: so a
//! storm of logins does not become one of connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::backend::ParameterStatuses;
use crate::backend::settings::Settings;
use crate::pool::Account;

/// How long a greeting is kept: a server's defaults change rarely, and clients come in crowds.
const KEPT: Duration = Duration::from_secs(30);

/// Most greetings kept.
const MOST: usize = 1024;

/// Database, user and account towards the servers, and startup settings.
pub(crate) type GreetingKey = (Arc<str>, Arc<str>, Account, Settings);

/// What clients with the same database, user and startup settings are told, and when it was found out.
#[derive(Debug, Default)]
pub(crate) struct Greetings {
    known: Mutex<HashMap<GreetingKey, (Instant, Arc<ParameterStatuses>)>>,
}

impl Greetings {
    /// What is told, and the settings as those who came before hold them: sharing them makes later comparisons one
    /// of pointers.
    pub(crate) fn get(&self, key: &GreetingKey, now: Instant) -> Option<(Settings, Arc<ParameterStatuses>)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let ((.., settings), (since, told)) = known.get_key_value(key)?;
        (now.saturating_duration_since(*since) < KEPT).then(|| (settings.clone(), told.clone()))
    }

    pub(crate) fn put(&self, key: GreetingKey, told: Arc<ParameterStatuses>, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (since, _)| now.saturating_duration_since(*since) < KEPT);
        }
        if known.len() < MOST {
            known.insert(key, (now, told));
        }
    }
}
