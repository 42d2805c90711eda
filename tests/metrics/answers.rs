//! What an operator asks of the metrics, answered under a load that is known.

use std::collections::HashMap;
use std::time::Duration;

use harness::client::{Login, front};
use harness::{Cluster, Options, Result, Weir, WeirSetup, wait_for};

use weir::telemetry::metrics::{Access, RequestLabels};

use super::promql::Scrapes;
use super::{DOCUMENT, weir};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const PATIENCE: Duration = Duration::from_secs(30);

/// The expression that docs/metrics.md has behind a question.
fn documented(question: &str) -> String {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let behind = text.split_once(question).map(|(_, behind)| behind);
    let behind = behind.unwrap_or_else(|| panic!("docs/metrics.md does not ask: {question}"));
    let expression = behind.split('`').nth(1).unwrap();
    expression.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What two scrapes say between which this was done.
fn between(weir: &Weir, act: impl FnOnce() -> Result<()>) -> Result<Scrapes> {
    let before = weir.metrics()?;
    act()?;
    Ok(Scrapes { before, after: weir.metrics()? })
}

/// A statement, and what of it is a read: on a replica, on the primary, or none.
const LOAD: [(&str, &str); 22] = [
    ("SELECT 1", "replica"),
    ("SELECT count(*) FROM counted", "replica"),
    ("SELECT 1; SELECT 2", "replica"),
    ("/* weir: target=primary */ SELECT 1", "primary"),
    ("INSERT INTO counted VALUES (4)", ""),
    ("SELECT id FROM counted FOR UPDATE", ""),
    ("SET work_mem = '1MB'", ""),
    ("RESET work_mem", ""),
    ("BEGIN", ""),
    ("SELECT 1", "replica"),
    ("SELECT count(*) FROM counted", "replica"),
    ("INSERT INTO counted VALUES (5)", ""),
    ("SELECT count(*) FROM counted", "primary"),
    ("UPDATE counted SET id = 6 WHERE id = 5", ""),
    ("SELECT 1", "primary"),
    ("COMMIT", ""),
    ("BEGIN READ ONLY", ""),
    ("SET LOCAL work_mem = '1MB'", ""),
    ("SELECT count(*) FROM counted", "replica"),
    ("DECLARE c CURSOR FOR SELECT 1", "replica"),
    ("FETCH c", "replica"),
    ("COMMIT", ""),
];

#[test]
fn the_share_of_reads_on_replicas_is_one_expression() -> Result<()> {
    let weir = weir()?;
    let mut client = weir.connect()?;
    let expression = documented("What share of the reads runs on replicas?");
    let scrapes = between(&weir, || LOAD.iter().try_for_each(|(sql, _)| client.query(sql).map(drop)))?;
    let reads = |on: &str| LOAD.iter().filter(|(_, read)| *read == on).count() as f64;
    let (replica, primary) = (reads("replica"), reads("primary"));
    assert_eq!(scrapes.evaluate(&expression)?, replica / (replica + primary));
    // What it is made of, and the writes, of which four stand in the load.
    let of = |matchers: &str| scrapes.evaluate(&format!("sum(rate(weir_requests_total{{{matchers}}}[5m]))"));
    assert_eq!(of("access=\"read\",route=\"replica\"")?, replica);
    assert_eq!(of("access=\"read\",route=\"primary\"")?, primary);
    assert_eq!(of("access=\"write\"")?, 4.0);
    assert_eq!(of("access=\"write\",route!=\"primary\"")?, 0.0);
    assert_eq!(of("")?, LOAD.len() as f64, "each request is counted once");
    Ok(())
}

/// The same by the extended protocol: what is only prepared reads nothing yet.
#[test]
fn what_is_prepared_reads_when_it_runs() -> Result<()> {
    let weir = weir()?;
    let mut client = weir.connect()?;
    let scrapes = between(&weir, || {
        let ask = |client: &mut harness::client::Client, frames: &[Vec<u8>]| client.ask(frames).map(drop);
        let prepare = [front::parse("r", "SELECT 1", &[]), front::describe_statement("r"), front::sync()];
        ask(&mut client, &prepare)?;
        let run = [front::bind("", "r", &[]), front::execute("", 0), front::sync()];
        (0..3).try_for_each(|_| ask(&mut client, &run))?;
        let write = front::parse("", "INSERT INTO counted VALUES (7)", &[]);
        ask(&mut client, &[write, front::bind("", "", &[]), front::execute("", 0), front::sync()])
    })?;
    let of = |access: &str| {
        scrapes.evaluate(&format!("sum(rate(weir_requests_total{{access=\"{access}\"}}[5m]))"))
    };
    assert_eq!((of("none")?, of("read")?, of("write")?), (1.0, 3.0, 1.0));
    Ok(())
}

#[test]
fn requests_and_their_time_bear_the_server() -> Result<()> {
    let weir = weir()?;
    let mut client = weir.connect()?;
    let before = weir.metrics()?;
    for _ in 0..3 {
        client.query("SELECT 1")?;
        client.query("INSERT INTO counted VALUES (8)")?;
    }
    client.query("BEGIN")?;
    client.query("COMMIT")?;
    let after = weir.metrics()?;
    let grown = |name: &str, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
    let server = Cluster::shared().name(0).to_owned();
    for name in ["weir_requests_total", "weir_query_seconds_count"] {
        assert_eq!(grown(name, &[("server", &server), ("route", "primary")]), 3.0, "{name}");
        assert_eq!(grown(name, &[("server", &server), ("route", "replica")]), 0.0, "{name}");
        let replicas = [1, 2].map(|replica| grown(name, &[("server", Cluster::shared().name(replica))]));
        assert_eq!(replicas.iter().sum::<f64>(), 3.0, "{name}");
    }
    assert_eq!(grown("weir_requests_total", &[("server", ""), ("route", "weir")]), 2.0);
    Ok(())
}

/// Whoever may call itself anything has no label of its own.
#[test]
fn labels_are_names_of_the_configuration_and_not_many() -> Result<()> {
    let cluster = Cluster::shared();
    let tables: String = (0..25)
        .map(|n| format!("[[databases]]\nname = \"listed{n:02}\"\nserver_database = \"app\"\n"))
        .collect();
    let weir = WeirSetup::in_front_of(cluster, 0..3).at_any_age().append(&tables).start(WEIR)?;
    let connect = |database: &str| {
        harness::client::Client::connect(&weir.address(), &Login::new("app", "app").database(database))
    };
    let mut clients = Vec::new();
    for database in ["listed00", "listed19", "listed20", "listed24", "app"] {
        let mut client = connect(database)?;
        client.query("SELECT 1")?;
        clients.push(client);
    }
    let metrics = weir.metrics()?;
    let of = |database, name: &str| metrics.sum(name, &[("database", database), ("user", "app")]);
    for (database, expected) in [("listed00", 1.0), ("listed19", 1.0), ("listed20", 0.0), ("other", 3.0)] {
        assert_eq!(of(database, "weir_sessions"), expected, "{database}");
        assert_eq!(of(database, "weir_session_requests_total"), expected, "{database}");
        assert_eq!(of(database, "weir_session_query_seconds_total") > 0.0, expected > 0.0, "{database}");
    }
    drop(clients);
    wait_for("the sessions to end", PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_sessions", &[]) == 0.0).then_some(()))
    })
}

