//! Users whom the configuration does not list: the servers are asked for them, and the list is read anew.

use std::sync::Arc;

use crate::cluster::Cluster;
use crate::config::{AuthPlace, Watched};
use crate::users::{Asking, AskingForRoles, Directory, NoAnswer, Userlist};

/// The servers, for those who ask for users.
pub(super) struct Servers(pub(super) Arc<Cluster>);

impl Directory for Servers {
    fn secret<'a>(&'a self, place: &'a AuthPlace, name: &'a str) -> Asking<'a> {
        Box::pin(async move {
            self.0.secret(place, name).await.map_err(|error| {
                tracing::warn!(%error, "cannot ask for a user");
                NoAnswer
            })
        })
    }

    fn roles<'a>(&'a self, role: &'a Arc<str>) -> AskingForRoles<'a> {
        Box::pin(async move { self.0.memberships(role).await.ok_or(NoAnswer) })
    }
}

/// Reads the list anew, and says how its file looked. One that is not right changes nothing. Blocks.
pub(super) fn reload(list: &Userlist) -> Watched {
    let watched = list.watched().look_again();
    match list.read() {
        Ok(()) => tracing::info!(users = list.len(), "the userlist was read anew"),
        Err(error) => tracing::error!(%error, "the userlist stays what it was"),
    }
    watched
}
