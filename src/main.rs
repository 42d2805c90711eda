//! The command line: arguments in, exit code out.

mod cli;

use std::convert::Infallible;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use cli::say;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use weir::admin::Question;
use weir::config::{self, Config, Mistakes, Summary};
use weir::hba::{self, Offered};
use weir::net::Given;
use weir::net::tls::{Acceptor, AcceptorError};
use weir::router::{
    self, Answer, BeginsWhere, FixedTarget, FunctionLists, Learned, Replicas, SessionView, World,
};
use weir::server::{AskError, Signals, Start, StartError, Supervision};
use weir::sql::Classifier;
use weir::telemetry::log;

const ABOUT: &str = "A PostgreSQL proxy that reads from replicas and writes to the primary

An application points its connection string at weir and changes nothing else. Weir reads each statement, sends reads
to replicas and everything else to the primary, and shares a small number of server connections among many clients.";

const MORE: &str = "Examples:
  weir init postgresql://postgres@db1/shop --output proxy.toml
                                       Ask a running cluster, and write a first configuration
  weir import pgbouncer.ini            Say what PgBouncer's configuration is here
  weir check --config proxy.toml       Say what the configuration means, or name all its mistakes
  weir reload --config proxy.toml      Have the one that runs with it read it anew
  weir explain --on http://127.0.0.1:9187 --user app --database shop 'SELECT total(1)'
                                       Ask the weir that runs, which knows the catalog and the servers
  weir top                             Show in the terminal what the weir that runs does
  weir run --config proxy.toml         Run in the foreground; log to standard error
  weir run --takeover                  The same, in the place of the one that runs: no client notices
  weir explain 'SELECT now()'          Say where a statement goes, and why
  weir explain --file script.sql       Say it of each statement of a file, and how its transactions run
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

/// How long the end waits for what occupies threads of the runtime.
const LAST_TURNS: Duration = Duration::from_secs(1);

/// How long a running weir may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Parser)]
#[command(version, about = ABOUT, after_help = MORE)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy until it is told to stop (SIGTERM or Ctrl-C)
    Run(Run),
    /// Have the weir that runs with a configuration file read it anew, and say what changed
    Reload(File),
    /// Check a configuration: print what it means, or all mistakes in it
    Check(File),
    /// Say where a statement goes, or each of several, and why, without asking any server
    Explain(Explain),
    /// Write a first configuration from what a running cluster says of itself
    Init(cli::init::Init),
    /// Write a configuration from PgBouncer's
    Import(cli::import::Import),
    /// Ask a running weir whether it is well: the exit code tells
    Health(cli::health::Health),
    /// Print what a shell completes commands and options by
    Completions(cli::pages::Completions),
    /// Write the manual pages
    Man(cli::pages::Man),
    /// Show in this terminal what the weir that runs does, and whether all is well
    Top(WhichWeir),
}

#[derive(Args)]
struct File {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value_os_t = config::default_path())]
    config: PathBuf,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    file: File,
    /// Take over from the weir that runs with the same configuration file: its sockets, and its clients as each comes
    /// between two requests. Where none runs, start as without
    #[arg(long)]
    takeover: bool,
}

#[derive(Args)]
struct WhichWeir {
    /// The address of its [metrics]
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9187")]
    on: String,
}

#[derive(Args)]
struct Explain {
    /// The configuration file, for its rules, functions and fixed targets; without it proxy.toml where there is one,
    /// else none
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The user that asks
    #[arg(long, short, default_value = "", hide_default_value = true)]
    user: String,
    /// The database that is asked, by the name that clients use
    #[arg(long, short, default_value = "", hide_default_value = true)]
    database: String,
    /// The session's application_name
    #[arg(long, short, default_value = "", hide_default_value = true)]
    application_name: String,
    /// Ask the weir that runs, with its catalog, its servers and its rules, at the address of its [metrics], such as
    /// http://127.0.0.1:9187
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    on: Option<String>,
    /// Read the statements from this file; - is standard input
    #[arg(long, short, value_name = "FILE", conflicts_with = "sql")]
    file: Option<PathBuf>,
    /// One statement, or several that a client sends one after the other
    #[arg(required_unless_present = "file")]
    sql: Option<String>,
}

