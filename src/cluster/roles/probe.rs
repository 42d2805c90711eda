//! One probe: ask a server what it is, over a connection that is kept open, within one deadline.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::decision::{Facts, State};
use super::given::{Dial, Given};
use crate::cluster::control::{self, Login, Purpose, is_forbidden, words};
use crate::cluster::defaults::Defaults;
use crate::cluster::topology::Server;
use crate::config::Health;

/// What is asked. The state is read once, so that a promotion between two columns cannot mix two answers (a
/// subquery with a volatile function is not flattened). A primary's timeline is in the name of its WAL file, which
/// tells a new one at once, while its control file does so only after a checkpoint. A replica cannot be asked for
/// WAL file names; what its control file and its WAL receiver (where the user may see it) know is a lower bound.
const FULL: &str = "
    SELECT s.in_recovery,
           pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
           CASE WHEN s.in_recovery THEN NULL
                ELSE pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) END,
           CASE WHEN s.in_recovery THEN GREATEST(
                (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),
                (SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()),
                (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver)) END,
           (SELECT system_identifier FROM pg_catalog.pg_control_system())
      FROM (SELECT pg_catalog.pg_is_in_recovery() AS in_recovery) AS s";

/// The same without what some managed services forbid to ask.
const BARE: &str = "
    SELECT pg_catalog.pg_is_in_recovery(),
           pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
           NULL::pg_catalog.text, NULL::pg_catalog.int4, NULL::pg_catalog.int8";

/// Which of the two questions a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Full,
    Bare,
}

/// Why a server is asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It is time.
    Due,
    /// A connection to it failed. A postmaster that hangs still answers on connections that it made before, so the
    /// question is whether it makes new ones.
    Suspected,
}

/// Why a probe brought no facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server answered, but declined this login for a reason that says nothing of its health: it has as many
    /// connections as it takes, or the probe's own user or database is not right. Or weir had no file descriptor to ask it
    /// by, which says nothing of the server either.
    Declined(Arc<str>),
    /// The server cannot be used: no connection, no answer, or an answer that says so.
    Failed(Arc<str>),
    /// No answer in time.
    TimedOut,
}

/// Asks one server, again and again.
#[derive(Debug)]
pub(crate) struct Probe {
    /// The server's name, for the log.
    server: Arc<str>,
    /// One idle connection; a second one while the first is checked against a new one.
    pool: Pool,
    limit: Duration,
    question: Question,
    given: Given,
}

impl Probe {
    /// A probe of `server`; connects at the first [`Probe::run`].
    pub(crate) fn new(server: &Server, health: &Health, login: &Login) -> Self {
        let place = (&*server.address, &*health.database);
        let limit = format!("-c statement_timeout={}", health.timeout.as_millis().max(1));
        let parameters =
            control::parameters(place, login, health.timeout, health, Purpose::Watching).with_options(&limit);
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let config = parameters.config().clone();
        let manager = Manager::from_connect(config, Dial(parameters), recycling);
        let pool =
            Pool::builder(manager).max_size(2).build().expect("a pool without timeouts needs no runtime");
        Self {
            server: server.name.clone(),
            pool,
            limit: health.timeout,
            question: Question::Full,
            given: Given::default(),
        }
    }

    /// Asks once. Not cancel safe: a connection dropped in the middle of a question would be taken for idle.
    pub(crate) async fn run(&mut self, cause: Cause) -> Result<Facts, Failure> {
        let deadline = Instant::now() + self.limit;
        let first = self.connection(deadline).await?;
        let kept = Object::metrics(&first).recycled.is_some();
        match cause {
            Cause::Suspected if kept => match self.connection(deadline).await {
                Ok(second) => {
                    drop(Object::take(first));
                    self.ask(second, deadline).await
                }
                Err(Failure::Declined(_)) => self.ask(first, deadline).await,
                Err(failure) => {
                    drop(Object::take(first));
                    Err(failure)
                }
            },
            Cause::Due if kept => match self.ask(first, deadline).await {
                // The server may have closed what was idle for reasons of its own.
                Err(Failure::Failed(_)) => {
                    let second = self.connection(deadline).await?;
                    self.ask(second, deadline).await
                }
                answer => answer,
            },
            Cause::Due | Cause::Suspected => self.ask(first, deadline).await,
        }
    }

    async fn connection(&self, deadline: Instant) -> Result<Object, Failure> {
        // deadpool would warn of a connection that the server has closed; the probe's outcome says all there is.
        self.pool.retain(|client, _| !client.is_closed());
        match timeout_at(deadline, self.pool.get()).await {
            Ok(Ok(object)) => Ok(object),
            Ok(Err(PoolError::Backend(error))) => Err(Failure::of(&error)),
            Ok(Err(error)) => Err(Failure::Failed(error.to_string().into())),
            Err(_) => Err(Failure::TimedOut),
        }
    }

