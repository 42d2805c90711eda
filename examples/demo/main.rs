//! A real cluster with weir in front, some traffic, and a view of where it goes.
//!
//! `cargo run --example demo` starts a primary and two streaming replicas in a directory of their own,
//! weir in front of them, and a few clients that read and write. Ctrl-C ends everything and leaves nothing.

#![forbid(unsafe_code)]

mod screen;
mod servers;
mod traffic;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use harness::{Cluster, Failure, Result, Weir};

use screen::Screen;
use servers::Servers;
use traffic::Traffic;

/// Starts PostgreSQL (a primary and two replicas) with weir in front, and shows where reads and writes go.
#[derive(Parser)]
#[command(name = "demo")]
struct Arguments {
    /// End after this many seconds; without it, on Ctrl-C.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Another weir than the one that is built along with this program.
    #[arg(long, value_name = "PATH", overrides_with = "weir")]
    weir: Option<PathBuf>,
}

/// Between two looks at the servers.
const STEP: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("demo: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let stop = stop_on_signal()?;
    let program = match &arguments.weir {
        Some(path) => path.clone(),
        None => build_weir()?,
    };
    eprintln!("starting PostgreSQL: a primary and two replicas");
    let cluster = Cluster::start()?;
    traffic::load_data(&cluster)?;
    eprintln!("starting weir");
    let weir = Weir::start(&program, &cluster)?;
    let mut servers = Servers::new(&cluster);
    let traffic = Traffic::start(weir.address(), Arc::clone(&stop));

    let mut screen = Screen::new(&cluster, &weir)?;
    let end = arguments.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    while !stop.load(Ordering::Relaxed) && end.is_none_or(|end| Instant::now() < end) {
        pause(&stop);
        servers.look();
        screen.show(&servers, &weir.metrics()?, traffic.errors());
    }
    stop.store(true, Ordering::Relaxed);
    let outcome = if end.is_some() { verdict(&servers, &traffic) } else { Ok(()) };
    screen.end();
    drop(traffic);
    drop(weir);
    drop(cluster);
    eprintln!("stopped; nothing is left behind");
    outcome
}

/// What a script that runs the demo for some seconds wants to know.
fn verdict(servers: &Servers, traffic: &Traffic) -> Result<()> {
    let (primary, replicas) = servers.counts().split_at(1);
    if traffic.errors() > 0 {
        return Err(Failure::new(format!(
            "{} statements failed; the last: {}",
            traffic.errors(),
            traffic.last_error()
        )));
    }
    if replicas.iter().any(|replica| replica.writes > 0) {
        return Err(Failure::new("a replica was asked to write"));
    }
    if replicas.iter().any(|replica| replica.reads == 0) || primary[0].writes == 0 {
        return Err(Failure::new("a server had nothing to do"));
    }
    Ok(())
}

/// One step, cut short by Ctrl-C.
fn pause(stop: &AtomicBool) {
    harness::wait_until(STEP, || stop.load(Ordering::Relaxed));
}

/// A flag that SIGINT and SIGTERM raise, so that the servers are stopped before the prompt comes back.
fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            if let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                raised.store(true, Ordering::Relaxed);
            }
        });
    });
    Ok(stop)
}

/// Builds weir as this program was built, since Cargo builds no binary for an example, and returns its path.
fn build_weir() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    // target/release/examples/demo
    let profile =
        this.parent().and_then(Path::parent).ok_or_else(|| Failure::new("not in a target directory"))?;
    let target = profile.parent().ok_or_else(|| Failure::new("not in a target directory"))?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "build",
        "--bin",
        "weir",
        "--manifest-path",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ]);
    cargo.arg("--target-dir").arg(target);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    if !cargo.status()?.success() {
        return Err(Failure::new("weir was not built"));
    }
    Ok(profile.join("weir"))
}
