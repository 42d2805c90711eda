//! The control plane against real servers: roles, failures, promotions, catalogs.
//!
//! Where a test is about being told (`suspect`), the interval between probes is an hour, so that nothing else can
//! have noticed; but for the samplers, which suspect a server when their own connection to it breaks.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use harness::{Options, Result, Signal, Stop, send_signal};
use tokio::time::{Instant, sleep, timeout};
use weir::cluster::Cluster;
use weir::cluster::catalog::Volatility;
use weir::cluster::catalogs::Changed;
use weir::cluster::topology::{Health, Role, ServerId, Topology};
use weir::config;
use weir::sql::Name;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

const HOUR: Duration = Duration::from_secs(3600);

const OFTEN: Duration = Duration::from_millis(100);

/// weir's view of a cluster's servers, probed as `app`.
fn watch(servers: &harness::Cluster, interval: Duration) -> Arc<Cluster> {
    Cluster::start(&configuration(servers, interval))
}

/// The same, for servers that will not answer.
fn watch_impatiently(servers: &harness::Cluster, interval: Duration) -> Arc<Cluster> {
    let mut config = configuration(servers, interval);
    config.health.timeout = Duration::from_secs(1);
    Cluster::start(&config)
}

fn configuration(servers: &harness::Cluster, interval: Duration) -> config::Config {
    let server = |index| config::Server {
        name: servers.name(index).into(),
        host: "127.0.0.1".into(),
        address: None,
        port: servers.port(index),
        role: config::RoleSetting::Auto,
        weight: 1,
        connections: 10,
        tls: Arc::default(),
        channel_binding: config::ChannelBinding::Prefer,
    };
    config::Config {
        auth: config::Auth::default(),
        warnings: vec![],
        listeners: vec![],
        clients: config::Clients {
            limit: 1,
            login_timeout: PATIENCE,
            drain_timeout: PATIENCE,
            peers: config::Peers::default(),
        },
        metrics: None,
        discovery: config::Discovery { source: config::Source::Static, keep: PATIENCE, timeout: PATIENCE },
        template: None,
        traces: Arc::new(config::Traces { collector: None, sampled: 0.0, service_name: "weir".into() }),
        log: config::Log { filter: "info".into(), format: config::LogFormat::Text, slow_query: None },
        servers: (0..servers.size()).map(server).collect(),
        databases: vec![],
        users: vec![user("app")],
        pool: config::Pool {
            mode: config::PoolMode::Transaction,
            size: 1,
            total: 0,
            min_idle: 0,
            idle_timeout: PATIENCE,
            lifetime: PATIENCE,
            checkout_timeout: PATIENCE,
            queue_limit: 1,
            connect_timeout: PATIENCE,
            prepared_statements: 1,
            primary_wait: PATIENCE,
            listen: config::Listen::Pinned,
        },
        timeouts: config::Timeouts::default(),
        routing: config::Routing {
            transactions: weir::sql::Transactions::Primary,
            consistency: weir::sql::Consistency::Eventual,
            max_staleness: None,
            freshness_wait: PATIENCE,
            read_functions: vec![],
            write_functions: vec![],
            stateless_functions: vec![],
            verdict_cache: 1,
            learned: 1,
            learned_ttl: PATIENCE,
            hold_back: 1,
            rules: vec![],
        },
        health: config::Health {
            interval,
            timeout: PATIENCE,
            database: "app".into(),
            user: "app".into(),
            lost_after: HOUR,
            catalog_interval: HOUR,
        },
        workers: 1,
    }
}

fn user(name: &str) -> config::User {
    let password = config::Secret::new(name);
    config::User {
        name: name.into(),
        credential: config::Credential::Password(password.clone()),
        server_user: name.into(),
        server_proof: config::ServerProof::Password(password),
        target: weir::sql::Target::Auto,
        transactions: None,
        consistency: None,
        max_staleness: None,
        pool_size: None,
        pool_mode: None,
        timeouts: config::Timeouts::default(),
        pinning: Default::default(),
    }
}

