//! Whether a request could be run again on another connection, should this one be lost, or its server answer with an error
//! that another may not have. What may have been committed is never run again.
//!
//! Nothing here keeps a request or runs it: see [`hold`](crate::session::leg::hold_back::hold).

use crate::backend::ledger::Batch;
use crate::router::Route;
use crate::session::conversation::{Conversation, Rerun};
use crate::session::flow::plan::Manner;
use crate::session::leg::Leg;
use crate::session::leg::hold_back::Joins;
use crate::session::relay::facts::{self, Fact, is_undone_by_loss, leaves_nothing};
use crate::session::relay::request::Request;
use crate::sql::{Kind, Statement};
use crate::wire::TxStatus;

/// How many connections may be lost under a request before that is told.
pub(super) const LOSSES_MAX: usize = 3;

/// What a request joins that is alone on its connection. In a transaction that another connection can be told of it could
/// as well run there. Not so the rest of a batch on the primary, whose Sync would vouch for what was lost with its beginning;
/// nor, anywhere, what its server throws away.
pub(super) fn joins(conversation: &Conversation, leg: &Leg, request: &Request, manner: Manner) -> Joins {
    let transaction = &conversation.state.transaction;
    let renewable = leg.route == Route::Replica && transaction.is_renewable();
    let outside = (transaction.status_on_server(), leg.responses.tx) == (TxStatus::Idle, TxStatus::Idle);
    let rest = leg.batch() == Batch::Open;
    let bound = rest && (leg.route == Route::Primary || leg.responses.ledger.is_discarding());
    // A crash takes server processes one after the other.
    let again = |rerun: &&Rerun| rerun.cause.sqlstate().is_some() || conversation.losses >= LOSSES_MAX;
    match (manner, conversation.rerun.as_ref().filter(again)) {
        (_, Some(_)) => Joins::Rerun,
        (_, None) if bound => Joins::Block,
        (Manner::Within, None) if renewable => Joins::Nothing,
        (Manner::Within, None) if !can_begin_anew(conversation, leg.route, request) => Joins::Block,
        (Manner::Within, None) => Joins::Renewable,
        (_, None)
            if outside
                && leg.route == Route::Primary
                && (only_reads(conversation, request)
                    || opens(conversation, request)
                    || only_sets(conversation, request)) =>
        {
            Joins::Renewable
        }
        (Manner::AsItComes, None) if can_begin_anew(conversation, leg.route, request) => Joins::Renewable,
        (_, None) if outside => Joins::Nothing,
        (_, None) => Joins::Block,
    }
}

/// Whether a transaction can be told to another connection together with this request, should it be lost: what it has done
/// on the primary so far is in the journal, and what this does is not committed, or nothing is. Or the request ends it, and
/// takes everything back as the loss does, or there is nothing to be committed.
fn can_begin_anew(conversation: &Conversation, route: Route, request: &Request) -> bool {
    let transaction = &conversation.state.transaction;
    // Nothing is committed by it, or nothing that there is.
    let commits_nothing = || {
        let plain = || request.statements().all(leaves_nothing) && !conversation.writes_unseen(request);
        request.statements().all(stays_within) || plain()
    };
    let told = || {
        let on_primary = route == Route::Primary;
        let undone = transaction.can_be_told() && request.statements().all(is_undone_by_loss);
        on_primary && undone && commits_nothing()
    };
    let takes_back = |statement: &Statement| match statement.kind {
        Kind::Rollback { .. } => true,
        Kind::Commit { .. } => transaction.has_failed() || transaction.has_only_read(),
        _ => false,
    };
    let all_back = || {
        let ends = transaction.journal().is_some() && request.any(Fact::Controls);
        ends && request.statements().all(takes_back)
    };
    conversation.pinned().is_none() && request.ends() == 1 && (told() || all_back())
}

/// Whether a request begins a transaction, and leaves it open with nothing in it that its loss does not undo.
fn opens(conversation: &Conversation, request: &Request) -> bool {
    let mut statements = request.statements();
    conversation.pinned().is_none()
        && request.any(Fact::Transacts)
        && request.ends() == 1
        && statements.next().is_some_and(|first| matches!(first.kind, Kind::Begin(_)))
        && statements.all(|one| stays_within(one) && is_undone_by_loss(one))
}

/// Whether the transaction goes on behind a statement.
fn stays_within(statement: &Statement) -> bool {
    !matches!(statement.kind, Kind::Commit { .. } | Kind::Rollback { .. })
}

/// Whether a request changes nothing, as far as its text and the catalog tell.
fn only_reads(conversation: &Conversation, request: &Request) -> bool {
    conversation.pinned().is_none() && request.only_reads() && !conversation.writes_unseen(request)
}

/// Whether a request does nothing but change settings and discard state of the session's: all of that is gone with the
/// connection.
fn only_sets(conversation: &Conversation, request: &Request) -> bool {
    request.ends() == 1 && request.statements().all(facts::only_sets) && conversation.pinned().is_none()
}
