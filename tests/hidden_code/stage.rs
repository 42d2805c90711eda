//! A primary, a replica that can stand still, and two weirs: one whose clients share a single connection, and one that
//! has two.

use std::cell::RefCell;
use std::time::Duration;

use harness::client::{Address, Client, Login};
use harness::{Cluster, Options, Result, Weir, WeirSetup, wait_for};

use crate::WEIR;
use crate::world::{Made, World};

pub(crate) const PRIMARY: usize = 0;
pub(crate) const REPLICA: usize = 1;

/// How long what a client has left may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Servers and weirs.
pub(crate) struct Stage {
    // End before the servers they talk to.
    weirs: [Weir; 2],
    pub(crate) cluster: Cluster,
    /// The databases that are there.
    standing: RefCell<Vec<String>>,
    built: RefCell<u64>,
}

/// A world in two databases of the same servers.
#[derive(Clone, Debug)]
pub(crate) struct Twins {
    /// For PostgreSQL itself.
    pub(crate) direct: String,
    /// For weir.
    pub(crate) through: String,
}

impl Stage {
    pub(crate) fn set() -> Result<Self> {
        let options = Options::new(1).quiet().setting("autovacuum", "off").setting("jit", "off");
        let cluster = Cluster::with(options)?;
        cluster.sql(PRIMARY, "CREATE ROLE code_other; GRANT code_other TO app")?;
        cluster.wait_caught_up()?;
        let weirs = [weir(&cluster, 1)?, weir(&cluster, 2)?];
        Ok(Self { weirs, cluster, standing: RefCell::default(), built: RefCell::default() })
    }

    /// The weir with so many connections for everybody.
    pub(crate) fn weir(&self, pool: usize) -> Address {
        self.weirs[pool - 1].address()
    }

    /// Makes a world, where the last one has been.
    pub(crate) fn build(&self, world: &World) -> Result<Twins> {
        let mut admin = self.cluster.admin(PRIMARY)?;
        for database in self.standing.take() {
            admin.query(&format!("DROP DATABASE {database} WITH (FORCE)"))?;
        }
        let nth = self.built.replace_with(|built| *built + 1);
        let twins = Twins { direct: format!("code_d_{nth}"), through: format!("code_w_{nth}") };
        for database in [&twins.direct, &twins.through] {
            self.standing.borrow_mut().push(database.clone());
            admin.query(&format!("CREATE DATABASE {database} OWNER app"))?;
            let mut client = self.superuser(PRIMARY, database)?;
            said_by(&mut client, &World::ground())?;
            match world.made {
                Made::Through(pool) if *database == twins.through => {
                    self.made_through(world, pool, database)?
                }
                Made::Through(_) | Made::Before => said_by(&mut client, &world.setup())?,
            }
        }
        self.cluster.wait_caught_up()?;
        Ok(twins)
    }

    /// Makes the objects of a world through a weir that knows the database without them.
    fn made_through(&self, world: &World, pool: usize, database: &str) -> Result<()> {
        self.cluster.wait_caught_up()?;
        let login = Login::new("postgres", "postgres").database(database);
        let mut client = Client::connect(&self.weir(pool), &login)?;
        client.query("SELECT public.items.id FROM public.items")?;
        said_by(&mut client, &world.setup())
    }

    pub(crate) fn superuser(&self, server: usize, database: &str) -> Result<Client> {
        Client::connect(&self.cluster.address(server), &Login::new("postgres", "postgres").database(database))
    }

    /// What has been written in a database.
    pub(crate) fn written(&self, database: &str) -> Result<String> {
        let answer = self.superuser(PRIMARY, database)?.query(
            "SELECT (SELECT count(*) || ' rows, ' || coalesce(sum(n), 0) FROM public.ledger)
                 || (SELECT ', ' || count(*) || ' in the sink' FROM public.sink)
                 || (SELECT ', number ' || last_value || is_called FROM public.numbers)",
        )?;
        Ok(answer.value().to_owned())
    }

    /// What is left on servers, when nobody is there any more who may have it; none when it goes away.
    pub(crate) fn left(&self, database: &str) -> Result<Option<String>> {
        for server in [PRIMARY, REPLICA] {
            let mut admin = self.superuser(server, database)?;
            let sql = "SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database =
                (SELECT oid FROM pg_database WHERE datname = current_database()))";
            let gone =
                wait_for("locks to go", PATIENCE, || Ok((admin.query(sql)?.value() == "0").then_some(())));
            if gone.is_err() {
                return Ok(Some(format!("an advisory lock stays on {}", self.cluster.name(server))));
            }
        }
        Ok(None)
    }
}

/// All of these are said.
fn said_by(client: &mut Client, texts: &[String]) -> Result<()> {
    client.query("SET client_min_messages = error")?;
    texts.iter().try_for_each(|sql| client.query(sql).map(drop).inspect_err(|_| eprintln!("{sql}")))
}

/// What is believed to be fresh is fresh enough at any age, so that a replica that stands still goes on answering.
fn weir(cluster: &Cluster, pool: usize) -> Result<Weir> {
    WeirSetup::in_front_of(cluster, [PRIMARY, REPLICA])
        .set("pool", "size", &pool.to_string())
        .set("pool", "checkout_timeout", "\"1min\"")
        .set("routing", "max_staleness", "\"off\"")
        .set("routing", "freshness_wait", "\"5ms\"")
        .set("health", "interval", "\"500ms\"")
        .start(std::env::var("WEIR_CODE_WEIR").unwrap_or_else(|_| WEIR.to_owned()))
}