/// Waits for a state of the topology, and returns it.
async fn until(cluster: &Cluster, what: &str, holds: impl Fn(&Topology) -> bool) -> Arc<Topology> {
    let mut changes = cluster.changes();
    let seen = async {
        while !holds(&cluster.topology()) {
            changes.changed().await.unwrap();
        }
        Arc::clone(&cluster.topology())
    };
    let in_vain = || panic!("waited in vain for {what}: {:#?}", cluster.topology());
    timeout(PATIENCE, seen).await.unwrap_or_else(|_| in_vain())
}

/// Waits for anything else.
async fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// How often the first server has been asked for its role since the mark.
fn probes(servers: &harness::Cluster, since: &harness::Mark) -> usize {
    let is_probe = |entry: &&String| entry.contains("/weir LOG:") && entry.contains("pg_is_in_recovery");
    servers.entries(0, since).iter().filter(is_probe).count()
}

fn signal(signal: Signal, process: &str) {
    send_signal(process.parse().unwrap(), signal).unwrap();
}

/// The identity of the server at this place in the configuration.
fn id(cluster: &Cluster, server: usize) -> ServerId {
    cluster.topology().servers[server].id
}

fn health(topology: &Topology, server: usize) -> Health {
    topology.servers[server].health
}

fn role(topology: &Topology, server: usize) -> Role {
    topology.servers[server].role
}

fn replicas(topology: &Topology) -> HashSet<ServerId> {
    topology.replicas().map(|server| server.id).collect()
}

fn name(name: &str) -> Name {
    Name { schema: None, name: name.into() }
}

