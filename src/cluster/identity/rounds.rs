//! Questions whether a server would let somebody in, asked in rounds: one at a time, each for all who wait for it.
//!
//! Whoever asks is answered by a round that began afterwards, so that what was said before it came is known. Where no
//! server answers soon, the last answer counts; where there is none, the server that is connected to will say it.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, PoolError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::Error;

use super::connections::Connections;
use super::standing::{QUESTION, Question, Standing, TYPES};
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

/// Asks, from now until it is dropped.
#[derive(Debug)]
pub(in crate::cluster) struct Rounds {
    waiting: mpsc::Sender<Waiting>,
    task: AbortHandle,
}

/// Somebody who waits for a round.
struct Waiting {
    question: Question,
    answer: oneshot::Sender<Option<Standing>>,
}

impl Rounds {
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

    /// How it stands with a role and a database, by their names on the servers; `None` when nobody can tell. Cancel safe.
    pub(in crate::cluster) async fn standing(
        &self,
        role: &Arc<str>,
        database: &Arc<str>,
    ) -> Option<Standing> {
        let question = Question { role: role.clone(), database: database.clone() };
        let (answer, answered) = oneshot::channel();
        self.waiting.send(Waiting { question, answer }).await.ok()?;
        answered.await.ok()?
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        self.close();
    }
}

/// The one who asks.
struct Asker {
    monitor: Arc<Monitor>,
    connections: Connections,
    database: Arc<str>,
    /// How long a server that did not answer is not asked again: by then the probes have said what is the matter.
    patience: Duration,
    silent: Option<(ServerId, Instant)>,
    /// Why the last round brought no answer; empty after one that did.
    trouble: String,
    last: lru::LruCache<Question, Standing>,
}

type Answers = HashMap<Question, Standing>;

impl Asker {
    async fn run(mut self, mut asked: mpsc::Receiver<Waiting>) {
        let mut waiting = Vec::new();
        while asked.recv_many(&mut waiting, ROUND_MAX).await > 0 {
            let mut questions: Vec<Question> = Vec::new();
            for Waiting { question, .. } in &waiting {
                if !questions.contains(question) {
                    questions.push(question.clone());
                }
            }
            let answers = self.round(&questions).await;
            for (question, standing) in &answers {
                self.last.put(question.clone(), *standing);
            }
            for Waiting { question, answer } in waiting.drain(..) {
                let standing = answers.get(&question).or_else(|| self.last.get(&question)).copied();
                // Who has left hears nothing.
                let _ = answer.send(standing);
            }
        }
    }

    /// Asks one server; no answers if it gives none soon.
    async fn round(&mut self, questions: &[Question]) -> Answers {
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
                    tracing::warn!(server = &*server.name, error, "server does not say whom it would let in");
                    self.trouble = error;
                }
                Answers::new()
            }
            Err(_) => {
                tracing::debug!(server = &*server.name, "server does not say in time whom it would let in");
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

    async fn ask(&self, server: &Server, questions: &[Question]) -> Result<Answers, String> {
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
    async fn ask_over(&self, connection: Object, questions: &[Question]) -> Result<Answers, Error> {
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

async fn ask_for(connection: &Object, questions: &[Question]) -> Result<Answers, Error> {
    let statement = connection.prepare_typed_cached(QUESTION, &TYPES).await?;
    let roles: Vec<&str> = questions.iter().map(|question| &*question.role).collect();
    let databases: Vec<&str> = questions.iter().map(|question| &*question.database).collect();
    let rows = connection.query(&statement, &[&roles, &databases]).await?;
    let answer = |(question, row): (&Question, &_)| Ok((question.clone(), Standing::of(row)?));
    questions.iter().zip(&rows).map(answer).collect()
}

/// The server that is asked.
pub(super) fn source(topology: &Topology) -> Option<&Server> {
    let replica = || topology.servers.iter().find(|server| server.role == Role::Replica && server.is_up());
    topology.writable().or_else(replica)
}
