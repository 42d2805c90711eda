//! The harness itself: what every other test against real servers takes for granted.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::client::{Address, Client, Login, Message, front};
use harness::{Cluster, Options, Result, Stop, wait_until};

fn lines(heard: &[Message]) -> Vec<String> {
    heard.iter().map(ToString::to_string).collect()
}

#[test]
fn the_servers_say_where_a_statement_ran() -> Result<()> {
    let cluster = Cluster::shared();
    let mark = cluster.mark();
    cluster.connect(0)?.query("SELECT 'harness simple'")?;
    cluster.connect(1)?.ask(&[
        front::parse("", "SELECT\n\t'harness extended'", &[]),
        front::bind("", "", &[]),
        front::execute("", 0),
        front::sync(),
    ])?;
    let refused = cluster.connect(2)?.query("CREATE TABLE harness_refused (id int)");
    assert_eq!(refused.unwrap_err().sqlstate(), Some("25006"));
    cluster.sql(1, "SELECT 'harness simple' AS from_the_harness_itself")?;

    assert_eq!(cluster.ran_on(&mark, "harness simple"), [0]);
    assert_eq!(cluster.ran_on(&mark, "harness extended"), [1]);
    assert_eq!(cluster.ran_on(&mark, "harness_refused"), [2]);
    assert!(cluster.ran_on(&cluster.mark(), "harness simple").is_empty());
    Ok(())
}

#[test]
fn replicas_catch_up_and_can_be_held_back() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(0, "CREATE TABLE caught_up AS SELECT 1 AS id")?;
    cluster.wait_caught_up()?;
    assert_eq!(cluster.sql(1, "SELECT count(*) FROM caught_up")?.value(), "1");

    cluster.pause_replay(1)?;
    cluster.sql(0, "INSERT INTO caught_up VALUES (2)")?;
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(cluster.sql(1, "SELECT count(*) FROM caught_up")?.value(), "1");
    cluster.resume_replay(1)?;
    cluster.wait_caught_up()?;
    assert_eq!(cluster.sql(1, "SELECT count(*) FROM caught_up")?.value(), "2");
    Ok(())
}

#[test]
fn servers_die_freeze_and_change_their_roles() -> Result<()> {
    let cluster = Cluster::start()?;
    cluster.freeze(2)?;
    let mut client = Client::open(&cluster.address(2))?;
    client.send(&[Login::new("app", "app").startup()])?;
    assert!(client.read_within(Duration::from_millis(200))?.is_none(), "a frozen server answered");
    cluster.thaw(2)?;
    assert_eq!(client.read()?.name(), "Authentication");

    cluster.stop(0, Stop::Kill)?;
    assert!(!cluster.is_running(0));
    assert!(Client::open(&cluster.address(0)).is_err());
    cluster.promote(1)?;
    cluster.follow(2)?;
    cluster.rejoin(0)?;
    cluster.sql(1, "CREATE TABLE after_failover (id int)")?;
    cluster.wait_caught_up()?;
    assert_eq!(
        cluster
            .sql(0, "SELECT pg_is_in_recovery() FROM after_failover RIGHT JOIN (SELECT) x ON true")?
            .value(),
        "t"
    );
    assert_eq!(cluster.sql(2, "SELECT count(*) FROM after_failover")?.value(), "0");

    cluster.stop(2, Stop::Fast)?;
    cluster.restart(2)?;
    assert_eq!(cluster.sql(2, "SELECT pg_is_in_recovery()")?.value(), "t");
    Ok(())
}

#[test]
fn every_way_to_log_in_works() -> Result<()> {
    let address = Cluster::shared().address(0);
    for (user, requests) in [
        ("app", vec![10, 11, 12, 0]),
        ("app_md5", vec![5, 0]),
        ("app_plain", vec![3, 0]),
        ("app_trust", vec![0]),
    ] {
        let mut client = Client::open(&address)?;
        let heard = client.log_in(&Login::new(user, user).database("app"))?;
        let asked: Vec<u8> = heard.iter().filter(|m| m.tag == b'R').map(|m| m.body[3]).collect();
        assert_eq!(asked, requests, "{user}");
        assert_eq!(client.parameters()["server_encoding"], "UTF8");
        assert!(client.key().is_some());
    }
    let wrong = Client::connect(&address, &Login::new("app", "wrong"));
    assert_eq!(wrong.unwrap_err().sqlstate(), Some("28P01"));
    Ok(())
}