// On one thread, so that no probe runs before the first await.
#[tokio::test]
async fn roles_are_found_at_the_first_look() -> Result<()> {
    let servers = harness::Cluster::shared();
    let cluster = watch(servers, HOUR);
    assert_eq!(
        cluster.ready(),
        Err("no primary can be reached; primary: role not known; replica1: role not known; replica2: role not known".into())
    );
    cluster.first_look().await;

    let topology = Arc::clone(&cluster.topology());
    assert_eq!(topology.writable().map(|server| server.id), Some(id(&cluster, 0)));
    assert_eq!(replicas(&topology), HashSet::from([id(&cluster, 1), id(&cluster, 2)]));
    assert_eq!(cluster.ready(), Ok(()));
    for server in &topology.servers {
        assert_eq!((server.timeline, server.recovered, server.trouble.clone()), (Some(1), None, None));
        assert!(server.version.unwrap() >= 140_000 && !server.load.probe_time().is_zero());
    }
    assert_eq!(cluster.wait_for_primary(Instant::now()).await, Some(id(&cluster, 0)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn control_connections_say_who_they_are_and_end_with_the_cluster() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(0))?;
    let ours = || {
        let sql = "SELECT coalesce(string_agg(application_name, ', ' ORDER BY application_name), 'none')
                     FROM pg_stat_activity WHERE application_name LIKE 'weir%'";
        servers.sql(0, sql).unwrap().value().to_owned()
    };
    let cluster = watch(&servers, OFTEN);
    cluster.first_look().await;
    eventually("both connections", || (ours() == "weir, weir sampler").then_some(())).await;
    drop(cluster);
    eventually("the connections to end", || (ours() == "none").then_some(())).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replica_is_out_as_soon_as_it_is_suspected_and_back_after_one_good_probe() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(2))?;
    let cluster = watch(&servers, HOUR);
    cluster.first_look().await;

    servers.stop(1, Stop::Immediate)?;
    cluster.suspect(id(&cluster, 1));
    let topology = until(&cluster, "replica1 to be down", |t| health(t, 1) == Health::Down).await;
    assert_eq!(replicas(&topology), HashSet::from([id(&cluster, 2)]));
    assert_eq!(role(&topology, 1), Role::Replica, "its role is remembered");
    assert!(topology.servers[1].trouble.is_some());
    assert!(topology.writable().is_some());

    servers.restart(1)?;
    cluster.suspect(id(&cluster, 1));
    let topology = until(&cluster, "replica1 to be up", |t| health(t, 1) == Health::Up).await;
    let replica = &topology.servers[1];
    assert!(replica.recovered.is_some() && replica.trouble.is_none());
    assert!(replica.share(replica.recovered.unwrap()) < 1.0, "it starts slowly");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn suspicion_of_a_healthy_server_changes_nothing() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(0))?;
    let cluster = watch(&servers, HOUR);
    cluster.first_look().await;
    let before = Arc::clone(&cluster.topology());
    let mark = servers.mark();
    (0..1000).for_each(|_| cluster.suspect(id(&cluster, 0)));
    // The probes that they cause have run when the server has logged them; there are not many.
    let probes = || probes(&servers, &mark);
    eventually("a probe", || (probes() > 0).then_some(())).await;
    sleep(Duration::from_millis(500)).await;
    assert!(probes() <= 3, "{} probes", probes());
    assert!(Arc::ptr_eq(&before, &cluster.topology()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_out_after_the_timeout_and_back_when_it_answers() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(1))?;
    let cluster = watch_impatiently(&servers, OFTEN);
    cluster.first_look().await;
    servers.freeze(1)?;
    let topology = until(&cluster, "replica1 to be down", |t| health(t, 1) == Health::Down).await;
    assert_eq!(topology.servers[1].trouble.as_deref(), Some("no answer in time"));
    servers.thaw(1)?;
    until(&cluster, "replica1 to be up", |t| health(t, 1) == Health::Up).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_hangs_holds_up_nobody_else() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(2))?;
    let mut config = configuration(&servers, OFTEN);
    config.health.timeout = HOUR;
    let cluster = Cluster::start(&config);
    cluster.first_look().await;
    servers.freeze(1)?;
    cluster.suspect(id(&cluster, 1));
    servers.stop(2, Stop::Immediate)?;
    let topology = until(&cluster, "replica2 to be down", |t| health(t, 2) == Health::Down).await;
    assert_eq!(health(&topology, 1), Health::Up, "nothing is known of it yet");
    servers.thaw(1)
}

/// Connections that exist go on to work while a hanging postmaster makes no new ones: a probe that only asked over
/// its own old connection would call such a server healthy.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspected_server_must_prove_that_it_takes_new_connections() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(1))?;
    let cluster = watch_impatiently(&servers, HOUR);
    cluster.first_look().await;
    let pid_file = servers.directory().join(servers.name(1)).join("data/postmaster.pid");
    let postmaster = std::fs::read_to_string(pid_file)?.lines().next().unwrap().to_owned();

    signal(Signal::STOP, &postmaster);
    cluster.suspect(id(&cluster, 1));
    until(&cluster, "replica1 to be down", |t| health(t, 1) == Health::Down).await;
    signal(Signal::CONT, &postmaster);
    cluster.suspect(id(&cluster, 1));
    until(&cluster, "replica1 to be up", |t| health(t, 1) == Health::Up).await;
    Ok(())
}

