//! From an admitted client to a session: the settings it starts with, and what it is told of them.
//!
//! A client gets the ParameterStatus set that the server itself would have sent. Finding it out takes a backend
//! connection with the client's startup settings applied; the answer is kept for a while for the next client that
//! comes with the same ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::backend::settings::Settings;
use crate::backend::value::Value;
use crate::backend::{ParameterStatuses, exec};
use crate::cluster::topology::ServerId;
use crate::config::Listener;
use crate::error::{Error, Result};
use crate::frontend::Admission;
use crate::net::Stream;
use crate::pool::Lease;
use crate::session::client::Client;
use crate::session::connections::{Connections, account};
use crate::session::conversation::Conversation;
use crate::session::model::weir_settings as own;
use crate::wire::TxStatus;
use crate::wire::reply;
use crate::wire::startup::Parameter;

/// An admitted client, and how it came.
pub(crate) struct Newcomer {
    /// What the front door found out.
    pub admission: Admission<Stream>,
    /// By which listener.
    pub listener: Listener,
    /// When the login must be done.
    pub deadline: tokio::time::Instant,
}

/// Queues what the client is told: parameters, its key, and that it may go on.
pub(crate) fn greet(client: &mut Client, conversation: &Conversation, told: &ParameterStatuses) {
    let key = conversation.entry.key();
    client.buffer.write(|out| {
        told.notices.iter().for_each(|notice| out.extend_from_slice(notice));
        for (name, value) in &told.parameters {
            reply::parameter_status(out, name, value);
        }
        reply::backend_key_data(out, key);
    });
    client.tell_ready(TxStatus::Idle);
}

/// Has the catalog of the session's database read, if nobody has yet.
pub(crate) async fn want_catalog(conversation: &mut Conversation) {
    let (who, catalogs) = (&mut conversation.who, conversation.shared.cluster.catalogs());
    who.catalog = catalogs.want(&who.server_database, &who.user);
    catalogs.first_load(&who.server_database).await;
}

/// Has a server take the client's startup settings, and returns what it says to them: all of its ParameterStatus.
///
/// # Errors
/// What is refused, or that no server can be reached.
pub(crate) async fn settle_in(
    conversation: &mut Conversation,
    connections: &mut Connections,
) -> Result<Arc<ParameterStatuses>> {
    own::admits_all(conversation.state.settings().own())?;
    let wanted = conversation.state.settings().wanted().clone();
    let who = &conversation.who;
    let key = (who.server_database.clone(), who.user.server_user.clone(), account(who), wanted.clone());
    if let Some((settings, known)) = conversation.shared.greetings.get(&key, Instant::now()) {
        let settled = conversation.state.transaction.undoable_mut();
        settled.change_for_good(|undoable| undoable.settings.shares(&settings));
        return Ok(known);
    }
    let mut lease = lease_any(conversation, connections).await?;
    let mut all = ParameterStatuses { parameters: lease.parameters.clone(), notices: Vec::new() };
    // The connection may carry another session's settings. What both have would not be reported: so back to the
    // server's own first.
    let (carried, none) = (lease.settings.clone(), Settings::default());
    for sql in [carried.difference(&none), none.difference(&wanted)] {
        let told = exec(&mut lease, &sql).await?;
        for (name, value) in told.parameters {
            match all.parameters.iter_mut().find(|(known, _)| *known == name) {
                Some((_, old)) => *old = value,
                None => all.parameters.push((name, value)),
            }
        }
        all.notices.extend(told.notices);
    }
    lease.settings = wanted;
    lease.release(Instant::now());
    let told = Arc::new(all);
    conversation.shared.greetings.put(key, told.clone(), Instant::now());
    Ok(told)
}

/// A connection to the primary or, without one, to any replica: sessions that only read can go on.
async fn lease_any(conversation: &Conversation, connections: &mut Connections) -> Result<Lease> {
    let shared = &conversation.shared;
    let topology = arc_swap::Guard::into_inner(shared.cluster.topology());
    let mut servers: Vec<ServerId> = topology.writable().map(|s| s.id).into_iter().collect();
    servers.extend(topology.replicas().map(|s| s.id));
    if servers.is_empty() {
        let deadline = tokio::time::Instant::now() + conversation.policy.config.pool.primary_wait;
        servers.extend(shared.cluster.wait_for_primary(deadline).await);
    }
    let mut last = Error::NoPrimary;
    for server in servers {
        let Some(pool) = connections.pool(shared, &conversation.who, server) else { continue };
        match pool.checkout(conversation.state.settings().wanted(), conversation.who.pool_size).await {
            Ok(lease) => return Ok(lease),
            Err(error @ Error::Refused { .. }) => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The settings in a startup packet: everything but what names the session itself.
pub(crate) fn startup_settings(parameters: &[Parameter]) -> Settings {
    let mut values = BTreeMap::new();
    for (name, value) in parameters {
        let name = String::from_utf8_lossy(name).to_lowercase();
        let value = String::from_utf8_lossy(value).into_owned();
        values.insert(name.into_boxed_str(), Value::Raw(value.into()));
    }
    Settings::new(values)
}
