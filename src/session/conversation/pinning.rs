//! What a request's code may leave, predicted before it is sent, and what its user's policy makes of that.

use std::time::Instant;

use crate::cluster::catalog::Catalog;
use crate::cluster::traces::Found;
use crate::config::Pinning;
use crate::session::conversation::Conversation;
use crate::session::relay::facts::Fact;
use crate::session::relay::request::Request;
use crate::sql::{Pin, Statement, Verdict};

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
        self.pins_told.tell(self.state.pins(), self.who.user.pinning);
    }

    /// Takes down what the code that a request runs may leave, before it is sent: whether it completes or fails then
    /// makes no difference. What would pin and must not is refused instead.
    pub(crate) fn predict_pins(&mut self, request: &Request) {
        self.state.refusals.statements.clear();
        if request.any(Fact::TakesAway) {
            self.state.pins.is_taken_away();
        }
        let catalogs = self.shared.cluster.catalogs();
        if !request.any(Fact::Calls) && !catalogs.matters().leaves_traces() {
            return self.refuse_pins(request);
        }
        let catalog = self.catalog();
        let (mut missing, now) = (false, Instant::now());
        for message in &request.messages {
            let Some(verdict) = &message.verdict else { continue };
            let found = self.found(verdict, catalog.as_deref());
            missing |= !found.unknown.is_empty();
            if self.who.user.pinning == Pinning::Reject && found.leaves() && message.brings_text() {
                self.state.refusals.statements.push((verdict.clone(), Pin::Function));
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
        for verdict in request.brought() {
            let pin = verdict.statements.iter().flat_map(pins_for_sure).next();
            if let Some(pin) = pin {
                self.state.refusals.statements.push((verdict.clone(), pin));
            }
        }
    }

    /// Looks again at functions that were called when the catalog did not tell what they leave.
    pub(crate) fn resolve_doubts(&mut self) {
        if !self.state.pins.doubts() {
            return;
        }
        let catalog = self.catalog();
        if let Some(catalog) = catalog {
            self.state.pins.resolve(|doubt| catalog.code.recall(&doubt.function, doubt.since, doubt.version));
        }
    }
}

/// What a statement pins by, but for settings of which the values are still to be bound.
fn pins_for_sure(statement: &Statement) -> impl Iterator<Item = Pin> {
    let effects = &statement.effects;
    effects.pins().filter(|pin| effects.bound.is_empty() || *pin != Pin::DynamicSetting)
}
