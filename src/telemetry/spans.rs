//! Spans: what one request did, as OpenTelemetry tells it, and the bytes by which a collector is told (OTLP).
//!
//! Values in, bytes out: nothing is sent here, and no clock is read. Attributes are those of OpenTelemetry's semantic
//! conventions for databases, and weir's own begin with `weir.`. No value of the application's is in any.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event as EventMessage, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as SpanMessage, Status};
use prost::Message;

/// The conventions by which attributes are named.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.34.0";

/// One request.
#[derive(Clone, Debug)]
pub struct Span {
    /// What it is known by.
    pub ids: Ids,
    /// What was asked, and by whom.
    pub asked: Asked,
    /// Where it went, and why.
    pub went: Went,
    /// What it waited for.
    pub waited: Waited,
    /// How many rows came back, where that was said.
    pub rows: Option<u64>,
    /// The SQLSTATE with which it failed.
    pub error: Option<Box<str>>,
    /// What became of it before it ran as it did in the end: it ran again, each time for this reason.
    pub reruns: Vec<Box<str>>,
}

/// What a span is known by.
#[derive(Clone, Copy, Debug)]
pub struct Ids {
    /// Its trace.
    pub trace: [u8; 16],
    /// Itself.
    pub span: [u8; 8],
    /// The span of the application that it belongs to.
    pub parent: Option<[u8; 8]>,
}

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The database, by the clients' name for it.
    pub database: Arc<str>,
    /// The user.
    pub user: Arc<str>,
    /// The statement without its literals.
    pub text: Box<str>,
    /// Its operation and the relations that it names.
    pub summary: Box<str>,
}

/// Where it went.
#[derive(Clone, Debug)]
pub struct Went {
    /// The server that ran it; none where weir answered itself, or none was found.
    pub server: Option<Place>,
    /// To the primary, to a replica, or nowhere.
    pub route: &'static str,
    /// Why there.
    pub reason: &'static str,
    /// How its transaction ran at that moment.
    pub transaction: &'static str,
}

/// A server.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its host.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
}

/// What a request waited for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waited {
    /// A connection, and a replica that was fresh enough before there was one.
    pub connection: Duration,
    /// The replica on which its transaction is, to be fresh enough.
    pub freshness: Duration,
}

/// A span that is over.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The span.
    pub span: Box<Span>,
    /// When it ended.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
}

/// The body of a request to a collector.
pub fn encode(ended: &[Ended], service: &str) -> Vec<u8> {
    let scope = InstrumentationScope {
        name: "weir".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = ScopeSpans {
        scope: Some(scope),
        spans: ended.iter().map(message).collect(),
        schema_url: SCHEMA.to_owned(),
    };
    let attributes = vec![text("service.name", service), text("service.version", env!("CARGO_PKG_VERSION"))];
    let resource = ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![spans],
        schema_url: SCHEMA.to_owned(),
    };
    ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec()
}

fn message(Ended { span, at, took }: &Ended) -> SpanMessage {
    let end = nanos(at.duration_since(UNIX_EPOCH).unwrap_or_default());
    let begin = end.saturating_sub(nanos(*took));
    let again = |cause: &str| EventMessage {
        time_unix_nano: begin,
        name: "weir.rerun".to_owned(),
        attributes: vec![text("weir.cause", cause)],
        ..EventMessage::default()
    };
    let failed = |sqlstate: &str| Status { message: sqlstate.to_owned(), code: StatusCode::Error.into() };
    SpanMessage {
        trace_id: span.ids.trace.to_vec(),
        span_id: span.ids.span.to_vec(),
        parent_span_id: span.ids.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
        name: if span.asked.summary.is_empty() {
            "postgresql".to_owned()
        } else {
            span.asked.summary.to_string()
        },
        kind: SpanKind::Client.into(),
        start_time_unix_nano: begin,
        end_time_unix_nano: end,
        attributes: attributes(span),
        events: span.reruns.iter().map(|cause| again(cause)).collect(),
        status: span.error.as_deref().map(failed),
        // It was sampled.
        flags: 1,
        ..SpanMessage::default()
    }
}

fn attributes(span: &Span) -> Vec<KeyValue> {
    let Span { asked, went, waited, .. } = span;
    let operation = asked.text.split([' ', '(', ';']).next().unwrap_or_default().to_ascii_uppercase();
    let mut all = vec![
        text("db.system.name", "postgresql"),
        text("db.namespace", &asked.database),
        text("weir.user", &asked.user),
        text("weir.route", went.route),
        text("weir.reason", went.reason),
        text("weir.transaction", went.transaction),
        seconds("weir.wait.connection", waited.connection),
        seconds("weir.wait.freshness", waited.freshness),
    ];
    if !asked.text.is_empty() {
        all.push(text("db.operation.name", &operation));
        all.push(text("db.query.summary", &asked.summary));
        all.push(text("db.query.text", &asked.text));
    }
    if let Some(server) = &went.server {
        all.push(text("server.address", &server.host));
        all.push(number("server.port", server.port.into()));
        all.push(text("weir.server", &server.name));
    }
    if let Some(rows) = span.rows {
        all.push(number("db.response.returned_rows", i64::try_from(rows).unwrap_or(i64::MAX)));
    }
    if let Some(sqlstate) = &span.error {
        all.push(text("db.response.status_code", sqlstate));
        all.push(text("error.type", sqlstate));
    }
    all
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    pair(key, Value::IntValue(value))
}

fn seconds(key: &str, value: Duration) -> KeyValue {
    pair(key, Value::DoubleValue(value.as_secs_f64()))
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
