//! How weir proves to a server who it is, for one client.

use std::sync::Arc;

use crate::config::{Secret, ServerProof};
use crate::scram::PassKey;

/// A proof at hand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// None: the server trusts weir.
    None,
    /// A password.
    Password(Secret),
    /// The MD5 hash of a password.
    Md5(Secret),
    /// The key that the client's own login has proved.
    Key(Arc<PassKey>),
    /// None yet: the client's own login should have proved a key, and it was let in by other means.
    Unproved,
}

impl Proof {
    /// What the configuration asks for, by the key that the client has proved, if it has.
    pub fn new(configured: &ServerProof, key: Option<&Arc<PassKey>>) -> Self {
        match configured {
            ServerProof::None => Proof::None,
            ServerProof::Password(password) => Proof::Password(password.clone()),
            ServerProof::Md5(hash) => Proof::Md5(hash.clone()),
            ServerProof::PassThrough => key.map_or(Proof::Unproved, |key| Proof::Key(key.clone())),
        }
    }

    /// Whether there is another by now: connections that nobody needs are not to be opened by this one.
    pub(crate) fn is_superseded(&self) -> bool {
        matches!(self, Proof::Key(key) if key.is_superseded())
    }
}
