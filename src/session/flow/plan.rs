//! What a request needs next, decided from values: nothing here waits, writes or looks anything up.
//!
//! [`plan`] is asked again after each step, until it says [`Step::Write`]. What each step does is in `execute`.

use crate::backend::ledger::Batch;
use crate::router::{Decision, Reason, Route};
use crate::session::model::set::{Set, Word};
use crate::session::relay::responses::Flow;
use crate::wire::TxStatus;

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Take a connection.
    CheckOut,
    /// Wait until all that is in flight has been answered, and decide anew: it goes to another connection, or this one
    /// is gone.
    AwaitAnswers,
    /// End the batch that is open here, as the client will end it elsewhere, and decide anew.
    EndBatch,
    /// Send the settings, and wait for the server's word on them.
    SendSettings,
    /// Wait for the server's word on settings that are on their way.
    AwaitSettings,
    /// Have the open batch answered, so that it is known whether the server throws away what comes next, or because that
    /// goes elsewhere; and decide anew.
    FlushBatch,
    /// Wait until it is known what the names in flight stand for.
    AwaitNames,
    /// Ask the server what statements are there of which the client was told something.
    Verify,
    /// Wait for the transaction's replica to be fresh enough, for a moment, and write.
    AwaitFreshness,
    /// Write it.
    Write,
    /// Answer it: no server is asked.
    Answer,
    /// Give up the replica's connection on which its transaction runs, or put it aside for what is open there: the request
    /// goes to the primary, or to a replica that is fresh enough.
    Upgrade,
    /// Have requests go to the connection that was put aside, and this one wait.
    Swap,
}

/// How a request runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// On a connection that stands where its client stands.
    AsItComes,
    /// weir answers all of it.
    Kept,
    /// Outside of its transaction, of which no server knows.
    Alone,
    /// Within its transaction, of which the connection is told first where it does not know of it.
    Within,
    /// On the connection where what the request speaks of is open, which may have been put aside.
    Aside,
}

/// How things stand between a request and the session's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Situation {
    /// Where the request is to go.
    pub route: Route,
    /// How it runs there.
    pub manner: Manner,
    /// Transaction status there once all that is in flight will have been answered.
    pub expected: TxStatus,
    pub leg: LegFacts,
    pub request: Set<RequestFact>,
}

/// What is known of the session's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LegFacts {
    pub route: Route,
    pub condition: Condition,
    pub owed: Owed,
    pub batch: Batch,
    /// Transaction status as the server last said.
    pub tx: TxStatus,
    pub flow: Flow,
    /// Whether it is as fresh as the request needs.
    pub freshness: Freshness,
    pub settings: Settings,
}

/// Whether a connection is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Working,
    /// What is in flight will be run again elsewhere.
    Rerunning,
    Lost,
}

/// What a server has still to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    Nothing,
    Answers,
    /// Answers, among them those to changes of settings that weir put in.
    Settings,
    /// It throws away what it is sent, up to a Sync.
    Discarding,
}

/// Whether a connection is as fresh as a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Enough,
    /// It is not, and may become so.
    Short,
    /// It is not, and never will be: its transaction keeps one snapshot.
    Fixed,
    /// It is not, and all of its transaction can be said again on one that is.
    Elsewhere,
}

/// How a connection's settings differ from what the client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settings {
    Same,
    /// By the client's name alone.
    Name,
    /// By values.
    Values,
    /// By the role it acts as.
    Rights,
}

/// What may be so of the request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestFact {
    /// It is a simple query or a function call, which ends whatever batch is open.
    Single,
    /// It may do something that others see.
    Acts,
    /// It speaks of statements that a batch in flight defines or closes, unless an error comes first.
    NamesMove,
    /// It binds statements of which its client was told something, and it is not known that they are the same on this
    /// connection: rows of another shape than the client decodes must never reach it. Nor can this be found out in passing.
    Unverified,
    /// It is too much to be kept together with what is in flight, should that have to be run again.
    TooMuchToKeep,
    /// Its time is limited, so that a cancel request may be sent for what is in flight: PostgreSQL signals twice, and hits
    /// with the second what it has begun meanwhile.
    Limited,
}

