//! Sends spans to the collector that the configuration names, a batch a second or when there are many. Nobody waits for it: what
//! the collector does not take is given up, and counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use crate::admin::collector::give;
use crate::config::Traces;
use crate::session::{Outgoing, Queued, Shared};
use crate::telemetry::metrics::count;
use crate::telemetry::spans::{Ended, encode};

/// How long a span waits for others.
const PAUSE: Duration = Duration::from_secs(1);

/// The most spans in a batch.
const BATCH: usize = 512;

/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the end waits for the last spans.
pub(super) const LAST: Duration = Duration::from_secs(2);

/// How often it is told in the log that a collector takes nothing.
const TOLD: Duration = Duration::from_secs(60);

/// Sends what comes out of the queue, for ever.
pub(super) async fn send_spans(shared: Arc<Shared>, mut outgoing: Outgoing) {
    let mut told = None;
    while let Some(first) = outgoing.recv().await {
        let (mut spans, mut waiting) = (Vec::new(), Vec::new());
        let until = Instant::now() + PAUSE;
        let mut next = Some(first);
        while let Some(queued) = next {
            match queued {
                Queued::Span(ended) => spans.push(ended),
                Queued::Flush(done) => waiting.push(done),
            }
            next = match spans.len() < BATCH && waiting.is_empty() {
                true => timeout_at(until, outgoing.recv()).await.ok().flatten(),
                false => None,
            };
        }
        let traces = shared.policy().config.traces.clone();
        send(&shared, &traces, &spans, &mut told).await;
        // Whoever has left does not want to know.
        waiting.into_iter().for_each(|done| _ = done.send(()));
    }
}

/// Waits for the last ones, and not long.
pub(super) async fn end_spans(shared: &Shared) {
    if shared.policy().config.traces.collector.is_some() {
        // Whether they are sent or take too long, the end has come.
        let _ = timeout(LAST, shared.board.spans.flushed()).await;
    }
}

async fn send(shared: &Shared, traces: &Traces, spans: &[Ended], told: &mut Option<Instant>) {
    let Some(collector) = traces.collector.as_ref().filter(|_| !spans.is_empty()) else { return };
    let bytes = encode(spans, &traces.service_name);
    let (authority, path) = (&*collector.authority, &*collector.path);
    let error = match timeout(PATIENCE, give(authority, path, bytes)).await {
        Ok(Ok(())) => return count(&shared.metrics.spans.sent, spans.len()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it does not answer".to_owned(),
    };
    count(&shared.metrics.spans.lost, spans.len());
    if told.is_none_or(|told| told.elapsed() >= TOLD) {
        tracing::warn!(collector = authority, error, "spans are lost");
        *told = Some(Instant::now());
    }
}
