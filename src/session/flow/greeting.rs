//! From an admitted client to a session: the settings it starts with, and what it is told of them.
//!
//! A client gets the ParameterStatus set that the server itself would have sent. Finding it out takes a backend
//! connection with the client's startup settings applied; the answer is kept for a while for the next client that
//! comes with the same ones.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::backend::begun::is_outdated;
use crate::backend::settings::Settings;
use crate::backend::value::Value;
use crate::backend::{ParameterStatuses, exec};
use crate::cluster::topology::ServerId;
use crate::config::Listener;
use crate::error::{Error, Result};
use crate::frontend::Admission;
use crate::net::Stream;
use crate::pool::{Lease, Pool};
use crate::session::client::Client;
use crate::session::connections::{Connections, account};
use crate::session::conversation::Conversation;
use crate::session::model::restore::AUTHORIZATION;
use crate::session::model::weir_settings as own;
use crate::session::shared::greetings::Told;
use crate::wire::TxStatus;
use crate::wire::reply;
use crate::wire::startup::Parameter;

/// What tells whether a session can write.
const STANDBY: &str = "in_hot_standby";

/// Time between two attempts to find a server that answers.
const RECONNECT: Duration = Duration::from_millis(200);

/// An admitted client, and how it came.
pub(crate) struct Newcomer {
    /// What the front door found out.
    pub admission: Admission<Stream>,
    /// By which listener.
    pub listener: Arc<Listener>,
    /// When the login must be done.
    pub deadline: tokio::time::Instant,
}

/// Queues what the client is told: parameters, its key, and that it may go on.
pub(crate) fn greet(client: &mut Client, conversation: &mut Conversation, told: &ParameterStatuses) {
    let strings = told.parameters.iter().find(|(name, _)| **name == *b"standard_conforming_strings");
    if let Some(value) = strings.and_then(|(_, value)| std::str::from_utf8(value).ok()) {
        conversation.is_told_strings(value);
    }
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
) -> Result<Arc<Told>> {
    let told = settle(conversation, connections).await?;
    if let Some(path) = told.defaults.as_ref().and_then(|defaults| defaults.told("search_path")) {
        conversation.state.pins.search(path);
    }
    conversation.defaults.begins(told.defaults.clone(), conversation.policy.conf.as_ref());
    if conversation.state.settings().startup().get(AUTHORIZATION).is_some() {
        // Whether it could be taken has been seen. PostgreSQL asks no more of it in a startup packet: who the session is
        // has been said before.
        let settled = conversation.state.transaction.undoable_mut();
        settled.change_for_good(|undoable| undoable.settings.never_began_with(AUTHORIZATION));
    }
    Ok(told)
}

async fn settle(conversation: &mut Conversation, connections: &mut Connections) -> Result<Arc<Told>> {
    own::admits_all(conversation.state.settings().own())?;
    let wanted = conversation.state.settings().wanted().clone();
    let who = &conversation.who;
    let key = (who.server_database.clone(), who.user.server_user.clone(), account(who), wanted.clone());
    let has_primary = conversation.shared.cluster.topology().writable().is_some();
    let known = conversation.shared.greetings.get(&key, Instant::now());
    let age = conversation.shared.greetings.age();
    // What a replica has told without a primary is not true any more once there is one.
    if let Some((settings, known)) =
        known.filter(|(_, told)| !(has_primary && told.statuses.tell(STANDBY, "on")))
    {
        let settled = conversation.state.transaction.undoable_mut();
        settled.change_for_good(|undoable| undoable.settings.shares(&settings));
        return Ok(known);
    }
    let deadline = tokio::time::Instant::now() + conversation.policy.config.pool.primary_wait;
    let told = loop {
        let mut changes = conversation.shared.cluster.changes();
        let told = match lease_any(conversation, connections).await {
            Ok(lease) => {
                let server = lease.server();
                tokio::select! {
                    told = ask(lease, &wanted, conversation) => told,
                    // A frozen one says nothing, not even that.
                    () = conversation.shared.goes_down(server) => Err(Error::ServerLost),
                }
            }
            Err(error) => Err(error),
        };
        match told {
            // Those who come now are given something else: there will be a new one.
            Ok(None) => continue,
            Err(error) if error.is_absence() && tokio::time::Instant::now() < deadline => {}
            Ok(Some(told)) => break Arc::new(told),
            Err(error) => return Err(error),
        }
        // Whether there is a change or not, there is another attempt.
        drop(timeout(RECONNECT, changes.changed()).await);
    };
    conversation.shared.greetings.put(key, told.clone(), age, Instant::now());
    Ok(told)
}

