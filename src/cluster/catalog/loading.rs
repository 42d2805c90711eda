//! The reading of one database's catalog over a connection to the primary.
//!
//! A connection that stayed open would keep `DROP DATABASE` and `CREATE DATABASE ... TEMPLATE` from working (55006). But
//! PostgreSQL says so only after it has looked for a moment without one for five seconds (`CountOtherDBBackends`). So one is kept
//! for a second, which is long enough where definitions are changed all the time: the next load finds it, with the server's
//! caches filled. After some of them it is closed all the same, and there is such a moment.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_postgres::Client;

use super::built_ins::BuiltIns;
use super::reading::{self, Answers};
use crate::cluster::control::{self, Connection, Login, Parameters, words};
use crate::cluster::topology::{self, ServerId};

/// How long a connection is kept for the next load.
const KEPT: Duration = Duration::from_secs(1);

/// How old it may be then.
const AGE_MAX: Duration = Duration::from_secs(3);

/// Which server, in which of its lives as a primary, a catalog was read from.
pub(super) type Source = (ServerId, Option<u32>);

pub(super) fn place(server: &topology::Server) -> Source {
    (server.id, server.timeline)
}

/// Whether this is not known to be the same primary. Not every server tells its timeline, nor always.
pub(super) fn is_other(now: Source, before: Source) -> bool {
    let same_line = now.1.zip(before.1).is_none_or(|(now, before)| now == before);
    now.0 != before.0 || !same_line
}

/// Why a catalog was not loaded.
#[derive(Debug)]
pub(super) enum Failure {
    /// This user cannot log in to this database, or the database is gone.
    Refused(String),
    /// Anything else; it may pass.
    Failed(String),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(code) if control::is_login_refused(code) => Failure::Refused(words(&error)),
            _ => Failure::Failed(words(&error)),
        }
    }
}

/// A connection over which a database's catalog was read a moment ago.
pub(super) struct Kept {
    /// Where to, and as whom.
    end: (Source, Login),
    opened: Instant,
    client: Client,
    connection: Pin<Box<Connection>>,
}

impl Kept {
    /// Reads over the one that was kept if it leads there, otherwise, or if it fails, over a new one.
    pub(super) async fn read(
        kept: Option<Self>,
        (source, login): (Source, &Login),
        parameters: &Parameters,
        known: Arc<BuiltIns>,
    ) -> Result<(Answers, Self), Failure> {
        if let Some(mut kept) = kept.filter(|kept| kept.end.0 == source && kept.end.1 == *login) {
            // The server may have closed it meanwhile.
            if let Ok(answers) = kept.read_over(known.clone()).await {
                return Ok((answers, kept));
            }
        }
        let (client, connection) = control::connect(parameters).await?;
        let (end, opened) = ((source, login.clone()), Instant::now());
        let mut new = Self { end, opened, client, connection: Box::pin(connection) };
        let answers = new.read_over(known).await?;
        Ok((answers, new))
    }

    async fn read_over(&mut self, known: Arc<BuiltIns>) -> Result<Answers, Failure> {
        tokio::select! {
            answers = reading::read(&self.client, known) => Ok(answers?),
            ended = &mut self.connection => {
                ended?;
                Err(Failure::Failed("the server closed the connection".into()))
            }
        }
    }

    /// How much longer to keep it.
    pub(super) fn rest(&self) -> Duration {
        if self.opened.elapsed() < AGE_MAX { KEPT } else { Duration::ZERO }
    }

    /// Says Terminate.
    pub(super) async fn close(self) {
        // With the client gone, the connection does, and ends. One that cannot is closed without a word.
        drop(self.client);
        let _ = timeout(KEPT, self.connection).await;
    }
}
