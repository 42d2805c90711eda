//! A session that keeps its connection: what is told of it, and what its user's policy makes of it.

use std::sync::Arc;
use std::time::Instant;

use crate::cluster::catalog::Catalog;
use crate::cluster::traces::Found;
use crate::config::Pinning;
use crate::session::Session;
use crate::session::flow::request::{Item, Parsed, Request};
use crate::session::model::pins::Reasons;
use crate::sql::{Discard, Kind, Pin, Statement, Verdict};
use crate::telemetry::metrics::Metrics;

/// What has been told of a session's pins. When it ends, they do.
pub(crate) struct PinLog {
    metrics: Arc<Metrics>,
    told: Reasons,
    /// Why it keeps its connection for good, by the policy of its user.
    for_good: Option<Pin>,
}

impl PinLog {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, told: Reasons::default(), for_good: None }
    }

    fn is_pinned(&self) -> bool {
        !self.told.is_empty() || self.for_good.is_some()
    }

    /// Counts and logs what has changed.
    fn tell(&mut self, now: Reasons) {
        let before = std::mem::replace(&mut self.told, now);
        for pin in now.without(before).iter() {
            tracing::debug!(reason = pin.as_str(), "session pinned");
            self.metrics.pinned(pin.as_str());
        }
        for pin in before.without(now).iter() {
            tracing::debug!(reason = pin.as_str(), "session no longer pinned");
            self.metrics.unpinned(pin.as_str());
        }
    }
}

impl Drop for PinLog {
    fn drop(&mut self) {
        if self.is_pinned() {
            self.metrics.pinned_sessions.dec();
        }
        self.told.iter().for_each(|pin| self.metrics.unpinned(pin.as_str()));
    }
}

impl Session {
    /// Why the session keeps its connection to the primary, if it does.
    pub(crate) fn pinned(&self) -> Option<Pin> {
        self.state.pins.any().or(self.pinning.for_good)
    }

    /// Tells what has changed since the last transaction.
    pub(crate) fn tell_pins(&mut self) {
        self.resolve_doubts();
        let now = self.state.pins.reasons();
        if now == self.pinning.told {
            return;
        }
        let was_pinned = self.pinning.is_pinned();
        if self.who.user.pinning == Pinning::PrimaryOnly {
            self.pinning.for_good = self.pinning.for_good.or(now.iter().next());
        }
        self.pinning.tell(now);
        match (was_pinned, self.pinning.is_pinned()) {
            (false, true) => self.pinning.metrics.pinned_sessions.inc(),
            (true, false) => self.pinning.metrics.pinned_sessions.dec(),
            _ => {}
        }
    }

    /// Takes down what the code that a request runs may leave, before it is sent: whether it completes or fails then
    /// makes no difference. What would pin and must not is refused instead.
    pub(crate) fn predict_pins(&mut self, request: &Request) {
        self.state.refusals.clear();
        let takes_away = |statement: &Statement| {
            matches!(statement.kind, Kind::Discard(Discard::All) | Kind::Deallocate(_))
        };
        if request.statements().any(takes_away) {
            self.state.pins.is_taken_away();
        }
        let catalogs = self.shared.cluster.catalogs();
        let asks = |item: &Item| item.calls() || catalogs.know_traces();
        if !request.items.iter().any(asks) {
            return self.refuse_pins(request);
        }
        let catalog = catalogs.of(&self.who.server_database);
        let (mut missing, now) = (false, Instant::now());
        for item in &request.items {
            let found = self.found(&item.verdict, catalog.as_deref());
            missing |= !found.unknown.is_empty();
            if self.who.user.pinning == Pinning::Reject && found.leaves() && item.parsed == Parsed::Here {
                self.state.refusals.push((item.verdict.clone(), Pin::Function));
                continue;
            }
            self.state.pins.ran(found.traces);
            for function in found.unknown {
                self.state.pins.doubt(function, found.version, now);
            }
        }
        if missing {
            catalogs.missed(&self.who.server_database, now);
        }
        self.refuse_pins(request);
    }

    fn found(&self, verdict: &Verdict, catalog: Option<&Catalog>) -> Found {
        let mut all = Found::default();
        for statement in &verdict.statements {
            let is_harmless = |function: &_| self.shared.functions.is_stateless(function);
            all.join(crate::cluster::traces::found(
                catalog.map(|catalog| &catalog.code),
                statement,
                is_harmless,
            ));
        }
        all
    }

    /// What pins by its text alone, of the statements that come with this request.
    fn refuse_pins(&mut self, request: &Request) {
        if self.who.user.pinning != Pinning::Reject {
            return;
        }
        for item in request.items.iter().filter(|item| item.parsed == Parsed::Here) {
            let pin = item.verdict.statements.iter().flat_map(|statement| statement.effects.pins()).next();
            if let Some(pin) = pin {
                self.state.refusals.push((item.verdict.clone(), pin));
            }
        }
    }

    /// Looks again at functions that were called when the catalog did not tell what they leave.
    fn resolve_doubts(&mut self) {
        if !self.state.pins.doubts() {
            return;
        }
        let catalog = self.shared.cluster.catalogs().of(&self.who.server_database);
        if let Some(catalog) = catalog {
            self.state.pins.resolve(|doubt| catalog.code.recall(&doubt.function, doubt.since, doubt.version));
        }
    }

    /// Waits for the client or its server, and for the catalog where that may set the connection free. Cancel safe.
    ///
    /// # Errors
    /// As [`Session::pump`].
    pub(crate) async fn pump_or_resolve(&mut self) -> crate::error::Result<()> {
        if !self.state.pins.doubts() {
            return self.pump().await;
        }
        let cluster = self.shared.cluster.clone();
        let news = cluster.catalogs().news();
        tokio::pin!(news);
        news.as_mut().enable();
        self.resolve_doubts();
        if !self.state.pins.doubts() {
            return Ok(());
        }
        tokio::select! {
            pumped = self.pump() => pumped,
            () = news => Ok(()),
        }
    }
}
