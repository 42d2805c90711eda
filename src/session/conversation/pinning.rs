//! What a request's code may leave, predicted before it is sent, and what its user's policy makes of that.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::cluster::catalog::Catalog;
use crate::cluster::traces::{CodeMap, Found};
use crate::config::{Listen, Pinning, PoolMode};
use crate::session::conversation::Conversation;
use crate::session::conversation::ddl::changed;
use crate::session::model::ddl::Outcome;
use crate::session::model::pins::{Doubt, Doubted, Resolved};
use crate::session::model::undoable::is_shareable;
use crate::session::relay::facts::Fact;
use crate::session::relay::request::Request;
use crate::sql::{Brings, Kind, Pin, Statement, Verdict, Why};

impl Conversation {
    /// Takes down what a request says of what a server process never forgets, before it gets its connection.
    pub(crate) fn says(&mut self, request: &Request) {
        let spoken = &mut self.state.pins.spoken;
        spoken.begins_request();
        if request.any(Fact::Lasts) {
            request.statements().for_each(|statement| spoken.says(statement));
        }
    }

    /// Tells what has changed since the last transaction.
    pub(crate) fn tell_pins(&mut self) {
        self.resolve_doubts();
        let pins = self.state.pins();
        if self.pins_told.tell(pins, self.who.user.pinning) {
            self.entry.visitor().into_iter().for_each(|visitor| visitor.keeps(pins));
        }
    }

    /// Takes down what the code that a request runs may leave, before it is sent: whether it completes or fails then
    /// makes no difference. What would pin and must not is refused instead.
    pub(crate) fn predict_pins(&mut self, request: &Request) {
        self.state.refusals.statements.clear();
        if request.any(Fact::TakesAway) {
            self.state.pins.is_taken_away();
        }
        let catalogs = self.shared.cluster.catalogs();
        let matters = catalogs.matters();
        let known = !matters.has_changed();
        self.state.definitions.is_unforeseen |= known;
        let defines = self.state.definitions.has_brought() || request.any(Fact::Brings);
        if !request.any(Fact::Calls) && !matters.leaves_traces() && known && !defines {
            return self.refuse_pins(request);
        }
        let catalog = self.catalog();
        let code = catalog.as_deref().map(|catalog| &catalog.code);
        let (mut missing, now) = (false, Instant::now());
        for message in &request.messages {
            let Some(verdict) = &message.verdict else { continue };
            let by_code = self.brought_by_code(verdict, code);
            if by_code.is_code() || self.may_run_anything(verdict, code) {
                self.doubt_text(verdict, code, now);
            }
            self.state.definitions.sends(verdict.brings(), by_code);
            let found = self.found(verdict, catalog.as_deref());
            missing |= !found.unknown.is_empty();
            if self.who.user.pinning == Pinning::Reject && found.leaves() && message.brings_text() {
                self.state.refusals.statements.push((verdict.clone(), Pin::Function));
                continue;
            }
            self.state.pins.ran(found.traces);
            for function in found.unknown {
                self.state.pins.doubt(Doubted::Function(function), found.gone, now);
            }
        }
        let catalogs = self.shared.cluster.catalogs();
        if missing {
            catalogs.missed(&self.who.server_database, now);
        }
        if self.may_bring(request) {
            // Before the server has it: somebody may run by it before weir hears that it is there.
            catalogs.stale(&self.who.server_database, changed(self.state.definitions.brought()));
            self.state.definitions.is_unforeseen = false;
        }
        self.refuse_pins(request);
    }

    /// What a text brings that does not stand in it: by functions that it calls, or from a transaction that was prepared.
    fn brought_by_code(&self, verdict: &Verdict, code: Option<&CodeMap>) -> Brings {
        let of = |statement: &Statement| match statement.kind {
            Kind::Primary(Why::TwoPhase) => self.prepared(),
            _ => code.map_or(Brings::Nothing, |code| code.brings(statement)),
        };
        verdict.statements.iter().map(of).fold(Brings::Nothing, Brings::join)
    }

    /// What `COMMIT PREPARED` may bring. `PREPARE TRANSACTION` is not told from it, and comes first.
    fn prepared(&self) -> Brings {
        let prepares_code = &self.state.database().prepares_code;
        if self.state.definitions.has_brought() {
            prepares_code.store(true, Ordering::Relaxed);
        }
        if prepares_code.load(Ordering::Relaxed) { Brings::Anything } else { Brings::Nothing }
    }

