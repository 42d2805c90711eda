//! What the console is made of: what it sees and turns, what is done for it outside, and who may do what.

use std::pin::Pin;
use std::sync::Arc;

use crate::config::{CONSOLE, Config};
use crate::discovery::Report;
use crate::session::Shared;

/// How weir is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// At once.
    Now,
    /// When what runs has come to its end: as SIGTERM has it.
    WhenTransactionsEnd,
    /// When all clients have left.
    WhenClientsLeave,
}

/// What is done outside of the console.
pub(crate) trait Daemon: Send + Sync {
    /// Reads anew what can be; says what has changed.
    fn reload(&self) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + '_>>;

    /// How finding servers stands.
    fn found(&self) -> Report;

    /// Has weir end.
    fn shut_down(&self, how: Shutdown);
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Everything.
    Operate,
    /// Look.
    Look,
    /// Nothing at all.
    None,
}

/// What this user may do in this database; `None` where that is not the console.
pub(crate) fn right(config: &Config, user: &str, database: &str) -> Option<Right> {
    let operators = config.auth.operators.as_ref().filter(|_| CONSOLE.contains(&database))?;
    let named = |list: &[String]| list.iter().any(|name| name == user);
    Some(match () {
        () if named(&operators.users) => Right::Operate,
        () if named(&operators.stats_users) => Right::Look,
        () => Right::None,
    })
}

/// What the console sees and turns.
#[derive(Clone)]
pub(crate) struct Console {
    pub(crate) shared: Arc<Shared>,
    pub(crate) daemon: Arc<dyn Daemon>,
}
