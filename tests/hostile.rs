//! Clients and servers that break the protocol, vanish at the worst moment, or lie.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use harness::client::{Address, Client, Login, ServerError, front};
use harness::{Cluster, Result, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A weir with one connection to the primary: whatever one client leaves on it, the next one finds.
fn narrow() -> Result<Weir> {
    WeirSetup::in_front_of(Cluster::shared(), [0]).set("pool", "size", "1").start(WEIR)
}

/// A weir that the tests of the front door share.
fn door() -> &'static Weir {
    static DOOR: OnceLock<Weir> = OnceLock::new();
    DOOR.get_or_init(|| WeirSetup::in_front_of(Cluster::shared(), [0]).start(WEIR).unwrap())
}

/// Sends packets to a server, the next one behind the byte that answers the one before, and reads until it closes: that
/// byte for each, and severity, SQLSTATE and hint of the error, if it told one.
fn told(address: &Address, packets: &[&[u8]]) -> Result<(Vec<u8>, Option<[String; 3]>)> {
    let mut client = Client::open(address)?;
    let (last, first) = packets.split_last().unwrap();
    let mut answers = Vec::new();
    for packet in first {
        client.send_bytes(packet)?;
        answers.push(client.read_byte()?);
    }
    client.send_bytes(last)?;
    client.stream().shutdown(Shutdown::Write)?;
    let mut told = None;
    loop {
        match client.read() {
            Ok(message) => told = told.or(message.error().map(|error| words(&error))),
            Err(harness::Failure::Io(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Ok((answers, told));
            }
            Err(other) => return Err(other),
        }
    }
}

fn words(error: &ServerError) -> [String; 3] {
    [error.severity(), error.sqlstate(), error.field('H').unwrap_or_default()].map(str::to_owned)
}

#[test]
fn broken_first_packets_are_answered_as_the_server_answers_them() -> Result<()> {
    let packet = |parts: &[&[u8]]| front::untagged(&parts.concat());
    let start = |parameters: &[u8]| packet(&[&[0, 3, 0, 0], parameters]);
    let long = |len: usize| start(&[b"user\0", &vec![b'u'; len - 8 - 5 - 2][..], b"\0\0"].concat());
    let (ssl, cancel) = (front::ssl_request(), [0x04, 0xd2, 0x16, 0x2e]);
    let ssl_code = &ssl[4..];
    for packets in [
        // Lengths: negative, huge, too short for a version, one more than the longest.
        &[b"\xff\xff\xff\xff".to_vec()][..],
        &[b"\x7f\xff\xff\xff\0\x03\0\0".to_vec()],
        &[b"\0\0\0\x07\0\x03\0".to_vec()],
        &[b"\0\0\0\x04".to_vec()],
        &[b"\0\0\0\0".to_vec()],
        &[long(10_005)[..8].to_vec()],
        // HTTP, and TLS without asking.
        &[b"GET / HTTP/1.1\r\n\r\n".to_vec()],
        &[b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec()],
        // Requests for encryption: twice, with more in the packet, before nonsense.
        &[ssl.clone(), ssl.clone()],
        &[packet(&[ssl_code, b"more"]), packet(&[ssl_code, b"more"])],
        &[ssl.clone(), b"GET / HTTP/1.1\r\n\r\n".to_vec()],
        // Cancel requests with half a process, and with less and more of a key than there can be.
        &[packet(&[&cancel, b"\0\0"])],
        &[packet(&[&cancel, b"\0\0\0\x07abc"])],
        &[packet(&[&cancel, b"\0\0\0\x07", &[b'k'; 257]])],
        // No terminator, a name without a value, more behind the end.
        &[start(b"user\0app\0")],
        &[start(b"user")],
        &[start(b"user\0app\0\0more")],
        &[start(b"")],
        // No user, another protocol.
        &[start(b"\0")],
        &[start(b"user\0\0\0")],
        &[front::startup(4, 0, &[("user", "app")])],
        // A kind of replication that there is not.
        &[start(b"user\0app\0replication\0o\0\0")],
        &[start(b"user\0app\0replication\0logical\0\0")],
        // Half a packet, and nothing at all.
        &[Login::new("app", "app").startup()[..9].to_vec()],
        &[Vec::new()],
    ] {
        let packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
        let expected = told(&Cluster::shared().address(0), &packets)?;
        let shown = String::from_utf8_lossy(packets.last().unwrap());
        assert_eq!(told(&door().address(), &packets)?, expected, "{shown:?}");
    }
    door().connect()?.query("SELECT 1")?;
    Ok(())
}

#[test]
fn wrong_names_and_passwords_have_their_codes() -> Result<()> {
    let weir = door();
    let refused =
        |login: Login| Client::connect(&weir.address(), &login).unwrap_err().sqlstate().map(str::to_owned);
    assert_eq!(refused(Login::new("app", "wrong")).as_deref(), Some("28P01"));
    assert_eq!(refused(Login::new("nobody", "app").database("app")).as_deref(), Some("28P01"));
    assert_eq!(refused(Login::new("app", "app").database("no_such")).as_deref(), Some("3D000"));
    assert_eq!(refused(Login::new("app", "app").parameter("no_such_setting", "1")).as_deref(), Some("42704"),);
    weir.connect()?.query("SELECT 1")?;
    Ok(())
}

#[test]
fn broken_messages_end_the_session_and_nothing_else() -> Result<()> {
    let weir = door();
    let mut bystander = weir.connect()?;
    for bytes in [
        &b"Q\0\0\0\x03"[..],
        b"Q\xff\xff\xff\xff",
        b"Q\0\0\0\0",
        b"?\0\0\0\x04",
        b"\0\0\0\0\0\0\0\0",
        b"S\0\0\x40\0",
        b"p\0\0\0\x05\0",
    ] {
        let mut client = weir.connect()?;
        client.send_bytes(bytes)?;
        let heard = client.until_ready().unwrap_or_else(|failure| panic!("{bytes:?}: {failure}"));
        let error = heard[0].error().unwrap();
        assert_eq!((error.severity(), error.sqlstate()), ("FATAL", "08P01"), "{bytes:?}");
        assert!(client.is_closed_within(PATIENCE)?);
        bystander.query("SELECT 1")?;
    }
    Ok(())
}

/// The limit of the small messages counts the length word and the body, and not the type byte.
#[test]
fn the_longest_small_messages_are_answered_as_the_server_answers_them() -> Result<()> {
    const LIMIT: usize = 10_000;
    let (mut direct, mut through) = (Cluster::shared().connect(0)?, door().connect()?);
    let sized = |tag: u8, kind: &[u8], len: usize| {
        let body = [kind, &vec![b'n'; len - 4 - kind.len() - 1], b"\0"].concat();
        front::message(tag, &body)
    };
    let close = |len: usize| [sized(b'C', b"S", len), front::sync()];
    // Outside of a copy a CopyFail is ignored.
    let fail = |len: usize| [sized(b'f', b"", len), front::query("SELECT 1")];
    for frames in [close(LIMIT - 1), close(LIMIT), fail(LIMIT)] {
        for client in [&mut direct, &mut through] {
            client.send(&frames)?;
        }
        assert_eq!(through.until_ready()?, direct.until_ready()?);
    }
    for client in [&mut direct, &mut through] {
        client.send(&close(LIMIT + 1))?;
        assert!(client.is_closed_within(PATIENCE)?);
    }
    Ok(())
}

/// Bodies that are wrong in themselves are the server's to judge, and cost what they cost there.
#[test]
fn broken_bodies_are_answered_as_the_server_answers_them() -> Result<()> {
    let cluster = Cluster::shared();
    let (mut direct, mut through) = (cluster.connect(0)?, door().connect()?);
    for frame in [
        front::message(b'P', b"name"),
        front::message(b'P', b""),
        front::message(b'B', b"\0"),
        front::message(b'B', b"\0no_such\0\0\0\0\x01\x7f\xff\xff\xffxx"),
        front::message(b'D', b"X\0"),
        front::message(b'D', b""),
        front::message(b'C', b"?\0"),
        front::message(b'E', b"p"),
        front::message(b'Q', b""),
        front::message(b'Q', b"SELECT 1"),
        front::message(b'H', b"superfluous"),
    ] {
        let codes = |who: &str, client: &mut Client| -> Vec<String> {
            let words = String::from_utf8_lossy(&frame);
            let mut heard = client
                .ask(&[frame.clone(), front::sync()])
                .unwrap_or_else(|e| panic!("{who} {words:?}: {e}"));
            if frame[0] == b'Q' {
                heard.extend(client.until_ready().unwrap_or_else(|e| panic!("{who} {words:?}: {e}")));
            }
            heard
                .iter()
                .map(|m| m.error().map_or(m.to_string(), |e| format!("{} {}", e.severity(), e.sqlstate())))
                .collect()
        };
        let expected = codes("PostgreSQL", &mut direct);
        assert_eq!(codes("weir", &mut through), expected, "{:?}", String::from_utf8_lossy(&frame));
    }
    through.query("SELECT 1")?;
    Ok(())
}

/// Where a client can vanish, and what it has sent by then.
fn scenes() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let query = |sql: &str| front::query(sql);
    let half = |frame: Vec<u8>| frame[..frame.len() / 2].to_vec();
    vec![
        ("in a transaction", vec![query("BEGIN"), query("INSERT INTO vanished VALUES (1)")]),
        ("in a failed transaction", vec![query("BEGIN"), query("SELECT 1/0")]),
        ("with a lock", vec![query("BEGIN"), query("LOCK TABLE vanished")]),
        ("with a session lock", vec![query("SELECT pg_advisory_lock(4711)")]),
        ("with a temporary table", vec![query("CREATE TEMP TABLE leftover (id int)")]),
        ("with another role", vec![query("SET ROLE pg_monitor")]),
        ("read only", vec![query("SET default_transaction_read_only = on")]),
        ("listening", vec![query("LISTEN vanished")]),
        ("during a copy in", vec![query("COPY vanished FROM STDIN"), front::copy_data("2\n")]),
        (
            "within a copied row",
            vec![query("COPY vanished FROM STDIN"), half(front::copy_data("3\n".repeat(10_000)))],
        ),
        (
            "during a copy out",
            vec![query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT")],
        ),
        ("during a long answer", vec![query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)")]),
        ("during a long query", vec![query("INSERT INTO vanished SELECT 4 FROM pg_sleep(0.2) WHERE false")]),
        (
            "in a batch",
            vec![
                front::parse("", "INSERT INTO vanished VALUES (5)", &[]),
                front::bind("", "", &[]),
                front::execute("", 0),
            ],
        ),
        (
            "in a flushed batch",
            vec![
                front::parse("", "INSERT INTO vanished VALUES (6)", &[]),
                front::bind("", "", &[]),
                front::execute("", 0),
                front::flush(),
            ],
        ),
        (
            "behind a failed batch",
            vec![front::parse("", "SELEC", &[]), front::flush(), front::bind("", "", &[])],
        ),
        ("within a query", vec![half(query("INSERT INTO vanished VALUES (7)"))]),
        (
            "within a long query",
            vec![half(query(&format!("INSERT INTO vanished VALUES (8) --{}", "x".repeat(1 << 20))))],
        ),
        ("within a header", vec![vec![b'Q', 0, 0]]),
        (
            "within a bind",
            vec![
                front::parse("", "INSERT INTO vanished VALUES (length($1))", &[25]),
                half(front::bind("", "", &[Some(&[b'x'; 1 << 20])])),
            ],
        ),
    ]
}

/// Whoever comes next finds no transaction, no lock, no setting and no message of the one who vanished.
#[test]
fn who_vanishes_leaves_nothing_behind() -> Result<()> {
    let cluster = Cluster::shared();
    cluster.sql(0, "CREATE TABLE vanished (id int); GRANT ALL ON vanished TO app")?;
    let weir = narrow()?;
    for (scene, frames) in scenes() {
        for (way, linger) in [("at once", Duration::ZERO), ("later", Duration::from_millis(50))] {
            let mut client = weir.connect()?;
            client.send(&frames)?;
            thread::sleep(linger);
            // Closing with unread answers sends a reset, as a process that is killed does.
            drop(client);
            let mut next = weir.connect()?;
            let state = "SELECT current_user, current_setting('default_transaction_read_only'), \
                 (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' OR relation = 'vanished'::regclass), \
                 (SELECT count(*) FROM pg_class WHERE relname = 'leftover' AND relpersistence = 't'), \
                 (SELECT count(*) FROM pg_listening_channels())";
            let clean: Vec<_> = ["app", "off", "0", "0", "0"].map(|value| Some(value.to_owned())).to_vec();
            // The server may take a moment to notice that a connection was closed.
            wait_for(&format!("a clean connection after one vanished {scene} {way}"), PATIENCE, || {
                let answer = next.query(&format!("/* weir: primary */ {state}"))?;
                Ok((answer.rows == [clean.clone()]).then_some(()))
            })?;
            let heard = next.ask(&[front::query("SELECT 'in step'")])?;
            assert_eq!(heard[1].to_string(), "DataRow in step", "{scene} {way}");
            assert_eq!(heard.last().unwrap().status(), Some('I'), "{scene} {way}");
        }
    }
    // Nothing of it was committed. A batch without its Sync is rolled back, as PostgreSQL does it.
    assert_eq!(cluster.sql(0, "SELECT count(*) FROM vanished")?.value(), "0");
    Ok(())
}

/// Stands between weir and the primary, and after a given number of connections' logins says what a test wants.
struct Liar {
    port: u16,
}

impl Liar {
    /// Passes everything on, until a client's message holds `cue`: then it says `lie` instead of passing it on.
    fn between(cluster: &Cluster, cue: &'static str, lie: Vec<u8>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (port, server) = (listener.local_addr()?.port(), cluster.port(0));
        thread::spawn(move || {
            for client in listener.incoming().map_while(std::io::Result::ok) {
                let lie = lie.clone();
                thread::spawn(move || pass(client, server, cue, &lie));
            }
        });
        Ok(Self { port })
    }
}

fn pass(mut client: TcpStream, server: u16, cue: &str, lie: &[u8]) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server))?;
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        // It ends when one of the two closes.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let mut chunk = [0; 1 << 16];
    loop {
        let n = client.read(&mut chunk)?;
        if n == 0 {
            return server.shutdown(Shutdown::Both);
        }
        let asked = chunk[..n].windows(cue.len()).any(|window| window == cue.as_bytes());
        if asked { client.write_all(lie)? } else { server.write_all(&chunk[..n])? }
    }
}

