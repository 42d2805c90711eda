//! Session pooling: the connections that a session keeps for its client's life while nothing runs on them, one to the
//! primary and one to a replica.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout;

use crate::backend::past::TempTables;
use crate::cluster::topology::{Server, ServerId, Topology};
use crate::error::{Error, Result};
use crate::pool::Lease;
use crate::router::Route;
use crate::session::leg::cleanup::PATIENCE;
use crate::session::leg::reset::{Leftover, Standing, reset};
use crate::session::shared::Shared;
use crate::sql::{Kind, Statement, Why};

/// What a session keeps.
pub(super) struct SessionPool {
    primary: Option<Lease>,
    replica: Option<Lease>,
    ran: Ran,
    shared: Arc<Shared>,
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

impl SessionPool {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { primary: None, replica: None, ran: Ran::default(), shared }
    }

    /// Whether its connection to the primary may hold state that no text told of.
    pub(super) fn has_run_code(&self) -> bool {
        self.ran == Ran::Code
    }

    /// What is left on its connections, of which this is known.
    pub(super) fn leftover(&self, known: Leftover) -> Leftover {
        known.max(if self.has_run_code() { Leftover::State } else { Leftover::Known })
    }

    /// These statements go to the session's connection.
    pub(super) fn runs<'a>(&mut self, mut statements: impl Iterator<Item = &'a Statement>) {
        if self.ran == Ran::Plain && statements.any(runs_code) {
            self.ran = Ran::Code;
        }
    }

    /// Keeps a connection on which nothing runs any more, in the place of another one. `known` is left on that.
    pub(super) fn put(&mut self, route: Route, mut lease: Lease, known: Leftover) {
        lease.is_caught_up();
        let place = match route {
            Route::Primary => &mut self.primary,
            Route::Replica => &mut self.replica,
        };
        if let Some(mut other) = place.replace(lease) {
            notes_past(self.ran, &mut other);
            let_go(other, self.leftover(known), &self.shared);
        }
    }

    /// The connection that is kept to this primary, if there is one.
    ///
    /// # Errors
    /// [`Error::ServerLost`] when there was one, it is of no use any more, and state may be lost with it.
    pub(super) fn take_primary(&mut self, server: ServerId) -> Result<Option<Lease>> {
        let Some(mut lease) = self.primary.take() else { return Ok(None) };
        let alive = lease.is_alive();
        if alive && lease.server() == server {
            return Ok(Some(lease));
        }
        if self.has_run_code() {
            return Err(Error::ServerLost);
        }
        if alive {
            lease.release(Instant::now());
        }
        Ok(None)
    }

    /// The connection that is kept to a replica, if that will do. One that will not goes back: another server was
    /// found that does.
    pub(super) fn take_replica(
        &mut self,
        topology: &Topology,
        will_do: impl Fn(&Server) -> bool,
        known: Leftover,
    ) -> Option<Lease> {
        let serves = self.serves(topology, will_do);
        let mut lease = self.replica.take()?;
        if !lease.is_alive() {
            return None;
        }
        if serves {
            return Some(lease);
        }
        notes_past(self.ran, &mut lease);
        let_go(lease, self.leftover(known), &self.shared);
        None
    }

    /// Whether a replica to which a connection is kept will do.
    pub(super) fn serves(&self, topology: &Topology, will_do: impl Fn(&Server) -> bool) -> bool {
        self.replica.as_ref().is_some_and(|lease| {
            topology.replicas().any(|server| server.id == lease.server() && will_do(server))
        })
    }

    /// Whether a connection for this route is kept.
    pub(super) fn has(&self, route: Route) -> bool {
        match route {
            Route::Primary => self.primary.is_some(),
            Route::Replica => self.replica.is_some(),
        }
    }

    /// The session is over: its connections are made fit for others.
    pub(super) fn let_go(self, leftover: Leftover) {
        let Self { primary, replica, shared, ran } = self;
        for mut lease in primary.into_iter().chain(replica) {
            notes_past(ran, &mut lease);
            let_go(lease, leftover, &shared);
        }
    }
}

/// What code has left with the process of a connection, nobody knows.
fn notes_past(ran: Ran, lease: &mut Lease) {
    if ran == Ran::Code {
        lease.past.placeholders.speak_of_others();
        lease.past.temporary = TempTables(true);
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
        Kind::Primary(
            Why::Procedure | Why::Unparsable | Why::TooLong | Why::SessionState | Why::LocalSetting
        )
    );
    opaque || !statement.functions.is_empty()
}
