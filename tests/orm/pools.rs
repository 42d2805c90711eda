//! Pools of connections through the faults of a primary. What ran is lost; no connection may be left believing that
//! something is open on it, for then every later transaction of the pool fails. A driver believes that when its BEGIN
//! is answered by an error: a BEGIN on its way when the server dies, or one that no primary is there for.
//!
//! All applications live through the same fault at the same time, on one cluster.

use std::path::Path;
use std::time::Duration;

use harness::client::{Address, Client, Login};
use harness::{Cluster, Failure, Result, Weir, WeirSetup, wait_for};

use crate::application::{Application, Figures, Running};
use crate::faults::Fault;

/// How long weir may take to find the primary again.
const PATIENCE: Duration = Duration::from_secs(20);

const DRIVERS: [&str; 2] = ["asyncpg", "psycopg"];

/// How many articles an application has for itself.
const ARTICLES: usize = 48;

/// Above the rows.
pub(crate) const HEAD: &str = "fault                             way      driver     done   stall  lost  then failed  errors while it lasted";

/// An application's way to the primary.
struct Way {
    /// The value of `transactions`, if weir is in between.
    name: &'static str,
    port: u16,
}

/// Plays a fault, prints a row for each application, and says what was missed.
pub(crate) fn suffer(cluster: &Cluster, python: &Path, fault: Fault) -> Result<Vec<String>> {
    let weirs = [weir(cluster, fault, "lazy")?, weir(cluster, fault, "primary")?];
    let ports = weirs.each_ref().map(Weir::port);
    let mut ways = vec![Way { name: "lazy", port: ports[0] }, Way { name: "primary", port: ports[1] }];
    if fault.leaves_the_primary() {
        ways.push(Way { name: "direct", port: cluster.port(cluster.primary()) });
    }

    let application = Application { python, file: "orm/pool.py", more: Vec::new() };
    let mut running = Vec::new();
    for way in &ways {
        for driver in DRIVERS {
            let first = running.len() * ARTICLES + 1;
            let arguments = [format!("--driver={driver}"), format!("--first={first}")];
            running.push((way, driver, application.start(way.port, &arguments)?));
        }
    }
    for (way, driver, application) in &mut running {
        if application.line()?.is_empty() {
            return Err(Failure::new(format!("{driver}, {} did not come to work", way.name)));
        }
    }
    fault.play(cluster, &ports)?;
    ways.iter().try_for_each(|way| recovered(way.port))?;

    let mut misses = Vec::new();
    for (way, driver, application) in running {
        let row = format!("{:<34}{:<9}{driver:<9}", fault.title(), way.name);
        let figures = counted(application)?;
        println!("{row}{}", columns(&figures)?);
        let (failed, later) = (figures.number("failed")?, figures.number("later")?);
        if failed > 0 {
            let last = figures.words("last")?;
            misses.push(format!(
                "{}, {driver}, {}: {failed} of {later} failed ({last})",
                fault.title(),
                way.name
            ));
        }
    }
    Ok(misses)
}

/// Waits until a write succeeds.
fn recovered(port: u16) -> Result<()> {
    wait_for("a write", PATIENCE, || {
        let client = Client::connect(&Address::local(port), &Login::new("app", "app"));
        Ok(client.and_then(|mut client| client.query("UPDATE articles SET version = 0 WHERE id = 480")).ok())
    })?;
    Ok(())
}

fn counted(mut application: Running) -> Result<Figures> {
    application.go_on()?;
    application.end()
}

fn columns(figures: &Figures) -> Result<String> {
    let number = |name| figures.number(name);
    let then = format!("{} of {}", number("failed")?, number("later")?);
    let stall = format!("{:.1} s", number("stall_ms")? as f64 / 1000.0);
    let (done, lost, kinds) = (number("done")?, number("lost")?, figures.words("kinds")?);
    Ok(format!("{done:>6}{stall:>8}{lost:>6}  {then:>11}  {kinds}"))
}

/// weir with its defaults but for the transactions and what the fault is about.
fn weir(cluster: &Cluster, fault: Fault, transactions: &str) -> Result<Weir> {
    let setup = WeirSetup::in_front_of(cluster, 0..cluster.size());
    let setup = setup.set("routing", "transactions", &format!("\"{transactions}\""));
    fault.configure(setup).start(env!("CARGO_BIN_EXE_weir"))
}
