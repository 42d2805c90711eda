//! What operators have weir do. Each order is in the log and among the events, with who gave it.

use std::sync::Arc;
use std::time::Duration;

use super::command::Order;
use super::desk::{Console, Shutdown};
use super::talk::{Outcome, Refusal};
use crate::config::{CONSOLE, NotSet, SETTABLE};
use crate::error::Error;
use crate::pool::PoolKey;
use crate::session::{AsItWas, Entry, Visitor, Whole};
use crate::sql::ProcessFunction;

/// Time between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(5);

/// Does it.
pub(super) async fn obey(order: &Order, console: &Console, by: &Arc<Entry>) -> Result<Outcome, Refusal> {
    let (verb, of) = words(order);
    let user = by.visitor().map(|visitor| visitor.user.to_string()).unwrap_or_default();
    tracing::info!(order = verb, of, by = user, "an operator's order");
    console.shared.board.happens("order", of, format!("{verb} {of} by {user}").replace("  ", " "));
    if CONSOLE.contains(&of) && !matches!(order, Order::Set(..)) {
        return Err(Refusal::new(format!("{of} is the console itself")));
    }
    match order {
        Order::Pause(name) => return pause(console, name.as_deref(), by).await,
        Order::Suspend => {
            shut(console.shared.board.gate.pause(None, Whole::Suspended))?;
            until_idle(console, None, by).await?;
        }
        Order::Resume(name) => {
            let resumed = console.shared.board.gate.resume(name.as_deref());
            resumed.map_err(|AsItWas| match name {
                None => Refusal::new("weir is not paused/suspended"),
                Some(name) => Refusal::new(format!("database {name} is not paused")),
            })?;
        }
        Order::Disable(name) => console.shared.board.gate.disable(name),
        Order::Enable(name) => console.shared.board.gate.enable(name),
        Order::Reconnect(name) => reconnect(console, name.as_deref()),
        Order::Kill(name) => kill(console, name.as_deref())?,
        Order::KillClient(id) => kill_client(console, *id)?,
        Order::WaitClose(name) => wait_close(console, name.as_deref(), by).await?,
        Order::Reload => return reload(console).await,
        Order::Set(key, value) => return set(console, key, value),
        Order::Shutdown => console.daemon.shut_down(Shutdown::Now),
        Order::ShutdownForServers => console.daemon.shut_down(Shutdown::WhenTransactionsEnd),
        Order::ShutdownForClients => {
            console.shared.close();
            console.daemon.shut_down(Shutdown::WhenClientsLeave);
        }
    }
    Ok(Outcome::done(verb))
}

fn words(order: &Order) -> (&'static str, &str) {
    match order {
        Order::Reload => ("RELOAD", ""),
        Order::Pause(name) => ("PAUSE", name.as_deref().unwrap_or_default()),
        Order::Resume(name) => ("RESUME", name.as_deref().unwrap_or_default()),
        Order::Disable(name) => ("DISABLE", name),
        Order::Enable(name) => ("ENABLE", name),
        Order::Reconnect(name) => ("RECONNECT", name.as_deref().unwrap_or_default()),
        Order::Kill(name) => ("KILL", name.as_deref().unwrap_or_default()),
        Order::KillClient(_) => ("KILL_CLIENT", ""),
        Order::WaitClose(name) => ("WAIT_CLOSE", name.as_deref().unwrap_or_default()),
        Order::Suspend => ("SUSPEND", ""),
        Order::Shutdown | Order::ShutdownForClients | Order::ShutdownForServers => ("SHUTDOWN", ""),
        Order::Set(key, _) => ("SET", key),
    }
}

fn shut(shut: Result<(), AsItWas>) -> Result<(), Refusal> {
    shut.map_err(|AsItWas| Refusal::new("already suspended/paused"))
}

/// Whether somebody is meant by the name of a database. The console's own clients never are.
fn is_meant(visitor: &Visitor, name: Option<&str>) -> bool {
    !CONSOLE.contains(&&*visitor.names.client) && visitor.names.are_meant(name)
}

/// Whether a pool leads to a database that is meant by this name, by either of its names.
fn leads_there(console: &Console, name: Option<&str>) -> impl Fn(&PoolKey) -> bool {
    let policy = console.shared.policy();
    let server = name.map(|name| {
        let listed = policy.config.databases.iter().find(|listed| *listed.name == *name);
        listed.map_or_else(|| name.into(), |listed| listed.server_database.clone())
    });
    move |key| server.as_ref().is_none_or(|server: &Arc<str>| key.database == *server)
}

