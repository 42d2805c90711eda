//! Applications on libraries that people use, directly and through weir: whether they notice, and where their reads go.
//!
//! Each is small and whole: tables by the library's own migrations where it has some, objects with their relations,
//! lists, streams, transactions that read and that write. It knows nothing of weir. The figures are those of the pages
//! in docs/with, and `--check` compares them.
//!
//! `tests/with/run` runs it; it is no part of `cargo test`, since it needs packages from elsewhere.

#![forbid(unsafe_code)]

#[path = "../orm/application.rs"]
#[allow(dead_code, reason = "tests/orm asks it for more")]
mod application;
#[path = "../orm/count.rs"]
mod count;
mod libraries;
mod pages;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, Parser, ValueEnum};
use harness::{Cluster, Failure, Result, Weir, ending, wait_for};

use application::Application;
use count::{Count, Load};
use libraries::{LIBRARIES, Library, Program};

/// Its tables; whose INSERTs fill those of the libraries' migrations as well.
const SCHEMA: &str = include_str!("../orm/schema.sql");

/// How long weir may take to read the catalog.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs small applications on many libraries, directly and through weir, and says where their reads ran.
#[derive(Parser)]
#[command(name = "with", bin_name = "tests/with/run")]
struct Arguments {
    /// What to run.
    #[arg(value_parser = PossibleValuesParser::new(LIBRARIES.iter().map(|library| library.name)))]
    libraries: Vec<String>,
    /// Compares the lines with those of the pages in docs/with.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    load: Load,
    /// What else there is to print or to write.
    #[arg(long, value_enum, value_name = "WHAT")]
    also: Vec<Also>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true, action = ArgAction::Count)]
    bench: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Also {
    /// Why requests went where they went.
    Why,
    /// The lines, into the pages.
    Pages,
}

/// What an application came to, both ways.
struct Outcome {
    directly: Count,
    through: Count,
    /// weir's routes, reasons and pins, each with how often.
    why: Vec<(String, f64)>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    ending("with", run(&arguments))
}

/// Whatever is not as it should be, in words.
fn run(arguments: &Arguments) -> Result<Vec<String>> {
    eprintln!("starting PostgreSQL: a primary and two replicas");
    let cluster = Cluster::start()?;
    let mut misses = Vec::new();
    println!("{}", pages::HEAD);
    let named = |name: &String| LIBRARIES.iter().find(|library| library.name == name);
    for library in arguments.libraries.iter().filter_map(named) {
        match compare(&cluster, library, &arguments.load) {
            Ok(outcome) => misses.extend(judge(arguments, library, &outcome)?),
            Err(failure) => misses.push(format!("{}: {failure}", library.name)),
        }
    }
    Ok(misses)
}

/// Prints a line, and says what is wrong with it.
fn judge(arguments: &Arguments, library: &Library, outcome: &Outcome) -> Result<Vec<String>> {
    let line = pages::line(library.name, &outcome.directly, &outcome.through);
    println!("{line}");
    if arguments.also.contains(&Also::Why) {
        outcome.why.iter().for_each(|(why, count)| println!("    {count:>6} {why}"));
    }
    let mut misses = Vec::new();
    for (way, count) in [("directly", &outcome.directly), ("through weir", &outcome.through)] {
        if count.stale + count.failed > 0 {
            let Count { stale, failed, .. } = count;
            misses.push(format!("{}: {way} {stale} stale reads, {failed} requests failed", library.name));
        }
    }
    if arguments.check {
        misses.extend(pages::differs(library, &line)?);
    }
    if arguments.also.contains(&Also::Pages) {
        pages::write(library, &line)?;
    }
    Ok(misses)
}

/// The same application on the primary itself, and then through weir.
fn compare(cluster: &Cluster, library: &Library, load: &Load) -> Result<Outcome> {
    let python = PathBuf::from(within("@venv/bin/python"));
    let port = cluster.port(cluster.primary());
    prepare(cluster, library, port)?;
    let directly = load.count(cluster, port, &application(library, &python))?;

    clear(cluster)?;
    let weir = Weir::start(env!("CARGO_BIN_EXE_weir"), cluster)?;
    prepare(cluster, library, weir.port())?;
    wait_known(&weir)?;
    let through = load.count(cluster, weir.port(), &application(library, &python))?;
    pages::run_statements(library, &weir)?;
    Ok(Outcome { directly, through, why: why(&weir)? })
}

/// Why requests went where they went, and what kept sessions where they were.
fn why(weir: &Weir) -> Result<Vec<(String, f64)>> {
    let requests =
        count::routes(weir)?.into_iter().map(|(route, count)| (format!("requests: {route}"), count));
    let metrics = weir.metrics()?;
    let counted = |name, label| {
        let sums = metrics.sums_by(name, [label]).into_iter();
        sums.map(move |([value], count)| (format!("{name} {label}={value}"), count))
    };
    let more = counted("weir_pins_total", "reason").chain(counted("weir_reruns_total", "cause"));
    Ok(requests.chain(more).collect())
}

/// Makes the tables by the way that the application has, and fills them.
fn prepare(cluster: &Cluster, library: &Library, port: u16) -> Result<()> {
    clear(cluster)?;
    migrate(cluster, library, port)?;
    let mut direct = cluster.connect(cluster.primary())?;
    for insert in SCHEMA.lines().filter(|line| line.starts_with("INSERT")) {
        direct.query(insert)?;
    }
    cluster.wait_caught_up()
}

/// Waits until weir has read the catalog since the migrations: reads of new tables stay on the primary until then.
fn wait_known(weir: &Weir) -> Result<()> {
    let mut client = weir.connect()?;
    wait_for("reads of the new tables on replicas", PATIENCE, || {
        client.query("SELECT count(*) FROM comments")?;
        let route = client.query("SHOW weir.route")?;
        Ok(route.value().contains("(replica").then_some(()))
    })
}

/// The library's application: a driver of itself, or one that Python drives.
fn application<'a>(library: &Library, python: &'a Path) -> Application<'a> {
    match library.program {
        Program::Python(file) => Application { python, file, more: Vec::new() },
        Program::Other(words) => {
            let command = words.iter().map(|word| within(word));
            let more = std::iter::once("--".to_owned()).chain(command).collect();
            Application { python, file: "with/drive.py", more }
        }
    }
}

/// Nothing of an application before is left.
fn clear(cluster: &Cluster) -> Result<()> {
    cluster.sql(cluster.primary(), "DROP OWNED BY app CASCADE")?;
    cluster.wait_caught_up()
}

/// The library's own migrations, or the tables in plain SQL.
fn migrate(cluster: &Cluster, library: &Library, port: u16) -> Result<()> {
    let Some((program, arguments)) = library.migrations.split_first() else {
        let tables = SCHEMA.lines().filter(|line| !line.starts_with("INSERT"));
        return cluster.connect(cluster.primary())?.query(&tables.collect::<Vec<_>>().join("\n")).map(drop);
    };
    let place = if program.starts_with("@node") { within("@node") } else { root().display().to_string() };
    let output = Command::new(within(program))
        .args(arguments)
        .current_dir(place)
        .env("DATABASE_URL", format!("postgresql://app:app@127.0.0.1:{port}/app"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()?;
    if !output.status.success() {
        let words = [output.stdout, output.stderr].concat();
        return Err(Failure::new(format!("its migrations: {}", String::from_utf8_lossy(&words))));
    }
    Ok(())
}

/// A word of a command, with what `@` stands for.
fn within(word: &str) -> String {
    match word.strip_prefix('@') {
        Some(rest) => root().join("target/with").join(rest).display().to_string(),
        None => word.to_owned(),
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
