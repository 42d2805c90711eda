//! What a session did to definitions is told to who keeps the catalog, before its client hears of it.

use std::cell::LazyCell;

use crate::cluster::catalogs::Changed;
use crate::session::conversation::Conversation;
use crate::session::model::ddl::{Change, Given};
use crate::sql::Name;

/// Which definitions were changed by that.
pub(super) fn changed(change: Change) -> Changed {
    match change {
        Change::None | Change::ByFunction | Change::ByCode | Change::Data => Changed::Data,
        Change::Removed => Changed::Removed,
        Change::Moved => Changed::Moved,
        Change::Added => Changed::Added,
        Change::Certain => Changed::Code,
    }
}

impl Conversation {
    /// Looks at the code that runs. To be called before the server's words are taken in, which may tell that what
    /// they did is committed.
    pub(crate) fn suspect_functions(&mut self) {
        let catalog = LazyCell::new(|| self.catalog());
        let is_code = |function: &Name| self.policy.functions.may_do_anything(function, catalog.as_deref());
        if self.state.pending_writes.runs_code(is_code) {
            self.state.definitions.suspect();
        }
    }

    /// Tells of what is committed.
    pub(crate) fn tell_definitions(&mut self) {
        let change = self.state.definitions.take_committed();
        if change != Change::None {
            self.tell_change(change);
            self.tell_given();
        }
    }

    /// Tells that servers may give something else to those who set nothing.
    fn tell_given(&mut self) {
        match self.state.definitions.take_given() {
            Given::Same => {}
            Given::Written => self.shared.look_for_reload(),
            Given::Other => {
                self.shared.greetings.forget();
                self.shared.look_at_servers();
            }
        }
    }

    /// Signals the clients that statements have named which have completed.
    pub(crate) fn signal_others(&mut self) {
        let signals = &mut self.state.processes.signals;
        if !signals.is_empty() {
            signals.drain(..).for_each(|(client, signal)| self.shared.signal(client, signal));
        }
    }

    /// Tells of what may be committed though nobody will ever say so.
    pub(crate) fn tell_unanswered_definitions(&mut self) {
        let known = self.state.definitions.commit();
        let may_define = self.state.pending_writes.may_define();
        if may_define {
            self.shared.greetings.forget();
        }
        self.tell_change(if may_define { known.max(Change::ByCode) } else { known });
    }

    fn tell_change(&self, change: Change) {
        let catalogs = self.shared.cluster.catalogs();
        match change {
            Change::None => {}
            Change::ByFunction | Change::ByCode => catalogs.doubt(&self.who.server_database),
            _ => {
                catalogs.stale(&self.who.server_database, changed(change));
                self.state.database().learned.clear();
            }
        }
    }
}