    /// Asks over one connection, which goes back to the pool only after a whole answer: a question that is still
    /// unanswered would stand in front of the next one.
    async fn ask(&mut self, object: Object, deadline: Instant) -> Result<Facts, Failure> {
        let answer = timeout_at(deadline, self.question_and_answer(&object)).await;
        match answer {
            Ok(Ok(facts)) => {
                match timeout_at(deadline, self.given.look(&object, &self.server)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::debug!(server = &*self.server, error = words(&error), "defaults not asked");
                        drop(Object::take(object));
                    }
                    Err(_) => drop(Object::take(object)),
                }
                Ok(facts)
            }
            Ok(Err(error)) => {
                drop(Object::take(object));
                Err(Failure::of(&error))
            }
            Err(_) => {
                drop(Object::take(object));
                Err(Failure::TimedOut)
            }
        }
    }

    /// What the server gives to those who set nothing, if that is another thing than it was; told once.
    pub(crate) fn take_news(&mut self) -> Option<Defaults> {
        self.given.take_news()
    }

    async fn question_and_answer(&mut self, object: &Object) -> Result<Facts, tokio_postgres::Error> {
        if self.question == Question::Full {
            match object.query_typed_one(FULL, &[]).await {
                Ok(row) => return facts(&row),
                Err(error) if is_forbidden(&error) => {
                    tracing::info!(
                        server = &*self.server,
                        error = words(&error),
                        "server does not tell its timeline"
                    );
                    self.question = Question::Bare;
                }
                Err(error) => return Err(error),
            }
        }
        facts(&object.query_typed_one(BARE, &[]).await?)
    }
}

fn facts(row: &Row) -> Result<Facts, tokio_postgres::Error> {
    let state = if row.try_get(0)? { State::InRecovery } else { State::Writable };
    let version: i32 = row.try_get(1)?;
    let wal_file: Option<&str> = row.try_get(2)?;
    let replayed: Option<i32> = row.try_get(3)?;
    let timeline = match state {
        State::Writable => wal_file.and_then(timeline_of),
        State::InRecovery => replayed.and_then(|timeline| u32::try_from(timeline).ok()),
    };
    let version = u32::try_from(version).unwrap_or_default();
    Ok(Facts { state, timeline, system: row.try_get(4)?, version })
}

/// The timeline in the name of a WAL file: its first eight hexadecimal digits.
pub(crate) fn timeline_of(wal_file: &str) -> Option<u32> {
    u32::from_str_radix(wal_file.get(..8)?, 16).ok()
}

impl Failure {
    fn of(error: &tokio_postgres::Error) -> Self {
        let text = words(error).into();
        match error.code() {
            Some(code) if is_declined(code) => Failure::Declined(text),
            None if lacks_descriptor(error) => Failure::Declined(text),
            _ => Failure::Failed(text),
        }
    }

    /// What happened, in words for logs and /readyz.
    pub(crate) fn text(&self) -> Arc<str> {
        match self {
            Failure::Declined(text) | Failure::Failed(text) => text.clone(),
            Failure::TimedOut => "no answer in time".into(),
        }
    }
}

/// A saturated server (53300) is not sick, nor is one that does not know the probe's user or database.
fn is_declined(code: &SqlState) -> bool {
    *code == SqlState::TOO_MANY_CONNECTIONS || control::is_login_refused(code)
}

/// Whether it was for want of a file descriptor, the process's or the machine's, that there is no connection.
fn lacks_descriptor(error: &(dyn Error + 'static)) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| matches!(error.raw_os_error(), Some(EMFILE | ENFILE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_want_of_descriptors_is_told_apart() {
        #[derive(Debug, thiserror::Error)]
        #[error("error connecting to server")]
        struct Connecting(#[source] io::Error);
        for (code, expected) in [(24, true), (23, true), (111, false), (113, false)] {
            let error = Connecting(io::Error::from_raw_os_error(code));
            assert_eq!(lacks_descriptor(&error), expected, "{code}");
        }
    }

    #[test]
    fn a_wal_file_name_tells_the_timeline() {
        assert_eq!(timeline_of("000000010000000000000003"), Some(1));
        assert_eq!(timeline_of("0000001A0000000000000003"), Some(26));
        assert_eq!(timeline_of("0000"), None);
        assert_eq!(timeline_of("zzzzzzzz0000000000000003"), None);
    }

    #[test]
    fn a_login_that_is_declined_says_nothing_of_health() {
        for code in ["53300", "28P01", "28000", "3D000", "42501", "55000"] {
            assert!(is_declined(&SqlState::from_code(code)), "{code}");
        }
        for code in ["57P03", "57P01", "57014", "XX000", "58030", "53200", "53100"] {
            assert!(!is_declined(&SqlState::from_code(code)), "{code}");
        }
    }
}
