//! The whole of weir in front of servers that let nobody in without TLS.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use harness::client::front;
use harness::{Authority, Cluster, Options, Result, Weir, WeirSetup, wait_for};

use crate::{PATIENCE, WEIR, file};

const ONLY_SSL: &str = "hostssl all all 127.0.0.1/32 scram-sha-256\n";

/// Passes everything on, and keeps what weir says.
struct Sniffer {
    port: u16,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Sniffer {
    fn before(server: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let heard = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let ours = heard.clone();
        thread::spawn(move || {
            for (number, weir) in listener.incoming().map_while(std::io::Result::ok).enumerate() {
                let heard = ours.clone();
                heard.lock().unwrap().push(Vec::new());
                thread::spawn(move || {
                    pass(weir, server, |bytes| heard.lock().unwrap()[number].extend(bytes))
                });
            }
        });
        Ok(Self { port, heard })
    }
}

fn pass(mut weir: TcpStream, server: u16, hears: impl Fn(&[u8])) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server))?;
    let (mut from, mut to) = (server.try_clone()?, weir.try_clone()?);
    thread::spawn(move || {
        // It ends when one of the two closes.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let mut chunk = [0; 1 << 16];
    loop {
        let n = weir.read(&mut chunk)?;
        if n == 0 {
            return server.shutdown(Shutdown::Both);
        }
        hears(&chunk[..n]);
        server.write_all(&chunk[..n])?;
    }
}

/// What goes around TLS, by what nobody may read.
fn assert_encrypted(sniffer: &Sniffer) {
    let heard = sniffer.heard.lock().unwrap();
    assert!(heard.len() > 2, "probes, a sampler, a session");
    for said in heard.iter() {
        assert_eq!(said[..8], [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f], "SSLRequest");
        assert!(said.len() == 8 || said[8] == 0x16, "a handshake");
        for secret in [&b"SELECT"[..], b"app\0", &80_877_102u32.to_be_bytes()] {
            assert!(!said.windows(secret.len()).any(|part| part == secret), "{secret:?} is to be read");
        }
    }
}

fn encrypted_everywhere(cluster: &Cluster) -> Result<()> {
    for server in 0..cluster.size() {
        let sql = "SELECT count(*) FILTER (WHERE NOT ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                    WHERE client_addr IS NOT NULL";
        let answer = cluster.sql(server, sql)?;
        assert_eq!(answer.rows[0][0].as_deref(), Some("0"), "{answer:?}");
        assert_ne!(answer.rows[0][1].as_deref(), Some("0"), "{answer:?}");
    }
    Ok(())
}

fn slept(weir: &Weir, cluster: &Cluster) -> Result<()> {
    let mut client = weir.connect()?;
    client.send(&[front::query("BEGIN; SELECT pg_sleep(60)")])?;
    wait_for("it to sleep", PATIENCE, || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        let asleep =
            (0..cluster.size()).map(|server| cluster.sql(server, sql)).collect::<Result<Vec<_>>>()?;
        Ok(asleep.iter().any(|answer| answer.value() == "1").then_some(()))
    })?;
    client.cancel()?;
    let answer = client.until_ready()?;
    let error = answer.iter().find_map(|message| message.error()).unwrap();
    assert_eq!(error.sqlstate(), "57014", "{error}");
    Ok(())
}

