//! TLS from the first byte on, and what only looks like it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use harness::client::{Address, Client, Hello, Login, TlsAddress, front};
use harness::{Dice, Result, Weir, wait_for};
use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::{PATIENCE, Papers, psql};

fn direct(papers: &Papers, weir: &Weir, protocol: Option<&[u8]>) -> Address {
    let authority = papers.authority.der();
    Address::Tls(TlsAddress { port: weir.port(), authority, hello: Hello::Direct(protocol.map(Into::into)) })
}

#[test]
fn who_begins_with_tls_must_say_what_is_spoken_within() -> Result<()> {
    let papers = Papers::new("direct")?;
    let weir = papers.weir("require")?;
    let login = Login::new("app", "app");
    let mut client = Client::connect(&direct(&papers, &weir, Some(b"postgresql")), &login)?;
    assert_eq!(client.query("SELECT 1")?.value(), "1");
    client.cancel()?;

    let mut silent = Client::open(&direct(&papers, &weir, None))?;
    // It may be closed before that is written.
    let _ = silent.send(&[login.startup()]);
    let heard = silent.read_byte();
    assert!(!matches!(heard, Ok(b'R')), "nothing was agreed upon: {heard:?}");
    assert!(silent.is_closed_within(PATIENCE)?);

    let other = Client::open(&direct(&papers, &weir, Some(b"http/1.1"))).map(drop).unwrap_err();
    assert!(other.to_string().contains("alert"), "{other}");
    Ok(())
}

/// What weir says until it closes the connection.
fn until_closed(client: &mut TcpStream) -> Vec<u8> {
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    match client.read_to_end(&mut said) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("not closed: {error}"),
        _ => said,
    }
}

#[test]
fn garbage_behind_the_first_byte_of_a_handshake_is_closed() -> Result<()> {
    let papers = Papers::new("garbage")?;
    let weir = papers.weir("allow")?;
    for garbage in
        [&b"\x16garbage that is no record"[..], b"\x16\x03\x01\0\x05\x02\0\0\x01\0", b"\x16\x03\x03\0\0"]
    {
        for asked in [false, true] {
            let mut client = TcpStream::connect(("127.0.0.1", weir.port()))?;
            if asked {
                client.write_all(&front::ssl_request())?;
                client.set_read_timeout(Some(PATIENCE))?;
                client.read_exact(&mut [0])?;
            }
            client.write_all(garbage)?;
            let said = until_closed(&mut client);
            assert!(said.is_empty() || said[0] == 0x15, "an alert, or nothing: {said:?}");
        }
    }
    psql(&weir, "user=app sslmode=require", "SELECT 1").unwrap();
    Ok(())
}

/// The first flight of a client's.
fn client_hello() -> Vec<u8> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let mut session = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    hello
}

/// Something that begins like a client and does not go on like one.
fn noise(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = match dice.index(3) {
        0 => front::ssl_request(),
        1 => Vec::new(),
        _ => [front::ssl_request(), front::ssl_request()].concat(),
    };
    let mut hello = client_hello();
    match dice.index(4) {
        // A byte is another.
        0 => {
            let at = dice.index(hello.len());
            hello[at] = dice.index(256) as u8;
        }
        // Its end is missing.
        1 => hello.truncate(dice.index(hello.len())),
        // Only its beginning is one.
        2 => hello.truncate(1 + dice.index(10)),
        _ => {}
    }
    bytes.extend(hello);
    let more = dice.index(600);
    bytes.extend((0..more).map(|_| dice.index(256) as u8));
    bytes
}

#[test]
fn whatever_comes_is_closed_and_disturbs_nobody() -> Result<()> {
    let papers = Papers::new("noise")?;
    let weir = papers.weir("allow")?;
    let mut live = Client::connect(&papers.address(&weir), &Login::new("app", "app"))?;
    for round in 0..300 {
        let mut dice = Dice::new(round, 0);
        let bytes = noise(&mut dice);
        let mut client = TcpStream::connect(("127.0.0.1", weir.port()))?;
        // In one piece or in two, of which the second comes when the first has been answered or not.
        let (first, second) = bytes.split_at(if dice.percent(50) { 8.min(bytes.len()) } else { bytes.len() });
        client.write_all(first)?;
        if dice.percent(50) {
            std::thread::yield_now();
        }
        let _ = client.write_all(second);
        let _ = client.shutdown(Shutdown::Write);
        let said = until_closed(&mut client);
        assert!(said.first().is_none_or(|first| b"SE\x15\x16".contains(first)), "round {round}: {said:?}");
    }
    assert_eq!(live.query("SELECT 1")?.value(), "1");
    assert!(!weir.log().contains("panicked"), "{}", weir.log());
    wait_for("them to be counted", PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_tls_handshakes_total", &[("result", "failed")]) > 50.0).then_some(()))
    })?;
    Ok(())
}