/// What was asked without an answer stands in front of the next question on the same connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_hangs_is_given_up() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(0))?;
    let cluster = watch_impatiently(&servers, OFTEN);
    cluster.first_look().await;
    let answer = servers.sql(0, "SELECT pid FROM pg_stat_activity WHERE application_name = 'weir'")?;
    signal(Signal::STOP, answer.value());
    until(&cluster, "the probe to time out", |t| health(t, 0) == Health::Down).await;
    until(&cluster, "the next probe to be answered", |t| health(t, 0) == Health::Up).await;
    signal(Signal::CONT, answer.value());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_is_followed_and_the_old_primary_not_believed_any_more() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(1))?;
    let cluster = watch(&servers, OFTEN);
    cluster.first_look().await;

    servers.stop(0, Stop::Immediate)?;
    cluster.suspect(id(&cluster, 0));
    let topology = until(&cluster, "the primary to be down", |t| t.writable().is_none()).await;
    assert_eq!(role(&topology, 0), Role::Primary, "down, and still the only primary there is");
    assert_eq!(replicas(&topology), HashSet::from([id(&cluster, 1)]), "reads go on");
    let soon = Instant::now() + Duration::from_millis(20);
    assert_eq!(cluster.wait_for_primary(soon).await, None);

    let waiting = {
        let cluster = cluster.clone();
        async move { cluster.wait_for_primary(Instant::now() + PATIENCE).await }
    };
    let waiting = tokio::spawn(waiting);
    servers.promote(1)?;
    assert_eq!(waiting.await.unwrap(), Some(id(&cluster, 1)));
    let topology = Arc::clone(&cluster.topology());
    assert_eq!((role(&topology, 0), role(&topology, 1)), (Role::Unknown, Role::Primary));
    assert_eq!(topology.servers[1].timeline, Some(2));

    servers.restart(0)?;
    let topology = until(&cluster, "the old primary to be up", |t| health(t, 0) == Health::Up).await;
    assert_eq!((role(&topology, 0), role(&topology, 1)), (Role::Unknown, Role::Primary));
    // Nor does it take over while the new one is away.
    servers.stop(1, Stop::Immediate)?;
    let topology = until(&cluster, "the new primary to be down", |t| health(t, 1) == Health::Down).await;
    assert!(topology.writable().is_none());
    servers.restart(1)?;
    until(&cluster, "the new primary to be up", |t| t.writable().is_some()).await;

    servers.rejoin(0)?;
    let topology = until(&cluster, "the old primary to be a replica", |t| role(t, 0) == Role::Replica).await;
    assert_eq!(role(&topology, 1), Role::Primary);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_down_at_the_start_do_not_hold_it_up() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(2))?;
    servers.stop(0, Stop::Immediate)?;
    servers.stop(1, Stop::Immediate)?;
    let cluster = watch(&servers, OFTEN);
    cluster.first_look().await;
    let topology = Arc::clone(&cluster.topology());
    assert_eq!((health(&topology, 0), role(&topology, 0)), (Health::Down, Role::Unknown));
    assert_eq!(replicas(&topology), HashSet::from([id(&cluster, 2)]));
    let trouble = cluster.ready().unwrap_err();
    assert!(
        trouble.starts_with("no primary can be reached; primary: "),
        "though reads can be served: {trouble}"
    );
    assert!(trouble.contains("; replica1: ") && !trouble.contains("replica2"), "{trouble}");

    servers.restart(0)?;
    servers.restart(1)?;
    until(&cluster, "all to be up", |t| t.writable().is_some() && t.replicas().count() == 2).await;
    assert_eq!(cluster.ready(), Ok(()));

    (0..3).try_for_each(|server| servers.stop(server, Stop::Immediate))?;
    until(&cluster, "all to be down", |t| t.servers.iter().all(|server| !server.is_up())).await;
    let trouble = cluster.ready().unwrap_err();
    assert!(trouble.contains("; primary: ") && trouble.contains("; replica2: "), "{trouble}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saturated_server_is_not_taken_for_sick() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(0))?;
    let cluster = watch(&servers, HOUR);
    cluster.first_look().await;

    // No second connection: the probe asks over the one it has.
    servers.sql(0, "ALTER ROLE app CONNECTION LIMIT 1")?;
    let mark = servers.mark();
    cluster.suspect(id(&cluster, 0));
    eventually("a probe", || (probes(&servers, &mark) > 0).then_some(())).await;
    assert_eq!(health(&cluster.topology(), 0), Health::Up);

    // No connection at all.
    servers.sql(0, "ALTER ROLE app CONNECTION LIMIT 0")?;
    servers
        .sql(0, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'weir'")?;
    cluster.suspect(id(&cluster, 0));
    let declined = |t: &Topology| t.servers[0].trouble.as_ref().is_some_and(|text| text.contains("53300"));
    let topology = until(&cluster, "the probe to be declined", declined).await;
    assert!(topology.writable().is_some());

    servers.sql(0, "ALTER ROLE app CONNECTION LIMIT -1")?;
    cluster.suspect(id(&cluster, 0));
    until(&cluster, "a probe to be answered", |t| t.servers[0].trouble.is_none()).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_tells_little_still_tells_its_role() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(1))?;
    servers.sql(0, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")?;
    servers.wait_caught_up()?;
    let cluster = watch(&servers, HOUR);
    cluster.first_look().await;
    let topology = Arc::clone(&cluster.topology());
    assert_eq!((role(&topology, 0), role(&topology, 1)), (Role::Primary, Role::Replica));
    assert_eq!(topology.servers[0].timeline, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_known_by_volatility_and_forgotten_when_the_catalog_changes() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(0))?;
    let function = |volatility: &str| {
        format!("CREATE OR REPLACE FUNCTION total(n int) RETURNS int {volatility} LANGUAGE sql AS 'SELECT n'")
    };
    servers.sql(0, &function("STABLE"))?;
    servers.sql(0, "CREATE UNLOGGED TABLE scratch (id serial); CREATE TABLE kept (id int)")?;
    servers.sql(0, "CREATE PROCEDURE act() LANGUAGE sql AS ''")?;
    let cluster = watch(&servers, HOUR);
    let catalogs = cluster.catalogs();
    assert!(catalogs.of("app").is_none());
    catalogs.want("app", &user("app"));
    let catalog = eventually("the catalog", || catalogs.of("app")).await;
    assert_eq!(catalog.function(&name("total")), Some(Volatility::Declared));
    assert_eq!(catalog.function(&name("lower")), Some(Volatility::ReadOnly));
    assert_eq!(catalog.function(&name("nextval")), Some(Volatility::Volatile));
    assert_eq!(catalog.function(&name("pg_stat_get_snapshot_timestamp")), Some(Volatility::Volatile));
    assert_eq!((catalog.function(&name("act")), catalog.function(&name("nothing"))), (None, None));
    assert!(catalog.is_unlogged(&name("scratch")) && !catalog.is_unlogged(&name("kept")));

    servers.sql(0, &function("VOLATILE"))?;
    catalogs.stale("app", Changed::Code);
    let catalog = catalogs.of("app").unwrap();
    assert_eq!(catalog.function(&name("total")), None, "what may be wrong is gone at once");
    assert!(catalog.is_unlogged(&name("scratch")));
    let known = || catalogs.of("app")?.function(&name("total"));
    assert_eq!(eventually("the new catalog", known).await, Volatility::Volatile);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_use_can_be_dropped_and_made_again() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(0))?;
    servers.sql(0, "CREATE DATABASE shop")?;
    let cluster = watch(&servers, HOUR);
    let catalogs = cluster.catalogs();
    catalogs.want("shop", &user("app"));
    eventually("the catalog", || catalogs.of("shop")).await;
    servers.sql(0, "CREATE DATABASE copy TEMPLATE shop")?;
    servers.sql(0, "DROP DATABASE shop")?;
    catalogs.stale("shop", Changed::Code);
    eventually("the catalog to be forgotten", || catalogs.of("shop").is_none().then_some(())).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_waits_for_a_primary() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(0))?;
    servers.stop(0, Stop::Immediate)?;
    let cluster = watch(&servers, OFTEN);
    cluster.first_look().await;
    cluster.catalogs().want("app", &user("app"));
    servers.restart(0)?;
    eventually("the catalog", || cluster.catalogs().of("app")).await;
    Ok(())
}