impl Word for RequestFact {
    fn number(self) -> u16 {
        self as u16
    }
}

/// What a request without a connection needs next.
pub(crate) fn without_leg(manner: Manner) -> Step {
    match manner {
        Manner::Kept => Step::Answer,
        Manner::AsItComes | Manner::Alone | Manner::Within | Manner::Aside => Step::CheckOut,
    }
}

/// What a request needs next.
pub(crate) fn plan(situation: &Situation) -> Step {
    let place = match situation.manner {
        Manner::AsItComes => place(situation),
        _ => match lazy_place(situation) {
            Ok(place) => place,
            Err(step) => return step,
        },
    };
    match place {
        Place::Later => Step::AwaitAnswers,
        Place::Behind => Step::FlushBatch,
        Place::Elsewhere => Step::EndBatch,
        Place::Here => here(situation),
    }
}

/// Where a request can be written, as things stand.
enum Place {
    /// On the connection that the session has.
    Here,
    /// On another one, or there once all that is in flight has been answered.
    Later,
    /// The same, and what is in flight is part of a batch that is open: nobody else asks for the answers.
    Behind,
    /// On another one, once the batch that is open on this one has been ended.
    Elsewhere,
}

fn place(situation: &Situation) -> Place {
    let leg = &situation.leg;
    if leg.condition != Condition::Working {
        return Place::Later;
    }
    if leg.owed == Owed::Discarding {
        // Only here it is thrown away, as it must be.
        return Place::Here;
    }
    // A transaction cannot move. Anything else on a replica can, and there what others wrote meanwhile counts.
    let stays = leg.route == Route::Primary || situation.expected != TxStatus::Idle;
    let serves = leg.route == situation.route && (stays || leg.freshness == Freshness::Enough);
    if leg.batch == Batch::Open && (leg.route == Route::Primary || serves) {
        // What was sent of the batch may be answered only when its end is there: there is nothing to wait for.
        return Place::Here;
    }
    match (serves, leg.owed, leg.batch) {
        // What may have to be run again must all be kept.
        (true, Owed::Nothing, _) => Place::Here,
        (true, ..) if situation.request.has(RequestFact::TooMuchToKeep) => Place::Later,
        (true, ..) if situation.request.has(RequestFact::Limited) => Place::Later,
        (true, ..) => Place::Here,
        // It is not fresh enough, or no place for a write: another one is found when this one has gone back, if only what
        // is unsent there keeps it.
        (false, _, Batch::Closed) if leg.route == Route::Replica => Place::Later,
        (false, Owed::Nothing, Batch::Open) => Place::Elsewhere,
        (false, Owed::Nothing, Batch::Closed) => Place::Here,
        (false, _, Batch::Open) => Place::Behind,
        (false, _, Batch::Closed) => Place::Later,
    }
}

