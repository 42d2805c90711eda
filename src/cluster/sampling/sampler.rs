//! The samplers: one task and one control connection per server, asking how far it is.
//!
//! The primary is asked as often as [`pace`] says; when it has answered, all replicas are asked at once. So a read that
//! cannot be served yet waits for two round trips, or for one where the replica was known to have all that the primary has.
//! Instants are those of a monotonic clock: no step of the wall clock makes anything fresh or stale.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::futures::Notified;
use tokio::sync::watch;
use tokio::time::timeout;

use super::demand::Demand;
use super::line::{Answer, Line};
use super::positions::{Positions, PrimarySaid, ReplicaSaid, Standing};
use crate::cluster::control::{self, CurrentTerms, Parameters, Purpose, Terms, words};
use crate::cluster::roles::Monitor;
use crate::cluster::topology::{Role, Server, ServerId, Topology};
use crate::freshness::pace::{self, Lag, Wishes};

/// Pause after a connection failed or ended; twice as long after each further one that brought nothing.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What came of asking one server once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// The answer counts.
    Counted,
    /// It does not: of a server in another role, on an older timeline, or with another history.
    Ignored,
    /// No answer in time.
    TimedOut,
    /// The question failed, or the connection broke.
    Failed,
    /// There was no connection to ask over, and none could be made.
    Unconnected,
}

impl Sample {
    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Sample::Counted => "counted",
            Sample::Ignored => "ignored",
            Sample::TimedOut => "timed_out",
            Sample::Failed => "failed",
            Sample::Unconnected => "unconnected",
        }
    }

    /// Whether the server answered.
    pub(crate) fn is_answer(self) -> bool {
        matches!(self, Sample::Counted | Sample::Ignored)
    }
}

/// Hears of each sample.
pub trait SampleEvents: Send + Sync {
    /// A server was asked; `took` is the time to its answer, or to the failure.
    fn sampled(&self, server: &Server, sample: Sample, took: Duration);
}

/// Nobody listens.
impl SampleEvents for () {
    fn sampled(&self, _: &Server, _: Sample, _: Duration) {}
}

/// What all samplers share.
pub(crate) struct Samplers {
    monitor: Arc<Monitor>,
    demand: Arc<Demand>,
    events: Arc<dyn SampleEvents>,
    positions: Mutex<Positions>,
}

impl std::fmt::Debug for Samplers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Samplers").field("positions", &self.positions).finish_non_exhaustive()
    }
}

impl Samplers {
    /// Nothing is known yet, and no server sampled.
    pub(crate) fn new(monitor: Arc<Monitor>, demand: Arc<Demand>, events: Arc<dyn SampleEvents>) -> Self {
        Self { monitor, demand, events, positions: Mutex::default() }
    }

    /// A server was removed, which is in the topology as it was `before`. Nothing that its sampler may still hear counts.
    pub(crate) fn forget(&self, before: &Topology, server: ServerId) {
        self.positions().lost(before, server);
        // Who waits for it should look elsewhere.
        self.demand.learned();
    }

    fn tell(&self, server: ServerId, sample: Sample, took: Duration) {
        if let Some(server) = self.monitor.topology().server(server) {
            self.events.sampled(server, sample, took);
        }
    }

    fn positions(&self) -> MutexGuard<'_, Positions> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.monitor.topology())
    }

    /// How long a server's sampler may sleep.
    fn delay(&self, server: ServerId, role: Role, last: Option<Instant>) -> Duration {
        match role {
            Role::Primary => self.primary_delay(last),
            Role::Replica | Role::Unknown => self.replica_delay(server, last),
        }
    }

    /// Rings when a sampler that is about to sleep so long should not go on.
    fn bell(&self, role: Role, delay: Duration) -> Notified<'_> {
        match role {
            Role::Primary => self.demand.primary_sleeps(delay, self.topology().replicas().count()),
            Role::Replica | Role::Unknown => self.demand.replica_sleeps(delay),
        }
    }

    fn primary_delay(&self, last: Option<Instant>) -> Duration {
        let written = self.demand.written();
        let lacks = |written| self.topology().replicas().any(|replica| replica.freshness.through() < written);
        let unheld = written.filter(|_| lacks(written));
        pace::primary(Instant::now(), last, Wishes { wanted: self.demand.wanted(), unheld })
    }

    fn replica_delay(&self, server: ServerId, last: Option<Instant>) -> Duration {
        let topology = self.topology();
        let known = topology.server(server).map(|server| &server.freshness);
        let through = known.and_then(|known| known.through());
        let lag = match topology.writable() {
            Some(_) => Lag { answered: self.demand.answered(), newest: self.demand.newest(), through },
            // Nothing limits what a replica may be asked for: that it answers is what is waited for. Once it has replayed
            // all that it will ever receive, one answer tells all.
            None => Lag {
                answered: self.demand.answered(),
                newest: self.demand.wanted(),
                through: known.filter(|known| known.is_at_rest()).map_or(through, |known| known.sampled()),
            },
        };
        let wishes = Wishes { wanted: self.demand.wanted(), unheld: None };
        pace::replica(Instant::now(), last, wishes, lag)
    }
}

