//! Which process IDs are clients', and what somebody means who names one: within weir a client has the number that it was
//! given, and the server process on which its requests run is nobody's for longer than they do.

use std::sync::Arc;

use crate::backend::notifiers::Notifiers;
use crate::cluster::topology::ServerId;
use crate::session::model::process_words::Named;
use crate::session::shared::registry::{Entry, Registry};
use crate::sql::ProcessFunction;

/// What one session knows of processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes {
    /// The process ID that its client was given.
    pub own: i32,
    /// Who may have sent a notification.
    pub notifiers: Arc<Notifiers>,
    sessions: Arc<Registry>,
    /// Which clients are to be signalled, by statements that have completed.
    pub signals: Vec<(i32, ProcessFunction)>,
}

impl Processes {
    /// Those of a session that has entered.
    pub(crate) fn of(entry: &Entry, notifiers: Arc<Notifiers>, sessions: Arc<Registry>) -> Self {
        Self { own: entry.key().pid(), notifiers, sessions, signals: Vec::new() }
    }

    /// Those of a session that is over.
    pub(crate) fn successor(&self) -> Self {
        Self { signals: Vec::new(), ..self.clone() }
    }

    /// What a number stands for in a statement that runs on this server.
    pub(crate) fn named(&self, pid: i32, server: ServerId) -> Named {
        if pid == self.own {
            return Named::Own;
        }
        if let Some(entry) = self.sessions.client(pid) {
            return Named::Client(pid, entry.role().into());
        }
        match self.sessions.at_work_on(server, pid) {
            Some(client) if client != self.own => Named::Borrowed(client),
            _ => Named::Servers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Key;
    use crate::net::Way;
    use crate::wire::startup::CancelKey;

    #[test]
    fn a_number_stands_for_a_client_or_for_who_works_on_a_process() {
        let registry = Arc::new(Registry::default());
        let enter = |role: &str| registry.enter(0, &role.into());
        let (own, other) = (enter("app"), enter("root"));
        let pid = |entry: &Entry| entry.key().pid();
        assert!(pid(&own) > 1 << 22 && pid(&other) > 1 << 22 && pid(&own) != pid(&other));
        let processes = Processes::of(&own, Arc::default(), registry.clone());
        assert_eq!(processes.named(pid(&own), ServerId(0)), Named::Own);
        assert_eq!(processes.named(pid(&other), ServerId(0)), Named::Client(pid(&other), "root".into()));
        let key = |pid| {
            let cancel = CancelKey::new(pid, vec![0; 4]);
            Arc::new(Key { server: ServerId(0), cancel, notifier: Default::default(), way: Way::Plain })
        };
        own.runs_on(key(7));
        other.runs_on(key(8));
        assert_eq!(processes.named(7, ServerId(0)), Named::Servers, "its own");
        assert_eq!(processes.named(8, ServerId(0)), Named::Borrowed(pid(&other)));
        assert_eq!(processes.named(8, ServerId(1)), Named::Servers, "another server's");
        other.leaves();
        assert_eq!(processes.named(8, ServerId(0)), Named::Servers);
        registry.leave(&other);
        assert_eq!(processes.named(pid(&other), ServerId(0)), Named::Servers);
    }
}
