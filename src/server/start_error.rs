//! Why a run cannot begin, or cannot go on by another configuration.

use super::takeover::TakeoverError;
use crate::hba;
use crate::net::tls::AcceptorError;
use crate::users::UsersError;

/// How a run can fail to begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address, or the socket's path.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The files that say who may come from where are wrong.
    #[error(transparent)]
    Rules(#[from] hba::Mistakes),
    /// Certificates, or the key, that clients are to be shown are wrong.
    #[error(transparent)]
    Tls(#[from] AcceptorError),
    /// The weir that runs does not let go.
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
    /// Nobody could log in.
    #[error(transparent)]
    Users(#[from] UsersError),
}