/// The sampling of one server.
pub(crate) struct Sampler {
    server: ServerId,
    terms: CurrentTerms,
    /// Those of the connection there is now.
    by: Arc<Terms>,
    limit: Duration,
    changes: watch::Receiver<()>,
    shared: Arc<Samplers>,
    /// What was last logged, so that it is not said again.
    told: Option<String>,
}

/// Why a connection is not used any longer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// The server is not up, its role is not known, or another login is wanted.
    Retired,
    /// The question failed, or the connection broke.
    Failed(String),
    /// No answer in time.
    TimedOut,
    /// Another server answers than before.
    Replaced,
}

impl Sampler {
    /// Of a server that the monitor knows.
    pub(crate) fn new(server: &Server, terms: CurrentTerms, shared: Arc<Samplers>) -> Self {
        let by = terms.load_full();
        Self {
            server: server.id,
            limit: by.health.timeout,
            terms,
            by,
            changes: shared.monitor.changes(),
            shared,
            told: None,
        }
    }

    /// Samples until it is aborted.
    pub(crate) async fn run(mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            self.until_in_use().await;
            if let Some(line) = self.connect().await {
                let begun = Instant::now();
                let end = self.sample_over(line).await;
                // At once: what the server comes back as may hold less.
                self.shared.positions().lost(&self.shared.topology(), self.server);
                self.tell_end(&end);
                if begun.elapsed() > PAUSE_MAX {
                    pause = PAUSE_MIN;
                }
            }
            self.rest(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// The server's role, while it is up and has one.
    fn role(&self) -> Option<Role> {
        let topology = self.shared.monitor.topology();
        let server = topology.server(self.server).filter(|server| server.is_up())?;
        Some(server.role).filter(|role| *role != Role::Unknown)
    }

    async fn until_in_use(&mut self) {
        while self.role().is_none() {
            self.change().await;
        }
    }

    /// Waits for any change of the topology. Cancel safe.
    async fn change(&mut self) {
        if self.changes.changed().await.is_err() {
            // The sender lives as long as the monitor, which is shared.
            std::future::pending::<()>().await;
        }
    }

    /// Waits before the next attempt, less when something changes.
    async fn rest(&mut self, pause: Duration) {
        self.changes.mark_unchanged();
        // Running out and hearing of a change come to the same.
        drop(timeout(pause, self.change()).await);
    }

    /// What a connection is opened with now; none once the server is gone.
    fn parameters(&mut self) -> Option<Parameters> {
        self.by = self.terms.load_full();
        let Terms { health, login } = &*self.by;
        self.limit = health.timeout;
        let topology = self.shared.monitor.topology();
        let place = (&*topology.server(self.server)?.address, &*health.database);
        Some(control::parameters(place, login, self.limit, health, Purpose::Sampling))
    }

    /// Whether the connection is still one that would be opened now.
    fn heeds_terms(&mut self) -> bool {
        let now = self.terms.load();
        if Arc::ptr_eq(&now, &self.by) {
            return true;
        }
        self.limit = now.health.timeout;
        now.login == self.by.login && now.health.database == self.by.health.database
    }

    async fn connect(&mut self) -> Option<Line> {
        let begun = Instant::now();
        let parameters = self.parameters()?;
        let trouble = match timeout(self.limit, Line::open(&parameters)).await {
            Ok(Ok(line)) => return Some(line),
            Ok(Err(error)) => words(&error),
            Err(_) => "no answer in time".into(),
        };
        self.shared.tell(self.server, Sample::Unconnected, begun.elapsed());
        self.tell(&trouble);
        None
    }

    /// Asks again and again, until the connection is of no more use.
    async fn sample_over(&mut self, mut line: Line) -> End {
        let shared = self.shared.clone();
        let (mut last, mut asked_as, mut standing) = (None, Role::Unknown, Standing::Unproven);
        loop {
            shared.positions().review(&shared.topology(), &shared.demand);
            let Some(role) = self.role().filter(|_| self.heeds_terms()) else { return End::Retired };
            // Everybody waits for a new primary's first sample.
            last = last.filter(|_| role == asked_as);
            asked_as = role;
            let delay = shared.delay(self.server, role, last);
            if !delay.is_zero() {
                let bell = shared.bell(role, delay);
                // Once more: what has come since it was looked at has not rung. Not for longer than was said, though.
                let delay = shared.delay(self.server, role, last).min(delay);
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = bell => {}
                    () = self.change() => {}
                    () = line.ended() => return End::Failed("the connection was closed".into()),
                }
                continue;
            }
            let asked = Instant::now();
            last = Some(asked);
            match self.sample(&mut line, asked).await {
                Ok(now) => self.tell_standing(std::mem::replace(&mut standing, now), now),
                Err(end) => return end,
            }
        }
    }

    /// Asks once, and takes in the answer. How the server stands to the primary, or why the connection is of no more
    /// use.
    async fn sample(&mut self, line: &mut Line, asked: Instant) -> Result<Standing, End> {
        let needed = self.shared.positions().timeline();
        let question = async {
            let answer = line.ask().await?;
            if let (Some(Answer::Replica { .. }), Some(needed)) = (answer, needed) {
                line.reach_timeline(needed, asked).await?;
            }
            Ok::<_, tokio_postgres::Error>(answer)
        };
        let outcome = timeout(self.limit, question).await;
        let answered = Instant::now();
        let (sample, result) = match outcome {
            Err(_) => (Sample::TimedOut, Err(End::TimedOut)),
            // Refused, because of a conflict with recovery for instance: the next question may be answered. Who answers
            // none grows stale by itself.
            Ok(Err(error)) if error.as_db_error().is_some() && !line.is_closed() => {
                self.tell(&words(&error));
                (Sample::Failed, Ok(Standing::Unproven))
            }
            Ok(Err(error)) => (Sample::Failed, Err(End::Failed(words(&error)))),
            Ok(Ok(None)) => (Sample::Ignored, Ok(Standing::Unproven)),
            Ok(Ok(Some(answer))) => match self.take_in(line, answer, asked, answered) {
                Standing::Follows => (Sample::Counted, Ok(Standing::Follows)),
                Standing::WentBack => (Sample::Ignored, Err(End::Replaced)),
                standing => (Sample::Ignored, Ok(standing)),
            },
        };
        self.shared.tell(self.server, sample, answered - asked);
        result
    }

    fn take_in(&self, line: &Line, answer: Answer, asked: Instant, answered: Instant) -> Standing {
        // Before the topology is looked at, so that no other task puts a newer one to use in between.
        let mut positions = self.shared.positions();
        let (topology, demand) = (self.shared.topology(), &*self.shared.demand);
        match answer {
            Answer::Replica { replayed, received, ended } => {
                let timeline = line.timeline();
                let said = ReplicaSaid { asked, answered, replayed, received, ended, timeline };
                positions.replica_said(&topology, demand, self.server, said)
            }
            Answer::Primary { inserted, timeline, ended } => {
                let (page, segment) = line.sizes();
                demand.sized(page, segment);
                let normalised = line.as_replayed(inserted);
                let said = PrimarySaid { asked, answered, inserted, normalised, ended, timeline };
                positions.primary_said(&topology, demand, self.server, said)
            }
        }
    }

    /// Says how a server stands to the primary now, when that has changed.
    fn tell_standing(&mut self, before: Standing, now: Standing) {
        if before == now {
            return;
        }
        let server = self.name();
        match now {
            Standing::OlderTimeline => tracing::warn!(
                server,
                "replica is not known to follow the primary's timeline and is not taken to be fresh; \
                 a user who is in pg_read_all_stats is told of it at once"
            ),
            Standing::Ahead => tracing::error!(
                server,
                "replica is ahead of the primary, so its history is another one; it is not taken to be fresh"
            ),
            // The probes have not heard of a promotion yet, or they are wrong.
            Standing::OtherRole => self.shared.monitor.suspect(self.server),
            Standing::Follows => self.told = None,
            Standing::Unproven | Standing::WentBack => {}
        }
    }

    fn tell_end(&mut self, end: &End) {
        match end {
            End::Retired => return,
            End::Replaced => {
                tracing::warn!(server = self.name(), "replica went back in its WAL; it is asked anew");
                return;
            }
            End::Failed(trouble) => self.tell(trouble),
            End::TimedOut => self.tell("no answer in time"),
        }
        // It may be down: the probe should not wait for its turn.
        self.shared.monitor.suspect(self.server);
    }

    fn tell(&mut self, trouble: &str) {
        if self.told.as_deref() != Some(trouble) {
            tracing::warn!(server = self.name(), error = trouble, "cannot sample server");
            self.told = Some(trouble.to_owned());
        }
    }

    fn name(&self) -> String {
        let topology = self.shared.monitor.topology();
        topology.server(self.server).map(|server| server.name.to_string()).unwrap_or_default()
    }
}
