//! Where a request goes, and the one word that says why. Pure: no I/O and no clock of its own.

mod answer;
mod balance;
mod explain;
mod explain_transaction;
mod lazy;
mod learned;
mod reason;
mod route;
mod rules;
mod session_view;

pub use answer::{Answer, answer, fixed};
pub use balance::pick;
pub use explain::explain;
pub use explain_transaction::{BeginsWhere, explain_transaction};
pub use lazy::{LazyRoute, Promise, lazy};
pub use learned::Learned;
pub use reason::Reason;
pub use route::{Decision, FunctionLists, Replicas, World, route, route_all};
pub use rules::transactions as ruled_transactions;
pub use session_view::{FixedTarget, SessionView, TargetSource, Transaction};

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// The primary.
    Primary,
    /// Some replica; the balancer picks which.
    Replica,
}

/// What stands in the place of a route where weir answered itself.
pub const ANSWERED: usize = 2;

impl Route {
    /// The label, in snake case.
    pub fn as_str(self) -> &'static str {
        match self {
            Route::Primary => "primary",
            Route::Replica => "replica",
        }
    }
}
