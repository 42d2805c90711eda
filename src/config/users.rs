//! `[[users]]`: who may log in, how they prove it, and as whom weir logs in to the servers for them.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use config::Value;
use zeroize::Zeroizing;

use super::kinds::{count, secret, text, word};
use super::section::Section;
use super::{Credential, Pinning, Secret, ServerProof, Timeouts, User, doubts, overrides, warnings};

/// What secrets may be fetched from.
pub(super) struct Surroundings<'a> {
    /// The configuration file. Relative paths start where it lies, not where weir was started.
    pub file: &'a Path,
    /// The environment's variables.
    pub environment: &'a HashMap<String, String>,
    /// What is to be said of the files that they were fetched from.
    pub warned: RefCell<Vec<String>>,
}

/// Three ways to give one secret: in the file, in a file of its own, in an environment variable.
pub(super) struct SecretKeys {
    plain: &'static str,
    file: &'static str,
    variable: &'static str,
}

/// Of the user as whom the servers are asked for users.
pub(super) const QUERY_PASSWORD: SecretKeys =
    SecretKeys { plain: "query_password", file: "query_password_file", variable: "query_password_env" };

/// Of a key that weir shows to a server.
pub(super) const SSL_PASSWORD: SecretKeys =
    SecretKeys { plain: "sslpassword", file: "sslpassword_file", variable: "sslpassword_env" };

/// Of weir towards who knows of servers.
pub(super) const DISCOVERY_PASSWORD: SecretKeys = PASSWORD;

const PASSWORD: SecretKeys =
    SecretKeys { plain: "password", file: "password_file", variable: "password_env" };

const SERVER_PASSWORD: SecretKeys =
    SecretKeys { plain: "server_password", file: "server_password_file", variable: "server_password_env" };

impl SecretKeys {
    pub(super) fn all(&self) -> [&'static str; 3] {
        [self.plain, self.file, self.variable]
    }
}

/// Where users are known by their names.
pub(super) struct Known {
    /// The names so far.
    pub names: HashSet<String>,
    /// Whether anybody else knows of users and their secrets.
    pub elsewhere: bool,
    /// What holds where a user has no timeouts of its own.
    pub timeouts: Timeouts,
}

/// `auth = "..."`.
#[derive(Clone, Copy)]
enum Auth {
    Scram,
    Trust,
    Certificate,
}

const AUTH: [(&str, Auth); 3] =
    [("scram-sha-256", Auth::Scram), ("trust", Auth::Trust), ("cert", Auth::Certificate)];

/// `pinning = "..."`.
const PINNING: [(&str, Pinning); 3] =
    [("pin", Pinning::Pin), ("primary-only", Pinning::PrimaryOnly), ("reject", Pinning::Reject)];

/// One user. Names are unique.
pub(super) fn user(entry: &mut Section, around: &Surroundings, known: &mut Known) -> User {
    let timeouts = known.timeouts;
    let name = entry.require("name", text).unwrap_or_default();
    if !name.is_empty() && !known.names.insert(name.clone()) {
        entry.note("name", format!("another user is called {name:?} already"));
    }
    let auth = entry.read("auth", word(&AUTH));
    let auth = auth.unwrap_or(Auth::Scram);
    check_proof(entry, auth, known);
    only_one(entry, &SERVER_PASSWORD.all());

    let password = one_secret(entry, &PASSWORD, around);
    let verifier = entry.read("verifier", verifier);
    let server_password = one_secret(entry, &SERVER_PASSWORD, around).or_else(|| password.clone());
    let server_proof = match (server_password, &verifier) {
        (Some(password), _) => ServerProof::Password(password),
        (None, Some(_)) => ServerProof::PassThrough,
        (None, None) => ServerProof::None,
    };
    User {
        credential: match (auth, verifier, password) {
            (Auth::Trust, _, _) => Credential::Trust,
            (Auth::Certificate, _, _) => Credential::Certificate,
            (Auth::Scram, None, Some(password)) => Credential::Password(password),
            (Auth::Scram, Some(verifier), _) => Credential::Verifier(verifier),
            // Where nobody else knows of it a mistake was noted, and this is never run.
            (Auth::Scram, None, None) => Credential::Elsewhere,
        },
        server_user: entry.read("server_user", text).unwrap_or_else(|| name.clone()).into(),
        name: name.into(),
        server_proof,
        target: entry.read("target", overrides::target).unwrap_or_default(),
        transactions: entry.read("transactions", overrides::transactions),
        consistency: entry.read("consistency", overrides::consistency),
        max_staleness: entry.read("max_staleness", overrides::max_staleness),
        pool_size: entry.read("pool_size", count(1..=10_000)),
        pinning: entry.read("pinning", word(&PINNING)).unwrap_or_default(),
        pool_mode: entry.read("pool_mode", overrides::pool_mode),
        timeouts: Timeouts {
            idle_client: entry
                .read("idle_client_timeout", overrides::timeout)
                .unwrap_or(timeouts.idle_client),
            idle_in_transaction: entry
                .read("idle_in_transaction_timeout", overrides::timeout)
                .unwrap_or(timeouts.idle_in_transaction),
            query: entry.read("query_timeout", overrides::timeout).unwrap_or(timeouts.query),
        },
    }
}

