//! What a server would refuse to those who come now: through weir, which has connections that were opened before, they
//! hear the same as directly.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::thread;
use std::time::{Duration, Instant};

use harness::client::{Address, Client, Login};
use harness::{Cluster, Failure, Options, Result, Stop, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

const USERS: &str = "\
    [[users]]\nname = \"worker\"\npassword = \"worker\"\n\
    [[users]]\nname = \"boss\"\npassword = \"boss\"\n\
    [[users]]\nname = \"app_trust\"\nauth = \"trust\"\n";

/// What a client hears that comes now: that it is in, or SQLSTATE, words, and what more is said.
fn told(address: &Address, user: &str, database: &str) -> String {
    let outcome = Client::connect(address, &Login::new(user, user).database(database))
        .and_then(|mut client| client.query("SELECT 1").map(|answer| answer.value().to_owned()));
    match outcome {
        Ok(_) => "in".to_owned(),
        Err(Failure::Server(error)) => {
            let field = |code| error.field(code).unwrap_or_default().to_owned();
            ['S', 'C', 'M', 'D', 'H'].map(field).join("|")
        }
        Err(failure) => failure.to_string(),
    }
}

/// A session that is in, and that leaves a connection behind.
fn session(weir: &Weir, user: &str, database: &str) -> Result<Client> {
    let mut client = Client::connect(&weir.address(), &Login::new(user, user).database(database))?;
    client.query("CREATE TEMP TABLE IF NOT EXISTS t (a int)")?;
    client.query("DISCARD ALL")?;
    Ok(client)
}

#[test]
fn who_comes_now_hears_what_a_server_would_say() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    let sql = |sql: &str| cluster.sql(0, sql).map(drop);
    sql("CREATE ROLE worker LOGIN PASSWORD 'worker'")?;
    sql("CREATE ROLE boss LOGIN SUPERUSER PASSWORD 'boss'")?;
    sql("ALTER ROLE app_trust SUPERUSER")?;
    sql("CREATE DATABASE shop")?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(&cluster, [0, 1]).at_any_age().append(USERS).start(WEIR)?;
    let direct = cluster.address(0);
    let mut sessions = Vec::new();
    for user in ["worker", "boss", "app_trust"] {
        assert_eq!(
            (told(&direct, user, "shop"), told(&weir.address(), user, "shop")),
            ("in".into(), "in".into())
        );
        sessions.push(session(&weir, user, "shop")?);
    }
    let in_shop = [
        "ALTER DATABASE shop ALLOW_CONNECTIONS false",
        "REVOKE CONNECT ON DATABASE shop FROM PUBLIC",
        "ALTER DATABASE shop ALLOW_CONNECTIONS true",
        "GRANT CONNECT ON DATABASE shop TO app_trust, worker",
        "ALTER ROLE worker NOLOGIN",
        "ALTER ROLE worker VALID UNTIL 'yesterday'",
        "ALTER ROLE app_trust VALID UNTIL 'yesterday' NOLOGIN",
        "ALTER ROLE app_trust LOGIN",
        "ALTER ROLE boss VALID UNTIL 'yesterday'",
        "ALTER ROLE worker LOGIN",
        "ALTER DATABASE shop ALLOW_CONNECTIONS false",
        "ALTER ROLE worker VALID UNTIL 'tomorrow'",
        "ALTER ROLE boss VALID UNTIL 'infinity'",
        "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'shop'",
        "UPDATE pg_database SET datconnlimit = -1, datallowconn = true WHERE datname = 'shop'",
    ];
    for change in in_shop {
        sql(change)?;
        // At once, whatever was said a moment ago.
        for user in ["worker", "boss", "app_trust"] {
            let (there, here) = (told(&direct, user, "shop"), told(&weir.address(), user, "shop"));
            assert_eq!(here, there, "{user} after {change}");
        }
        for session in &mut sessions {
            session.query("SELECT count(*) FROM pg_class")?;
            session.query("BEGIN; LOCK pg_class IN ACCESS SHARE MODE; COMMIT")?;
        }
    }
    for database in ["nowhere", "template0", &"n".repeat(80)] {
        for user in ["worker", "boss", "app_trust"] {
            let (there, here) = (told(&direct, user, database), told(&weir.address(), user, database));
            assert_eq!(here, there, "{user} into {database}");
        }
    }
    // Gone while weir has connections: of a role, and of a database.
    sessions.clear();
    sql("DROP OWNED BY worker; DROP ROLE worker; DROP ROLE app_trust")?;
    for user in ["worker", "app_trust"] {
        let (there, here) = (told(&direct, user, "shop"), told(&weir.address(), user, "shop"));
        assert_eq!(here, there, "{user} after DROP ROLE");
    }
    wait_for("the database to be let go", PATIENCE, || Ok(sql("DROP DATABASE shop WITH (FORCE)").ok()))?;
    assert_eq!(told(&weir.address(), "boss", "shop"), told(&direct, "boss", "shop"));
    Ok(())
}

#[test]
fn many_who_come_at_once_are_answered_by_few_questions() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    let quick =
        "[[users]]\nname = \"quick\"\nauth = \"trust\"\nserver_user = \"app\"\nserver_password = \"app\"\n";
    let weir = WeirSetup::in_front_of(&cluster, [0]).append(quick).start(WEIR)?;
    let log_in = || Client::connect(&weir.address(), &Login::new("quick", "").database("app"));
    log_in()?;
    let mark = cluster.mark();
    thread::scope(|scope| {
        let all: Vec<_> =
            (0..20).map(|_| scope.spawn(|| (0..20).try_for_each(|_| log_in().map(drop)))).collect();
        all.into_iter().try_for_each(|client| client.join().unwrap())
    })?;
    let asked =
        cluster.statements(0, &mark).iter().filter(|sql| sql.contains("has_database_privilege")).count();
    assert!((1..=400).contains(&asked), "{asked}");
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'weir login'";
    assert_eq!(cluster.sql(0, sql)?.value(), "1", "and over one connection");
    Ok(())
}

#[test]
fn while_no_server_answers_the_last_answer_counts() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(0, "CREATE DATABASE closed; ")?;
    cluster.sql(0, "ALTER DATABASE closed ALLOW_CONNECTIONS false")?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(&cluster, [0, 1]).at_any_age().probing_quickly().start(WEIR)?;
    let here = |database: &str| told(&weir.address(), "app", database);
    assert_eq!(here("app"), "in");
    let closed = here("closed");
    assert!(closed.starts_with("FATAL|55000|"), "{closed}");

    // Without a primary a replica says the same.
    cluster.stop(0, Stop::Immediate)?;
    weir.wait_up(cluster.name(0), 0.0)?;
    assert_eq!((here("app"), here("closed")), ("in".into(), closed.clone()));
    cluster.restart(0)?;
    weir.wait_up(cluster.name(0), 1.0)?;
    assert_eq!((here("app"), here("closed")), ("in".into(), closed.clone()));

    // One that is silent is not waited for long, and not by everybody.
    cluster.freeze(0)?;
    let began = Instant::now();
    let outcomes = (here("closed"), here("app"));
    let took = began.elapsed();
    cluster.thaw(0)?;
    assert_eq!(outcomes, (closed, "in".into()));
    assert!(took < Duration::from_secs(10), "{took:?}");
    Ok(())
}
