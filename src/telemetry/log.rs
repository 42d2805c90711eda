//! Logs, to standard error, as text or as JSON lines; nobody waits for whoever reads them.
//!
//! The conventions: never a secret and never a value out of a statement; whose a line is tells the span that it stands in;
//! one line at warn for each slow request. What a client chose (user, database, application name, SQL) is a field of its own
//! and a plain string, never part of a message and never by `?` or `%`: as text it is quoted and escaped then, so that a line
//! break in it begins no line of its own, and as JSON it is a value, quoted once.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layered, SubscriberExt as _};
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use super::late_entry::LateEntry;
use super::log_format::{AsJson, AsText};
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
pub fn start(log: &Log) -> Result<(LogQueue, LiveLog), LogError> {
    // By a descriptor of its own: who waits at it for ever must not have the lock of the library's.
    let (lines, queue) = LogQueue::to(File::from(io::stderr().as_fd().try_clone_to_owned()?));
    let (subscriber, live) = subscriber(log, lines)?;
    tracing::subscriber::set_global_default(subscriber)?;
    Ok((queue, live))
}

/// What is logged, and how, which may be something else at any moment.
#[derive(Clone, Default)]
pub struct LiveLog(Option<Handles>);

#[derive(Clone)]
struct Handles {
    filter: reload::Handle<EnvFilter, Registry>,
    lines: reload::Handle<Lines, Filtered>,
    make: Arc<dyn Fn(LogFormat) -> Lines + Send + Sync>,
}

/// What passes the filter.
type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;

/// What is made of it.
type Lines = Box<dyn Layer<Filtered> + Send + Sync>;

type Subscriber = Box<dyn tracing::Subscriber + Send + Sync>;

impl std::fmt::Debug for LiveLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveLog").finish_non_exhaustive()
    }
}

impl LiveLog {
    /// Logs what passes this filter, in this format, from now on. A checked configuration has no filter that is none.
    pub fn set(&self, log: &Log) {
        let Some(Handles { filter, lines, make }) = &self.0 else { return };
        let parsed = EnvFilter::builder().parse(&log.filter).map_err(|error| error.to_string());
        let set = |parsed| filter.reload(parsed).and_then(|()| lines.reload(make(log.format)));
        if let Err(error) = parsed.and_then(|parsed| set(parsed).map_err(|error| error.to_string())) {
            tracing::error!(error, "the log stays what it was");
        }
    }
}

fn subscriber<W>(log: &Log, writer: W) -> Result<(Subscriber, LiveLog), ParseError>
where
    W: for<'w> MakeWriter<'w> + Clone + Send + Sync + 'static,
{
    let (filtered, filter) = reload::Layer::new(EnvFilter::builder().parse(&log.filter)?);
    let make = move |format| -> Lines {
        let lines = tracing_subscriber::fmt::layer().with_writer(writer.clone());
        match format {
            LogFormat::Text => Box::new(lines.with_ansi(false).event_format(AsText::default())),
            LogFormat::Json => {
                let format = tracing_subscriber::fmt::format().json();
                let format = AsJson(format.flatten_event(true).with_span_list(false));
                Box::new(lines.json().event_format(format))
            }
        }
    };
    let (written, lines) = reload::Layer::new(make(log.format));
    let subscriber = tracing_subscriber::registry().with(filtered).with(written);
    Ok((Box::new(LateEntry::new(subscriber)), LiveLog(Some(Handles { filter, lines, make: Arc::new(make) }))))
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
    fn another_filter_and_format_hold_for_clients_that_are_there_too() {
        let written = Written::default();
        let log = |filter: &str, format| Log { filter: filter.to_owned(), format, slow_query: None };
        let writer = written.clone();
        let (subscriber, live) = subscriber(&log("info", LogFormat::Text), move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let _within = tracing::error_span!("client", user = "a \"b\"\n").entered();
            tracing::info!("one");
            live.set(&log("info", LogFormat::Json));
            tracing::info!(n = 2, "two");
            let _deeper = tracing::error_span!("deeper", x = 1).entered();
            tracing::info!("three");
            live.set(&log("warn", LogFormat::Text));
            tracing::info!("four");
            tracing::warn!("five");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[0].contains(r#"client{user="a \"b\"\n"}"#) && lines[0].ends_with("one"), "{text}");
        assert!(lines[1].contains(r#""message":"two","n":2"#), "{text}");
        assert!(lines[1].contains(r#""fields":"user=\"a \\\"b\\\"\\n\"""#), "{text}");
        assert!(lines[2].contains(r#""x":1"#), "{text}");
        assert!(lines[3].contains(r#"deeper{{"x":1}}"#) && lines[3].ends_with("five"), "{text}");
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
