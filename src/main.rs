//! The command line: arguments in, exit code out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use weir::config::{self, Config, Mistakes, Summary};
use weir::telemetry::log;

const ABOUT: &str = "A PostgreSQL proxy that reads from replicas and writes to the primary

An application points its connection string at weir and changes nothing else. Weir reads each statement, sends reads
to replicas and everything else to the primary, and shares a small number of server connections among many clients.";

const MORE: &str = "Examples:
  weir check --config proxy.toml       Say what the configuration means, or name all its mistakes
  weir run --config proxy.toml         Run in the foreground; log to standard error
  WEIR_LOG=debug WEIR__POOL__SIZE=50 weir run
                                       The same with two settings overridden

Environment:
  WEIR__SECTION__KEY   Overrides a setting of a [section] of the configuration, such as
                       WEIR__LISTEN__ADDRESS=0.0.0.0:6432
  WEIR_LOG             Short for WEIR__LOG__FILTER: what is logged, such as info or weir::pool=debug

Exit codes:
  0   Done, or stopped as told
  1   Failed while running, or could not start
  2   The command line is wrong
  78  The configuration is wrong";

/// The exit code for a wrong configuration: EX_CONFIG of sysexits.h, which systemd shows as such.
const BAD_CONFIGURATION: u8 = 78;

#[derive(Parser)]
#[command(version, about = ABOUT, after_help = MORE)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy until it is told to stop (SIGTERM or Ctrl-C)
    Run(File),
    /// Check a configuration: print what it means, or all mistakes in it
    Check(File),
}

#[derive(Args)]
struct File {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value_os_t = config::default_path())]
    config: PathBuf,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(file) => run(&file.config),
        Command::Check(file) => check(&file.config),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error:#}");
            if error.is::<Mistakes>() { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::FAILURE }
        }
    }
}

fn check(file: &Path) -> anyhow::Result<()> {
    let config = config::load(file)?;
    println!("{} is right\n{}", file.display(), Summary(&config));
    config.warnings.iter().for_each(|warning| println!("warning: {warning}"));
    Ok(())
}

fn run(file: &Path) -> anyhow::Result<()> {
    let config = config::load(file)?;
    log::start(&config.log)?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(config.workers).enable_all().build()?;
    runtime.block_on(serve(config))
}

/// Runs until told to stop.
async fn serve(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok(weir::server::run(config, stop).await?)
}