#[test]
fn nothing_goes_around_the_encryption() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    let ours = Authority::new("ours");
    let issued = ours.server(&["127.0.0.1"]);
    for server in 0..cluster.size() {
        cluster.secure(server, &issued.certificate, &issued.key, None)?;
        cluster.admit(server, ONLY_SSL)?;
    }
    let root = file("whole", "root.pem", &ours.pem());
    let sniffers = [Sniffer::before(cluster.port(0))?, Sniffer::before(cluster.port(1))?];
    let mut setup = WeirSetup::in_front_of(&cluster, []).at_any_age();
    for (number, sniffer) in sniffers.iter().enumerate() {
        setup = setup.append(&format!(
            "[[servers]]\nname = \"{}\"\nhost = \"127.0.0.1\"\nport = {}\nsslmode = \"verify-full\"\nsslrootcert = {root:?}\nchannel_binding = \"require\"\n",
            cluster.name(number),
            sniffer.port
        ));
    }
    let weir = setup.start(WEIR)?;
    weir.wait_up("replica1", 1.0)?;
    let mut client = weir.connect()?;
    client.query("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 10000)")?;
    client.query("CREATE FUNCTION f() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM t'")?;
    cluster.wait_caught_up()?;
    // What the catalog says came over TLS as well.
    wait_for("reads with a function to leave the primary", PATIENCE, || {
        client.query("SELECT f()")?;
        Ok((client.query("SHOW weir.route")?.value().starts_with("replica1")).then_some(()))
    })?;
    assert_eq!(client.query("SELECT string_agg(a::text, ' ') FROM t")?.value().len(), 48_893);
    slept(&weir, &cluster)?;
    encrypted_everywhere(&cluster)?;
    sniffers.iter().for_each(assert_encrypted);
    let metrics = weir.metrics()?;
    for server in ["primary", "replica1"] {
        let how = [("server", server), ("version", "TLSv1.3"), ("cipher", "TLS_AES_256_GCM_SHA384")];
        assert_eq!(metrics.sum("weir_server_encryption", &how), 1.0);
        assert_eq!(metrics.sum("weir_server_encryption", &[("server", server)]), 1.0);
    }
    let status = weir.get("/status")?;
    assert!(status.contains("server primary primary up, TLSv1.3 TLS_AES_256_GCM_SHA384\n"), "{status}");
    Ok(())
}

/// The default, towards servers that have TLS and servers that have none.
#[test]
fn what_is_there_is_used_and_what_is_not_is_told() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    let issued = Authority::new("ours").server(&["127.0.0.1"]);
    cluster.secure(0, &issued.certificate, &issued.key, None)?;
    let weir = Weir::start(WEIR, &cluster)?;
    weir.wait_up("replica1", 1.0)?;
    weir.connect()?.query("SELECT 1")?;
    let status = weir.get("/status")?;
    assert!(status.contains("server primary primary up, TLSv1.3"), "{status}");
    assert!(
        status.lines().any(|line| line.starts_with("server replica1") && line.contains("not encrypted")),
        "{status}"
    );
    slept(&weir, &cluster)?;
    // A server that learns it, and one that forgets it.
    cluster.secure(1, &issued.certificate, &issued.key, None)?;
    cluster.unsecure(0)?;
    cluster.sql(0, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_addr IS NOT NULL")?;
    cluster.sql(1, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_addr IS NOT NULL")?;
    wait_for("both to be seen", PATIENCE, || {
        let metrics = weir.metrics()?;
        let how = |server: &str, version: &str| {
            metrics.sum("weir_server_encryption", &[("server", server), ("version", version)])
        };
        let seen = how("primary", "none") == 1.0 && how("replica1", "TLSv1.3") == 1.0;
        Ok((seen && how("primary", "TLSv1.3") == 0.0 && how("replica1", "none") == 0.0).then_some(()))
    })?;
    assert!(
        weir.log().contains("connected without encryption, which was encrypted before"),
        "{}",
        weir.log()
    );
    Ok(())
}

/// Whom the system trusts is trusted, and the name is looked at without a word about it.
#[test]
fn the_system_says_whom_to_trust() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    cluster.admit(0, ONLY_SSL)?;
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let weir = |authority: &Authority| {
        let roots = file("system", "roots.pem", &authority.pem());
        WeirSetup::in_front_of(&cluster, [0])
            .each_server("sslrootcert = \"system\"")
            .environment("SSL_CERT_FILE", &roots.to_string_lossy())
    };
    let refused = |setup: WeirSetup, words: &str| {
        let weir = setup.start_unready(WEIR)?;
        wait_for(words, PATIENCE, || Ok(weir.get("/readyz")?.contains(words).then_some(())))
    };
    let issued = ours.server(&["127.0.0.1"]);
    cluster.secure(0, &issued.certificate, &issued.key, None)?;
    weir(&ours).start(WEIR)?.connect()?.query("SELECT 1")?;
    refused(weir(&other), "its issuer is not among the trusted root certificates")?;
    let issued = ours.server(&["other.example"]);
    cluster.secure(0, &issued.certificate, &issued.key, None)?;
    refused(weir(&ours), "does not match host name \"127.0.0.1\"")
}
