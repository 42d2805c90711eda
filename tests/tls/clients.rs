//! PostgreSQL's own programs, encrypted: load, interrupts, and what is told of them.

use std::path::Path;
use std::process::{Command, Stdio};

use harness::client::{Address, Client, Login, front};
use harness::{Cluster, Postgres, Result, Weir, wait_for};
use rustix::process::{Pid, Signal, kill_process};

use crate::{PATIENCE, Papers, psql};

fn program(name: &str, weir: &Weir, root: &Path) -> Command {
    let mut command = Command::new(Postgres::locate().unwrap().program(name).unwrap());
    command
        .args(["-h", "localhost", "-U", "app", "-p", &weir.port().to_string()])
        .env("PGPASSWORD", "app")
        .env("PGDATABASE", "app")
        .env("PGSSLMODE", "verify-full")
        .env("PGSSLROOTCERT", root)
        .env("HOME", "/nonexistent");
    command
}

fn pgbench(weir: &Weir, root: &Path, arguments: &[&str]) -> String {
    let output = program("pgbench", weir, root).args(arguments).output().unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

#[test]
fn pgbench_runs_in_each_of_its_modes() -> Result<()> {
    let papers = Papers::new("pgbench")?;
    let weir = papers.weir("require")?;
    let root = papers.path("ca.crt");
    pgbench(&weir, &root, &["-i", "-q"]);
    for mode in ["simple", "extended", "prepared"] {
        for connections in [&["-t", "100"][..], &["-t", "5", "-C"]] {
            let load = [&["-n", "-c", "4", "-M", mode], connections].concat();
            let said = pgbench(&weir, &root, &load);
            assert!(said.contains("number of failed transactions: 0 "), "{load:?}: {said}");
            let all = if connections.contains(&"-C") { "20/20" } else { "400/400" };
            assert!(said.contains(&format!("actually processed: {all}")), "{load:?}: {said}");
        }
    }
    Ok(())
}

/// Waits until a statement with this text runs.
fn wait_running(what: &str) -> Result<()> {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%{what}%' AND pid <> pg_backend_pid()"
    );
    wait_for(what, PATIENCE, || Ok((Cluster::shared().sql(0, &sql)?.value() == "1").then_some(())))
}

/// Before PostgreSQL 17 psql asks for it without encryption, and later as the session is encrypted.
#[test]
fn psql_is_interrupted() -> Result<()> {
    let papers = Papers::new("interrupted")?;
    let weir = papers.weir("require")?;
    let psql = program("psql", &weir, &papers.path("ca.crt"))
        .args(["-XAtq", "-c", "SELECT 'psql sleeps' FROM pg_sleep(60)"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    wait_running("psql sleeps")?;
    kill_process(Pid::from_raw(psql.id().try_into().unwrap()).unwrap(), Signal::INT).unwrap();
    let output = psql.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("canceling statement due to user request"), "{said}");
    Ok(())
}

/// With PostgreSQL as well, a cancel request needs no encryption where everybody else does.
#[test]
fn a_cancel_request_reaches_encrypted_and_in_the_clear() -> Result<()> {
    let papers = Papers::new("cancel")?;
    let weir = papers.weir("require")?;
    for plain in [false, true] {
        let mut client = Client::connect(&papers.address(&weir), &Login::new("app", "app"))?;
        let what = if plain { "in the clear" } else { "encrypted" };
        client.send(&[front::query(format!("SELECT 'sleeps {what}' FROM pg_sleep(60)"))])?;
        wait_running(&format!("sleeps {what}"))?;
        if plain {
            let mut other = Client::open(&Address::local(weir.port()))?;
            other.send(&[front::cancel_request(client.key().unwrap())])?;
            assert!(other.is_closed_within(PATIENCE)?);
        } else {
            client.cancel()?;
        }
        let error = client.until_ready()?.iter().find_map(|message| message.error()).unwrap();
        assert_eq!(error.sqlstate(), "57014", "{error}");
    }
    Ok(())
}

#[test]
fn how_a_client_is_encrypted_is_told() -> Result<()> {
    let papers = Papers::new("told")?;
    let weir = papers.weir("allow")?;
    let counted = |result: &str| {
        weir.metrics().map(|metrics| metrics.sum("weir_tls_handshakes_total", &[("result", result)]))
    };
    psql(&weir, "user=app sslmode=disable", "SELECT 1").unwrap();
    assert!(!weir.log().contains("TLSv1"), "{}", weir.log());
    assert_eq!((counted("ok")?, counted("failed")?), (0.0, 0.0));
    psql(&weir, "user=app sslmode=require", "SELECT 1").unwrap();
    let line = "client connected tls=\"TLSv1.3\" cipher=\"TLS_AES_256_GCM_SHA384\"";
    wait_for("the line", PATIENCE, || Ok(weir.log().contains(line).then_some(())))?;
    assert_eq!((counted("ok")?, counted("failed")?), (1.0, 0.0));
    let other = Papers::new("strangers")?;
    let string = format!("user=app sslmode=verify-full sslrootcert={}", other.path("ca.crt").display());
    let refused = psql(&weir, &string, "SELECT 1").unwrap_err();
    assert!(refused.contains("certificate verify failed"), "{refused}");
    wait_for("it to be counted", PATIENCE, || Ok((counted("failed")? == 1.0).then_some(())))?;
    assert_eq!(counted("ok")?, 1.0);
    Ok(())
}