#[test]
fn a_server_that_lies_loses_its_connection() -> Result<()> {
    let cluster = Cluster::shared();
    let ready = b"Z\0\0\0\x05I";
    for lie in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"C\0\0\0\x02".to_vec(),
        b"D\xff\xff\xff\xff".to_vec(),
        b"Z\0\0\0\x05?".to_vec(),
        b"Z\0\0\0\x04".to_vec(),
        // Answers to questions that nobody asked.
        [&b"1\0\0\0\x04"[..], ready].concat(),
        [&ready[..], ready].concat(),
        vec![0; 64],
    ] {
        let words = String::from_utf8_lossy(&lie).into_owned();
        let liar = Liar::between(cluster, "tell a lie", lie)?;
        let server = format!("[[servers]]\nhost = \"127.0.0.1\"\nport = {}", liar.port);
        let weir =
            WeirSetup::in_front_of(cluster, []).append(&server).set("pool", "size", "2").start(WEIR)?;
        let mut bystander = weir.connect()?;
        let mut client = weir.connect()?;
        client.set_patience(Duration::from_secs(5));
        client.send(&[front::query("SELECT 'tell a lie'")])?;
        // Whatever it hears, it hears something, and soon.
        let heard = client.until_ready();
        assert!(heard.is_ok(), "{words:?}: {heard:?}");
        bystander.query("SELECT 'in step'")?;
        let mut next = weir.connect()?;
        let answers = [next.query("SELECT 'in step'")?, next.query("SELECT 'in step'")?];
        assert!(answers.iter().all(|answer| answer.value() == "in step"), "{words:?}");
    }
    Ok(())
}

