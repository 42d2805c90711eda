//! What of a client's session follows its transaction: a rollback takes back what was done to it.
//!
//! Pure. What no rollback takes back is elsewhere: locks and what code left (`model::pins`), and what was done to
//! definitions (`model::ddl`), as statements that were prepared in between saw them as they were then.

use crate::backend::settings::Settings;
use crate::session::model::revocable::Revocable;
use crate::session::model::savepoints::Transactional;
use crate::session::model::settings::SessionSettings;

/// One value for all of it, so that there is one stack of savepoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Undoable {
    /// What the client wants.
    pub settings: SessionSettings,
    /// State on the connection. Most sessions never have any.
    pub pins: Option<Box<Revocable>>,
}

impl Undoable {
    /// Of a session that begins with these settings.
    pub(crate) fn new(startup: &Settings) -> Transactional<Self> {
        Transactional::new(Self { settings: SessionSettings::new(startup), pins: None })
    }

    /// To add to the state on the connection.
    pub(crate) fn pins(&mut self) -> &mut Revocable {
        self.pins.get_or_insert_default()
    }

    /// Takes something of the state on the connection away, where there is any.
    pub(crate) fn lessen_pins(&mut self, change: impl FnOnce(&mut Revocable)) {
        self.pins.as_deref_mut().map(change);
        self.pins.take_if(|pins| **pins == Revocable::default());
    }
}
