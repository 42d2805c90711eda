//! A cluster, weir in front of it, and clients in front of weir; a play is one scenario on that stage.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use harness::client::{Address, Client, Login};
use harness::{Cluster, Failure, Options, Result, Stop, Weir, WeirSetup, apart, wait_for, wait_until};

use crate::WEIR;
use crate::clients::{CAST, Player};
use crate::oracle::{Findings, Oracle, Times};

/// `[health] interval` and `timeout` of the stage: what is silent is known to be after both.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);
pub(crate) const TIMEOUT: Duration = Duration::from_millis(1000);

/// `[health] lost_after`: when what may have written on a silent server is given up.
pub(crate) const LOST_AFTER: Duration = Duration::from_millis(2000);

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends whoever is in a transaction, when nobody is a client any more.
const GHOSTS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
     WHERE backend_type = 'client backend' AND xact_start IS NOT NULL AND application_name <> 'harness'";

/// Answers that each client must have had before something happens, and again when it is over.
const FLOWING: u64 = 20;

/// Everything that outlives a scenario.
pub(crate) struct Stage {
    pub(crate) weir: Weir,
    pub(crate) cluster: Cluster,
    /// Scenarios that were played.
    played: AtomicUsize,
}

impl Stage {
    pub(crate) fn set() -> Result<Self> {
        let mut options = Options::new(2)
            .quiet()
            // pg_rewind asks for both.
            .setting("wal_log_hints", "on")
            .setting("full_page_writes", "on")
            .setting("restart_after_crash", "on")
            .setting("wal_keep_size", "128MB");
        if apart::is_apart() {
            options = options.cables();
        }
        let cluster = Cluster::with(options)?;
        cluster.sql(0, "GRANT pg_read_all_stats TO app")?;
        let mut owner = cluster.connect(0)?;
        owner.query("CREATE TABLE still AS SELECT n FROM generate_series(1, 100) AS n")?;
        owner.query("CREATE TABLE written (seq bigserial, writer int, number bigint)")?;
        owner.query("CREATE INDEX ON written (writer, number)")?;
        cluster.wait_acknowledged()?;
        let millis = |time: Duration| format!("\"{}ms\"", time.as_millis());
        let weir = WeirSetup::in_front_of(&cluster, 0..3)
            .set("health", "interval", &millis(INTERVAL))
            .set("health", "timeout", &millis(TIMEOUT))
            .set("health", "lost_after", &millis(LOST_AFTER))
            .append("[[databases]]\nname = \"kept\"\nserver_database = \"app\"\npool_mode = \"session\"")
            .start(WEIR)?;
        Ok(Self { weir, cluster, played: AtomicUsize::new(0) })
    }

    /// Plays one scenario with all clients, and says what it came to.
    pub(crate) fn play(&self, scene: impl FnOnce(&mut Play<'_>) -> Result<()>) -> Result<Findings> {
        let oracle = Oracle::new(&CAST, self.played.fetch_add(1, SeqCst));
        let mut play = Play { stage: self, oracle: &oracle, times: Times::default(), gone: None };
        let played = thread::scope(|scope| {
            for (number, sort) in CAST.into_iter().enumerate() {
                let player = Player::new(&oracle, self.weir.address(), sort, number);
                scope.spawn(move || player.play());
            }
            let played = play.flow().and_then(|()| scene(&mut play)).and_then(|()| play.flow());
            oracle.end();
            played
        });
        let times = play.times;
        // Even then what it came to is worth knowing.
        let mut findings = oracle.findings(&mut self.cluster.admin(self.cluster.primary())?, &times)?;
        findings.times = times;
        findings.broken = played.err().map(|failure| failure.to_string());
        Ok(findings)
    }

    /// One primary and two replicas that follow it, all seen by weir, and no rows: where every scenario begins.
    pub(crate) fn heal(&self) -> Result<()> {
        let (cluster, primary) = (&self.cluster, self.cluster.primary());
        for server in 0..cluster.size() {
            if apart::is_apart() {
                cluster.mend(server)?;
            }
            cluster.thaw(server)?;
            if !cluster.is_running(server) {
                cluster.restart(server)?;
            }
        }
        for server in 0..cluster.size() {
            cluster.sql(server, "ALTER SYSTEM RESET ALL")?;
            cluster.sql(server, "SELECT pg_reload_conf()")?;
        }
        for replica in (0..cluster.size()).filter(|n| *n != primary) {
            let in_recovery = cluster.sql(replica, "SELECT pg_is_in_recovery()")?.value() == "t";
            if in_recovery {
                cluster.sql(replica, "SELECT pg_wal_replay_resume()")?;
                cluster.follow(replica)?;
            }
            let follows = || self.follows(replica).unwrap_or(false);
            if !in_recovery || !wait_until(Duration::from_secs(3), follows) {
                cluster.rejoin(replica)?;
            }
        }
        // A server that was cut off may never hear of the end of its sessions, and keeps their locks.
        cluster.sql(primary, GHOSTS)?;
        cluster.sql(primary, "TRUNCATE written RESTART IDENTITY")?;
        cluster.wait_acknowledged()?;
        self.wait_primary(primary)?;
        (0..cluster.size()).filter(|n| *n != primary).try_for_each(|replica| self.wait_replica(replica))
    }

    /// Whether a replica has all that the primary has acknowledged, up to here. One that went on with another primary for a
    /// while has something else.
    fn follows(&self, replica: usize) -> Result<bool> {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_flush_lsn() \
             AND state = 'streaming' AND application_name = '{}'",
            self.cluster.name(replica)
        );
        Ok(self.cluster.sql(self.cluster.primary(), &sql)?.value() == "1")
    }