#[test]
fn clients_are_refused_for_a_reason() -> Result<()> {
    let login = || Login::new("app", "app");
    let refused = |weir: &Weir, login: &Login, cause: &str| -> Result<()> {
        let count = || weir.metrics().map(|all| all.sum("weir_clients_refused_total", &[("cause", cause)]));
        let all = || weir.metrics().map(|all| all.sum("weir_clients_refused_total", &[]));
        let (before, of_all) = (count()?, all()?);
        harness::client::Client::connect(&weir.address(), login).unwrap_err();
        // It may be told before it is counted.
        wait_for(cause, PATIENCE, || Ok((count()? == before + 1.0).then_some(())))?;
        assert_eq!(all()?, of_all + 1.0, "{cause}");
        Ok(())
    };
    let weir = weir()?;
    refused(&weir, &Login::new("app", "wrong"), "authentication")?;
    refused(&weir, &Login::new("nobody", "app"), "authentication")?;
    refused(&weir, &login().database("nowhere"), "not_permitted")?;
    refused(&weir, &login().parameter("replication", "true"), "protocol")?;
    refused(&weir, &login().parameter("weir.target", "elsewhere"), "setting")?;
    let small =
        WeirSetup::in_front_of(Cluster::shared(), 0..1).set("listen", "client_limit", "1").start(WEIR)?;
    let holder = small.connect()?;
    refused(&small, &login(), "too_many_clients")?;
    drop(holder);
    Ok(())
}

