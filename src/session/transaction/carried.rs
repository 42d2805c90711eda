//! The settings that a leased connection carries.
//!
//! Pure. They are the connection's, not the client's, and follow its transaction as the server makes them do.

use crate::backend::settings::Settings;
use crate::backend::value::Value;
use crate::session::model::savepoints::{Control, Transactional};
use crate::session::model::settings::{is_weirs, keeping, set_on_top_of};
use crate::session::model::undoable::Undoable;
use crate::wire::TxStatus;

/// Settings as a connection has them.
#[derive(Debug, Default)]
pub(crate) struct Carried(Transactional<Settings>);

impl Carried {
    /// A connection that carries these was leased, outside a transaction.
    pub(crate) fn new(settings: Settings) -> Self {
        Self(Transactional::new(settings))
    }

    /// A server was told of the client's transaction as far as it has come, and `attainable` of what the client wanted at
    /// each point of it.
    pub(crate) fn begins(
        &mut self,
        undoable: &Transactional<Undoable>,
        attainable: impl Fn(&Settings) -> Settings,
    ) {
        self.0 = undoable.map(|level| attainable(level.settings.wanted()));
    }

    /// As they are now.
    pub(crate) fn now(&self) -> &Settings {
        self.0.now()
    }

    /// Whether the connection lacks nothing of what is wanted but the client's name.
    pub(crate) fn lacks_name_only(&self, wanted: &Settings) -> bool {
        self.now() != wanted && self.now().differs_in_name_only(wanted)
    }

    /// The connection was told what the client wants. Within a transaction a rollback takes it back.
    pub(crate) fn told(&mut self, wanted: &Settings, tx: TxStatus) {
        match tx {
            TxStatus::Idle => self.0.change_for_good(|carried| *carried = wanted.clone()),
            TxStatus::Open | TxStatus::Failed => *self.0.change() = wanted.clone(),
        }
    }

    /// `SET name TO value` went through.
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        if !is_weirs(name) {
            let carried = self.0.change();
            *carried = set_on_top_of(carried, name, value);
        }
    }

    /// `RESET name` went through: it has the server's default.
    pub(crate) fn reset(&mut self, name: &str) {
        if !is_weirs(name) {
            let carried = self.0.change();
            *carried = carried.with(name, None);
        }
    }

    /// The connection has been told what the client came with, of these settings, behind their reset.
    pub(crate) fn restored(&mut self, names: impl Iterator<Item = Box<str>>, startup: &Settings) {
        for name in names {
            let carried = self.0.change();
            *carried = carried.with(&name, startup.get(&name).cloned());
        }
    }

    /// `RESET ALL` or `DISCARD ALL` went through, and left these alone.
    pub(crate) fn reset_all(&mut self, keep: &[&str]) {
        let carried = self.0.change();
        *carried = keeping(keep, carried, Settings::default());
    }

    /// The transaction goes on or ends.
    pub(crate) fn follow(&mut self, control: Control<'_>) {
        self.0.follow(control);
    }
}
