//! `weir init`: asks a running cluster, and writes what it says as a configuration.

use std::io::IsTerminal as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use weir::cluster::survey::{Login, Survey, SurveyError, survey};
use weir::config::{self, Secret};
use weir::init::{Draft, Environment, Passfile, Password, Target, written};

use super::{Output, say};

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(5);

const MORE: &str = "The password is looked for in the URL, in PGPASSWORD, in --password-file and in ~/.pgpass (PGPASSFILE), and asked for
where there is a terminal. PGHOST, PGPORT, PGUSER, PGDATABASE, PGSSLMODE and PGSSLROOTCERT count as for psql.

Replicas are found by what the servers say of each other (pg_stat_replication, pg_stat_wal_receiver), which a superuser
may see and a member of pg_monitor; others name them: postgresql://app@db1,db2:5433/shop.

Examples:
  weir init postgresql://postgres@db1/shop --output proxy.toml
  weir init --host db1,db2 --user app --dbname shop --sslmode verify-full --sslrootcert root.pem";

#[derive(Args)]
#[command(after_help = MORE)]
pub(crate) struct Init {
    /// A server of the cluster: postgresql://USER@HOST:PORT/DATABASE, with several hosts if you like, or "host=... user=..."
    server: Option<String>,
    /// Hosts, separated by commas; the directory of a Unix socket begins with /
    #[arg(long)]
    host: Option<String>,
    /// Their ports, one for all or one for each
    #[arg(long)]
    port: Option<String>,
    /// The user as whom they are asked, and who is the first that may log in to weir
    #[arg(long, short = 'U')]
    user: Option<String>,
    /// The database in which they are asked [default: postgres]
    #[arg(long, short)]
    dbname: Option<String>,
    /// libpq's sslmode
    #[arg(long, value_name = "MODE")]
    sslmode: Option<String>,
    /// A file with the certificates that the servers' must come from, or "system"
    #[arg(long, value_name = "FILE")]
    sslrootcert: Option<String>,
    /// A file whose first line is the password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A further port at which replicas may listen; may be given several times
    #[arg(long = "try-port", value_name = "PORT")]
    ports: Vec<u16>,
    #[command(flatten)]
    output: Output,
}

impl Init {
    /// Runs it.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let login = self.login()?;
        let secret = self.output.file().map(|file| beside(file, &login.user));
        self.output.see_that_free(self.output.file().into_iter().chain(secret.as_deref()))?;
        let (login, found) = search(login)?;
        let password = match (&login.password, &secret) {
            (None, _) => Password::None,
            (Some(_), Some(file)) => Password::File(name(file)),
            (Some(_), None) => Password::Variable(variable(&login.user)),
        };
        let text = written(&Draft { login: &login, survey: &found, password: &password });
        let Some(file) = self.output.file() else { return say(&text) };
        if let (Some(password), Some(file)) = (&login.password, &secret) {
            self.output.put(file, &format!("{}\n", password.expose()), 0o600)?;
        }
        self.output.put(file, &text, 0o644)?;
        tell(&found, file, secret.as_deref().filter(|_| login.password.is_some()));
        // What was found may still be no configuration; whoever reads this is told at once.
        config::load(file)?;
        Ok(())
    }

    fn login(&self) -> anyhow::Result<Login> {
        let environment = Environment::new(
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
        );
        let named = self.server.as_deref().map(Target::parse).transpose()?.unwrap_or_default();
        if named.password.is_some() {
            eprintln!(
                "weir: others on this machine can see a password on the command line; PGPASSWORD and ~/.pgpass hide it"
            );
        }
        let options = Target {
            host: self.host.clone(),
            port: self.port.clone(),
            user: self.user.clone(),
            database: self.dbname.clone(),
            password: self.password_file.as_deref().map(first_line).transpose()?,
            sslmode: self.sslmode.clone(),
            sslrootcert: self.sslrootcert.clone(),
        };
        let mut target = Target::of(&environment).under(named).under(options);
        if let Some(root) = target.sslrootcert.as_mut().filter(|root| *root != "system") {
            // The configuration may come to lie elsewhere.
            *root = std::path::absolute(&*root)?.to_string_lossy().into_owned();
        }
        let (places, tls) = (target.places()?, target.tls()?);
        let user = target.user.context("as whom? say --user, or postgresql://USER@...")?;
        let database = target.database.unwrap_or_else(|| "postgres".to_owned());
        let passfile =
            environment.passfile().filter(|_| target.password.is_none()).and_then(|file| private(&file));
        let from_file =
            || places.iter().find_map(|place| passfile.as_ref()?.password(place, &database, &user));
        Ok(Login {
            password: target.password.or_else(from_file),
            places,
            ports: self.ports.clone(),
            user: user.into(),
            database: database.into(),
            tls,
            patience: PATIENCE,
        })
    }
}

/// Asks; where a password is wanted and somebody is there, asks for that and once more.
fn search(mut login: Login) -> anyhow::Result<(Login, Survey)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut outcome = runtime.block_on(survey(&login));
    if matches!(outcome, Err(SurveyError::Password { .. })) && std::io::stdin().is_terminal() {
        login.password =
            Some(Secret::new(rpassword::prompt_password(format!("Password for user {}: ", login.user))?));
        outcome = runtime.block_on(survey(&login));
    }
    // A name that is being looked up holds a thread for as long as the resolver takes.
    runtime.shutdown_background();
    match outcome {
        Err(error @ SurveyError::Password { .. }) => {
            Err(anyhow::Error::from(error).context("no password: set PGPASSWORD, or see weir init --help"))
        }
        outcome => Ok((login, outcome?)),
    }
}

/// What was done, on standard error.
fn tell(found: &Survey, file: &Path, secret: Option<&Path>) {
    for server in &found.servers {
        eprintln!("found {:?} {}", server.role, server.place);
    }
    for sentence in &found.unknown {
        eprintln!("not found out: {sentence}");
    }
    if let Some(secret) = secret {
        eprintln!("wrote {}, which holds the password", secret.display());
    }
    eprintln!("wrote {}: look at it, then: weir run --config {}", file.display(), file.display());
}

/// The file for a user's password, beside the configuration.
fn beside(file: &Path, user: &str) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    file.with_file_name(format!("{}.password", user.chars().map(plain).collect::<String>()))
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The variable for a user's password.
fn variable(user: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("{}_PASSWORD", user.chars().map(plain).collect::<String>())
}

fn first_line(file: &Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(Secret::new(text.lines().next().unwrap_or_default()))
}

/// A password file that nobody else may read; libpq passes over others, and says so.
fn private(file: &Path) -> Option<Passfile> {
    let mode = std::fs::metadata(file).ok()?.mode();
    if mode & 0o077 != 0 {
        eprintln!("weir: {} is passed over: others may read it (chmod 600)", file.display());
        return None;
    }
    std::fs::read_to_string(file).ok().map(Passfile::new)
}
