//! Logs, to standard error, as text or as JSON lines; nobody waits for whoever reads them.
//!
//! The conventions: never a secret and never a value out of a statement; whose a line is tells the span that it stands in;
//! one line at warn for each slow request. What a client chose (user, database, application name, SQL) is written with
//! `?`, quoted and escaped: a line break in it must not begin a log line of its own.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

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
pub fn start(log: &Log) -> Result<(LogQueue, LogFilter), LogError> {
    // By a descriptor of its own: who waits at it for ever must not have the lock of the library's.
    let (lines, queue) = LogQueue::to(File::from(io::stderr().as_fd().try_clone_to_owned()?));
    let (subscriber, filter) = subscriber(log, lines)?;
    tracing::subscriber::set_global_default(subscriber)?;
    Ok((queue, filter))
}

/// What is logged, which may be something else at any moment.
#[derive(Clone, Debug, Default)]
pub struct LogFilter(Option<reload::Handle<EnvFilter, Registry>>);

impl LogFilter {
    /// Logs what passes this filter from now on. A checked configuration has none that is none.
    pub fn set(&self, filter: &str) {
        let Some(handle) = &self.0 else { return };
        let parsed = EnvFilter::builder().parse(filter).map_err(|error| error.to_string());
        let outcome = parsed.and_then(|filter| handle.reload(filter).map_err(|error| error.to_string()));
        if let Err(error) = outcome {
            tracing::error!(error, "the log's filter stays what it was");
        }
    }
}

type Subscriber = Box<dyn tracing::Subscriber + Send + Sync>;

fn subscriber<W>(log: &Log, writer: W) -> Result<(Subscriber, LogFilter), ParseError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(EnvFilter::builder().parse(&log.filter)?);
    let filtered = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let subscriber: Subscriber = match log.format {
        LogFormat::Text => Box::new(filtered.with(lines.with_ansi(false))),
        LogFormat::Json => Box::new(filtered.with(lines.json().flatten_event(true).with_span_list(false))),
    };
    Ok((subscriber, LogFilter(Some(handle))))
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
        let (subscriber, _) = subscriber(&log, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, act);
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
