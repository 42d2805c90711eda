//! Each alert fires once, in a real Prometheus, for a real reason.

use std::cell::RefCell;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use harness::client::{Client, Login, front};
use harness::{
    Authority, Cluster, Daemon, Failure, Options, Result, Signal, Stop, Weir, WeirSetup, free_port,
    send_signal, tools,
};

use crate::prometheus::Prometheus;
use crate::rules::rules;
use crate::{dashboard, expressions};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// What is there for all alerts.
struct Stage {
    prometheus: Prometheus,
    cluster: Cluster,
    fired: RefCell<Vec<String>>,
}

impl Stage {
    fn setup(&self) -> WeirSetup {
        WeirSetup::in_front_of(&self.cluster, 0..3).at_any_age().probing_quickly()
    }

    /// A weir that Prometheus has seen: what has not been scraped has not grown.
    fn weir(&self, setup: WeirSetup) -> Result<Weir> {
        let weir = setup.start(WEIR)?;
        self.prometheus.scrapes(&[weir.metrics_port()])?;
        self.prometheus.knows(weir.metrics_port())?;
        Ok(weir)
    }

    fn fires(&self, alert: &str, weir: &Weir, act: impl FnMut() -> Result<()>) -> Result<()> {
        self.fired.borrow_mut().push(alert.to_owned());
        self.prometheus.fires(alert, weir.metrics_port(), act)
    }

    /// The same where nothing more has to happen.
    fn fires_by_itself(&self, alert: &str, weir: &Weir) -> Result<()> {
        self.fires(alert, weir, || Ok(()))
    }
}

#[test]
#[ignore = "needs Prometheus: tests/alerts/run"]
fn each_alert_fires() -> Result<()> {
    let cluster = Cluster::with(Options::new(2).quiet())?;
    cluster.sql(0, "SET ROLE app; CREATE TABLE written (id int)")?;
    cluster.wait_caught_up()?;
    let stage = Stage { prometheus: Prometheus::start()?, cluster, fired: RefCell::default() };
    let acts: [fn(&Stage) -> Result<()>; 16] = [
        reads,
        reruns,
        waiting,
        full,
        near_the_servers_limit,
        connects,
        clients,
        logins,
        slow,
        configuration,
        discovery,
        spans,
        log,
        goes_and_comes,
        replicas,
        servers,
    ];
    // One that does not fire keeps no other from it.
    let failures: Vec<_> = acts.iter().filter_map(|act| act(&stage).err()).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    let mut all: Vec<String> = rules().into_iter().map(|rule| rule.alert).collect();
    all.sort();
    let mut fired = stage.fired.into_inner();
    fired.sort();
    assert_eq!(fired, all);
    Ok(())
}

