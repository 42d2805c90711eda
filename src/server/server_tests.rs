//! The whole of weir in one process, in front of real servers that come and go.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use harness::client::{Address, Client, Login};
use harness::{Options, WeirSetup, free_port, wait_for};

use super::*;
use crate::config;
use crate::config::RoleSetting;
use crate::session::Policy;
use crate::sql::Target;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A configuration file that goes with this.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        // Who cannot remove it has no use for it either.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// weir in front of these servers of a cluster, and the port where clients connect.
async fn start_in_front_of(cluster: &harness::Cluster, servers: &[usize]) -> (Running, u16) {
    let port = free_port().unwrap();
    let setup = WeirSetup::in_front_of(cluster, servers.iter().copied())
        .at_any_age()
        .set("listen", "address", &format!("\"127.0.0.1:{port}\""))
        .set("health", "interval", "\"100ms\"")
        .set("pool", "size", "2");
    let file = File(std::env::temp_dir().join(format!("weir-server-{}-{port}.toml", std::process::id())));
    std::fs::write(&file.0, setup.text()).unwrap();
    let config = Arc::new(config::load_with(&file.0, &HashMap::new()).unwrap());
    let finding = Finding::new(config.clone());
    let operator = Arc::new(Operator::new(Reload::new().0, finding.clone()));
    (start(config, LostLines::default(), operator, finding, (Given::default(), None)).await.unwrap(), port)
}

fn server(cluster: &harness::Cluster, index: usize) -> config::Server {
    config::Server {
        address: None,
        name: cluster.name(index).into(),
        host: "127.0.0.1".into(),
        port: cluster.port(index),
        role: RoleSetting::Auto,
        weight: 1,
        connections: 10,
        tls: Arc::default(),
        channel_binding: config::ChannelBinding::Prefer,
    }
}

fn connect(port: u16) -> harness::Result<Client> {
    Client::connect(&Address::local(port), &Login::new("app", "app"))
}

/// Clients that read and write until they are told to stop. What they say tells the phase in which it was begun.
struct Load {
    port: u16,
    phase: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    /// One client; how much it did, or the first error that it saw.
    fn run(&self, number: usize) -> harness::Result<usize> {
        let mut client = connect(self.port)?;
        let mut done = 0;
        while !self.over.load(Ordering::SeqCst) {
            let read = format!("SELECT 'read in phase {}'", self.phase.load(Ordering::SeqCst));
            match number % 4 {
                0 => drop(client.query(&format!("INSERT INTO t VALUES ({done})"))?),
                1 => {
                    client.query("BEGIN READ ONLY")?;
                    client.query(&read)?;
                    client.query("COMMIT")?;
                }
                _ => drop(client.query(&read)?),
            }
            done += 1;
        }
        Ok(done)
    }

    /// From now on another phase runs: until reads of it have run on exactly these servers.
    fn reaches(&self, cluster: &harness::Cluster, servers: &[usize]) {
        let mark = cluster.mark();
        let read = format!("read in phase {}'", self.phase.fetch_add(1, Ordering::SeqCst) + 1);
        let everywhere = wait_for("reads on all servers", PATIENCE, || {
            let ran = cluster.ran_on(&mark, &read);
            Ok(servers.iter().all(|server| ran.contains(server)).then_some(()))
        });
        everywhere.unwrap();
        std::thread::sleep(Duration::from_millis(500));
        let ran: BTreeSet<_> = cluster.ran_on(&mark, &read).into_iter().collect();
        assert_eq!(ran, servers.iter().copied().collect(), "{read}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_come_and_go_under_load() {
    let cluster = harness::Cluster::with(Options::new(2)).unwrap();
    cluster.sql(0, "CREATE TABLE t (id int); ALTER TABLE t OWNER TO app").unwrap();
    cluster.wait_caught_up().unwrap();
    let (running, port) = start_in_front_of(&cluster, &[0, 1]).await;
    let shared = running.shared.clone();
    let first = shared.cluster.topology().servers[1].id;
    let load = Load { port, phase: AtomicUsize::new(0), over: AtomicBool::new(false) };
    let (cluster, load) = (&cluster, &load);
    let backends = |index: usize| {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
        Ok((cluster.sql(index, sql)?.value() == "0").then_some(()))
    };
    let runtime = tokio::runtime::Handle::current();
    let scene = || {
        let _entered = runtime.enter();
        load.reaches(cluster, &[1]);
        let mut lent = connect(port).unwrap();
        lent.query("BEGIN READ ONLY").unwrap();
        lent.query("SELECT 'on a connection that was lent'").unwrap();

        let second = shared.cluster.insert(&server(cluster, 2));
        load.reaches(cluster, &[1, 2]);
        assert!(shared.cluster.remove(first) && !shared.cluster.remove(first));
        load.reaches(cluster, &[2]);
        assert!(shared.pools.all().iter().all(|pool| pool.key().server != first));
        let figures = shared.metrics.render();
        assert!(!figures.contains("\"replica1\"") && figures.contains("\"replica2\""), "{figures}");

        // What had begun comes to its end, and its connection with it.
        lent.query("SELECT 'still there'").unwrap();
        lent.query("COMMIT").unwrap();
        wait_for("connections to be closed", PATIENCE, || backends(1)).unwrap();
        lent.query("SELECT 'elsewhere'").unwrap();

        let third = shared.cluster.insert(&server(cluster, 1));
        assert!(first < second && second < third, "an identity is given once");
        load.reaches(cluster, &[1, 2]);
    };
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..8).map(|number| scope.spawn(move || load.run(number))).collect();
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(scene));
            load.over.store(true, Ordering::SeqCst);
            let done: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
            assert!(done.iter().all(|done| done.as_ref().is_ok_and(|done| *done > 0)), "{done:?}");
            outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    });
}

/// What the configuration says may change at any moment, and holds from each session's next request on.
#[tokio::test(flavor = "multi_thread")]
async fn another_policy_holds_from_the_next_request_on() {
    let cluster = harness::Cluster::with(Options::new(1)).unwrap();
    cluster.wait_caught_up().unwrap();
    let (running, port) = start_in_front_of(&cluster, &[0, 1]).await;
    let shared = running.shared.clone();
    tokio::task::block_in_place(|| {
        let mut client = connect(port).unwrap();
        let goes_to = |client: &mut Client| {
            client.query("SELECT count(*) FROM pg_class").unwrap();
            client.query("SHOW weir.route").unwrap().value().to_owned()
        };
        wait_for("the replica to be up", PATIENCE, || {
            Ok((goes_to(&mut client) == "replica1 (replica, read)").then_some(()))
        })
        .unwrap();
        client.query("BEGIN READ ONLY").unwrap();
        client.query("SELECT 1").unwrap();

        let mut config = config::Config::clone(&shared.policy().config);
        for user in &mut config.users {
            user.target = Target::Primary;
            user.timeouts.idle_client = Some(Duration::from_millis(300));
        }
        shared.adopt(Policy::new(Arc::new(config)));
        client.query("SELECT 2").unwrap();
        // A transaction that has only read is bound to nothing.
        assert_eq!(client.query("SHOW weir.route").unwrap().value(), "primary (primary, user_target)");
        client.query("COMMIT").unwrap();
        assert_eq!(goes_to(&mut client), "primary (primary, user_target)");
        wait_for("the client to be closed", PATIENCE, || Ok((shared.registry.len() == 0).then_some(())))
            .unwrap();
        let mut client = connect(port).unwrap();
        assert_eq!(goes_to(&mut client), "primary (primary, user_target)");
    });
}