impl Explain {
    fn text(&self) -> anyhow::Result<Vec<u8>> {
        let mut text = Vec::new();
        match (&self.sql, &self.file) {
            (None, Some(file)) if file.as_os_str() == "-" => _ = std::io::stdin().read_to_end(&mut text)?,
            (None, Some(file)) => {
                text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
            }
            (sql, _) => text.extend_from_slice(sql.as_deref().unwrap_or_default().as_bytes()),
        }
        Ok(text)
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Reload(file) => reload(&file.config),
        Command::Check(file) => check(&file.config),
        Command::Explain(question) => explain(&question),
        Command::Init(init) => init.run(),
        Command::Import(import) => import.run(),
        Command::Health(health) => health.run(),
        Command::Completions(completions) => completions.run(Arguments::command()),
        Command::Man(man) => man.run(Arguments::command()),
        Command::Top(which) => top(&which.on),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where nobody reads that, the exit code tells.
            drop(writeln!(std::io::stderr(), "weir: {error:#}"));
            if is_configuration(&error) { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::FAILURE }
        }
    }
}

/// Whether it is the configuration that is wrong, or a file that it names.
fn is_configuration(error: &anyhow::Error) -> bool {
    let at_start = matches!(error.downcast_ref(), Some(StartError::Rules(_) | StartError::Tls(_)));
    let at_reload = matches!(error.downcast_ref(), Some(AskError::Refused(_)));
    at_start
        || at_reload
        || error.is::<Mistakes>()
        || error.is::<hba::Mistakes>()
        || error.is::<AcceptorError>()
}

/// Done when what was read holds: systemd's ExecReload and scripts can rely on the exit code.
fn reload(file: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{}", runtime.block_on(weir::server::reload_running(file))?);
    Ok(())
}

fn check(file: &Path) -> anyhow::Result<()> {
    let config = config::load(file)?;
    let rules = config.auth.hba.as_ref().map(|files| hba::load(files).0).transpose()?;
    for files in config.listeners.iter().filter_map(|listener| listener.tls.files()) {
        Acceptor::load(files.clone())?;
    }
    let unmet = rules.as_ref().map(|rules| rules.unmet(offered(&config))).unwrap_or_default();
    let told = rules.iter().flat_map(|rules| &rules.warnings).chain(&unmet);
    let shut_out = rules.as_ref().map(|rules| shut_out(&config, rules)).unwrap_or_default();
    let warnings = config.warnings.iter().cloned().chain(config.unsafe_servers());
    let warnings = warnings.chain(told.map(ToString::to_string)).chain(shut_out);
    let warnings = warnings.chain(weir::server::doubts_of_limit(&config));
    let lines: String = warnings.map(|warning| format!("warning: {warning}\n")).collect();
    say(&format!("{} is right\n{}\n{lines}", file.display(), Summary(&config)))
}

/// Users whom hba_file lets in from nowhere.
fn shut_out(config: &Config, rules: &hba::Rules) -> Vec<String> {
    let users = config.users.iter().map(|user| &user.name).filter(|name| !rules.may_admit(name));
    users.map(|name| format!("nobody can log in as user {name:?}: no line of hba_file lets it in")).collect()
}

/// What the lines of hba_file find on the listeners.
fn offered(config: &Config) -> Offered {
    let files = || config.listeners.iter().filter_map(|listener| listener.tls.files());
    match files().next() {
        None => Offered::Nothing,
        Some(_) if files().any(|files| files.roots.is_some()) => Offered::Certificates,
        Some(_) => Offered::Tls,
    }
}

fn explain(question: &Explain) -> anyhow::Result<()> {
    if let Some(url) = &question.on {
        return explain_on(url, question);
    }
    let file = question.config.clone().or_else(|| Some(config::default_path()).filter(|file| file.exists()));
    let config = file.as_deref().map(config::load).transpose()?;
    let text = question.text()?;
    let routing = config.as_ref().map(|config| &config.routing);
    let functions = routing.map_or_else(FunctionLists::default, |routing| {
        FunctionLists::new(&routing.read_functions, &routing.write_functions)
    });
    let world = World {
        replicas: Replicas::Usable,
        catalog: None,
        learned: &Learned::new(0, Duration::ZERO),
        rules: routing.map_or(&[], |routing| &routing.rules),
        functions: &functions,
        now: Instant::now(),
    };
    let (target, begins) = fixed(config.as_ref(), question)?;
    let begun = SessionView::begun(&question.user, &question.database, &question.application_name);
    let session = SessionView { target, ..begun };
    let Answer { text, conditions, notes } =
        router::answer(&text, &Classifier::new(1), session, &world, begins);
    let rules = match &file {
        Some(file) => format!("With the rules of {}, {conditions}.", file.display()),
        None => format!("Without a configuration, {conditions}."),
    };
    say(&format!("{text}\n{rules}\nNo server was asked.\n{notes}"))
}

