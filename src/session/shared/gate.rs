//! What operators keep from running: databases that are paused, whose transactions wait before they begin, and databases
//! that are disabled, into which nobody comes.
//!
//! It stops nothing that runs. Whoever shuts it and then finds that nothing runs knows that nothing will: who begins says
//! so where others see it first, and looks here last.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// A database by both of its names: the clients' and the servers'. Operators may mean either.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// As clients name it.
    pub client: Arc<str>,
    /// As servers do.
    pub server: Arc<str>,
}

impl Names {
    /// Whether it is meant by this name, or by none, which means all.
    pub(crate) fn are_meant(&self, name: Option<&str>) -> bool {
        name.is_none_or(|name| *self.client == *name || *self.server == *name)
    }
}

/// Why all databases are shut, if they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Whole {
    /// They are not.
    #[default]
    Open,
    /// PAUSE: connections to the servers are closed once nothing runs.
    Paused,
    /// SUSPEND: they stay.
    Suspended,
}

/// Why an order has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AsItWas;

#[derive(Default)]
struct Shut {
    whole: Whole,
    paused: HashSet<Box<str>>,
    disabled: HashSet<Box<str>>,
}

impl Shut {
    fn holds(&self, names: &Names) -> bool {
        self.whole != Whole::Open || self.paused.iter().any(|name| names.are_meant(Some(name)))
    }
}

/// What is shut.
#[derive(Default)]
pub(crate) struct Gate {
    /// Whether anything is paused: all that is asked while nothing is.
    any: AtomicBool,
    shut: Mutex<Shut>,
    changes: watch::Sender<()>,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Shut> {
        self.shut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether operators keep anything from running or anybody from coming.
    pub(crate) fn is_used(&self) -> bool {
        let shut = self.lock();
        shut.whole != Whole::Open || !shut.paused.is_empty() || !shut.disabled.is_empty()
    }

    /// Whether a transaction in this database may not begin.
    pub(crate) fn is_shut(&self, names: impl FnOnce() -> Option<Names>) -> bool {
        self.any.load(Ordering::SeqCst) && names().is_some_and(|names| self.lock().holds(&names))
    }

    /// Ready when transactions in this database may begin. Cancel safe.
    pub(crate) async fn opens(&self, names: &Names) {
        self.turns(|shut| !shut.holds(names)).await;
    }

    /// Ready when they may not. Cancel safe.
    pub(crate) async fn shuts(&self, names: &Names) {
        self.turns(|shut| shut.holds(names)).await;
    }

    async fn turns(&self, until: impl Fn(&Shut) -> bool) {
        let mut changes = self.changes.subscribe();
        while !until(&self.lock()) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// How all databases stand.
    pub(crate) fn whole(&self) -> Whole {
        self.lock().whole
    }

    /// Whether this one is paused, by itself or with all.
    pub(crate) fn is_paused(&self, names: &Names) -> bool {
        self.lock().holds(names)
    }

    /// Whether nobody comes into this one.
    pub(crate) fn is_disabled(&self, names: &Names) -> bool {
        self.lock().disabled.iter().any(|name| names.are_meant(Some(name)))
    }

    /// Has transactions wait: those of one database, or all for this reason.
    ///
    /// # Errors
    /// All do already.
    pub(crate) fn pause(&self, name: Option<&str>, whole: Whole) -> Result<(), AsItWas> {
        let mut shut = self.lock();
        if shut.whole != Whole::Open || (whole == Whole::Suspended && !shut.paused.is_empty()) {
            return Err(AsItWas);
        }
        match name {
            Some(name) => _ = shut.paused.insert(name.into()),
            None => shut.whole = whole,
        }
        self.told(shut);
        Ok(())
    }

    /// Lets them begin again. All: also those of databases that were paused by themselves.
    ///
    /// # Errors
    /// They did not wait.
    pub(crate) fn resume(&self, name: Option<&str>) -> Result<(), AsItWas> {
        let mut shut = self.lock();
        let waited = match name {
            Some(name) => shut.paused.remove(name),
            None => {
                let waited = shut.whole != Whole::Open || !shut.paused.is_empty();
                shut.paused.clear();
                shut.whole = Whole::Open;
                waited
            }
        };
        self.told(shut);
        if waited { Ok(()) } else { Err(AsItWas) }
    }

    /// Lets nobody come into a database.
    pub(crate) fn disable(&self, name: &str) {
        self.lock().disabled.insert(name.into());
    }

    /// Lets them come again.
    pub(crate) fn enable(&self, name: &str) {
        self.lock().disabled.remove(name);
    }

    fn told(&self, shut: MutexGuard<'_, Shut>) {
        let any = shut.whole != Whole::Open || !shut.paused.is_empty();
        self.any.store(any, Ordering::SeqCst);
        drop(shut);
        self.changes.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(client: &str, server: &str) -> Names {
        Names { client: client.into(), server: server.into() }
    }

    #[test]
    fn one_database_is_paused_by_either_name_and_all_at_once() {
        let gate = Gate::default();
        let (shop, other) = (names("shop", "shop_2024"), names("other", "other"));
        let shut = |of: &Names| gate.is_shut(|| Some(of.clone()));
        assert!(!shut(&shop));
        gate.pause(Some("shop_2024"), Whole::Paused).unwrap();
        assert!(shut(&shop) && !shut(&other));
        assert_eq!(gate.resume(Some("shop")), Err(AsItWas), "it is paused by its other name");
        assert_eq!(gate.pause(None, Whole::Suspended), Err(AsItWas), "one is paused");
        gate.pause(None, Whole::Paused).unwrap();
        assert!(shut(&other));
        assert_eq!(gate.pause(Some("other"), Whole::Paused), Err(AsItWas));
        gate.resume(None).unwrap();
        assert!(!shut(&shop) && !shut(&other));
        assert_eq!(gate.resume(None), Err(AsItWas));
    }

    #[test]
    fn a_disabled_database_is_not_paused() {
        let gate = Gate::default();
        let shop = names("shop", "shop");
        gate.disable("shop");
        assert!(gate.is_disabled(&shop) && !gate.is_shut(|| Some(shop.clone())));
        gate.enable("shop");
        assert!(!gate.is_disabled(&shop));
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_it_opens() {
        let gate = Gate::default();
        let shop = names("shop", "shop");
        gate.opens(&shop).await;
        gate.pause(Some("shop"), Whole::Paused).unwrap();
        gate.shuts(&shop).await;
        let ((), resumed) = tokio::join!(gate.opens(&shop), async { gate.resume(Some("shop")) });
        assert_eq!(resumed, Ok(()));
    }
}
