//! The configuration while weir runs. A reload reads it anew, with the files that it names; checks all of it, and binds
//! what is to be bound; and only then has the rooms take over what differs. What is wrong changes nothing.
//!
//! A session takes what it goes by as one snapshot at the beginning of a request, so none sees half of a change.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio_util::task::AbortOnDropHandle;

use super::accept::Door;
use super::descriptors::{descriptors, room_for_clients};
use super::directory::{self, Servers};
use super::endpoint::Endpoint;
use super::events::fit_pools;
use super::finding::Finding;
use super::follow::follow;
use super::listeners::{Listeners, Ready};
use super::reload::{Asked, Askers, NotReloaded};
use super::rules;
use super::takeover::{Applicant, Handed, introduce};
use super::tls::Acceptors;
use crate::config::{self, Changes, Config, Written};
use crate::net::Listener;
use crate::net::tls::Acceptor;
use crate::server::supervisor::Supervisor;
use crate::telemetry::log::LiveLog;
use crate::users::Users;

/// What a reload changes.
pub(super) struct Live {
    pub(super) source: Source,
    pub(super) config: Arc<Config>,
    pub(super) finding: Arc<Finding>,
    pub(super) door: Arc<Door>,
    pub(super) listeners: Listeners,
    pub(super) acceptors: Acceptors,
    pub(super) endpoint: Endpoint,
    pub(super) log: LiveLog,
    /// Those who look for changes of files.
    pub(super) following: JoinSet<()>,
    /// Who is told of a reload.
    pub(super) supervisor: Arc<Supervisor>,
    /// Where reloads are asked for.
    pub(super) control: Option<Control>,
    /// Is told, once, that another weir takes over, and what sends clients there.
    pub(super) relieved: Option<oneshot::Sender<JoinHandle<()>>>,
}

/// Where reloads are asked for, while this is there.
pub(super) struct Control {
    pub(super) listener: Arc<Listener>,
    pub(super) _listening: AbortOnDropHandle<()>,
}

/// Where the configuration was read, and what was written there.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) file: PathBuf,
    pub(super) written: Written,
}

/// What was read, and is right.
struct Read {
    config: Arc<Config>,
    written: Written,
    rules: rules::Read,
    users: Users,
}

/// What is ready to hold: from here on nothing can go wrong.
struct Prepared {
    read: Read,
    listeners: Ready,
    endpoint: Option<(SocketAddr, TcpListener)>,
}

impl Live {
    /// Serves those who ask for a reload, one after the other, for ever.
    pub(super) async fn serve(mut self, mut askers: Askers) {
        while let Some(asked) = askers.recv().await {
            match asked {
                Asked::Reload(asker) => {
                    self.supervisor.reloads().await;
                    let outcome = self.reload().await;
                    self.supervisor.is_ready().await;
                    // Who has left has it in the log.
                    let _ = asker.send(outcome);
                }
                Asked::Relief(applicant) => self.is_relieved_by(*applicant).await,
                Asked::Leave(done) => {
                    self.listeners.leave_to_others().await;
                    let _ = done.send(());
                }
            }
        }
    }

    /// Another weir wants to take over. Until it serves, nothing has changed.
    async fn is_relieved_by(&mut self, applicant: Applicant) {
        let (door, pid) = (self.door.clone(), applicant.pid);
        let shared = &door.shared;
        let obstacle = self.obstacle();
        if obstacle.is_none() {
            // Both may write from here on.
            shared.is_beside_another();
        }
        let introduced = match self.sockets() {
            Ok(sockets) => introduce(applicant, sockets, &door, obstacle).await,
            Err(error) => Err(error),
        };
        match introduced {
            Ok(ready) => {
                self.control = None;
                self.listeners.give_away().await;
                self.endpoint.give_away();
                self.supervisor.is_succeeded_by(pid).await;
                let giving = ready.relieve(door.clone());
                shared.begin_handover();
                // What is idle the other needs more.
                shared.pools.reconnect(|_| true);
                if let Some(relieved) = self.relieved.take() {
                    // Who has ended meanwhile needs not hear it.
                    let _ = relieved.send(giving);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no other weir takes over: this one goes on");
                if obstacle.is_none() {
                    shared.is_alone_again();
                }
            }
        }
    }

    /// Why nobody can take over.
    fn obstacle(&self) -> Option<&'static str> {
        let shared = &self.door.shared;
        if shared.is_closed() {
            return Some("it ends, or has been relieved");
        }
        if shared.kin.is_following() {
            return Some("it is taking over itself, and the weir before it still has clients");
        }
        shared
            .board
            .gate
            .is_used()
            .then_some("a database is paused or disabled, which another weir would not know")
    }

    /// All sockets by which somebody comes.
    fn sockets(&self) -> std::io::Result<Vec<Handed>> {
        let mut all = self.listeners.sockets()?;
        all.extend(self.endpoint.socket());
        if let Some(control) = &self.control {
            all.push(Handed::Control(control.listener.descriptors()?.0));
        }
        Ok(all)
    }