/// What a server says to these settings; `None` over a connection that began with other defaults than one would now.
///
/// # Errors
/// What it refuses, or that it is lost.
async fn ask(mut lease: Lease, wanted: &Settings, conversation: &Conversation) -> Result<Option<Told>> {
    let mut all = ParameterStatuses { parameters: lease.parameters.clone(), notices: Vec::new() };
    // The connection may carry another session's settings. What both have would not be reported: so back to the
    // server's own first.
    let (carried, none) = (lease.settings.clone(), Settings::default());
    let identity = none.with(AUTHORIZATION, wanted.get(AUTHORIZATION).cloned());
    let wanted = wanted.with(AUTHORIZATION, None);
    let (attempt, back) = (none.difference(&identity), identity.difference(&none));
    for (nth, sql) in [carried.difference(&none), attempt, back, none.difference(&wanted)].iter().enumerate()
    {
        let told = exec(&mut lease, sql).await?;
        // What the session of before has set must not keep the connection from telling.
        if nth == 0 && is_outdated(&mut lease).await? {
            lease.pool().retire();
            return Ok(None);
        }
        for (name, value) in told.parameters {
            match all.parameters.iter_mut().find(|(known, _)| *known == name) {
                Some((_, old)) => *old = value,
                None => all.parameters.push((name, value)),
            }
        }
        all.notices.extend(told.notices);
    }
    let stands_in = conversation.shared.cluster.topology().writable().is_some_and(|s| s.id != lease.server());
    if stands_in && let Some((_, value)) = all.parameters.iter_mut().find(|(name, _)| name == STANDBY) {
        // It answers for a primary that is there and only full: the session can write.
        *value = "off".into();
    }
    lease.past.placeholders.join(&conversation.state.pins.spoken.placeholders);
    lease.settings = wanted;
    let defaults = lease.defaults.clone();
    lease.release(Instant::now());
    Ok(Some(Told { statuses: all, defaults }))
}

/// A connection to the primary or, where it gives none, to any replica: sessions that only read can go on. Where all of
/// them are full, the first that comes free.
async fn lease_any(conversation: &Conversation, connections: &mut Connections) -> Result<Lease> {
    let shared = &conversation.shared;
    let topology = arc_swap::Guard::into_inner(shared.cluster.topology());
    let mut servers: Vec<ServerId> = topology.writable().map(|s| s.id).into_iter().collect();
    servers.extend(topology.replicas().map(|s| s.id));
    let (wanted, size) = (conversation.state.settings().wanted(), conversation.who.pool_size);
    let (mut last, mut full) = (Error::NoPrimary, Vec::new());
    for server in servers {
        let Some(pool) = connections.pool(shared, &conversation.who, server) else { continue };
        if let Some(lease) = pool.try_checkout(wanted, &Weak::new()) {
            return Ok(lease);
        }
        if !pool.can_grow(size) {
            full.push(pool);
            continue;
        }
        match pool.checkout_or_leave(wanted, size).await {
            Ok(lease) => return Ok(lease),
            Err(error) if error.is_full() => full.push(pool),
            Err(error @ Error::Refused { .. }) if !error.is_absence() => return Err(error),
            Err(error) => last = error,
        }
    }
    match full.is_empty() {
        true => Err(last),
        false => first_free(&full, wanted, size).await,
    }
}

/// The first connection that comes free in any of these pools: who waits in several waits in turn in each.
///
/// # Errors
/// Why the last of them gave none.
/// Cancel safe.
async fn first_free(pools: &[Arc<Pool>], wanted: &Settings, size: usize) -> Result<Lease> {
    let mut waiting: Vec<_> = pools.iter().map(|pool| Box::pin(pool.checkout(wanted, size))).collect();
    poll_fn(|cx| {
        let mut outcome = None;
        waiting.retain_mut(|checkout| {
            // What another has ready is left where it is.
            if matches!(outcome, Some(Ok(_))) {
                return true;
            }
            match checkout.as_mut().poll(cx) {
                Poll::Ready(done) => outcome = Some(done),
                Poll::Pending => return true,
            }
            false
        });
        match outcome {
            Some(Ok(lease)) => Poll::Ready(Ok(lease)),
            Some(Err(error)) if waiting.is_empty() => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    })
    .await
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