#[test]
fn a_conversation_reads_like_a_transcript() -> Result<()> {
    let mut client = Cluster::shared().connect(1)?;
    let heard = client.ask(&[
        front::parse("s", "SELECT $1::int + 1 AS n, NULL", &[]),
        front::describe_statement("s"),
        front::bind("", "s", &[Some(b"41")]),
        front::execute("", 0),
        front::sync(),
    ])?;
    assert_eq!(
        lines(&heard),
        [
            "ParseComplete",
            "ParameterDescription [23]",
            "RowDescription n ?column?",
            "BindComplete",
            "DataRow 42 NULL",
            "CommandComplete SELECT 1",
            "ReadyForQuery I",
        ]
    );
    let heard = client.ask(&[front::bind("", "no_such", &[]), front::execute("", 0), front::sync()])?;
    assert_eq!(heard[0].error().unwrap().sqlstate(), "26000");
    let heard = client.ask(&[front::query("BEGIN"), front::query("COPY (SELECT 7) TO STDOUT")])?;
    assert_eq!(lines(&heard), ["CommandComplete BEGIN", "ReadyForQuery T"]);
    let heard = client.until_ready()?;
    assert_eq!(
        lines(&heard[1..]),
        ["CopyData \"7\\n\"", "CopyDone", "CommandComplete COPY 1", "ReadyForQuery T"]
    );
    Ok(())
}

#[test]
fn a_cancel_ends_the_query_that_runs() -> Result<()> {
    let mut client = Cluster::shared().connect(1)?;
    client.send(&[front::query("SELECT pg_sleep(60)")])?;
    let begin = Instant::now();
    assert!(client.read_within(Duration::from_millis(200))?.is_none());
    client.cancel()?;
    let heard = client.until_ready()?;
    assert_eq!(heard.iter().find_map(Message::error).unwrap().sqlstate(), "57014");
    assert!(begin.elapsed() < Duration::from_secs(30));
    Ok(())
}

#[test]
fn settings_change_on_a_running_server() -> Result<()> {
    let cluster = Cluster::with(Options::new(0).setting("work_mem", "5MB"))?;
    assert_eq!(cluster.sql(0, "SHOW work_mem")?.value(), "5MB");
    cluster.set(0, "work_mem", "'6MB'")?;
    assert_eq!(cluster.sql(0, "SHOW work_mem")?.value(), "6MB");
    Ok(())
}

/// Name of the variable that makes this binary, started again, the victim of the next test.
const VICTIM: &str = "HARNESS_VICTIM";

/// A static is never dropped and SIGKILL runs no destructor: the servers must go all the same.
#[test]
fn nothing_is_left_when_the_process_is_killed() -> Result<()> {
    if std::env::var_os(VICTIM).is_some() {
        println!("\n{} {}", Cluster::shared().directory().display(), Cluster::shared().port(0));
        std::thread::sleep(Duration::from_secs(120));
    }
    let this = std::env::current_exe()?;
    let name = "nothing_is_left_when_the_process_is_killed";
    let mut victim = Command::new(this)
        .args(["--exact", name, "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let output = std::io::BufReader::new(victim.stdout.take().unwrap());
    let line = std::io::BufRead::lines(output)
        .map_while(std::result::Result::ok)
        .find(|l| l.starts_with('/'))
        .unwrap();
    let (directory, port) = line.split_once(' ').unwrap();
    let address = Address::local(port.parse().unwrap());
    assert!(Client::open(&address).is_ok());
    victim.kill()?;
    victim.wait()?;
    assert!(wait_until(Duration::from_secs(20), || !Path::new(directory).exists()), "{directory} is left");
    assert!(Client::open(&address).is_err(), "a server is left");
    Ok(())
}