/// Who waits for a replica to be fresh does not wait for a connection.
#[test]
fn waiting_for_freshness_is_no_wait_for_a_connection() -> Result<()> {
    let cluster = Cluster::with(Options::new(1).quiet())?;
    cluster.sql(0, "SET ROLE app; CREATE TABLE counted (id int)")?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2)
        .set("routing", "consistency", "\"global\"")
        .set("routing", "freshness_wait", "\"1s\"")
        .start(WEIR)?;
    let mut client = weir.connect()?;
    let read = "SELECT count(*) FROM counted";
    wait_for("a read on the replica", PATIENCE, || {
        client.query(read)?;
        let replica = [("access", "read"), ("route", "replica")];
        Ok((weir.metrics()?.sum("weir_requests_total", &replica) > 0.0).then_some(()))
    })?;
    cluster.pause_replay(1)?;
    client.query("INSERT INTO counted VALUES (1)")?;
    let before = weir.metrics()?;
    client.query(read)?;
    cluster.resume_replay(1)?;
    let after = weir.metrics()?;
    let grown = |name: &str| after.sum(name, &[]) - before.sum(name, &[]);
    let (freshness, checkout) =
        (grown("weir_freshness_wait_seconds_sum"), grown("weir_checkout_wait_seconds_sum"));
    assert!(freshness >= 1.0, "{freshness}");
    assert!(checkout < freshness / 2.0, "{checkout} of {freshness}");
    assert_eq!(grown("weir_checkout_wait_seconds_count"), 1.0);
    Ok(())
}

#[test]
fn the_process_tells_of_itself() -> Result<()> {
    let weir = weir()?;
    let metrics = weir.metrics()?;
    let value = |name: &str| metrics.sum(name, &[]);
    // The same figures as the system has of it, give and take what happens between.
    let resident = (weir.rss_kb() * 1024) as f64;
    assert!((resident / 2.0..resident * 2.0).contains(&value("process_resident_memory_bytes")));
    assert!(value("process_open_fds") > 3.0 && value("process_open_fds") <= value("process_max_fds"));
    assert!(value("process_threads") >= 1.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let age = now - value("process_start_time_seconds");
    assert!((-2.0..3600.0).contains(&age), "{age}");
    assert_eq!(metrics.all("process_cpu_seconds_total").count(), 1);
    Ok(())
}

/// A configuration in which these databases are listed.
fn listing(databases: &[String]) -> weir::config::Config {
    let file =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.toml", databases.join("-")));
    let server = "[[servers]]\nhost = \"127.0.0.1\"\n[[users]]\nname = \"app\"\npassword = \"app\"\n";
    let tables = databases.iter().map(|name| format!("[[databases]]\nname = \"{name}\"\n"));
    std::fs::write(&file, server.to_owned() + &tables.collect::<String>()).unwrap();
    weir::config::load_with(&file, &HashMap::new()).unwrap()
}

/// However often the configuration is another one.
#[test]
fn what_is_not_listed_any_more_is_not_counted_any_more() {
    let metrics =
        weir::telemetry::metrics::Metrics::new(RequestLabels { routes: &["primary"], reasons: &["write"] });
    let mut kept = Vec::new();
    for n in 0..50 {
        let config = listing(&[format!("a{n}"), format!("b{n}")]);
        for database in ["a", "b", "c"] {
            let figures = metrics.by_client.of(&config, &format!("{database}{n}"), "app");
            figures.sessions.inc();
            figures.request(0, Access::Read);
            figures.took(0, Duration::from_millis(1));
            kept.push(figures);
        }
        metrics.by_client.keep(&config);
    }
    // Those of one that is gone count for nobody.
    kept.iter().for_each(|figures| figures.request(0, Access::Read));
    let text = metrics.render();
    let of = |database: &str| text.matches(&format!("database=\"{database}\"")).count();
    assert_eq!((of("a49"), of("b49"), of("other")), (3, 3, 3), "{text}");
    assert_eq!(text.matches("database=").count(), 9, "{text}");
    assert!(text.contains(r#"weir_sessions{database="other",user="app"} 50"#), "{text}");
}