    pub(crate) fn wait_up(&self, server: usize) -> Result<()> {
        self.wait_probed(server, 1.0)
    }

    pub(crate) fn wait_down(&self, server: usize) -> Result<()> {
        self.wait_probed(server, 0.0)
    }

    /// Waits until weir says so of a server.
    fn wait_probed(&self, server: usize, up: f64) -> Result<()> {
        let name = self.cluster.name(server);
        wait_for(&format!("{name} to be seen up={up}"), PATIENCE, || {
            Ok((self.weir.metrics()?.sum("weir_server_up", &[("server", name)]) == up).then_some(()))
        })
    }

    /// Waits until weir believes in this primary.
    pub(crate) fn wait_primary(&self, server: usize) -> Result<()> {
        self.wait_up(server)?;
        let labels = [("server", self.cluster.name(server)), ("role", "primary")];
        wait_for(&format!("{} to be the primary", self.cluster.name(server)), PATIENCE, || {
            Ok((self.weir.metrics()?.sum("weir_server_role", &labels) > 0.0).then_some(()))
        })
    }

    /// Waits until weir knows how far this replica is, so that it reads there.
    pub(crate) fn wait_replica(&self, server: usize) -> Result<()> {
        self.wait_up(server)?;
        let name = self.cluster.name(server);
        wait_for(&format!("{name} to be read from"), PATIENCE, || {
            let metrics = self.weir.metrics()?;
            let replica = metrics.sum("weir_server_role", &[("server", name), ("role", "replica")]) > 0.0;
            let sampled = metrics
                .all("weir_replica_staleness_seconds")
                .any(|series| series.labels.get("server").is_some_and(|server| server == name));
            Ok((replica && sampled).then_some(()))
        })
    }

    /// A client of another database than everybody's.
    pub(crate) fn connect_to(&self, database: &str) -> Result<Client> {
        let address = Address::local(self.weir.port());
        Client::connect(&address, &Login::new("app", "app").database(database))
    }
}

/// A scenario under way.
pub(crate) struct Play<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) oracle: &'a Oracle,
    pub(crate) times: Times,
    /// Since when there has been no primary.
    gone: Option<Instant>,
}

impl Play<'_> {
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.stage.cluster
    }

    pub(crate) fn primary(&self) -> usize {
        self.cluster().primary()
    }

    pub(crate) fn replicas(&self) -> Vec<usize> {
        (0..self.cluster().size()).filter(|n| *n != self.primary()).collect()
    }

    /// The one that most reads run on. One that was away in the scenario before is given few at first.
    pub(crate) fn replica(&mut self) -> Result<usize> {
        let before = self.read_there()?;
        // Counts arrive with a delay of up to a second.
        self.pass(1.2);
        let after = self.read_there()?;
        let most = after.iter().zip(&before).max_by_key(|(after, before)| after.1.saturating_sub(before.1));
        most.map(|(after, _)| after.0).ok_or_else(|| Failure::new("no replica"))
    }

    /// How many transactions each replica has run.
    fn read_there(&self) -> Result<Vec<(usize, u64)>> {
        let sql = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'app'";
        let count = |replica| Ok((replica, self.cluster().sql(replica, sql)?.value().parse().unwrap_or(0)));
        self.replicas().into_iter().map(count).collect()
    }

    /// Something happens now that may cost whoever is in the middle of something an error.
    pub(crate) fn fault(&mut self) {
        self.times.first.get_or_insert_with(Instant::now);
        self.times.faults += 1;
    }

    /// The same, and from now on there is no primary.
    pub(crate) fn primary_goes(&mut self) {
        self.fault();
        self.gone = Some(Instant::now());
    }

    /// From now on there is one that could answer.
    pub(crate) fn primary_is_back(&mut self) {
        if let Some(gone) = self.gone.take() {
            self.times.away.push((gone, Instant::now()));
        }
    }

    /// Makes the replica that has the most the primary, and the other one follow it. The old one is left as it is.
    pub(crate) fn promote(&mut self) -> Result<usize> {
        let cluster = self.cluster();
        let old = cluster.primary();
        let new = cluster.most_advanced()?;
        let other = (0..cluster.size()).find(|n| *n != new && *n != old);
        cluster.promote(new)?;
        let now = Instant::now();
        if let Some(gone) = self.gone.take() {
            self.times.away.push((gone, now));
        }
        if let Some(other) = other {
            self.cluster().follow(other)?;
        }
        self.stage.wait_primary(new)?;
        self.times.seen = Some(Instant::now());
        Ok(new)
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, seconds: f64) {
        sleep(Duration::from_secs_f64(seconds));
    }

    /// Waits until all clients have had some answers more.
    pub(crate) fn flow(&self) -> Result<()> {
        let since = self.oracle.answers();
        let all = || self.oracle.waiting(&since, FLOWING).is_empty();
        if wait_until(PATIENCE, all) {
            return Ok(());
        }
        let waiting = self.oracle.waiting(&since, FLOWING);
        let names: Vec<_> = waiting.iter().map(|n| format!("{n}: {}", CAST[*n].name())).collect();
        Err(Failure::new(format!("clients that nobody answers any more: {names:?}")))
    }

    pub(crate) fn stop(&mut self, server: usize, how: Stop) -> Result<()> {
        self.cluster().stop(server, how)
    }
}
