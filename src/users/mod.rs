//! Who may log in, and what their passwords are checked against.
//!
//! A name is looked for in `[[users]]`, then in the userlist, then on the servers. What a server says is asked through
//! [`Directory`]: nothing here opens a connection.

mod cache;
mod decoy;
mod keys;
mod list;
mod md5;
mod query;
mod stored;
mod userlist;

use std::sync::Arc;

use crate::config::User;
use crate::error::Error;

pub use crate::scram::{ClientKey, Verifier};
pub use keys::Keys;
pub use list::{InvalidVerifier, Users, UsersError};
pub use md5::Md5Hash;
pub use query::{Asking, AskingForRoles, Directory, NoAnswer};
pub use userlist::Userlist;

/// How a user proves who it is.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Not at all, because the configuration says so.
    Trust,
    /// SCRAM-SHA-256 against this verifier. A plain password is one, too.
    Scram(Verifier),
    /// By a certificate, and nothing else.
    Certificate,
    /// MD5 against this hash, which is all that is known of the password. No SCRAM exchange can be checked against it.
    Md5(Md5Hash),
}

/// One user that may log in.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user: name, identity towards the servers, and its own settings.
    pub user: Arc<User>,
    /// How it proves who it is.
    pub proof: Proof,
}

/// What a name turned out to be.
#[derive(Debug)]
pub enum Found {
    /// A user that may log in.
    Account(Account),
    /// None that may log in. With a verifier all the same, so that it is challenged as any other: the same name gets the same
    /// salt as long as this process lives, and no password fits.
    Nobody(Verifier),
    /// Nobody can tell: it would have to be asked for, and no server answers.
    Refused(Error),
}
