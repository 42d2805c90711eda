//! What a session has said of what a server process that hears it never forgets: its custom settings, and how many buffers
//! temporary tables get.
//!
//! Pure.

use crate::backend::past::{Placeholders, TempTables};
use crate::sql::{Change, Statement};

/// What a session has said of what a server process that hears it never forgets. It goes along to all its connections.
#[derive(Debug, Default)]
pub(crate) struct Spoken {
    /// Its custom settings.
    pub placeholders: Placeholders,
    /// Whether its request says how many buffers temporary tables get.
    pub buffers: TempTables,
}

impl Spoken {
    /// A request begins.
    pub(crate) fn begins_request(&mut self) {
        self.buffers = TempTables(false);
    }

    /// A statement of it is about to be sent.
    pub(crate) fn says(&mut self, statement: &Statement) {
        let effects = &statement.effects;
        for setting in &effects.settings {
            self.buffers.0 |= &*setting.name == "temp_buffers";
            self.placeholders.speak_of(&setting.name);
        }
        for change in &effects.changes {
            match change {
                Change::DynamicSetting(Some(name)) | Change::LocalSetting(Some(name)) => {
                    self.buffers.0 |= &**name == "temp_buffers";
                    self.placeholders.speak_of(name);
                }
                Change::DynamicSetting(None) | Change::LocalSetting(None) => {
                    self.placeholders.speak_of_others();
                }
                _ => {}
            }
        }
    }
}
