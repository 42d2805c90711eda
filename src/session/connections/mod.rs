//! A session's connections while nothing runs on them: which pools it knows, which it used last, what it keeps for
//! itself; and how it gets one when a request needs it.
//!
//! What runs on a connection is a leg's affair.

pub(crate) mod checkout;
mod session_pool;
pub(crate) mod wait;

use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::backend::{Key, Proof};
use crate::cluster::topology::ServerId;
use crate::config::PoolMode;
use crate::pool::{Account, Lease, Pool, PoolKey};
use crate::router::Route;
use crate::session::conversation::{Conversation, Who};
use crate::session::leg::reset::Leftover;
use crate::session::relay::facts::Fact;
use crate::session::relay::request::Request;
use crate::session::shared::Shared;
use crate::session::state::State;
use crate::sql::Statement;
use session_pool::SessionPool;

/// What a session knows of connections that are not at work for it.
#[derive(Default)]
pub(crate) struct Connections {
    /// Its pools, once used.
    pools: Vec<Arc<Pool>>,
    /// The replica used last: it is preferred.
    replica: Option<ServerId>,
    last: Last,
    /// In session pooling: the connections that are its own.
    kept: Option<Box<SessionPool>>,
}

/// The connections that a session had last: it is given them again if they are idle, because a server process
/// remembers more of its past than any bookkeeping can.
#[derive(Debug, Default)]
struct Last {
    primary: Weak<Key>,
    replica: Weak<Key>,
}

impl Connections {
    /// Of a session that is pooled this way.
    pub(crate) fn new(mode: PoolMode, shared: &Arc<Shared>) -> Self {
        Self {
            kept: (mode == PoolMode::Session).then(|| Box::new(SessionPool::new(shared.clone()))),
            ..Self::default()
        }
    }

    /// The session's pool on a server. `None` when there is no such server.
    pub(crate) fn pool(&mut self, shared: &Shared, who: &Who, server: ServerId) -> Option<Arc<Pool>> {
        let of_server = |pool: &&Arc<Pool>| pool.key().server == server && !pool.is_closed();
        if let Some(pool) = self.pools.iter().find(of_server) {
            return Some(pool.clone());
        }
        self.pools.retain(|pool| !pool.is_closed());
        let key =
            PoolKey { server, database: who.server_database.clone(), user: who.user.server_user.clone() };
        let pool = shared.pools.get(&key, &account(who))?;
        self.pools.push(pool.clone());
        Some(pool)
    }

    /// By another configuration its pools may be others.
    pub(crate) fn find_pools_anew(&mut self) {
        self.pools.clear();
    }

    /// As whom the session logs in to the servers.
    pub(crate) fn account(&self, who: &Who) -> Account {
        account(who)
    }

    /// The connection that the session had last.
    fn last(&self, route: Route) -> &Weak<Key> {
        match route {
            Route::Primary => &self.last.primary,
            Route::Replica => &self.last.replica,
        }
    }

    /// The session's requests run on this connection from now on.
    pub(crate) fn remember(&mut self, lease: &Lease, route: Route) {
        let last = match route {
            Route::Replica => {
                self.replica = Some(lease.server());
                &mut self.last.replica
            }
            Route::Primary => &mut self.last.primary,
        };
        if !std::ptr::eq(last.as_ptr(), Arc::as_ptr(&lease.key)) {
            *last = Arc::downgrade(&lease.key);
        }
    }

    /// The connection on which the session has drawn from sequences, where the request asks for that and nobody else
    /// has it.
    pub(crate) fn where_drawn(
        &mut self,
        conversation: &Conversation,
        request: &Request,
        route: Route,
    ) -> Option<Lease> {
        if route != Route::Primary || self.are_kept() || !request.any(Fact::AsksDrawn) {
            return None;
        }
        let key = conversation.state.drawn.on.upgrade()?;
        let primary = conversation.shared.cluster.topology().writable()?.id;
        if key.server != primary {
            return None;
        }
        self.pool(&conversation.shared, &conversation.who, primary)?.try_checkout_key(&key)
    }

    /// Nothing runs on a connection any more: it is kept, or goes back to its pool. The caller vouches that it is idle
    /// and outside a transaction, since about `since`.
    pub(crate) fn put_aside(&mut self, (route, lease): (Route, Lease), state: &State, since: Instant) {
        match &mut self.kept {
            Some(kept) => kept.put(route, lease, Leftover::of(state)),
            None => lease.release(since),
        }
    }

    /// Whether the session keeps connections of its own.
    pub(crate) fn are_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Whether the connection to the primary may hold state that no text told of. Asked in session pooling only: else
    /// nothing unseen can be relied upon.
    pub(crate) fn hold_unseen_state(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.has_run_code())
    }

    /// What the session is known to leave on its connections, or may have left unseen.
    pub(crate) fn leftover(&self, state: &State) -> Leftover {
        let known = Leftover::of(state);
        self.kept.as_ref().map_or(known, |kept| kept.leftover(known))
    }

    /// These statements go to the session's connection.
    pub(crate) fn runs<'a>(&mut self, statements: impl Iterator<Item = &'a Statement>) {
        if let Some(kept) = &mut self.kept {
            kept.runs(statements);
        }
    }

    /// The session is over: what it kept is made fit for others.
    pub(crate) fn let_go(&mut self, leftover: Leftover) {
        if let Some(kept) = self.kept.take() {
            kept.let_go(leftover);
        }
    }
}

/// As whom a client's connections log in.
pub(crate) fn account(who: &Who) -> Account {
    Account { proof: Proof::new(&who.user.server_proof, who.key.as_ref()) }
}
