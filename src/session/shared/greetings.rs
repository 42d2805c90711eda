//! What clients are told of their settings at login, kept for a while for the next one that comes with the same: so a
//! storm of logins does not become one of connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::backend::ParameterStatuses;
use crate::backend::defaults::Defaults;
use crate::backend::settings::Settings;
use crate::pool::Account;

/// How long a greeting is kept: a server's defaults change rarely, and clients come in crowds.
const KEPT: Duration = Duration::from_secs(30);

/// Most greetings kept.
const MOST: usize = 1024;

/// Database, user and account towards the servers, and startup settings.
pub(crate) type GreetingKey = (Arc<str>, Arc<str>, Account, Settings);

/// What a client is told, and what it has where it sets nothing.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub statuses: ParameterStatuses,
    pub defaults: Option<Defaults>,
}

/// What clients with the same database, user and startup settings are told, and when it was found out.
#[derive(Debug, Default)]
pub(crate) struct Greetings {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// How often all was forgotten.
    age: u64,
    told: HashMap<GreetingKey, (Instant, Arc<Told>)>,
}

/// When something was about to be found out. Should all be forgotten before it is, it is not kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Age(u64);

impl Greetings {
    /// What is told, and the settings as those who came before hold them: sharing them makes later comparisons one
    /// of pointers.
    pub(crate) fn get(&self, key: &GreetingKey, now: Instant) -> Option<(Settings, Arc<Told>)> {
        let known = self.lock();
        let ((.., settings), (since, told)) = known.told.get_key_value(key)?;
        (now.saturating_duration_since(*since) < KEPT).then(|| (settings.clone(), told.clone()))
    }

    /// Servers may say something else now.
    pub(crate) fn forget(&self) {
        let mut known = self.lock();
        known.age += 1;
        known.told.clear();
    }

    /// Somebody is about to find out what a server says.
    pub(crate) fn age(&self) -> Age {
        Age(self.lock().age)
    }

    pub(crate) fn put(&self, key: GreetingKey, told: Arc<Told>, asked: Age, now: Instant) {
        let mut known = self.lock();
        if known.age != asked.0 {
            return;
        }
        if known.told.len() >= MOST {
            known.told.retain(|_, (since, _)| now.saturating_duration_since(*since) < KEPT);
        }
        if known.told.len() < MOST {
            known.told.insert(key, (now, told));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
