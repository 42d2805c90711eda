//! What is counted of a session's requests, under which labels: found once for the session, and for each server that it
//! comes to. It never decides anything.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::topology::ServerId;
use crate::router::{Reason, Route};
use crate::session::relay::message::Message;
use crate::session::relay::request::Request;
use crate::session::shared::Shared;
use crate::session::transaction::Over;
use crate::session::transaction::journal::Ran;
use crate::sql::{CursorUse, Kind, Statement, Why};
use crate::telemetry::metrics::{Access, FiguresOf, RequestsOf, TransactionRan};

/// A session's figures. It is one of the sessions that are counted until it is dropped.
pub(crate) struct Counts {
    figures: Arc<FiguresOf>,
    /// Those of the servers that have worked for it.
    servers: Vec<(ServerId, Arc<RequestsOf>)>,
}

impl Counts {
    /// Of a user's session in a database, by the names that clients know.
    pub(crate) fn new(shared: &Shared, database: &str, user: &str) -> Self {
        let figures = shared.metrics.by_client.of(&shared.policy().config, database, user);
        figures.sessions.inc();
        Self { figures, servers: Vec::new() }
    }

    fn server(&mut self, shared: &Shared, server: ServerId) -> Option<&RequestsOf> {
        let at = match self.servers.iter().position(|(id, _)| *id == server) {
            Some(at) => at,
            None => {
                let topology = shared.cluster.topology();
                self.servers.retain(|(id, _)| topology.server(*id).is_some());
                let found = shared.metrics.requests.of(server, &topology.server(server)?.name);
                self.servers.push((server, found));
                self.servers.len() - 1
            }
        };
        self.servers.get(at).map(|(_, figures)| &**figures)
    }

    /// A request goes to a server.
    pub(crate) fn request(
        &mut self,
        shared: &Shared,
        (server, route): (ServerId, Route),
        reason: Reason,
        access: Access,
    ) {
        self.figures.request(route as usize, access);
        if let Some(figures) = self.server(shared, server) {
            figures.request(route as usize, reason as usize, access);
        }
    }

    /// All that was in flight there has been answered.
    pub(crate) fn took(&mut self, shared: &Shared, (server, route): (ServerId, Route), time: Duration) {
        self.figures.took(route as usize, time);
        if let Some(figures) = self.server(shared, server) {
            figures.took(route as usize, time);
        }
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.figures.sessions.dec();
    }
}

/// Counts a transaction that is over.
pub(super) fn transaction(shared: &Shared, over: &Over) {
    let ran = match over.ran {
        Ran::Nowhere => TransactionRan::Nowhere,
        Ran::Replica => TransactionRan::Replica,
        Ran::Upgraded => TransactionRan::Upgraded,
        Ran::Primary => TransactionRan::Primary,
    };
    shared.metrics.transaction(ran, over.because.map(|reason| reason as usize));
}

/// What a request does with data where it goes, as far as its text tells.
pub(super) fn access(request: &Request, route: Route) -> Access {
    let told = request.statements().map(told).max().unwrap_or(Access::None);
    match told {
        Access::Read | Access::Write if !request.messages.iter().any(Message::runs) => Access::None,
        // Whatever its text leaves open, a replica runs it only as a read.
        Access::Write if route == Route::Replica => Access::Read,
        told => told,
    }
}

/// What a statement does with data, as far as its text tells.
fn told(statement: &Statement) -> Access {
    match &statement.kind {
        Kind::Read | Kind::Cursor(CursorUse::Declare(_) | CursorUse::Fetch(_)) => Access::Read,
        Kind::Primary(Why::ServerState | Why::HoldCursor | Why::LocalSetting) => Access::Read,
        Kind::Primary(_) | Kind::Execute(_) => Access::Write,
        _ => Access::None,
    }
}
