//! Questions about roles that clients wait for, asked in rounds: one at a time, each for all who wait for it.
//!
//! Whoever asks is answered by a round that began afterwards, so that what was said before it came is known. Where no
//! server answers soon, the last answer counts; where there is none, whoever asks must do without.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, PoolError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::Error;

use super::connections::Connections;
use crate::cluster::control::{Login, words};
use crate::cluster::roles::Monitor;
use crate::cluster::topology::{Role, Server, ServerId, Topology};
use crate::config::Health;

/// How long clients wait for an answer.
const SOON: Duration = Duration::from_secs(1);

/// Most questions of one round.
const ROUND_MAX: usize = 256;

/// How many answers are kept for when no server gives one.
const KEPT_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// What is asked of one role; a round asks many at once.
pub(in crate::cluster) trait Question: Clone + Eq + Hash + Send + Sync + 'static {
    /// What a server says to it.
    type Answer: Clone + Send + Sync + 'static;

    /// What a server that cannot be asked does not say, for the log.
    const ABOUT: &str;

    /// Whether an answer is kept for when no server gives one.
    fn is_kept(_: &Self::Answer) -> bool {
        true
    }

    /// Asks them all: as many answers, in their order.
    fn ask(
        connection: &Object,
        questions: &[Self],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Error>> + Send;
}

/// Asks, from now until it is dropped.
pub(in crate::cluster) struct Rounds<Q: Question> {
    waiting: mpsc::Sender<Waiting<Q>>,
    task: AbortHandle,
}

/// Somebody who waits for a round.
struct Waiting<Q: Question> {
    question: Q,
    answer: oneshot::Sender<Option<Q::Answer>>,
}

impl<Q: Question> Rounds<Q> {
    /// Begins on the current runtime. Connects at the first question.
    pub(in crate::cluster) fn start(monitor: Arc<Monitor>, login: Login, health: &Health) -> Self {
        let (waiting, asked) = mpsc::channel(ROUND_MAX);
        let asker = Asker {
            monitor,
            connections: Connections::new(login, health.clone(), SOON),
            database: health.database.clone(),
            patience: health.timeout,
            silent: None,
            trouble: String::new(),
            last: lru::LruCache::new(KEPT_MAX),
        };
        Self { waiting, task: tokio::spawn(asker.run(asked)).abort_handle() }
    }

    /// Ends it: nobody can tell from now on.
    pub(in crate::cluster) fn close(&self) {
        self.task.abort();
    }

    /// What a server says now; `None` when nobody can tell. Cancel safe.
    pub(in crate::cluster) async fn answer(&self, question: Q) -> Option<Q::Answer> {
        let (answer, answered) = oneshot::channel();
        self.waiting.send(Waiting { question, answer }).await.ok()?;
        answered.await.ok()?
    }
}

impl<Q: Question> Drop for Rounds<Q> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<Q: Question> fmt::Debug for Rounds<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rounds").field("about", &Q::ABOUT).finish_non_exhaustive()
    }
}

/// The one who asks.
struct Asker<Q: Question> {
    monitor: Arc<Monitor>,
    connections: Connections,
    database: Arc<str>,
    /// How long a server that did not answer is not asked again: by then the probes have said what is the matter.
    patience: Duration,
    silent: Option<(ServerId, Instant)>,
    /// Why the last round brought no answer; empty after one that did.
    trouble: String,
    last: lru::LruCache<Q, Q::Answer>,
}

type Answers<Q> = HashMap<Q, <Q as Question>::Answer>;

impl<Q: Question> Asker<Q> {
    async fn run(mut self, mut asked: mpsc::Receiver<Waiting<Q>>) {
        let mut waiting = Vec::new();
        while asked.recv_many(&mut waiting, ROUND_MAX).await > 0 {
            let mut questions: Vec<Q> = Vec::new();
            for Waiting { question, .. } in &waiting {
                if !questions.contains(question) {
                    questions.push(question.clone());
                }
            }
            let answers = self.round(&questions).await;
            for (question, answer) in answers.iter().filter(|(_, answer)| Q::is_kept(answer)) {
                self.last.put(question.clone(), answer.clone());
            }
            for Waiting { question, answer } in waiting.drain(..) {
                let said = answers.get(&question).or_else(|| self.last.get(&question)).cloned();
                // Who has left hears nothing.
                let _ = answer.send(said);
            }
        }
    }

    /// Asks one server; no answers if it gives none soon.
    async fn round(&mut self, questions: &[Q]) -> Answers<Q> {
        let Some(server) = self.whom() else { return Answers::new() };
        match timeout(SOON, self.ask(&server, questions)).await {
            Ok(Ok(answers)) => {
                self.silent = None;
                self.trouble.clear();
                answers
            }
            Ok(Err(error)) => {
                // Once, until it is another one or over.
                if error != self.trouble {
                    tracing::warn!(server = &*server.name, error, "server does not say {}", Q::ABOUT);
                    self.trouble = error;
                }
                Answers::new()
            }
            Err(_) => {
                tracing::debug!(server = &*server.name, "server does not say in time {}", Q::ABOUT);
                self.silent = Some((server.id, Instant::now()));
                self.connections.forget(server.id);
                self.monitor.suspect(server.id);
                Answers::new()
            }
        }
    }

    /// The primary, as it knows first; without one, any replica.
    fn whom(&self) -> Option<Server> {
        let topology = self.monitor.topology();
        let server = source(&topology)?;
        let is_silent =
            self.silent.is_some_and(|(silent, since)| silent == server.id && since.elapsed() < self.patience);
        (!is_silent).then(|| server.clone())
    }

    async fn ask(&self, server: &Server, questions: &[Q]) -> Result<Answers<Q>, String> {
        let connection = self.connect(server).await?;
        let kept = Object::metrics(&connection).recycled.is_some();
        match self.ask_over(connection, questions).await {
            // The server may have closed what was idle for reasons of its own.
            Err(error) if kept && error.as_db_error().is_none() => {
                let another = self.connect(server).await?;
                self.ask_over(another, questions).await.map_err(|error| words(&error))
            }
            answers => answers.map_err(|error| words(&error)),
        }
    }

    async fn connect(&self, server: &Server) -> Result<Object, String> {
        self.connections.get(server, &self.database).await.map_err(|error| match error {
            PoolError::Backend(error) => words(&error),
            error => error.to_string(),
        })
    }

    /// All at once; or, where one of the names is none that this server can read, one after the other.
    async fn ask_over(&self, connection: Object, questions: &[Q]) -> Result<Answers<Q>, Error> {
        match ask_for(&connection, questions).await {
            Err(error) if questions.len() > 1 && error.as_db_error().is_some() => {
                let mut answers = Answers::new();
                for question in questions {
                    answers.extend(
                        ask_for(&connection, std::slice::from_ref(question)).await.unwrap_or_default(),
                    );
                }
                Ok(answers)
            }
            Err(error) => {
                // It may be closed, or be about to.
                drop(Object::take(connection));
                Err(error)
            }
            answers => answers,
        }
    }
}

async fn ask_for<Q: Question>(connection: &Object, questions: &[Q]) -> Result<Answers<Q>, Error> {
    let answers = Q::ask(connection, questions).await?;
    Ok(questions.iter().cloned().zip(answers).collect())
}

/// The server that is asked.
pub(super) fn source(topology: &Topology) -> Option<&Server> {
    let replica = || topology.servers.iter().find(|server| server.role == Role::Replica && server.is_up());
    topology.writable().or_else(replica)
}
