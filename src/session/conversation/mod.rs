//! What belongs to a client: who it is, what it has set, prepared, written and seen. It goes along from connection to
//! connection, and never holds one.

mod ddl;
mod pinning;

use std::sync::Arc;
use std::time::Instant;

use crate::cluster::catalog::Catalog;
use crate::config::{Config, PoolMode, User};
use crate::error::Error;
use crate::router::{Route, SessionView, Transaction};
use crate::session::consistency::requirement::{Basis, Clock, Requirement};
use crate::session::consistency::tracking::{Acknowledged, Answers, Tracking};
use crate::session::relay::request::Request;
use crate::session::model::pin_log::PinLog;
use crate::session::model::routing_settings::{
    Configured, ConfiguredTargets, Levels, Refreshed, RoutingSettings, WeirSettings,
};
use crate::session::model::slow_query::SlowQueryTrail;
use crate::session::model::state::State;
use crate::session::{Entry, Shared};
use crate::sql::{Hint, Isolation, Pin, Target};
use crate::wire::TxStatus;

/// Who the client is, and what was settled when it came.
pub(crate) struct Who {
    pub user: Arc<User>,
    /// The database as the client named it.
    pub database: Arc<str>,
    /// The database on the servers.
    pub server_database: Arc<str>,
    /// Targets fixed by the configuration.
    pub targets: ConfiguredTargets,
    /// What the configuration asks of the reads.
    pub levels: Configured,
    pub pool_size: usize,
    pub mode: PoolMode,
}

impl Who {
    /// A user who asks for this database by a listener with this target.
    pub(crate) fn new(config: &Config, user: Arc<User>, database: &str, listener: Target) -> Self {
        let listed = config.databases.iter().find(|listed| &*listed.name == database);
        let name: Arc<str> = listed.map_or_else(|| database.into(), |listed| listed.name.clone());
        let size = user.pool_size.or(listed.and_then(|listed| listed.pool_size));
        let mode = listed.and_then(|listed| listed.pool_mode).or(user.pool_mode);
        Self {
            server_database: listed.map_or_else(|| name.clone(), |listed| listed.server_database.clone()),
            database: name,
            targets: ConfiguredTargets {
                listener,
                database: listed.map_or(Target::Auto, |listed| listed.target),
                user: user.target,
            },
            levels: Configured::new(&config.routing, listed, &user),
            pool_size: size.unwrap_or(config.pool.size),
            mode: mode.unwrap_or(config.pool.mode),
            user,
        }
    }
}

/// Requests at the front of the client's buffer that were run before and go to the primary now.
#[derive(Debug)]
pub(crate) struct Rerun {
    pub left: usize,
    /// The error that made them come back; `None` when a connection was lost.
    pub cause: Option<String>,
}

/// A client and all that is known of it.
pub(crate) struct Conversation {
    pub shared: Arc<Shared>,
    pub who: Box<Who>,
    /// The session as others see it.
    pub entry: Arc<Entry>,
    /// What it has set, prepared and left on connections.
    pub state: Box<State>,
    /// Its settings as routing reads them.
    pub routing: Box<RoutingSettings>,
    /// What it has written and seen.
    pub tracking: Tracking,
    /// Transaction status once all that is in flight will have been answered, as far as can be foretold.
    pub expected: TxStatus,
    /// The isolation level of the transaction, where one was said.
    pub isolation: Option<Isolation>,
    /// Why the transaction's connection was lost, until the client is told.
    pub untold: Option<Error>,
    pub rerun: Option<Rerun>,
    /// What has been told of its pins.
    pub pins_told: PinLog,
    /// What a slow-query line would say of the flight.
    pub trail: SlowQueryTrail,
}

impl Conversation {
    pub(crate) fn clock(&self) -> Clock<'_> {
        Clock { cluster: &self.shared.cluster, primary_wait: self.shared.config.pool.primary_wait }
    }

    /// The catalog of the session's database, once it has been read.
    pub(crate) fn catalog(&self) -> Option<Arc<Catalog>> {
        self.shared.cluster.catalogs().of(&self.who.server_database)
    }

    /// Looks at the settings again if they have changed.
    pub(crate) fn refresh_routing(&mut self) {
        if self.routing.refresh(&self.state.settings) == Refreshed::Changed {
            self.state.shown.strings = self.routing.strings;
        }
    }

    /// What is asked of a read with this hint. The settings must have been looked at again.
    pub(crate) fn levels(&self, weir: &WeirSettings, hint: &Hint) -> Levels {
        weir.levels(hint, &self.who.levels, |lsn| self.shared.cluster.demand().as_replayed(lsn))
    }

    /// What a request that goes this way needs of a replica.
    pub(crate) fn requirement(&self, request: &Request, route: Route, now: Instant) -> Requirement {
        if !Requirement::concerns(request, route) {
            return Requirement::NOTHING;
        }
        let basis = Basis {
            cluster: &self.shared.cluster,
            database: &self.who.server_database,
            marks: &self.state.database().marks,
            tracking: &self.tracking,
            levels: self.levels(self.routing.weir(), &request.hint()),
        };
        Requirement::of(request, &basis, now)
    }

    /// The session as the router sees it.
    pub(crate) fn view(&self, transaction: Transaction) -> SessionView<'_> {
        let who = &self.who;
        SessionView {
            transaction,
            pin: self.pinned(),
            target: self.routing.weir().target(&who.targets),
            user: &who.user.name,
            database: &who.database,
            application_name: self.routing.application_name(),
            defaults: self.routing.defaults(),
        }
    }

    /// Why the session keeps its connection to the primary, if it does.
    pub(crate) fn pinned(&self) -> Option<Pin> {
        self.state.pins.any().or(self.pins_told.for_good())
    }

    /// Whether the session is in a transaction block that has failed because its connection was lost, on which it would
    /// be otherwise.
    pub(crate) fn is_block_lost(&self) -> bool {
        self.expected == TxStatus::Failed
    }

    /// What was sent and will never be answered may have been committed all the same.
    pub(crate) fn mark_unanswered(&mut self) {
        if !self.state.pending_writes.is_clean() {
            self.mark(Instant::now());
            self.tell_unanswered_definitions();
            self.state.pending_writes.clear();
        }
    }

    /// Marks what the server's last words may have acknowledged, before the client hears of it.
    pub(crate) fn mark_answered(&mut self, answers: &Answers) {
        match self.state.pending_writes.acknowledged_by(answers) {
            Acknowledged::Nothing => {}
            Acknowledged::Part => self.mark(Instant::now()),
            Acknowledged::All => {
                self.mark(Instant::now());
                self.state.pending_writes.clear();
            }
        }
    }

    fn mark(&mut self, now: Instant) {
        let marks = &self.state.database().marks;
        let at = self.shared.mark(marks, &self.who.server_database, &self.state.pending_writes, now);
        self.tracking.acknowledged(at);
    }
}
