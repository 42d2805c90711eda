//! Spans of requests, as a collector gets them from a real weir in front of real servers.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use harness::client::front;
use harness::{Cluster, Result, Weir, WeirSetup, wait_for};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

const PATIENCE: Duration = Duration::from_secs(30);

/// The span of an application.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector: it takes whatever it is given.
struct Collector {
    port: u16,
    taken: Arc<Mutex<Vec<(String, ExportTraceServiceRequest)>>>,
}

impl Collector {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let taken = Arc::<Mutex<Vec<_>>>::default();
        let taking = taken.clone();
        thread::spawn(move || listener.incoming().for_each(|stream| take(stream.unwrap(), &taking)));
        Ok(Self { port, taken })
    }

    fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock().unwrap();
        let scopes = taken.iter().flat_map(|(_, one)| &one.resource_spans).flat_map(|one| &one.scope_spans);
        scopes.flat_map(|scope| scope.spans.iter().cloned()).collect()
    }

    /// The spans of these statements, once there are so many.
    fn spans_of(&self, text: &str, count: usize) -> Result<Vec<Span>> {
        wait_for(&format!("{count} spans of {text}"), PATIENCE, || {
            let is_it =
                |span: &Span| told(&span.attributes, "db.query.text").is_some_and(|it| it.contains(text));
            let found: Vec<_> = self.spans().into_iter().filter(is_it).collect();
            Ok((found.len() >= count).then_some(found))
        })
    }
}

fn take(mut stream: TcpStream, taken: &Mutex<Vec<(String, ExportTraceServiceRequest)>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    taken.lock().unwrap().push((head, ExportTraceServiceRequest::decode(&*body).unwrap()));
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
}

/// An attribute, as text.
fn told(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|one| one.key == key)?;
    let Some(AnyValue { value: Some(value) }) = &found.value else { return None };
    Some(match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        other => panic!("{key}: {other:?}"),
    })
}

fn of(span: &Span, key: &str) -> String {
    told(&span.attributes, key).unwrap_or_default()
}

