//! What of a client's session follows its transaction: a rollback takes back what was done to it.
//!
//! Pure. What no rollback takes back is elsewhere: locks and what code left (`model::pins`), and what was done to
//! definitions (`model::ddl`), as statements that were prepared in between saw them as they were then.

use std::collections::BTreeSet;

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
    /// The channels to which it listens by a connection that it shares. They are on none of its own.
    pub shared: Option<Box<Channels>>,
}

/// Names of channels, as the server has them.
pub(crate) type Channels = BTreeSet<Box<str>>;

/// Whether a channel can be listened to by a connection that is shared: how the server would read and cut another name,
/// nobody knows here.
pub(crate) fn is_shareable(channel: &str) -> bool {
    channel.is_ascii() && !channel.is_empty()
}

/// A channel's name as the server cuts it (NAMEDATALEN). In which encoding it counts the bytes nobody knows here, so this
/// holds of names in ASCII; the others are never shared.
pub(crate) fn channel_name(name: &str) -> &str {
    name.get(..63).unwrap_or(name)
}

impl Undoable {
    /// Of a session that begins with these settings.
    pub(crate) fn new(startup: &Settings) -> Transactional<Self> {
        Transactional::new(Self { settings: SessionSettings::new(startup), pins: None, shared: None })
    }

    /// To add to the state on the connection.
    pub(crate) fn pins(&mut self) -> &mut Revocable {
        self.pins.get_or_insert_default()
    }

    /// A channel is listened to by a shared connection, which needs none of the session's.
    pub(crate) fn shares(&mut self, channel: &str) {
        self.lessen_pins(|pins| pins.channels.retain(|one| channel_name(one) != channel));
        self.shared.get_or_insert_default().insert(channel.into());
    }

    /// Such a channel is given up, or all of them.
    pub(crate) fn unshares(&mut self, channel: Option<&str>) {
        match channel {
            None => self.shared = None,
            Some(channel) => {
                self.shared.as_deref_mut().map(|shared| shared.remove(channel_name(channel)));
                self.shared.take_if(|shared| shared.is_empty());
            }
        }
    }

    /// Takes something of the state on the connection away, where there is any.
    pub(crate) fn lessen_pins(&mut self, change: impl FnOnce(&mut Revocable)) {
        self.pins.as_deref_mut().map(change);
        self.pins.take_if(|pins| **pins == Revocable::default());
    }
}