/// The settings that weir puts in front of a request are confirmed once.
#[test]
fn a_server_that_confirms_too_much_loses_its_connection() -> Result<()> {
    let cluster = Cluster::shared();
    let confirmed = b"C\0\0\0\x08SET\0Z\0\0\0\x05I";
    let refused = b"E\0\0\0\x13SERROR\0C42704\0\0Z\0\0\0\x05I";
    for lie in [confirmed.repeat(5), refused.repeat(5), [&confirmed[..], refused, confirmed].concat()] {
        let words = String::from_utf8_lossy(&lie).into_owned();
        // As weir says it, and not its client.
        let liar = Liar::between(cluster, " TO '7MB'", lie)?;
        let server = format!("[[servers]]\nhost = \"127.0.0.1\"\nport = {}", liar.port);
        let weir =
            WeirSetup::in_front_of(cluster, []).append(&server).set("pool", "size", "1").start(WEIR)?;
        let (mut bystander, mut client) = (weir.connect()?, weir.connect()?);
        client.set_patience(Duration::from_secs(5));
        client.query("SET work_mem = '7MB'")?;
        for sql in ["SELECT 'told'", "SELECT 'told again'"] {
            // Without the client's settings, so that they must be set again.
            assert_eq!(bystander.query("SHOW work_mem")?.value(), "4MB", "{words:?}");
            client.send(&[front::query(sql)])?;
            let heard = client.until_ready();
            assert!(heard.is_ok(), "{words:?}: {heard:?}");
        }
        assert_eq!(bystander.query("SHOW work_mem")?.value(), "4MB", "{words:?}");
        let log = weir.log();
        let told = log.contains("settings refused") || log.contains("to a server lost");
        assert!(told && !log.contains("panicked"), "{words:?}: {log}");
    }
    Ok(())
}