/// Exactly one proof with SCRAM, or none where it stands elsewhere, and none with trust and certificates: a password that is
/// never asked for would deceive who reads it.
fn check_proof(entry: &Section, auth: Auth, known: &Known) {
    let [plain, file, variable] = PASSWORD.all();
    let proofs = [plain, file, variable, "verifier"];
    match auth {
        Auth::Scram if !known.elsewhere && !proofs.iter().any(|key| entry.has(key)) => {
            entry.note_whole(format!("needs one of {}, or auth = \"trust\"", proofs.join(", ")));
        }
        Auth::Scram => only_one(entry, &proofs),
        Auth::Trust => never_asked(entry, &proofs, "trust"),
        Auth::Certificate => never_asked(entry, &proofs, "cert"),
    }
}

fn never_asked(entry: &Section, proofs: &[&'static str], auth: &str) {
    for key in proofs.iter().filter(|key| entry.has(key)) {
        let problem =
            format!("is never asked for with auth = \"{auth}\"; for the servers, say server_password");
        entry.note(key, problem);
    }
}

pub(super) fn only_one(entry: &Section, keys: &[&'static str]) {
    let mut given = keys.iter().filter(|key| entry.has(key));
    if let Some(first) = given.next() {
        given.for_each(|key| entry.note(key, format!("{first} is given already; only one can hold")));
    }
}

/// A secret that is given in one of three ways, or not at all.
pub(super) fn one_secret(entry: &mut Section, keys: &SecretKeys, around: &Surroundings) -> Option<Secret> {
    let plain = entry.read(keys.plain, secret);
    let doubt = plain.as_ref().and_then(|one| doubts::secret(&entry.key(keys.plain), keys.variable, one));
    around.warned.borrow_mut().extend(doubt);
    let file = entry.read(keys.file, |value| from_file(value, around));
    let variable = entry.read(keys.variable, |value| from_variable(value, around.environment));
    file.iter().for_each(|secret| entry.leads_to(keys.file, secret));
    plain.or(file).or(variable)
}

/// The first line of a file. The path is not quoted: it may be a password written under the wrong key.
fn from_file(value: &Value, around: &Surroundings) -> Result<Secret, String> {
    let path = around.file.with_file_name("").join(text(value)?);
    let content =
        std::fs::read_to_string(&path).map_err(|error| format!("the file cannot be read: {error}"))?;
    let content = Zeroizing::new(content);
    around.warned.borrow_mut().extend(warnings::readable_secrets(&path));
    match content.lines().next() {
        None | Some("") => Err("the file's first line is empty".to_owned()),
        Some(line) if line.contains('\0') => Err("the file holds a zero byte".to_owned()),
        Some(line) => Ok(Secret::new(line)),
    }
}

/// An environment variable's value. The name is quoted only if it looks like one, for the same reason.
fn from_variable(value: &Value, environment: &HashMap<String, String>) -> Result<Secret, String> {
    let name = text(value)?;
    match environment.get(&name) {
        Some(secret) if !secret.is_empty() => Ok(Secret::new(secret.clone())),
        Some(_) => Err(format!("the environment variable {name} is empty")),
        None if name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') => {
            Err(format!("the environment variable {name} is not set"))
        }
        None => Err("no environment variable has this name".to_owned()),
    }
}

/// `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, as `pg_authid.rolpassword` holds it.
fn verifier(value: &Value) -> Result<Secret, String> {
    let secret = secret(value)?;
    if well_formed(secret.expose()).is_none() {
        let form = "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>";
        return Err(format!("expected {form}, as in pg_authid.rolpassword"));
    }
    Ok(secret)
}

fn well_formed(verifier: &str) -> Option<()> {
    let (iterations, rest) = verifier.strip_prefix("SCRAM-SHA-256$")?.split_once(':')?;
    let (salt, keys) = rest.split_once('$')?;
    let (stored, server) = keys.split_once(':')?;
    let decoded = |text: &str| BASE64_STANDARD.decode(text).ok();
    let iterates = iterations.parse::<u32>().is_ok_and(|count| count > 0);
    let salted = decoded(salt).is_some_and(|salt| !salt.is_empty());
    // SHA-256 makes keys of 32 bytes.
    let keyed = [stored, server].iter().all(|key| decoded(key).is_some_and(|key| key.len() == 32));
    (iterates && salted && keyed).then_some(())
}