/// Route, reason and transaction.
fn way(span: &Span) -> [String; 3] {
    ["weir.route", "weir.reason", "weir.transaction"].map(|key| of(span, key))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn weir(collector: &Collector, sampled: &str) -> Result<Weir> {
    setup(collector.port, sampled).start(env!("CARGO_BIN_EXE_weir"))
}

fn setup(port: u16, sampled: &str) -> WeirSetup {
    static READY: OnceLock<()> = OnceLock::new();
    let cluster = Cluster::shared();
    READY.get_or_init(|| {
        cluster.sql(0, "SET ROLE app; CREATE TABLE traced (id int, secret text)").unwrap();
        let writes =
            "FUNCTION traced_write() RETURNS int LANGUAGE sql AS 'INSERT INTO traced VALUES (1) RETURNING 1'";
        let lies =
            "FUNCTION traced_lie() RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN traced_write(); END'";
        cluster.sql(0, &format!("SET ROLE app; CREATE {writes}; CREATE {lies}")).unwrap();
        cluster.wait_caught_up().unwrap();
    });
    WeirSetup::in_front_of(cluster, 0..3)
        .at_any_age()
        .set("traces", "endpoint", &format!("\"http://127.0.0.1:{port}\""))
        .set("traces", "sampled", sampled)
        .set("traces", "service_name", "\"weir-test\"")
}

#[test]
fn a_request_is_a_span() -> Result<()> {
    let collector = Collector::start()?;
    let weir = weir(&collector, "1.0")?;
    let mut client = weir.connect()?;
    client.query("INSERT INTO traced VALUES (7, 'a secret'), (8, 'a secret')")?;
    client.query("SELECT id, 'a secret' AS one FROM traced WHERE id > 6")?;
    client.query("SELECT nothing_such FROM traced").unwrap_err();
    let written = collector.spans_of("INSERT INTO traced", 1)?.remove(0);
    assert_eq!(way(&written), ["primary", "write", "none"]);
    assert_eq!((&*written.name, written.kind), ("INSERT traced", 3));
    assert_eq!(of(&written, "db.system.name"), "postgresql");
    assert_eq!(of(&written, "db.namespace"), "app");
    assert_eq!(of(&written, "db.operation.name"), "INSERT");
    assert_eq!(of(&written, "db.query.summary"), "INSERT traced");
    assert_eq!(of(&written, "server.address"), "127.0.0.1");
    assert_eq!(of(&written, "server.port"), Cluster::shared().port(0).to_string());
    assert_eq!(of(&written, "weir.server"), "primary");
    assert!(written.parent_span_id.is_empty() && written.status.is_none());
    assert!(written.end_time_unix_nano > written.start_time_unix_nano);
    let read = collector.spans_of("SELECT id, ? AS one FROM traced", 1)?.remove(0);
    assert_eq!(way(&read), ["replica", "read", "none"]);
    assert_eq!(of(&read, "db.response.returned_rows"), "2");
    let failed = collector.spans_of("nothing_such", 1)?.remove(0);
    assert_eq!(of(&failed, "error.type"), "42703");
    assert_eq!(failed.status.as_ref().unwrap().code, 2);
    let taken = collector.taken.lock().unwrap();
    assert!(taken.iter().all(|(head, _)| head.starts_with("POST /v1/traces HTTP/1.1")), "{taken:?}");
    let resource = taken[0].1.resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(told(&resource.attributes, "service.name").unwrap(), "weir-test");
    assert!(!format!("{taken:?}").contains("a secret"));
    Ok(())
}

#[test]
fn a_transaction_shows_how_it_ran() -> Result<()> {
    let collector = Collector::start()?;
    let weir = weir(&collector, "1.0")?;
    let mut client = weir.connect()?;
    for query in
        ["BEGIN", "SELECT 11 AS lazily", "INSERT INTO traced VALUES (12)", "SELECT 13 AS there", "COMMIT"]
    {
        client.query(query)?;
    }
    let span = |text: &str| collector.spans_of(text, 1).map(|mut spans| spans.remove(0));
    assert_eq!(way(&span("BEGIN")?), ["weir", "lazy_control", "weir"]);
    assert_eq!(way(&span("lazily")?), ["replica", "lazy_read", "lazy"]);
    assert_eq!(way(&span("INSERT INTO traced")?), ["primary", "write", "primary"]);
    assert_eq!(way(&span("there")?), ["primary", "in_transaction", "primary"]);
    assert_eq!(way(&span("COMMIT")?), ["primary", "in_transaction", "primary"]);
    Ok(())
}

/// Each request of a pipeline, each batch of the extended protocol, has its own, and its own error.
#[test]
fn a_pipeline_is_as_many_spans_as_requests() -> Result<()> {
    let collector = Collector::start()?;
    let weir = weir(&collector, "1.0")?;
    let mut client = weir.connect()?;
    let batch = |sql: &str| {
        [front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0), front::sync()]
    };
    let mut frames: Vec<Vec<u8>> = Vec::new();
    for sql in ["SELECT 1 AS pipe_a", "SELECT pipe_b", "SELECT 1 AS pipe_c FROM generate_series(1, 3)"] {
        frames.extend(batch(sql));
    }
    // One batch in two pieces.
    frames.extend([front::parse("", "SELECT 1 AS pipe_d", &[]), front::flush()]);
    frames.extend([front::bind("", "", &[]), front::execute("", 0), front::sync()]);
    client.send(&frames)?;
    for _ in 0..4 {
        client.until_ready()?;
    }
    let spans = collector.spans_of("pipe_", 4)?;
    let mut told: Vec<_> = spans
        .iter()
        .map(|it| (of(it, "db.query.text"), of(it, "error.type"), of(it, "db.response.returned_rows")))
        .collect();
    told.sort();
    let row = |text: &str, error: &str, rows: &str| (text.to_owned(), error.to_owned(), rows.to_owned());
    let expected = [
        row("SELECT ? AS pipe_a", "", "1"),
        row("SELECT ? AS pipe_c FROM generate_series(?, ?)", "", "3"),
        row("SELECT ? AS pipe_d", "", "1"),
        row("SELECT pipe_b", "42703", ""),
    ];
    assert_eq!(told, expected);
    Ok(())
}