/// Where a request of a transaction can be written that has only read. What comes of it decides on what follows, so one
/// at a time is under way.
///
/// # Errors
/// What comes first.
fn lazy_place(situation: &Situation) -> Result<Place, Step> {
    let leg = &situation.leg;
    match (leg.condition, leg.owed, leg.batch) {
        (Condition::Rerunning | Condition::Lost, ..) => return Ok(Place::Later),
        // Only here it is thrown away, as it must be.
        (_, Owed::Discarding, _) => return Ok(Place::Here),
        (_, Owed::Answers | Owed::Settings, Batch::Open) => return Ok(Place::Behind),
        (_, Owed::Answers | Owed::Settings, Batch::Closed) => return Ok(Place::Later),
        (_, Owed::Nothing, _) => {}
    }
    let begun = leg.tx != TxStatus::Idle && leg.freshness != Freshness::Elsewhere;
    let stays = leg.route == Route::Primary || begun;
    let serves = leg.route == situation.route && (stays || leg.freshness == Freshness::Enough);
    match (situation.manner, leg.tx, leg.batch) {
        (Manner::Kept, _, Batch::Closed) => Err(Step::Answer),
        // A simple query ends the batch, and no server is sent one that would.
        (Manner::Kept, _, Batch::Open) if situation.request.has(RequestFact::Single) => Ok(Place::Elsewhere),
        (Manner::Kept, _, Batch::Open) => Ok(Place::Here),
        (Manner::Aside, _, Batch::Closed) if leg.route != situation.route => Err(Step::Swap),
        (Manner::Within, TxStatus::Open | TxStatus::Failed, _) if !serves => Err(Step::Upgrade),
        // A batch is begun outside of the transaction: of that a server is told in front of one.
        (Manner::Within, TxStatus::Idle, Batch::Open) => Ok(Place::Elsewhere),
        (_, _, Batch::Open) if !serves => Ok(Place::Elsewhere),
        (_, _, Batch::Closed) if !serves => Ok(Place::Later),
        _ => Ok(Place::Here),
    }
}

/// What stands before a request that will be written on the session's connection.
fn here(situation: &Situation) -> Step {
    let (leg, request) = (&situation.leg, situation.request);
    if let Some(step) = settings_first(situation) {
        return step;
    }
    // What a server throws away is not owed.
    let in_flight = matches!(leg.owed, Owed::Answers | Owed::Settings);
    // An error in front makes the server throw a simple query away up to the client's Sync, so that nothing with a
    // Sync of weir's own may be written in its place before that is known.
    let breaks_in = request.has(RequestFact::Single) && leg.batch == Batch::Open && leg.flow == Flow::Query;
    if breaks_in && in_flight {
        return Step::FlushBatch;
    }
    if request.has(RequestFact::NamesMove) && leg.batch == Batch::Closed && in_flight {
        return Step::AwaitNames;
    }
    if request.has(RequestFact::Unverified) && leg.owed != Owed::Discarding {
        return Step::Verify;
    }
    let transaction = leg.route == Route::Replica && leg.tx == TxStatus::Open;
    match (leg.freshness, leg.batch) {
        // The transaction cannot move any more, and is as fresh as its beginning asked. The client does not wait longer
        // for what was answered before.
        (Freshness::Short, Batch::Closed) if transaction && in_flight => Step::AwaitAnswers,
        (Freshness::Short, _) if transaction && leg.owed != Owed::Discarding => Step::AwaitFreshness,
        _ => Step::Write,
    }
}

/// Settings that must be confirmed before the request is written: what changes data must not run without them, or with
/// other rights than its client has.
fn settings_first(situation: &Situation) -> Option<Step> {
    let (leg, acts) = (&situation.leg, situation.request.has(RequestFact::Acts));
    if leg.tx == TxStatus::Failed {
        return None;
    }
    if leg.batch == Batch::Open || leg.settings == Settings::Same {
        return (leg.owed == Owed::Settings && acts).then_some(Step::AwaitSettings);
    }
    match leg.settings {
        Settings::Rights => Some(Step::SendSettings),
        Settings::Values if acts => Some(Step::SendSettings),
        _ => None,
    }
}

/// The router's decision, for a session whose connection has begun something on this route: that is ended where it is.
pub(crate) fn confine(decision: Decision, begun: Option<Route>) -> Decision {
    match begun {
        Some(route) if route != decision.route => Decision { route, reason: Reason::InTransaction },
        _ => decision,
    }
}

/// The router's decision for a request of which not all is seen, or of which more may be asked for later.
pub(crate) fn seen_in_part(decision: Decision) -> Decision {
    match decision.route {
        Route::Replica => Decision { route: Route::Primary, reason: Reason::TooLong },
        Route::Primary => decision,
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