/// Transactions wait from now on; done when none runs any more, and no connection is open.
async fn pause(console: &Console, name: Option<&str>, by: &Arc<Entry>) -> Result<Outcome, Refusal> {
    shut(console.shared.board.gate.pause(name, Whole::Paused))?;
    until_idle(console, name, by).await?;
    reconnect(console, name);
    let mut done = Outcome::done("PAUSE");
    let kept = console.shared.registry.all();
    let kept = kept.iter().filter(|entry| {
        entry.visitor().is_some_and(|visitor| is_meant(visitor, name) && visitor.pins().is_some())
    });
    let kept = kept.count();
    if kept > 0 {
        let notice = format!("{kept} sessions run nothing, and keep a connection for what is left on it");
        let detail = "They lose it with the server. SHOW PINS names them and says why.";
        done.notices.push((notice, Some(detail.to_owned())));
    }
    Ok(done)
}

async fn until_idle(console: &Console, name: Option<&str>, by: &Arc<Entry>) -> Result<(), Refusal> {
    let registry = &console.shared.registry;
    wait(by, || registry.at_work(|visitor| is_meant(visitor, name)) == 0).await
}

/// Waits for something, unless the operator cancels. Whatever was begun goes on.
async fn wait(by: &Arc<Entry>, is_so: impl Fn() -> bool) -> Result<(), Refusal> {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    by.queue(waiting).await.map_err(|error: Error| Refusal {
        code: "57014",
        hint: Some("What was ordered holds all the same: SHOW STATE tells, RESUME takes it back."),
        ..Refusal::new(error.to_string())
    })
}

fn reconnect(console: &Console, name: Option<&str>) {
    console.shared.pools.reconnect(leads_there(console, name));
}

/// Has the clients of a database leave, and none come before it is resumed.
fn kill(console: &Console, name: Option<&str>) -> Result<(), Refusal> {
    shut(console.shared.board.gate.pause(name, Whole::Paused))?;
    for entry in console.shared.registry.all() {
        if entry.visitor().is_some_and(|visitor| is_meant(visitor, name)) {
            console.shared.signal(entry.key().pid(), ProcessFunction::Terminate);
        }
    }
    reconnect(console, name);
    Ok(())
}

fn kill_client(console: &Console, id: i32) -> Result<(), Refusal> {
    console.shared.registry.client(id).ok_or_else(|| Refusal::new("client not found"))?;
    console.shared.signal(id, ProcessFunction::Terminate);
    Ok(())
}

async fn wait_close(console: &Console, name: Option<&str>, by: &Arc<Entry>) -> Result<(), Refusal> {
    let leads_there = leads_there(console, name);
    let is_closed = || {
        let pools = console.shared.pools.all();
        pools
            .iter()
            .filter(|pool| leads_there(pool.key()))
            .all(|pool| pool.members().iter().all(|member| !member.close_needed))
    };
    wait(by, is_closed).await
}

async fn reload(console: &Console) -> Result<Outcome, Refusal> {
    match console.daemon.reload().await {
        Ok(changed) => {
            let mut done = Outcome::done("RELOAD");
            done.notices.extend(Some((changed, None)).filter(|(changed, _)| !changed.is_empty()));
            Ok(done)
        }
        Err(why) => Err(Refusal { code: "F0000", ..Refusal::new(why) }),
    }
}

/// Changes a setting until the configuration is read again.
fn set(console: &Console, key: &str, value: &str) -> Result<Outcome, Refusal> {
    let policy = console.shared.policy();
    match policy.config.with(key, value) {
        Ok(config) => {
            drop(policy);
            console.shared.obey(&Arc::new(config));
            Ok(Outcome::done(format!("SET {key}={value}")))
        }
        Err(NotSet::Value(why)) => Err(Refusal { code: "22023", ..Refusal::new(format!("{key}: {why}")) }),
        Err(NotSet::NotLive) => {
            let message = format!("{key} cannot be set here; these can: {}", SETTABLE.join(", "));
            let hint = Some("SHOW CONFIG lists all settings. Others are changed in the configuration file.");
            Err(Refusal { code: "55P02", hint, ..Refusal::new(message) })
        }
    }
}
