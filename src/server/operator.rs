//! What operators have done outside of the console: reading files anew, and the end. And what is written down for them as
//! it happens.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::finding::Finding;
use super::reload::Reload;
use crate::cluster::topology::{Health, Role, Server, Topology};
use crate::console::{Daemon, Shutdown};
use crate::discovery::Report;
use crate::session::Shared;

/// Over which time averages are taken: the last one of these, and what there is of the next.
const PERIOD: Duration = Duration::from_secs(60);

/// Time between two looks whether anybody is left.
const LOOK: Duration = Duration::from_millis(100);

/// How to have weir read anew and end.
pub(super) struct Operator {
    reload: Reload,
    finding: Arc<Finding>,
    end: watch::Sender<Option<Shutdown>>,
}

impl Operator {
    pub(super) fn new(reload: Reload, finding: Arc<Finding>) -> Self {
        Self { reload, finding, end: watch::Sender::new(None) }
    }

    /// Ready when weir is to end: when what runs has ended, or those who are there have left.
    pub(super) async fn ends(&self, shared: &Shared) {
        let mut end = self.end.subscribe();
        let Ok(how) = end.wait_for(Option::is_some).await.map(|how| *how) else { return };
        if how == Some(Shutdown::WhenClientsLeave) {
            // Operators may stay to the end.
            while shared.registry.all().iter().any(|entry| entry.visitor().is_none_or(is_client))
                && *end.borrow() == how
            {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// Ready when it is to end at once.
    pub(super) async fn ends_at_once(&self) {
        let mut end = self.end.subscribe();
        if end.wait_for(|how| *how == Some(Shutdown::Now)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn is_client(visitor: &crate::session::Visitor) -> bool {
    !crate::config::CONSOLE.contains(&&*visitor.names.client)
}

impl Daemon for Operator {
    fn reload(&self) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + '_>> {
        Box::pin(async {
            let changes = self.reload.reload().await.map_err(|error| error.to_string())?.list;
            let told: Vec<_> = changes.iter().map(ToString::to_string).collect();
            Ok(if told.is_empty() { "nothing has changed".to_owned() } else { told.join("\n") })
        })
    }

    fn found(&self) -> Report {
        self.finding.report()
    }

    fn shut_down(&self, how: Shutdown) {
        self.end.send_replace(Some(how));
    }
}

/// Takes the averages of what is asked.
pub(super) async fn take_averages(shared: Arc<Shared>) {
    let mut period = tokio::time::interval(PERIOD);
    loop {
        period.tick().await;
        shared.board.tallies.tick(Instant::now());
    }
}

/// Writes down what becomes of the servers.
pub(super) async fn note_events(shared: Arc<Shared>) {
    let mut changes = shared.cluster.changes();
    let mut before = Arc::new(Topology::default());
    loop {
        let now = arc_swap::Guard::into_inner(shared.cluster.topology());
        for server in &now.servers {
            note(&shared, before.server(server.id), server);
        }
        for gone in before.servers.iter().filter(|server| now.server(server.id).is_none()) {
            shared.board.happens("server", &gone.name, "removed");
        }
        before = now;
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn note(shared: &Shared, before: Option<&Server>, now: &Server) {
    let tell = |text: String| shared.board.happens("server", &now.name, text);
    if before.map(|server| server.role) != Some(now.role) && now.role != Role::Unknown {
        let was = match before.map(|server| server.role) {
            Some(Role::Primary) => ", was primary",
            Some(Role::Replica) => ", was replica",
            Some(Role::Unknown) | None => "",
        };
        let role = if now.role == Role::Primary { "primary" } else { "replica" };
        tell(format!("is {role}{was}"));
    }
    match (before.map(|server| server.health), now.health) {
        (before, Health::Down) if before != Some(Health::Down) => {
            let why = now.trouble.as_deref().unwrap_or_default().replace('\n', " ");
            tell(format!("is down: {why}"));
        }
        (Some(Health::Down), Health::Up) => tell("is up again".to_owned()),
        _ => {}
    }
}