#[test]
fn the_application_says_what_is_traced() -> Result<()> {
    let collector = Collector::start()?;
    let mut none = weir(&collector, "0")?;
    let mut all = weir(&collector, "1")?;
    let parent = |flags: &str| format!("/*application='shop',traceparent='00-{TRACE}-{PARENT}-{flags}'*/");
    let mut client = none.connect()?;
    client.query(&format!("SELECT 21 AS wanted {}", parent("01")))?;
    client.query("SELECT 22 AS unasked")?;
    client.query(&format!("SELECT 23 AS unwanted {}", parent("00")))?;
    // A prepared statement belongs to who prepared it once, and no longer.
    let named =
        [front::parse("named", format!("SELECT 24 AS prepared {}", parent("01")), &[]), front::sync()];
    client.ask(&named)?;
    client.ask(&[front::bind("", "named", &[]), front::execute("", 0), front::sync()])?;
    all.connect()?.query(&format!("SELECT 25 AS unwanted {}", parent("00")))?;
    all.connect()?.query("SELECT 26 AS last")?;
    let wanted = collector.spans_of("wanted", 1)?.remove(0);
    assert_eq!((&*hex(&wanted.trace_id), &*hex(&wanted.parent_span_id)), (TRACE, PARENT));
    assert_eq!(of(&wanted, "db.query.text"), "SELECT ? AS wanted");
    assert_eq!(collector.spans_of("prepared", 1)?.len(), 1);
    collector.spans_of("last", 1)?;
    // At its end weir sends what it has.
    none.terminate()?;
    all.terminate()?;
    let texts: Vec<_> = collector.spans().iter().map(|span| of(span, "db.query.text")).collect();
    assert_eq!(texts.iter().filter(|text| text.contains("prepared")).count(), 1, "{texts:?}");
    assert!(!texts.iter().any(|text| text.contains("unasked") || text.contains("unwanted")), "{texts:?}");
    Ok(())
}

/// What ran twice is one span.
#[test]
fn what_runs_again_is_one_span() -> Result<()> {
    let collector = Collector::start()?;
    let weir = weir(&collector, "1.0")?;
    let mut client = weir.connect()?;
    let reruns = || weir.metrics().map(|all| all.sum("weir_reruns_total", &[]));
    let again = wait_for("something to run again", PATIENCE, || {
        static NTH: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let nth = NTH.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let before = reruns()?;
        client.query(&format!("SELECT traced_lie() AS again_{nth}"))?;
        Ok((reruns()? > before).then_some(nth))
    })?;
    let spans = collector.spans_of(&format!("again_{again}"), 1)?;
    assert_eq!(spans.len(), 1);
    assert_eq!(way(&spans[0])[..2], ["primary", "rerun"]);
    assert_eq!(spans[0].events.len(), 1);
    assert_eq!((&*spans[0].events[0].name, of(&spans[0], "error.type")), ("weir.rerun", String::new()));
    assert_eq!(told(&spans[0].events[0].attributes, "weir.cause").unwrap(), "25006");
    Ok(())
}

/// Nobody waits for a collector that is not there, and what is lost is counted.
#[test]
fn a_collector_that_is_away_costs_spans_and_nothing_else() -> Result<()> {
    let nobody = harness::free_port()?;
    let weir = setup(nobody, "1.0").start(env!("CARGO_BIN_EXE_weir"))?;
    let mut client = weir.connect()?;
    for _ in 0..100 {
        client.query("SELECT 1")?;
    }
    let lost = || weir.metrics().map(|all| all.sum("weir_spans_total", &[("result", "lost")]));
    wait_for("all spans to be lost", PATIENCE, || Ok((lost()? == 100.0).then_some(())))?;
    assert_eq!(weir.metrics()?.sum("weir_spans_total", &[("result", "sent")]), 0.0);
    assert!(weir.log().contains("spans are lost"), "{}", weir.log());
    Ok(())
}

/// A reload turns it on and off, for sessions that are there.
#[test]
fn a_reload_turns_it_on_and_off() -> Result<()> {
    let collector = Collector::start()?;
    let weir = weir(&collector, "1.0")?;
    let mut client = weir.connect()?;
    let on = std::fs::read_to_string(weir.config())?;
    let off = on.replace("endpoint = ", "# endpoint = ");
    let reload = |text: &str| -> Result<()> {
        std::fs::write(weir.config(), text)?;
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_weir"));
        let output = command.args(["reload", "--config"]).arg(weir.config()).output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    client.query("SELECT 1 AS first")?;
    reload(&off)?;
    client.query("SELECT 1 AS between")?;
    reload(&on)?;
    client.query("SELECT 1 AS last")?;
    collector.spans_of("last", 1)?;
    let texts: Vec<_> = collector.spans().iter().map(|span| of(span, "db.query.text")).collect();
    assert!(!texts.iter().any(|text| text.contains("between")), "{texts:?}");
    assert_eq!(collector.spans_of("first", 1)?.len(), 1);
    Ok(())
}
