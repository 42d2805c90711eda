//! Session pooling: the connections that a session keeps for its client's life while nothing runs on them, one to the
//! primary and one to a replica.

use std::time::Instant;

use tokio::time::timeout;

use crate::cluster::topology::{Server, ServerId, Topology};
use crate::error::{Error, Result};
use crate::pool::Lease;
use crate::router::Route;
use crate::session::leg::cleanup::PATIENCE;
use crate::session::leg::reset::{Leftover, Standing, reset};
use crate::session::{Session, Shared};
use crate::sql::{Kind, Statement, Why};

/// What a session keeps.
#[derive(Debug, Default)]
pub(crate) struct SessionPool {
    primary: Option<Lease>,
    replica: Option<Lease>,
    ran: Ran,
}

/// What a session has run so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ran {
    /// Statements whose text tells what they leave behind.
    #[default]
    Plain,
    /// Code of users, which may have changed any setting or left anything else that no text tells.
    Code,
}

impl Session {
    /// What the session is known to leave on its connections, or may have left unseen.
    pub(crate) fn leftover(&self) -> Leftover {
        let unseen = if self.has_run_code() { Leftover::State } else { Leftover::Known };
        Leftover::of(&self.state).max(unseen)
    }

    /// Whether its connection to the primary may hold state that no text told of. Asked in session pooling only: else
    /// nothing unseen can be relied upon.
    pub(crate) fn has_run_code(&self) -> bool {
        self.session_pool.as_ref().is_some_and(|kept| kept.ran == Ran::Code)
    }

    /// These statements go to the session's connection.
    pub(crate) fn keeps_in_mind<'a>(&mut self, mut statements: impl Iterator<Item = &'a Statement>) {
        if let Some(kept) = self.session_pool.as_mut().filter(|kept| kept.ran == Ran::Plain)
            && statements.any(runs_code)
        {
            kept.ran = Ran::Code;
        }
    }

    /// Nothing runs on a connection any more: it is kept, or goes back to its pool. The caller vouches that it is idle
    /// and outside a transaction.
    pub(crate) fn put_aside(&mut self, route: Route, lease: Lease) {
        let Some(kept) = &mut self.session_pool else { return lease.release(Instant::now()) };
        let place = match route {
            Route::Primary => &mut kept.primary,
            Route::Replica => &mut kept.replica,
        };
        if let Some(other) = place.replace(lease) {
            let leftover = self.leftover();
            let_go(other, leftover, &self.shared);
        }
    }

    /// The connection that is kept to this primary, if there is one.
    ///
    /// # Errors
    /// [`Error::ServerLost`] when there was one, it is of no use any more, and state may be lost with it.
    pub(crate) fn take_primary(&mut self, server: ServerId) -> Result<Option<Lease>> {
        let code = self.has_run_code();
        let Some(mut lease) = self.session_pool.as_mut().and_then(|kept| kept.primary.take()) else {
            return Ok(None);
        };
        let alive = lease.is_alive();
        if alive && lease.server() == server {
            return Ok(Some(lease));
        }
        if code {
            return Err(Error::ServerLost);
        }
        if alive {
            lease.release(Instant::now());
        }
        Ok(None)
    }

    /// The connection that is kept to a replica, if that will do. One that will not goes back: another server was
    /// found that does.
    pub(crate) fn take_replica(
        &mut self,
        topology: &Topology,
        will_do: impl Fn(&Server) -> bool,
    ) -> Option<Lease> {
        let serves = self.serves_aside(topology, will_do);
        let mut lease = self.session_pool.as_mut()?.replica.take()?;
        if !lease.is_alive() {
            return None;
        }
        if serves {
            return Some(lease);
        }
        let leftover = self.leftover();
        let_go(lease, leftover, &self.shared);
        None
    }

    /// Whether a replica to which a connection is kept will do.
    pub(crate) fn serves_aside(&self, topology: &Topology, will_do: impl Fn(&Server) -> bool) -> bool {
        let aside = self.session_pool.as_ref().and_then(|kept| kept.replica.as_ref());
        aside.is_some_and(|lease| {
            topology.replicas().any(|server| server.id == lease.server() && will_do(server))
        })
    }

    /// Whether a connection for this route is kept.
    pub(crate) fn has_aside(&self, route: Route) -> bool {
        self.session_pool.as_ref().is_some_and(|kept| match route {
            Route::Primary => kept.primary.is_some(),
            Route::Replica => kept.replica.is_some(),
        })
    }

    /// The session is over: what it kept is made fit for others.
    pub(crate) fn let_go_kept(&mut self, leftover: Leftover) {
        let Some(kept) = self.session_pool.take() else { return };
        let shared = &self.shared;
        kept.primary.into_iter().chain(kept.replica).for_each(|lease| let_go(lease, leftover, shared));
    }
}

/// Gives back an idle connection, once it is free of what the session may have left on it.
fn let_go(mut lease: Lease, leftover: Leftover, shared: &Shared) {
    if leftover == Leftover::Known {
        return lease.release(Instant::now());
    }
    let metrics = shared.metrics.clone();
    shared.spawn(async move {
        match timeout(PATIENCE, reset(&mut lease, Standing::Idle, leftover)).await {
            Ok(Ok(_)) => {
                metrics.resets.discarded.inc();
                lease.release(Instant::now());
            }
            Ok(Err(_)) | Err(_) => metrics.resets.closed.inc(),
        }
    });
}

/// Whether a statement runs code of which its text tells nothing.
fn runs_code(statement: &Statement) -> bool {
    let opaque = matches!(
        statement.kind,
        Kind::Primary(Why::Procedure | Why::Unparsable | Why::TooLong | Why::SessionState)
    );
    opaque || !statement.functions.is_empty()
}
