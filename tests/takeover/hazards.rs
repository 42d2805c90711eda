//! What goes wrong: another version, a new one that cannot begin, one that dies before it serves, a pause.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::path::Path;

use harness::{Cluster, Options, Result, WeirSetup, wait_for};
use sha2::{Digest as _, Sha256};

use crate::stage::{PATIENCE, Successor, WEIR, furnish, is_furnished, says, wait_end};

/// The door of the weir that runs with a configuration.
fn door(config: &Path) -> UnixStream {
    let file = config.canonicalize().unwrap();
    let digest = Sha256::digest(file.to_str().unwrap().as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let address = SocketAddr::from_abstract_name(format!("weir-reload-{hex}")).unwrap();
    let stream = UnixStream::connect_addr(&address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn say(stream: &mut UnixStream, words: &str) {
    let length = u32::try_from(words.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], &[0], words.as_bytes()].concat()).unwrap();
}

/// What is said next. Descriptors that come along are let go.
fn hear(stream: &mut UnixStream) -> String {
    let mut head = [0; 5];
    stream.read_exact(&mut head).unwrap();
    let mut words = vec![0; u32::from_be_bytes(head[..4].try_into().unwrap()) as usize];
    stream.read_exact(&mut words).unwrap();
    String::from_utf8(words).unwrap()
}

#[test]
fn clients_that_the_other_does_not_understand_are_drained() -> Result<()> {
    let setup = WeirSetup::in_front_of(Cluster::shared(), [0]);
    let mut weir = setup.set("listen", "drain_timeout", "\"20s\"").start(WEIR)?;
    let (mut idle, mut busy) = (weir.connect()?, weir.connect()?);
    busy.query("BEGIN")?;
    busy.query("SELECT pg_advisory_xact_lock(79)")?;
    let mut other = door(weir.config());
    other.write_all(b"relief\n")?;
    say(&mut other, r#"{"says":"hello","weir":"99.0","conversation":1,"clients":4711}"#);
    let welcome = hear(&mut other);
    assert!(welcome.contains(r#""says":"welcome""#) && welcome.contains(r#""clients":false"#), "{welcome}");
    idle.query("SELECT 1")?;
    say(&mut other, r#"{"says":"ready","listeners":[]}"#);
    assert!(hear(&mut other).contains("relieved"));
    assert!(idle.is_closed_within(PATIENCE)?, "it is drained");
    busy.query("COMMIT")?;
    assert!(hear(&mut other).contains("farewell"));
    wait_end(&mut weir)?;
    assert!(says(&weir.log(), "does not understand this one's clients"), "{}", weir.log());
    Ok(())
}

#[test]
fn who_speaks_another_language_or_dies_before_it_serves_changes_nothing() -> Result<()> {
    let mut weir = WeirSetup::in_front_of(Cluster::shared(), [0]).start(WEIR)?;
    let mut client = weir.connect()?;
    furnish(&mut client, 3)?;
    let mut stranger = door(weir.config());
    stranger.write_all(b"relief\n")?;
    say(&mut stranger, r#"{"says":"hello","weir":"99.0","conversation":2,"clients":1}"#);
    let refused = hear(&mut stranger);
    assert!(
        refused.contains("refused") && refused.contains("does not know the words of weir 99.0"),
        "{refused}"
    );

    let mut dies = door(weir.config());
    dies.write_all(b"relief\n")?;
    say(&mut dies, r#"{"says":"hello","weir":"0.1.0","conversation":1,"clients":1}"#);
    assert!(hear(&mut dies).contains("welcome"));
    drop(dies);
    wait_for("it to be found dead", PATIENCE, || {
        let lines = weir.log().matches("this one goes on").count();
        Ok((lines == 2).then_some(()))
    })?;
    is_furnished(&mut client, 3)?;
    is_furnished_anew(&weir)?;
    assert!(weir.exit_status().is_none());
    Ok(())
}

fn is_furnished_anew(weir: &harness::Weir) -> Result<()> {
    let mut client = weir.connect()?;
    furnish(&mut client, 4)?;
    is_furnished(&mut client, 4)
}

#[test]
fn a_new_one_that_cannot_begin_leaves_the_old_one_as_it_was() -> Result<()> {
    let mut weir = WeirSetup::in_front_of(Cluster::shared(), [0]).start(WEIR)?;
    let mut client = weir.connect()?;
    furnish(&mut client, 5)?;
    let text = fs::read_to_string(weir.config())?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let more = format!("{text}\n[[listeners]]\naddress = \"{}\"\n", taken.local_addr()?);
    fs::write(weir.config(), more)?;
    let mut successor = Successor::begin(weir.config())?;
    assert!(!successor.ends()?.success());
    assert!(successor.log().contains("cannot listen on"), "{}", successor.log());
    fs::write(weir.config(), text)?;
    is_furnished(&mut client, 5)?;
    is_furnished_anew(&weir)?;
    // The next one is well.
    let successor = Successor::of(&weir)?;
    wait_end(&mut weir)?;
    is_furnished(&mut client, 5)?;
    is_furnished_anew(&weir)?;
    assert!(says(&successor.log(), "has taken over"));
    Ok(())
}

#[test]
fn while_a_database_is_paused_nobody_takes_over() -> Result<()> {
    let setup = WeirSetup::in_front_of(Cluster::shared(), [0]);
    let weir = setup.append("[console]\nusers = [\"postgres\"]").start(WEIR)?;
    let login = harness::client::Login::new("postgres", "postgres").database("weir");
    let mut console = harness::client::Client::connect(&weir.address(), &login)?;
    console.query("PAUSE")?;
    let mut successor = Successor::begin(weir.config())?;
    assert!(!successor.ends()?.success());
    assert!(successor.log().contains("paused"), "{}", successor.log());
    console.query("RESUME")?;
    is_furnished_anew(&weir)
}

#[test]
fn where_nobody_runs_there_is_nobody_to_take_over_from() -> Result<()> {
    let mut weir = WeirSetup::in_front_of(Cluster::shared(), [0]).start(WEIR)?;
    assert!(weir.terminate()?.success());
    let successor = Successor::begin(weir.config())?;
    wait_for("it to run", PATIENCE, || Ok(says(&successor.log(), "weir is running").then_some(())))?;
    is_furnished_anew(&weir)
}

#[test]
fn systemd_is_told_which_process_serves_now() -> Result<()> {
    let path = std::env::temp_dir().join(format!("weir-takeover-notify-{}", std::process::id()));
    let systemd = UnixDatagram::bind(&path)?;
    systemd.set_read_timeout(Some(PATIENCE))?;
    let setup = WeirSetup::in_front_of(Cluster::shared(), [0]);
    let mut weir = setup.environment("NOTIFY_SOCKET", path.to_str().unwrap()).start(WEIR)?;
    let successor = Successor::of(&weir)?;
    let is_told = format!("MAINPID={}", successor.pid());
    let mut told = [0; 1000];
    while !String::from_utf8_lossy(&told).lines().any(|line| line == is_told) {
        told.fill(b' ');
        systemd.recv(&mut told)?;
    }
    fs::remove_file(&path)?;
    wait_end(&mut weir)
}

#[test]
fn the_port_that_several_share_is_left_at_once() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    let setup = WeirSetup::in_front_of(&cluster, [0]).set("listen", "reuse_port", "true");
    let mut weir = setup.set("listen", "drain_timeout", "\"60s\"").start(WEIR)?;
    let mut busy = weir.connect()?;
    busy.query("BEGIN")?;
    busy.query("SELECT pg_advisory_xact_lock(80)")?;
    // The same file but for what only one can have.
    let text = fs::read_to_string(weir.config())?;
    let other = weir.config().with_file_name("other.toml");
    fs::write(
        &other,
        text.replace(&format!(":{}\"", weir.metrics_port()), &format!(":{}\"", harness::free_port()?)),
    )?;
    let successor = Successor::begin(&other)?;
    wait_for("it to run", PATIENCE, || Ok(says(&successor.log(), "weir is running").then_some(())))?;
    weir.ask_to_stop()?;
    wait_for("the drain", PATIENCE, || Ok(says(&weir.log(), "draining").then_some(())))?;
    assert!(crate::stage::pgbench(&cluster, weir.port(), &["-i", "-q"]).output()?.status.success());
    // A connection for each transaction: all of them come to the other.
    let arguments = ["-n", "-C", "-c", "4", "-t", "20", "-S"];
    let told = crate::stage::pgbench(&cluster, weir.port(), &arguments).output()?;
    let said = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
    assert!(
        told.status.success() && said.contains("number of failed transactions: 0"),
        "{said}\n{}",
        weir.log()
    );
    assert!(weir.exit_status().is_none(), "it has a client in a transaction");
    busy.query("COMMIT")?;
    wait_end(&mut weir)
}
