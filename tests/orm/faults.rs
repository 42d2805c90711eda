//! What can befall a primary, and how it is brought about.

use std::thread;
use std::time::{Duration, Instant};

use harness::client::{Address, Client, Login};
use harness::{Cluster, Result, Stop, WeirSetup};

/// Between two faults, and behind the last: every connection of a pool is used in it.
const AT_WORK: Duration = Duration::from_millis(700);

/// One fault, or several of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The primary is down for longer than weir waits for it.
    Away,
    /// It is restarted as quickly as it can be, again and again.
    Restarts,
    /// It is down for a time that weir is told not to wait.
    Impatience,
    /// Somebody else holds all of weir's few connections.
    Full,
    /// All server processes of the application are ended, ten times a second.
    Terminated,
    /// It dies, and a replica takes its place.
    Promotion,
    /// It says nothing, with its connections open.
    Frozen,
}

impl Fault {
    pub(crate) const ALL: [Self; 7] = [
        Self::Away,
        Self::Restarts,
        Self::Impatience,
        Self::Full,
        Self::Terminated,
        Self::Promotion,
        Self::Frozen,
    ];

    /// In the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Away => "primary down for 20 s",
            Self::Restarts => "4 restarts of the primary",
            Self::Impatience => "down for 4 s, primary_wait = 1s",
            Self::Full => "weir's pool full for 4 s",
            Self::Terminated => "backends terminated for 5 s",
            Self::Promotion => "primary killed, replica promoted",
            Self::Frozen => "primary frozen for 5 s",
        }
    }

    /// Whether an application that knows one server's address can live through it.
    pub(crate) fn leaves_the_primary(self) -> bool {
        self != Self::Promotion
    }

    /// What weir is told, beyond its defaults.
    pub(crate) fn configure(self, setup: WeirSetup) -> WeirSetup {
        match self {
            Self::Impatience => setup.set("pool", "primary_wait", "\"1s\""),
            Self::Full => setup.set("pool", "size", "2").set("pool", "checkout_timeout", "\"500ms\""),
            _ => setup,
        }
    }

    /// Brings it about, and what it takes away back. These ports are those of all weirs.
    pub(crate) fn play(self, cluster: &Cluster, weirs: &[u16]) -> Result<()> {
        match self {
            Self::Away => down(cluster, Duration::from_secs(20))?,
            Self::Restarts => {
                for _ in 0..4 {
                    down(cluster, Duration::ZERO)?;
                    thread::sleep(AT_WORK);
                }
            }
            Self::Impatience => down(cluster, Duration::from_secs(4))?,
            Self::Full => fill(weirs, Duration::from_secs(4))?,
            Self::Terminated => terminate(cluster, Duration::from_secs(5))?,
            Self::Promotion => promote(cluster)?,
            Self::Frozen => {
                cluster.freeze(cluster.primary())?;
                thread::sleep(Duration::from_secs(5));
                cluster.thaw(cluster.primary())?;
            }
        }
        thread::sleep(AT_WORK);
        Ok(())
    }
}

fn down(cluster: &Cluster, outage: Duration) -> Result<()> {
    cluster.stop(cluster.primary(), Stop::Immediate)?;
    thread::sleep(outage);
    cluster.restart(cluster.primary())
}

/// As many transactions that have written and do nothing as there are connections.
fn fill(weirs: &[u16], how_long: Duration) -> Result<()> {
    let mut idle = Vec::new();
    for port in weirs {
        for _ in 0..2 {
            let mut client = Client::connect(&Address::local(*port), &Login::new("app", "app"))?;
            // Who comes while others wait may have to wait too long.
            while client.query("BEGIN; INSERT INTO comments (article_id, body) VALUES (480, 'idle')").is_err()
            {
                client.query("ROLLBACK")?;
            }
            idle.push(client);
        }
    }
    thread::sleep(how_long);
    idle.iter_mut().try_for_each(|client| client.query("ROLLBACK").map(drop))
}

/// On all servers. weir's probes are not spared: they log in as the application does.
fn terminate(cluster: &Cluster, how_long: Duration) -> Result<()> {
    let mut admins = (0..cluster.size()).map(|server| cluster.admin(server)).collect::<Result<Vec<_>>>()?;
    let begun = Instant::now();
    while begun.elapsed() < how_long {
        for admin in &mut admins {
            admin.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE usename = 'app' AND backend_type = 'client backend'",
            )?;
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The old primary comes back as a replica of the new one.
fn promote(cluster: &Cluster) -> Result<()> {
    let old = cluster.primary();
    let new = (0..cluster.size()).find(|server| *server != old).unwrap_or(old);
    cluster.stop(old, Stop::Immediate)?;
    cluster.promote(new)?;
    for other in (0..cluster.size()).filter(|server| *server != old && *server != new) {
        cluster.follow(other)?;
    }
    thread::sleep(AT_WORK);
    cluster.rejoin(old)
}
