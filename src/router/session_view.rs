//! What routing needs to know of a session: where its transaction runs, what pins it, who fixed its target. Decides
//! nothing.

use crate::sql::{Modes, Pin, Target};

use super::Route;

/// What routing needs to know of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionView<'a> {
    /// Whether a transaction is open, and where.
    pub transaction: Transaction,
    /// State on its connection to the primary that cannot be moved.
    pub pin: Option<Pin>,
    /// The fixed target that applies, of the several there may be: see [`FixedTarget::first`].
    pub target: Option<FixedTarget>,
    /// The user that logged in.
    pub user: &'a str,
    /// The database as the client named it.
    pub database: &'a str,
    /// The current `application_name`.
    pub application_name: &'a str,
    /// `default_transaction_read_only` and `default_transaction_isolation`, where they are not PostgreSQL's defaults.
    pub defaults: Modes,
}

impl<'a> SessionView<'a> {
    /// A session that has only begun, of this user in this database, with this `application_name`.
    pub fn begun(user: &'a str, database: &'a str, application_name: &'a str) -> Self {
        let (transaction, defaults) = (Transaction::None, Modes::default());
        Self { transaction, pin: None, target: None, user, database, application_name, defaults }
    }
}

/// A session's transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transaction {
    /// None: each request is one of its own.
    #[default]
    None,
    /// Open, and running there.
    Open(Route),
    /// Failed there, and waiting for its end.
    Failed(Route),
}

/// A target that was fixed beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedTarget {
    /// The target; `Auto` leaves it to the router, and overrides what comes later.
    pub target: Target,
    /// Who fixed it.
    pub source: TargetSource,
}

/// Who fixed a target, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetSource {
    /// `SET weir.target`.
    Set,
    /// The startup option `weir.target`.
    Startup,
    /// The listener that the client came through.
    Listener,
    /// The database's alias.
    Database,
    /// The user.
    User,
}

impl FixedTarget {
    /// The one that applies: what the session says, then what the configuration says that is not `Auto`.
    pub fn first(
        set: Option<Target>,
        startup: Option<Target>,
        listener: Target,
        database: Target,
        user: Target,
    ) -> Option<Self> {
        let configured = |target: Target| (target != Target::Auto).then_some(target);
        let sources = [
            (set, TargetSource::Set),
            (startup, TargetSource::Startup),
            (configured(listener), TargetSource::Listener),
            (configured(database), TargetSource::Database),
            (configured(user), TargetSource::User),
        ];
        sources.into_iter().find_map(|(target, source)| target.map(|target| Self { target, source }))
    }
}