    /// Reads everything anew, and has it hold.
    async fn reload(&mut self) -> Result<Changes, NotReloaded> {
        if self.door.shared.is_draining() || self.door.shared.is_handing_over() {
            return Err(NotReloaded("weir is draining".to_owned()));
        }
        let prepared = self.prepare().await;
        self.door.shared.metrics.reload_successful.set(i64::from(prepared.is_ok()));
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(mistakes) => {
                mistakes.iter().for_each(|mistake| tracing::error!("{mistake}"));
                tracing::error!(
                    mistakes = mistakes.len(),
                    "the configuration was read anew, and not taken: what held before holds on"
                );
                return Err(NotReloaded(mistakes.join("\n")));
            }
        };
        let changes = self.source.written.changes_to(&prepared.read.written);
        self.apply(prepared).await;
        for change in &changes.list {
            // Names may hold anything; a line is one all the same.
            let line = change.to_string().replace(char::is_control, " ");
            match change.restart {
                None => tracing::info!("configuration: {line}"),
                Some(_) => tracing::warn!("configuration: {line}"),
            }
        }
        tracing::info!(changes = changes.list.len(), "the configuration was read anew, and holds");
        Ok(changes)
    }

    /// Everything that can go wrong, without any effect on what is there.
    async fn prepare(&self) -> Result<Prepared, Vec<String>> {
        let (file, before, door) = (self.source.file.clone(), self.config.clone(), self.door.clone());
        let read = spawn_blocking(move || read(&file, &before, &door)).await;
        let read = read.map_err(|error| vec![error.to_string()])??;
        let mut mistakes = Vec::new();
        let listeners = self.listeners.ready(&read.config.listeners, &self.acceptors);
        let listeners = listeners.map_err(|error| mistakes.push(chain(&error)));
        let endpoint = self.endpoint.ready(read.config.metrics).await;
        let endpoint = endpoint.map_err(|error| mistakes.push(chain(&error)));
        match (listeners, endpoint) {
            (Ok(listeners), Ok(endpoint)) => Ok(Prepared { read, listeners, endpoint }),
            _ => Err(mistakes),
        }
    }

    async fn apply(&mut self, prepared: Prepared) {
        let Prepared { read: Read { config, written, rules, users }, listeners, endpoint } = prepared;
        let (shared, before) = (self.door.shared.clone(), &self.config);
        let is_new = |warning: &&String| !before.warnings.contains(warning);
        config.warnings.iter().filter(is_new).for_each(|warning| tracing::warn!("{warning}"));
        if (&config.log.filter, config.log.format) != (&before.log.filter, before.log.format) {
            self.log.set(&config.log);
        }
        // Who logs in from here on is known by the new configuration, and sessions that are there by their next request.
        self.door.users.store(Arc::new(users));
        rules::take(&self.door.rules, rules.rules);
        shared.obey(&config);
        self.door.places.limit(room_for_clients(&config, descriptors()));
        shared.pools.heed(&config, before);
        shared.cluster.heed(&config, before);
        self.finding.obey(&config, &shared.cluster);
        // Whoever asked for the reload may rely on it.
        fit_pools(&shared, &shared.cluster.topology());
        self.listeners.open(listeners, &self.door).await;
        self.endpoint.open(config.metrics, endpoint);
        self.config = config;
        self.source.written = written;
        let acceptors = self.acceptors.clone();
        if let Err(error) = spawn_blocking(move || acceptors.reload()).await {
            tracing::error!(%error, "certificates were not read anew");
        }
        self.follow(rules.files);
    }

    /// Looks for changes of the files that the configuration names now.
    pub(super) fn follow(&mut self, rules: Option<rules::Files>) {
        self.following = JoinSet::new();
        if let Some(rules::Files { paths, watched }) = rules {
            let current = self.door.rules.clone();
            self.following.spawn(follow(watched, move || rules::reload(&current, &paths)));
        }
        if let Some(list) = self.door.users.load().userlist().cloned() {
            let watched = list.watched().look_again();
            self.following.spawn(follow(watched, move || directory::reload(&list)));
        }
        let acceptors = self.acceptors.clone();
        self.following.spawn(follow(acceptors.watched(), move || acceptors.reload()));
    }
}

/// Reads the configuration, and the files that are no part of it. Blocks.
fn read(file: &Path, before: &Config, door: &Door) -> Result<Read, Vec<String>> {
    let loaded = config::load_whole(file).map_err(|mistakes| {
        let named = |mistake| format!("{}: {mistake}", file.display());
        mistakes.list.iter().map(named).collect::<Vec<_>>()
    })?;
    let (config, written) = (Arc::new(loaded.config), loaded.written);
    let mut mistakes = Vec::new();
    for files in config.listeners.iter().filter_map(|listener| listener.tls.files()) {
        mistakes.extend(Acceptor::load(files.clone()).err().map(|error| chain(&error)));
    }
    let rules = rules::read(config.auth.hba.as_ref())
        .map_err(|wrong| mistakes.extend(wrong.list.iter().map(ToString::to_string)));
    let directory = Arc::new(Servers(door.shared.cluster.clone()));
    let users = door.users.load().renewed(&config, before, directory);
    let users = users.map_err(|error| mistakes.push(chain(&error)));
    match (rules, users) {
        (Ok(rules), Ok(users)) if mistakes.is_empty() => Ok(Read { config, written, rules, users }),
        _ => {
            // Listeners with the same files have the same mistake.
            mistakes.dedup();
            Err(mistakes)
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