/// Has a running weir explain it.
fn explain_on(url: &str, question: &Explain) -> anyhow::Result<()> {
    let asked = Question {
        user: question.user.clone(),
        database: question.database.clone(),
        application_name: question.application_name.clone(),
        sql: question.text()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = async { tokio::time::timeout(ANSWER_TIMEOUT, weir::admin::ask(url, &asked)).await };
    let answer = runtime.block_on(answer);
    // A name that is being looked up holds a thread for as long as the resolver takes.
    runtime.shutdown_background();
    let answer = answer.with_context(|| format!("{url} has not answered within {ANSWER_TIMEOUT:?}"))?;
    say(&answer?)
}

/// Shows a running weir in the terminal.
fn top(url: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        std::io::stdin().is_terminal() && std::io::stdout().is_terminal(),
        "`weir top` needs a terminal; elsewhere ask {url}/status or {url}/status.json"
    );
    Ok(weir::top::run(url)?)
}

/// What the configuration fixes for the user and the database that are asked about.
fn fixed(config: Option<&Config>, question: &Explain) -> anyhow::Result<(Option<FixedTarget>, BeginsWhere)> {
    let Some(config) = config else { return Ok(Default::default()) };
    let is_known = config.users.iter().any(|user| *user.name == *question.user);
    if !is_known && !question.user.is_empty() && !config.auth.has_source() {
        anyhow::bail!("no [[users]] entry is called {:?}", question.user);
    }
    Ok(router::fixed(config, &question.user, &question.database))
}

fn run(arguments: &Run) -> anyhow::Result<()> {
    let (file, takes_over) = (&*arguments.file.config, arguments.takeover);
    let loaded = config::load_whole(file)?;
    let config = &loaded.config;
    let (log, live) = log::start(&config.log)?;
    // Where everything else is told; the hook that is there would wait at standard error for whoever reads it.
    std::panic::set_hook(Box::new(|panic| tracing::error!(panic = panic.to_string(), "a task has panicked")));
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    // One thread needs no queues to steal from: the simpler runtime costs each transaction less.
    let mut builder = match config.workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(config.workers).enable_all().build()?;
    let (given, supervision) = (Given::by_systemd(), Supervision::of_environment());
    let begin =
        Start { loaded, file: file.to_owned(), lost: log.lost(), log: live, given, supervision, takes_over };
    let outcome = runtime.block_on(serve(begin));
    // A name that is being looked up holds a thread for as long as the resolver takes.
    runtime.shutdown_timeout(LAST_TURNS);
    tracing::info!("weir ends");
    outcome
}

/// Runs until told to stop, and told twice does not wait.
async fn serve(begin: Start) -> anyhow::Result<()> {
    let (tell, reload) = watch::channel(0);
    let others = heed_signals(tell)?;
    let signals = Signals { stop: told(1)?, at_once: told(2)?, reload };
    tokio::select! {
        ran = weir::server::run(begin, signals) => Ok(ran?),
        never = others => match never {},
    }
}

/// Signals that would end the process, and are not meant to. SIGPIPE is ignored by every program in Rust.
fn heed_signals(reload: watch::Sender<u64>) -> anyhow::Result<impl Future<Output = Infallible>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut user1 = signal(SignalKind::user_defined1())?;
    let mut user2 = signal(SignalKind::user_defined2())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = hangup.recv() => {
                    tracing::info!("SIGHUP: the configuration and the files that it names are read anew");
                    reload.send_modify(|count| *count += 1);
                }
                _ = user1.recv() => tracing::debug!("SIGUSR1 means nothing here"),
                _ = user2.recv() => tracing::debug!("SIGUSR2 means nothing here"),
            }
        }
    })
}

/// Ready when the process has been told to stop so many times.
fn told(times: usize) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        for _ in 0..times {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
    })
}
