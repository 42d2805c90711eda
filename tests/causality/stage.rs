//! A cluster whose replicas can be held back, with weir in front, and readers that tell where they were served.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use harness::client::{Client, Login, Message, front};
use harness::{Cluster, Options, Result, Weir, WeirSetup, wait_for};

/// How long anything that is waited for may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// The primary and the first replica, by the cluster's numbers.
pub(crate) const PRIMARY: usize = 0;
pub(crate) const REPLICA: usize = 1;

/// Servers and weir.
pub(crate) struct Stage {
    // Ends before the servers it talks to.
    pub(crate) weir: Weir,
    pub(crate) cluster: Cluster,
    looks: AtomicU64,
}

/// What a read said, and the servers that ran it: two when it was run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) value: String,
    pub(crate) on: Vec<usize>,
}

/// How a read is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Simple,
    Extended,
    /// In a transaction that says READ ONLY.
    ReadOnly,
}

pub(crate) const WAYS: [Way; 3] = [Way::Simple, Way::Extended, Way::ReadOnly];

impl Stage {
    /// A primary and one replica, with these tables, and weir with its defaults.
    pub(crate) fn set(tables: &str) -> Result<Self> {
        Self::with(Options::new(1), tables, |setup| setup)
    }

    /// Servers of these options, with tables that belong to `app`, and a weir that `shape` has the last word on.
    pub(crate) fn with(
        options: Options,
        tables: &str,
        shape: impl FnOnce(WeirSetup) -> WeirSetup,
    ) -> Result<Self> {
        let cluster = Cluster::with(options)?;
        cluster.sql(PRIMARY, &format!("SET ROLE app; {tables}"))?;
        cluster.wait_caught_up()?;
        let setup = WeirSetup::in_front_of(&cluster, 0..cluster.size());
        let setup = setup.set("health", "interval", "\"200ms\"").set("health", "timeout", "\"1s\"");
        Ok(Self { weir: shape(setup).start(WEIR)?, cluster, looks: AtomicU64::new(0) })
    }

    /// A client at this level, to whom no replica is too old but for what it has written or seen.
    pub(crate) fn client(&self, level: &str) -> Result<Client> {
        self.log_in(app().parameter("options", &options(level)))
    }

    pub(crate) fn log_in(&self, login: Login) -> Result<Client> {
        Client::connect(&self.weir.address(), &login)
    }

    /// Reads one value.
    pub(crate) fn look(&self, client: &mut Client, sql: &str) -> Result<Look> {
        self.look_by(client, Way::Simple, sql)
    }

    pub(crate) fn look_by(&self, client: &mut Client, way: Way, sql: &str) -> Result<Look> {
        // The servers' logs are searched for this.
        let tag = format!("/* look {}. */", self.looks.fetch_add(1, Ordering::Relaxed));
        let sql = format!("{sql} {tag}");
        let mark = self.cluster.mark();
        let value = match way {
            Way::Simple => client.query(&sql)?.value().to_owned(),
            Way::Extended => execute(client, &sql)?,
            Way::ReadOnly => {
                client.query("BEGIN READ ONLY")?;
                let value = client.query(&sql)?.value().to_owned();
                client.query("COMMIT")?;
                value
            }
        };
        Ok(Look { value, on: self.cluster.ran_on(&mark, &tag) })
    }

    /// Lets replicas go on, and waits until they have caught up.
    pub(crate) fn catch_up(&self) -> Result<()> {
        for replica in 1..self.cluster.size() {
            self.cluster.resume_replay(replica)?;
        }
        self.cluster.wait_caught_up()
    }

    /// Waits until a read at `global` is served by the replica: all that was written is there, and weir knows it.
    pub(crate) fn wait_served_by_replica(&self, client: &mut Client, sql: &str) -> Result<String> {
        wait_for(&format!("{sql:?} to be served by the replica"), PATIENCE, || {
            let look = self.look(client, sql)?;
            Ok((look.on == [REPLICA]).then_some(look.value))
        })
    }
}

/// The user that all tables belong to.
pub(crate) fn app() -> Login {
    Login::new("app", "app")
}

/// Startup options for a level without a limit of age.
pub(crate) fn options(level: &str) -> String {
    format!("-c weir.consistency={level} -c weir.max_staleness=off")
}

/// Runs an unnamed statement, and returns the first value of its first row.
fn execute(client: &mut Client, sql: &str) -> Result<String> {
    let heard = client.ask(&[
        front::parse("", sql, &[]),
        front::bind("", "", &[]),
        front::execute("", 0),
        front::sync(),
    ])?;
    first_value(&heard)
}

/// The first value in a conversation, or its first error.
pub(crate) fn first_value(heard: &[Message]) -> Result<String> {
    if let Some(error) = heard.iter().find_map(Message::error) {
        return Err(error.into());
    }
    let row = heard.iter().find(|message| message.tag == b'D').map(Message::text_row);
    Ok(row.and_then(|row| row.into_iter().next().flatten()).unwrap_or_default())
}
