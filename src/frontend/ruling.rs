//! What pg_hba.conf says of a client: the looking up of what its lines ask for, and of names that a ruling maps.

use tokio::task::spawn_blocking;

use super::claim::Claim;
use crate::error::{Error, Origin, Result};
use crate::hba::{Decision, Facts, Interface, Query, Rules, Ruling};
use crate::net::{self, Encryption, PeerAddress, UnixPeer};

/// The ruling of the first line that matches.
pub(super) async fn ruling<'r>(claim: &Claim<'_>, rules: &'r Rules) -> Result<&'r Ruling> {
    let query = Query { peer: claim.peer, user: &claim.greeting.user, database: &claim.greeting.database };
    let mut facts = Facts::default();
    loop {
        match rules.decide(&query, &facts) {
            Decision::Ruled(ruling) => return Ok(ruling),
            Decision::Unruled => return Err(Error::NoRule(Box::new(origin(claim)))),
            Decision::NeedsHostName => facts.host_name = Some(host_name(claim.peer.address).await),
            Decision::NeedsInterfaces => facts.interfaces = Some(interfaces().await),
        }
    }
}

/// How a client is named that is turned away.
pub(super) fn origin(claim: &Claim) -> Origin {
    Origin {
        host: match claim.peer.address {
            PeerAddress::Tcp(client) => client.ip().to_canonical().to_string(),
            PeerAddress::Unix(_) => "[local]".to_owned(),
        },
        user: claim.greeting.user.clone(),
        database: claim.greeting.database.clone(),
        encryption: match claim.peer.encryption {
            Encryption::None => "no encryption",
            Encryption::Tls(_) => "SSL encryption",
        },
    }
}

async fn host_name(client: PeerAddress) -> Option<String> {
    let PeerAddress::Tcp(client) = client else { return None };
    let address = client.ip().to_canonical();
    spawn_blocking(move || net::host_name(address)).await.ok().flatten()
}

/// None if they cannot be found out: then no line that asks for them matches.
async fn interfaces() -> Vec<Interface> {
    let found = spawn_blocking(net::interfaces).await.map_err(std::io::Error::other);
    match found.flatten() {
        Ok(found) => found.into_iter().map(|(address, mask)| Interface { address, mask }).collect(),
        Err(error) => {
            tracing::warn!(%error, "the addresses of this machine cannot be found out");
            Vec::new()
        }
    }
}

/// The name of the system's user at the other end of a Unix socket.
pub(super) async fn system_user(peer: UnixPeer) -> Option<String> {
    let found = spawn_blocking(move || net::user_name(peer.uid)).await.map_err(std::io::Error::other);
    match found.flatten() {
        Ok(Some(name)) => Some(name),
        Ok(None) => {
            tracing::info!(uid = peer.uid, "no user of this machine has the number of the client's process");
            None
        }
        Err(error) => {
            tracing::warn!(%error, uid = peer.uid, "a user of this machine cannot be looked up");
            None
        }
    }
}
