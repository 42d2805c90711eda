//! Users whom the configuration does not list: the servers are asked for them, and the list is read anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::cluster::Cluster;
use crate::config::AuthPlace;
use crate::users::{Asking, Directory, NoAnswer, Userlist};

/// How often it is looked whether the list has changed.
const LOOK: Duration = Duration::from_secs(1);

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
}

/// Reads the list anew when it changes.
pub(super) async fn heed_userlist(list: Arc<Userlist>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let list = list.clone();
        let read = move || list.read_if_changed();
        match spawn_blocking(read).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(users))) => tracing::info!(users, "the userlist was read anew"),
            Ok(Err(error)) => tracing::error!(%error, "the userlist stays what it was"),
            Err(error) => tracing::error!(%error, "the userlist was not read"),
        }
    }
}
