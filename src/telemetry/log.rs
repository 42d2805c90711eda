//! Logs, to standard error, as text or as JSON lines; nobody waits for whoever reads them.
//!
//! The conventions: never a secret and never a value out of a statement; whose a line is tells the span that it stands in;
//! one line at warn for each slow request. What a client chose (user, database, application name, SQL) is a field of its own
//! and a plain string, never part of a message and never by `?` or `%`: as text it is quoted and escaped then, so that a line
//! break in it begins no line of its own, and as JSON it is a value, quoted once.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;

pub use super::log_queue::{LogQueue, LostLines};
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
    /// There is no standard error.
    #[error("standard error cannot be used: {0}")]
    Output(#[from] io::Error),
}

/// Sends what the process logs to standard error from now on, as long as the queue is there that this gives.
///
/// # Errors
/// When the filter cannot be parsed, or the process logs already.
pub fn start(log: &Log) -> Result<LogQueue, LogError> {
    // By a descriptor of its own: who waits at it for ever must not have the lock of the library's.
    let (lines, queue) = LogQueue::to(File::from(io::stderr().as_fd().try_clone_to_owned()?));
    tracing::subscriber::set_global_default(subscriber(log, lines)?)?;
    Ok(queue)
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
            user = self.user,
            database = self.database,
            server = self.server,
            route = self.route,
            reason = self.reason,
            // A number that JSON has.
            milliseconds = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            statement = &self.shape[..cut],
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

    fn forger(shape: &str) -> SlowQuery<'_> {
        SlowQuery {
            id: 1,
            user: "app\n2026-01-01 ERROR forged",
            database: "shop",
            server: "a",
            route: "replica",
            reason: "read",
            took: Duration::from_secs(2),
            shape,
        }
    }

    fn slow() {
        let _within = tracing::error_span!("client", database = "shop\n2026-01-01 ERROR forged").entered();
        forger("SELECT ?").log();
    }

    #[test]
    fn a_line_is_one_whatever_its_names_hold() {
        let text = logged(LogFormat::Text, "info", slow);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(r#"user="app\n2026-01-01 ERROR forged""#), "{text}");
        assert!(text.contains(r#"client{database="shop\n2026-01-01 ERROR forged"}"#), "{text}");
        assert!(text.contains("milliseconds=2000"), "{text}");
    }

    #[test]
    fn json_lines_hold_the_fields_at_their_top_level() {
        let text = logged(LogFormat::Json, "info", slow);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with('{') && text.trim_end().ends_with('}'), "{text}");
        assert!(text.contains(r#""id":1"#) && text.contains(r#""message":"slow query""#), "{text}");
    }

    #[test]
    fn json_values_are_quoted_once_and_numbers_not_at_all() {
        let text = logged(LogFormat::Json, "info", slow);
        assert!(text.contains(r#""user":"app\n2026-01-01 ERROR forged""#), "{text}");
        assert!(text.contains(r#""database":"shop","server":"a""#), "{text}");
        assert!(
            text.contains(r#""statement":"SELECT ?""#) && text.contains(r#""milliseconds":2000"#),
            "{text}"
        );
        assert!(
            text.contains(r#""span":{"database":"shop\n2026-01-01 ERROR forged","name":"client"}"#),
            "{text}"
        );
    }

    #[test]
    fn the_filter_decides_by_target() {
        assert_eq!(logged(LogFormat::Text, "error", slow), "");
        assert_ne!(logged(LogFormat::Text, "error,weir::slow_query=warn", slow), "");
    }

    #[test]
    fn a_long_shape_is_cut_between_characters() {
        let shape = "é".repeat(SHAPE_LIMIT);
        let shape = format!("x{shape}");
        let slow = forger(&shape);
        let text = logged(LogFormat::Text, "info", || slow.log());
        assert_eq!(text.matches('é').count(), (SHAPE_LIMIT - 1) / 2, "{text}");
    }
}