    /// Whether a request may bring code that others run by.
    fn may_bring(&self, request: &Request) -> bool {
        let commits = |statement: &Statement| matches!(statement.kind, Kind::Commit { .. });
        self.state.definitions.has_brought()
            && (self.state.transaction.is_over() || request.statements().any(commits))
    }

    /// Whether what a text runs may be what was defined a moment ago, and nobody has read.
    fn may_run_anything(&self, verdict: &Verdict, code: Option<&CodeMap>) -> bool {
        let changed = code.is_some_and(|code| code.changed);
        let together = verdict.statements.len() > 1 && verdict.brings().is_code();
        (changed || together || self.state.definitions.has_brought())
            && verdict.statements.iter().any(Statement::may_run_code)
    }

    fn doubt_text(&mut self, verdict: &Arc<Verdict>, code: Option<&CodeMap>, now: Instant) {
        let gone = code.map_or(0, |code| code.gone);
        self.state.pins.doubt(Doubted::Text(verdict.clone()), gone, now);
        self.shared.cluster.catalogs().ran_in_doubt(&self.who.server_database, now);
    }

    /// All is answered. What was sent before somebody changed code may have run by that: it has waited for a lock.
    pub(crate) fn doubt_flight(&mut self) {
        let unforeseen = std::mem::take(&mut self.state.definitions.is_unforeseen);
        let changed = |catalog: Arc<Catalog>| catalog.code.changed;
        if unforeseen
            && self.shared.cluster.catalogs().matters().has_changed()
            && self.catalog().is_some_and(changed)
        {
            self.state.pins.vanish();
        }
    }

    /// All is answered, outside a transaction: what its code is, others can see from now on.
    pub(crate) fn settle_definitions(&mut self) {
        let outcome = self.state.definitions.settle();
        if outcome != Outcome::Nothing && self.state.pins.doubts() {
            let now = Instant::now();
            self.state.pins.renew_doubts(outcome, now);
            self.shared.cluster.catalogs().ran_in_doubt(&self.who.server_database, now);
        }
    }

    fn found(&self, verdict: &Verdict, catalog: Option<&Catalog>) -> Found {
        let mut all = Found::default();
        for statement in &verdict.statements {
            let is_harmless = |function: &_| self.policy.functions.is_stateless(function);
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
        let shares = self.shares_listening();
        for verdict in request.brought() {
            let pins = |one: &&Statement| !(shares && one.effects.listens().any(is_shareable));
            let pin = verdict.statements.iter().filter(pins).flat_map(pins_for_sure).next();
            if let Some(pin) = pin {
                self.state.refusals.statements.push((verdict.clone(), pin));
            }
        }
    }

    /// Whether the session listens by a connection that it shares, to channels whose names allow it. So does one that keeps a
    /// connection for other reasons: what comes by one way is told in its order.
    pub(crate) fn shares_listening(&self) -> bool {
        matches!(self.policy.config.pool.listen, Listen::Shared { .. })
            && self.who.mode == PoolMode::Transaction
    }

    /// Looks again at functions that were called when the catalog did not tell what they leave.
    pub(crate) fn resolve_doubts(&mut self) {
        if !self.state.pins.doubts() {
            return;
        }
        let catalog = self.catalog();
        let Some(catalog) = catalog else { return };
        let open = self.state.definitions.has_brought();
        let code = &catalog.code;
        self.state.pins.resolve(|Doubt { what, since, gone, .. }| match what {
            Doubted::Function(function) => {
                let traces = code.recall(function, *since, *gone)?;
                Some(Resolved { traces, vanished: false })
            }
            // What it ran by may be the session's alone as yet.
            Doubted::Text(_) if open => None,
            Doubted::Text(verdict) => {
                let traces = code.recall_statements(&verdict.statements, *since)?;
                Some(Resolved { traces, vanished: code.has_lost(*gone) })
            }
        });
    }
}

/// What a statement pins by, but for settings of which the values are still to be bound.
fn pins_for_sure(statement: &Statement) -> impl Iterator<Item = Pin> {
    let effects = &statement.effects;
    effects.pins().filter(|pin| effects.bound.is_empty() || *pin != Pin::DynamicSetting)
}