/// What Grafana asks is PromQL: promtool reads it as rules that record it.
#[test]
#[ignore = "needs promtool: tests/alerts/run"]
fn the_dashboard_asks_in_promql() -> Result<()> {
    let promtool = tools::find("promtool").ok_or_else(|| Failure::new("there is no promtool"))?;
    let record = |(nth, (_, expression)): (usize, (String, String))| {
        let expression = expression.replace("$__rate_interval", "5m").replace("$instance", ".*");
        format!("  - record: panel:{nth}\n    expr: {expression:?}\n")
    };
    let rules: String = expressions(&dashboard()).into_iter().enumerate().map(record).collect();
    let file = format!("{}/dashboard.yml", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&file, format!("groups:\n- name: dashboard\n  rules:\n{rules}"))?;
    let output = Command::new(promtool).args(["check", "rules", &file]).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn reads(stage: &Stage) -> Result<()> {
    let weir = stage.weir(stage.setup())?;
    let mut client = weir.connect()?;
    client.query("SELECT 1")?;
    stage.fires("WeirReadsStayOnPrimary", &weir, || {
        (0..20).try_for_each(|_| client.query("/* weir: primary */ SELECT 1").map(drop))
    })
}

fn reruns(stage: &Stage) -> Result<()> {
    let writes = "FUNCTION writes() RETURNS int LANGUAGE sql AS 'INSERT INTO written VALUES (1) RETURNING 1'";
    let lies = "FUNCTION lie() RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN writes(); END'";
    stage.cluster.sql(0, &format!("SET ROLE app; CREATE {writes}; CREATE {lies}"))?;
    stage.cluster.wait_caught_up()?;
    let weir = stage.weir(stage.setup())?;
    let mut client = weir.connect()?;
    let mut nth = 0;
    stage.fires("WeirReruns", &weir, || {
        (0..10).try_for_each(|_| {
            // Each shape runs again once.
            nth += 1;
            client.query(&format!("SELECT lie() AS c{nth}")).map(drop)
        })
    })
}

/// One connection, which a client keeps and another one wants.
fn waiting(stage: &Stage) -> Result<()> {
    let setup = stage.setup().set("pool", "size", "1").set("pool", "checkout_timeout", "\"5min\"");
    let weir = stage.weir(setup)?;
    let (mut holder, mut waiter) = (weir.connect()?, weir.connect()?);
    holder.query("BEGIN")?;
    holder.query("INSERT INTO written VALUES (1)")?;
    waiter.send(&[front::query("INSERT INTO written VALUES (2)")])?;
    stage.fires_by_itself("WeirClientsWait", &weir)?;
    stage.fires_by_itself("WeirConnectionsHeld", &weir)
}

/// Opens a transaction that holds a connection to the primary.
fn holding(weir: &Weir, user: &str) -> Result<Client> {
    let mut client = Client::connect(&weir.address(), &Login::new(user, user).database("app"))?;
    client.send(&[front::query("BEGIN; INSERT INTO written VALUES (1)")])?;
    Ok(client)
}

fn full(stage: &Stage) -> Result<()> {
    stage.cluster.sql(0, "ALTER ROLE app_plain CONNECTION LIMIT 1")?;
    let weir = stage.weir(stage.setup().set("pool", "checkout_timeout", "\"5min\""))?;
    let mut one = holding(&weir, "app_plain")?;
    one.until_ready()?;
    let _other = holding(&weir, "app_plain")?;
    stage.fires_by_itself("WeirServerFull", &weir)?;
    stage.cluster.sql(0, "ALTER ROLE app_plain CONNECTION LIMIT -1")?;
    Ok(())
}

fn near_the_servers_limit(stage: &Stage) -> Result<()> {
    let weir = stage.weir(stage.setup().each_server("connections = 2"))?;
    let _holders = [holding(&weir, "app")?, holding(&weir, "app")?];
    stage.fires_by_itself("WeirServerConnectionsNearLimit", &weir)
}

/// A password that holds no more.
fn connects(stage: &Stage) -> Result<()> {
    let weir = stage.weir(stage.setup())?;
    stage.cluster.sql(0, "ALTER ROLE app_plain PASSWORD 'another'")?;
    stage.cluster.wait_caught_up()?;
    stage.fires("WeirConnectsFail", &weir, || {
        let login = Login::new("app_plain", "app_plain").database("app");
        Client::connect(&weir.address(), &login).map_or(Ok(()), |_| Err(Failure::new("it came in")))
    })?;
    stage.cluster.sql(0, "ALTER ROLE app_plain PASSWORD 'app_plain'")?;
    stage.cluster.wait_caught_up()
}

fn clients(stage: &Stage) -> Result<()> {
    let weir = stage.weir(stage.setup().set("listen", "client_limit", "2"))?;
    let _both = [weir.connect()?, weir.connect()?];
    stage.fires_by_itself("WeirClientsNearLimit", &weir)?;
    weir.connect().unwrap_err();
    stage.fires_by_itself("WeirClientsRefused", &weir)
}

fn logins(stage: &Stage) -> Result<()> {
    let weir = stage.weir(stage.setup())?;
    stage.fires("WeirLoginsFail", &weir, || {
        for _ in 0..10 {
            Client::connect(&weir.address(), &Login::new("app", "wrong")).unwrap_err();
        }
        Ok(())
    })
}

/// A text of nearly a megabyte takes its time to be read.
fn slow(stage: &Stage) -> Result<()> {
    let weir = stage.weir(stage.setup())?;
    let mut client = weir.connect()?;
    let mut nth = 0;
    stage.fires("WeirSlow", &weir, || {
        nth += 1;
        let list: Vec<String> = (0..90_000).map(|value| format!("x{nth}.a{value}")).collect();
        client.query(&format!("SELECT {}", list.join(","))).unwrap_err();
        Ok(())
    })
}

/// A file that is none, a certificate of years ago, and hardly any file descriptors.
fn configuration(stage: &Stage) -> Result<()> {
    let directory = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (certificate, key) = Authority::new("alerts").expired(&["localhost"]).write(&directory, "alerts")?;
    let setup = stage.setup().set("listen", "tls", "\"allow\"");
    let setup = setup.set("listen", "tls_certificate", &format!("{certificate:?}"));
    let weir = stage.weir(setup.set("listen", "tls_key", &format!("{key:?}")))?;
    stage.fires_by_itself("WeirCertificateExpires", &weir)?;
    fs::write(weir.config(), "[listen")?;
    send_signal(weir.pid(), Signal::HUP)?;
    stage.fires_by_itself("WeirReloadFailed", &weir)?;
    // Whoever asks needs one.
    let limit = format!("--nofile={}", weir.descriptors() + 3);
    assert!(Command::new("prlimit").args(["--pid", &weir.pid().to_string(), &limit]).status()?.success());
    stage.fires_by_itself("WeirDescriptorsNearLimit", &weir)
}

/// Patroni is asked where nobody is. The servers are known from the configuration.
fn discovery(stage: &Stage) -> Result<()> {
    let setup = stage.setup().set("discovery", "kind", "\"patroni\"");
    let weir =
        stage.weir(setup.set("discovery", "urls", &format!("[\"http://127.0.0.1:{}\"]", free_port()?)))?;
    stage.fires_by_itself("WeirDiscoveryFails", &weir)
}

/// A collector that is not there.
fn spans(stage: &Stage) -> Result<()> {
    let setup = stage.setup().set("traces", "endpoint", &format!("\"http://127.0.0.1:{}\"", free_port()?));
    let weir = stage.weir(setup.set("traces", "sampled", "1.0"))?;
    let mut client = weir.connect()?;
    stage.fires("WeirSpansLost", &weir, || client.query("SELECT 1").map(drop))
}

/// The log goes to a disk that is full.
fn log(stage: &Stage) -> Result<()> {
    let mut weir = stage.weir(stage.setup())?;
    weir.terminate()?;
    let mut child = Command::new(WEIR)
        .args(["run", "--config"])
        .arg(weir.config())
        .stdout(Stdio::null())
        .stderr(File::create("/dev/full")?)
        .spawn()?;
    stage.prometheus.knows(weir.metrics_port())?;
    let fired = stage.fires("WeirLogLinesLost", &weir, || {
        // That is a line.
        drop(Client::connect(&weir.address(), &Login::new("app", "wrong")));
        Ok(())
    });
    child.kill()?;
    child.wait()?;
    fired
}

fn goes_and_comes(stage: &Stage) -> Result<()> {
    let mut weir = stage.weir(stage.setup())?;
    weir.terminate()?;
    stage.fires_by_itself("WeirDown", &weir)?;
    let log = weir.config().with_file_name("again.log");
    let began = format!("process_start_time_seconds{{instance=\"127.0.0.1:{}\"}}", weir.metrics_port());
    let mut before = stage.prometheus.value(&began)?;
    let (mut again, mut starts) = (None, 0);
    stage.fires("WeirRestarts", &weir, || {
        if starts < 4 {
            // The one before ends first.
            drop(again.take());
            sleep(Duration::from_secs(1));
            let mut command = Command::new(WEIR);
            again = Some(Daemon::start(command.args(["run", "--config"]).arg(weir.config()), &log)?);
            harness::wait_for("a start to be seen", Duration::from_secs(30), || {
                let now = stage.prometheus.value(&began)?;
                Ok((now.is_some() && now != before).then(|| before = now))
            })?;
            starts += 1;
        }
        Ok(())
    })
}

/// Replicas that lag, that do not tell how far they are, and that are gone.
fn replicas(stage: &Stage) -> Result<()> {
    let weir = stage.weir(stage.setup())?;
    stage.cluster.pause_replay(1)?;
    let mut client = weir.connect()?;
    let fired = stage.fires("WeirReplicaBehind", &weir, || {
        client.query("INSERT INTO written VALUES (1)")?;
        sleep(Duration::from_millis(100));
        Ok(())
    });
    stage.cluster.resume_replay(1)?;
    fired?;
    stage.cluster.sql(0, "REVOKE EXECUTE ON FUNCTION pg_last_wal_replay_lsn() FROM PUBLIC")?;
    // What is known of a replica holds for as long as its connection does. A new one learns nothing.
    drop((client, weir));
    let weir = stage.weir(stage.setup())?;
    stage.fires_by_itself("WeirReplicaDoesNotFollow", &weir)?;
    stage.cluster.sql(0, "GRANT EXECUTE ON FUNCTION pg_last_wal_replay_lsn() TO PUBLIC")?;
    stage.cluster.stop(1, Stop::Immediate)?;
    stage.cluster.stop(2, Stop::Immediate)?;
    stage.fires_by_itself("WeirServerDown", &weir)?;
    stage.fires_by_itself("WeirNoReplica", &weir)?;
    stage.cluster.restart(1)?;
    stage.cluster.restart(2)
}

/// Two primaries, and none.
fn servers(stage: &Stage) -> Result<()> {
    let weir = stage.weir(stage.setup().set("pool", "primary_wait", "\"100ms\""))?;
    let mut client = weir.connect()?;
    stage.cluster.promote(2)?;
    stage.fires_by_itself("WeirServerWithoutRole", &weir)?;
    (0..3).try_for_each(|server| stage.cluster.stop(server, Stop::Immediate))?;
    stage.fires_by_itself("WeirNoPrimary", &weir)?;
    stage.fires("WeirClientsSeeLosses", &weir, || {
        client.query("INSERT INTO written VALUES (1)").unwrap_err();
        Ok(())
    })
}
