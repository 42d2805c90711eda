//! Settings that must be there before a request is sent.
//!
//! Mostly they go in front of the request in the same write. What changes data must not run without them, or with
//! other rights than its client has: then the server's word is waited for.

use std::future::poll_fn;
use std::task::Poll;

use crate::error::{Error, Result};
use crate::router::Route;
use crate::session::flow::request::Request;
use crate::session::leg::sender::Sender;
use crate::session::{Batch, Leg, Link, Rerun, Session};
use crate::sql::{Kind, Statement};
use crate::wire::TxStatus;

/// What a server made of settings.
pub(crate) enum Refused {
    /// It took them.
    Not,
    /// A replica did not, with this SQLSTATE: it may not know a role yet, say.
    OnReplica(String),
    /// The primary did not.
    Here(Error),
}

impl Session {
    /// Whether settings must be confirmed before the request is written; then they have been sent.
    pub(crate) fn sets_first(&mut self, request: &Request) -> bool {
        let acts = || request.statements().any(acts);
        let ready = |leg: &&mut Box<Leg>| leg.link == Link::Up && leg.replies.tx != TxStatus::Failed;
        let Some(leg) = self.leg.as_mut().filter(ready) else { return false };
        let (carried, wanted) = (self.state.carried.now(), self.state.settings().wanted());
        if leg.batch == Batch::Open || carried == wanted {
            return self.state.unconfirmed > 0 && acts();
        }
        if !carried.acts_as(wanted) && (carried.differs_in_name_only(wanted) || !acts()) {
            return false;
        }
        let tx = Some(leg.replies.tx);
        let mut sender = Sender::on(leg, &mut self.state, &self.shared.metrics, tx);
        sender.settings();
        true
    }

    /// Waits until no settings are on their way, or the connection is of no use.
    pub(crate) async fn confirmed(&mut self) -> Result<()> {
        let waits = |session: &Self| {
            session.state.unconfirmed > 0 && session.leg.as_ref().is_some_and(|leg| leg.link == Link::Up)
        };
        while waits(self) {
            // Not only when all has been answered, which an open batch may never be.
            poll_fn(|cx| match self.poll_pump(cx) {
                Poll::Pending if !waits(self) => Poll::Ready(Ok(())),
                turn => turn,
            })
            .await?;
        }
        Ok(())
    }

    /// What became of settings that went alone.
    ///
    /// # Errors
    /// The primary's refusal, when what the session has there is lost with the connection.
    pub(crate) fn refused_settings(&mut self) -> Result<Refused> {
        let alone = |leg: &mut Box<Leg>| leg.link == Link::Refused && leg.replies.ledger.readies() == 0;
        let Some(mut leg) = self.leg.take_if(|leg| alone(leg)) else { return Ok(Refused::Not) };
        self.entry.leaves();
        // The answers to what came before are whole.
        self.client_buffer.settle(&mut leg.lease.read_buffer);
        self.client_buffer.release();
        self.state.unconfirmed = 0;
        self.ledger = Default::default();
        let error = self.state.refused.take().unwrap_or(Error::ServerLost);
        tracing::warn!(server = leg.lease.server().0, %error, "settings refused");
        if leg.route == Route::Primary && self.pinned().is_some() {
            return Err(error);
        }
        Ok(match leg.route {
            Route::Replica => Refused::OnReplica(error.sqlstate().to_owned()),
            Route::Primary => Refused::Here(error),
        })
    }

    /// The request at the front of the buffer goes to the primary, for this SQLSTATE.
    pub(crate) fn rerun_on_primary(&mut self, len: usize, sqlstate: String) {
        self.rerun = Some(Rerun { left: len, cause: Some(sqlstate) });
    }
}

/// Whether a statement may change data, or anything else that others see.
pub(crate) fn acts(statement: &Statement) -> bool {
    matches!(statement.kind, Kind::Primary(_) | Kind::Execute(_)) || !statement.functions.is_empty()
}
