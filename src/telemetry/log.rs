//! Logs, to standard error, as text or as JSON lines.
//!
//! The conventions, which the two functions below keep for the lines that operators live on:
//! one line at info for each connection, when it has ended; one at warn for each slow request; never a secret and
//! never a value out of a statement. What a client chose (user, database, application name, SQL) is written with
//! `?`, quoted and escaped: a line break in it must not begin a log line of its own.

use std::net::IpAddr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Log, LogFormat};

/// A statement's shape is cut after this many bytes.
const SHAPE_LIMIT: usize = 1000;

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one. A checked configuration has none such.
    #[error("log filter: {0}")]
    Filter(#[from] ParseError),
    /// The process logs already.
    #[error("{0}")]
    Started(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sends what the process logs to standard error from now on.
///
/// # Errors
/// When the filter cannot be parsed, or the process logs already.
pub fn start(log: &Log) -> Result<(), LogError> {
    Ok(tracing::subscriber::set_global_default(subscriber(log, std::io::stderr)?)?)
}

fn subscriber<W>(log: &Log, writer: W) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, ParseError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(&log.filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match log.format {
        LogFormat::Text => Box::new(lines.with_ansi(false).finish()),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).with_span_list(false).finish()),
    })
}

/// What is told of a connection when it has ended.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// Number of the connection since start.
    pub id: u64,
    /// Where it came from; `None` when the socket could not say.
    pub address: Option<IpAddr>,
    /// Who logged in.
    pub user: &'a str,
    /// To which database, as the client named it.
    pub database: &'a str,
    /// The `application_name` at the end.
    pub application_name: &'a str,
    /// From accept to close.
    pub lasted: Duration,
    /// Requests answered.
    pub requests: u64,
    /// Why it ended: `terminate`, `disconnect`, `shutdown`, or an error's words.
    pub end: &'a str,
}

impl Connection<'_> {
    /// Writes the line.
    pub fn log(&self) {
        tracing::info!(
            target: "weir::connection",
            id = self.id,
            address = self.address.map(tracing::field::display),
            user = ?self.user,
            database = ?self.database,
            application_name = ?self.application_name,
            seconds = self.lasted.as_secs_f64(),
            requests = self.requests,
            end = self.end,
            "connection ended"
        );
    }
}

/// What is told of a request that took longer than `[log] slow_query`.
#[derive(Clone, Copy, Debug)]
pub struct SlowQuery<'a> {
    /// The process id that the client was given.
    pub id: i32,
    /// Who asked.
    pub user: &'a str,
    /// In which database.
    pub database: &'a str,
    /// Name of the server that ran it.
    pub server: &'a str,
    /// Where it went: to the primary or to a replica.
    pub route: &'a str,
    /// Why it went there.
    pub reason: &'a str,
    /// From the request's being sent to its answer's last byte; requests in flight together count as one.
    pub took: Duration,
    /// The statement with each literal replaced by a placeholder. Never the text that the client sent.
    pub shape: &'a str,
}

impl SlowQuery<'_> {
    /// Writes the line.
    pub fn log(&self) {
        let cut =
            (0..=SHAPE_LIMIT.min(self.shape.len())).rfind(|at| self.shape.is_char_boundary(*at)).unwrap_or(0);
        tracing::warn!(
            target: "weir::slow_query",
            id = self.id,
            user = ?self.user,
            database = ?self.database,
            server = self.server,
            route = self.route,
            reason = self.reason,
            milliseconds = self.took.as_millis(),
            statement = ?&self.shape[..cut],
            "slow query"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, act: impl FnOnce()) -> String {
        let written = Written::default();
        let log = Log { filter: filter.to_owned(), format, slow_query: None };
        let writer = written.clone();
        tracing::subscriber::with_default(subscriber(&log, move || writer.clone()).unwrap(), act);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn connection() {
        let connection = Connection {
            id: 7,
            address: Some(IpAddr::from([192, 0, 2, 1])),
            user: "app\n2026-01-01 ERROR forged",
            database: "shop",
            application_name: "",
            lasted: Duration::from_millis(1500),
            requests: 3,
            end: "terminate",
        };
        connection.log();
    }

    #[test]
    fn a_connection_is_one_line_whatever_its_names_hold() {
        let text = logged(LogFormat::Text, "info", connection);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(r#"user="app\n2026-01-01 ERROR forged""#), "{text}");
        assert!(text.contains("address=192.0.2.1") && text.contains("seconds=1.5"), "{text}");
    }

    #[test]
    fn json_lines_hold_the_fields_at_their_top_level() {
        let text = logged(LogFormat::Json, "info", connection);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with('{') && text.trim_end().ends_with('}'), "{text}");
        assert!(
            text.contains(r#""requests":3"#) && text.contains(r#""message":"connection ended""#),
            "{text}"
        );
    }

    #[test]
    fn the_filter_decides_by_target() {
        assert_eq!(logged(LogFormat::Text, "warn", connection), "");
        assert_ne!(logged(LogFormat::Text, "warn,weir::connection=info", connection), "");
    }

    #[test]
    fn a_long_shape_is_cut_between_characters() {
        let shape = "é".repeat(SHAPE_LIMIT);
        let slow = SlowQuery {
            id: 1,
            user: "app",
            database: "shop",
            server: "a",
            route: "replica",
            reason: "read",
            took: Duration::from_secs(2),
            shape: &format!("x{shape}"),
        };
        let text = logged(LogFormat::Text, "info", || slow.log());
        assert_eq!(text.matches('é').count(), (SHAPE_LIMIT - 1) / 2, "{text}");
    }
}
