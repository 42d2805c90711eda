//! Drivers over TLS, verified, through a weir that lets nobody in without.

use std::path::Path;

use harness::{Cluster, Papers, Result, WeirSetup};

use crate::application::Application;

/// What each driver reads.
const READS: u64 = 100;

/// Runs them, and says what was missed.
pub(crate) fn drive(cluster: &Cluster, python: &Path) -> Result<Vec<String>> {
    let papers = Papers::new()?;
    let weir = WeirSetup::in_front_of(cluster, 0..cluster.size())
        .encrypting_clients(&papers)
        .start(env!("CARGO_BIN_EXE_weir"))?;
    let application = Application { python, file: "orm/tls_app.py", more: Vec::new() };
    let arguments = ["--authority".to_owned(), papers.root().display().to_string()];
    let figures = application.start(weir.port(), &arguments)?.end()?;
    let mut misses = Vec::new();
    for way in ["asked", "direct", "psycopg"] {
        let read = figures.number(way)?;
        println!("encrypted, {way}: {read} reads");
        if read != READS {
            misses.push(format!("encrypted, {way}: {read} of {READS} reads"));
        }
    }
    Ok(misses)
}
