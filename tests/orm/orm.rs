//! Where the reads of untouched applications go, and what the faults of a primary do to their pools.
//!
//! The applications are Python programs (FastAPI on SQLAlchemy and asyncpg, Django, psycopg alone) that know nothing
//! of weir. This program gives them a cluster with weir in front, and asks the servers' own logs what ran where.
//! That it can find stale reads is seen with WEIR__ROUTING__CONSISTENCY=eventual in the environment, which weir inherits.
//!
//! `tests/orm/run` runs it; it is no part of `cargo test`, since it needs packages from elsewhere.

#![forbid(unsafe_code)]

mod application;
mod count;
mod encrypted;
mod faults;
mod pools;
mod reads;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use harness::{Cluster, Result, Weir, WeirSetup, ending};

use application::Application;
use faults::Fault;

/// Runs untouched ORM applications through weir, and fails when a target is missed.
#[derive(Parser)]
#[command(name = "orm", bin_name = "tests/orm/run")]
struct Arguments {
    /// What to run; everything, if nothing is said.
    #[arg(value_enum)]
    trials: Vec<Trial>,
    /// `[routing] transactions` of weir while reads are counted. Faults are tried with both values.
    #[arg(long, default_value = "lazy", value_name = "WORD")]
    transactions: String,
    #[command(flatten)]
    load: count::Load,
    /// Faults to play; all of them, if nothing is said.
    #[arg(long, value_enum, value_name = "FAULT")]
    fault: Vec<Fault>,
    /// The Python that has the applications' packages.
    #[arg(long, hide = true)]
    python: PathBuf,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Trial {
    /// FastAPI, SQLAlchemy and asyncpg: a session per request.
    Fastapi,
    /// Django with ATOMIC_REQUESTS, and psycopg.
    Django,
    /// psycopg in plain SQL, with the transactions that it begins by itself.
    Psycopg,
    /// asyncpg and psycopg over TLS.
    Tls,
    /// Pools of SQLAlchemy's while the primary fails in many ways, and directly for comparison.
    #[value(alias = "restart")]
    Faults,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if arguments.trials.is_empty() {
        arguments.trials = Trial::value_variants().to_vec();
    }
    ending("orm", run(&arguments))
}

/// Every target that was missed, in words.
fn run(arguments: &Arguments) -> Result<Vec<String>> {
    eprintln!("starting PostgreSQL: a primary and two replicas");
    let cluster = Cluster::start()?;
    cluster.connect(cluster.primary())?.query(include_str!("schema.sql"))?;
    cluster.wait_caught_up()?;

    let mut misses = Vec::new();
    let mut head = Some(reads::HEAD);
    let counted = arguments.trials.iter().filter_map(|trial| Some((trial, trial.application()?)));
    for (trial, file) in counted {
        let application = Application { python: &arguments.python, file, more: Vec::new() };
        let outcome = weir(&cluster, &arguments.transactions)
            .and_then(|weir| reads::measure(&cluster, &weir, &application, &arguments.load));
        match outcome {
            Ok(outcome) => {
                head.take().into_iter().for_each(|head| println!("{head}"));
                println!("{}", outcome.row(&format!("{trial:?}").to_lowercase()));
                misses.extend(outcome.misses().map(|miss| format!("{trial:?}: {miss}")));
            }
            Err(failure) => misses.push(format!("{trial:?}: {failure}")),
        }
    }
    if arguments.trials.contains(&Trial::Tls) {
        let missed = encrypted::drive(&cluster, &arguments.python);
        misses.extend(missed.unwrap_or_else(|failure| vec![format!("encrypted: {failure}")]));
    }
    if arguments.trials.contains(&Trial::Faults) {
        println!("\n{}", pools::HEAD);
        let faults = if arguments.fault.is_empty() { Fault::value_variants() } else { &arguments.fault };
        for fault in faults {
            let missed = pools::suffer(&cluster, &arguments.python, *fault);
            misses.extend(missed.unwrap_or_else(|failure| vec![format!("{}: {failure}", fault.title())]));
        }
    }
    Ok(misses)
}

impl Trial {
    /// The program whose reads are counted.
    fn application(self) -> Option<&'static str> {
        match self {
            Trial::Fastapi => Some("orm/fastapi_app.py"),
            Trial::Django => Some("orm/django_app.py"),
            Trial::Psycopg => Some("orm/psycopg_app.py"),
            Trial::Tls | Trial::Faults => None,
        }
    }
}

/// weir with its defaults but for the transactions.
fn weir(cluster: &Cluster, transactions: &str) -> Result<Weir> {
    WeirSetup::in_front_of(cluster, 0..cluster.size())
        .set("routing", "transactions", &format!("\"{transactions}\""))
        .start(env!("CARGO_BIN_EXE_weir"))
}
