//! What pg_hba.conf says of a client: the looking up of what its lines ask for, and of names that a ruling maps.
//!
//! It opens no connection: which roles a user is a member of, [`crate::users::Users`] is asked.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::claim::{Claim, Gate};
use crate::error::{Error, Origin, Result};
use crate::hba::{Decision, Facts, Interface, Query, Rules, Ruling};
use crate::net::{self, Encryption, PeerAddress, UnixPeer};
use crate::users::NoAnswer;

/// What holds for a client.
pub(super) struct Ruled<'r> {
    pub(super) ruling: Ruling,
    /// The rules that say so; none where the user's own entry does.
    rules: Option<&'r Rules>,
    /// The roles that the user is a member of, where they were asked for.
    roles: Option<Arc<[String]>>,
}

impl Ruled<'_> {
    /// What a user's own entry says.
    pub(super) fn by_itself(ruling: Ruling) -> Self {
        Self { ruling, rules: None, roles: None }
    }

    /// Whether who has proved one name may be the user of another. Why not is for the operator alone.
    pub(super) fn may_be(&self, proved: &str, user: &str) -> bool {
        let nothing = Rules::default();
        let rules = self.rules.unwrap_or(&nothing);
        let outcome = rules.may_be(&self.ruling, proved, (user, self.roles.as_deref()));
        if let Err(why) = &outcome {
            tracing::info!(proved, user, map = self.ruling.map.as_deref(), "{why}");
        }
        outcome.is_ok()
    }
}

/// The ruling of the first line that matches; `None` without a file.
///
/// # Errors
/// No line matches, or nobody can tell whether one does.
pub(super) async fn ruled<'r>(claim: &Claim<'_>, gate: Gate<'r>) -> Result<Option<Ruled<'r>>> {
    let Some(rules) = gate.rules else { return Ok(None) };
    let query = Query { peer: claim.peer, user: &claim.greeting.user, database: &claim.greeting.database };
    let mut facts = Facts::default();
    loop {
        match rules.decide(&query, &facts) {
            Decision::Ruled(_, ruling) if facts.roles.is_none() && rules.maps_by_role(ruling) => {
                facts.roles = Some(roles(claim, gate).await?);
            }
            Decision::Ruled(place, ruling) => {
                tracing::debug!(file = %place.file.display(), line = place.line, "ruled by pg_hba.conf");
                return Ok(Some(Ruled { ruling: ruling.clone(), rules: Some(rules), roles: facts.roles }));
            }
            Decision::Unruled => return Err(Error::NoRule(Box::new(origin(claim)))),
            Decision::NeedsHostName => facts.host_name = Some(host_name(claim.peer.address).await),
            Decision::NeedsInterfaces => facts.interfaces = Some(interfaces().await),
            Decision::NeedsRoles => facts.roles = Some(roles(claim, gate).await?),
        }
    }
}

/// A line that depends on them can be neither taken nor passed over while nobody tells.
async fn roles(claim: &Claim<'_>, gate: Gate<'_>) -> Result<Arc<[String]>> {
    gate.users.roles(&claim.greeting.user).await.map_err(|NoAnswer| Error::NoDirectory)
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
