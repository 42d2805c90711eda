//! TLS towards a server, by libpq's words: `[[servers]] sslmode` and its kin.
//!
//! The files are read here once, so that what cannot be used is a mistake of the configuration and not of the first connection.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::Value;

use super::ChannelBinding;
use super::kinds::{text, word};
use super::section::Section;
use super::users::{SSL_PASSWORD, Surroundings, one_secret, only_one};
use crate::net::tls::{Identity, Passphrase, Root, ServerTls, SslMode, Terms, Way, names_host};

/// `sslnegotiation = "..."`.
const NEGOTIATION: [(&str, Way); 2] = [("postgres", Way::Demanded), ("direct", Way::Direct)];

/// `channel_binding = "..."`.
const BINDING: [(&str, ChannelBinding); 3] = [
    ("disable", ChannelBinding::Disable),
    ("prefer", ChannelBinding::Prefer),
    ("require", ChannelBinding::Require),
];

/// `ssl_min_protocol_version = "..."`: whether TLS 1.2 is spoken. What is older weir does not have.
const VERSIONS: [(&str, bool); 2] = [("TLSv1.2", true), ("TLSv1.3", false)];

/// What an entry says of TLS towards the server at `host`, and of logins over it.
pub(super) fn server_tls(
    entry: &mut Section,
    host: &str,
    around: &Surroundings,
) -> (Arc<ServerTls>, ChannelBinding) {
    let tls = ServerTls::new(terms(entry, host, around));
    let binding = entry.read("channel_binding", word(&BINDING)).unwrap_or_default();
    let mode = tls.terms().mode;
    if binding == ChannelBinding::Require && (mode == SslMode::Disable || host.starts_with('/')) {
        entry.note(
            "channel_binding",
            "\"require\" needs TLS: there is nothing else that a login could be bound to",
        );
    }
    read_files(entry, host, &tls);
    (tls, binding)
}

/// The same of an entry where nobody logs in.
pub(super) fn tls(entry: &mut Section, host: &str, around: &Surroundings) -> Arc<ServerTls> {
    let tls = ServerTls::new(terms(entry, host, around));
    read_files(entry, host, &tls);
    tls
}

/// TLS towards a server of HTTP: the host is verified unless less is said, by those that the system trusts unless others are
/// named.
pub(super) fn https(entry: &mut Section, around: &Surroundings) -> Terms {
    let modes = [SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull].map(|mode| (mode.as_str(), mode));
    let path = |value: &Value| text(value).map(|text| beside(around.file, &text));
    let mode = entry.read("sslmode", word(&modes)).unwrap_or(SslMode::VerifyFull);
    let root = entry.read("sslrootcert", |value| root(value, around));
    let default = if mode == SslMode::Require { Root::Anyone } else { Root::System };
    let pair = (entry.read("sslcert", path), entry.read("sslkey", path));
    for (given, lacking) in [("sslcert", "sslkey"), ("sslkey", "sslcert")] {
        if entry.has(given) && !entry.has(lacking) {
            entry.note(given, format!("needs {lacking} as well"));
        }
    }
    let identity = match pair {
        (Some(certificate), Some(key)) => Some(Identity { certificate, key, passphrase: None }),
        _ => None,
    };
    Terms { mode, begin: Way::Direct, root: root.unwrap_or(default), identity, ..Terms::default() }
}

/// Finds what cannot be used of its files.
pub(super) fn read_https(entry: &Section, terms: &Terms) {
    read_files(entry, "", &ServerTls::new(terms.clone()));
}

fn root(value: &Value, around: &Surroundings) -> Result<Root, String> {
    let named = text(value)?;
    Ok(if named == "system" { Root::System } else { Root::File(beside(around.file, &named)) })
}

fn terms(entry: &mut Section, host: &str, around: &Surroundings) -> Terms {
    let path = |value: &Value| text(value).map(|text| beside(around.file, &text));
    let root = entry.read("sslrootcert", |value| root(value, around));
    let root = root.unwrap_or_default();
    // As libpq has it: who trusts all that the system trusts must look at the name.
    let default = if root == Root::System { SslMode::VerifyFull } else { SslMode::default() };
    only_one(entry, &SSL_PASSWORD.all());
    let passphrase = one_secret(entry, &SSL_PASSWORD, around);
    let passphrase = passphrase.map(|secret| Passphrase::new(secret.expose()));
    let terms = Terms {
        mode: entry.read("sslmode", word(&SslMode::WORDS)).unwrap_or(default),
        begin: entry.read("sslnegotiation", word(&NEGOTIATION)).unwrap_or(Way::Demanded),
        tls_1_2: entry.read("ssl_min_protocol_version", word(&VERSIONS)).unwrap_or(true),
        root,
        revoked: entry.read("sslcrl", path),
        identity: match (entry.read("sslcert", path), entry.read("sslkey", path)) {
            (Some(certificate), Some(key)) => Some(Identity { certificate, key, passphrase }),
            _ => None,
        },
    };
    check(entry, host, &terms);
    terms
}

/// What cannot be meant, in libpq's words where it has some.
fn check(entry: &Section, host: &str, terms: &Terms) {
    let mode = terms.mode.as_str();
    if terms.begin == Way::Direct && !terms.mode.is_strict() {
        entry.note("sslnegotiation", format!(
            "weak sslmode \"{mode}\" may not be used with sslnegotiation=direct (use \"require\", \"verify-ca\", or \"verify-full\")"
        ));
    }
    if terms.root == Root::System && terms.mode != SslMode::VerifyFull {
        entry.note(
            "sslmode",
            format!("weak sslmode \"{mode}\" may not be used with sslrootcert=system (use \"verify-full\")"),
        );
    }
    let verifies = terms.mode >= SslMode::VerifyCa && !host.starts_with('/');
    // One that was written and not understood has been noted already.
    if verifies && terms.root == Root::Anyone && !entry.has("sslrootcert") {
        let problem = format!("\"{mode}\" needs sslrootcert: a file with root certificates, or \"system\"");
        entry.note("sslmode", problem);
    }
    if verifies && terms.mode == SslMode::VerifyFull && !names_host(host) {
        entry.note("host", "is no name that a certificate could be for; sslmode is \"verify-full\"");
    }
    let passwords = SSL_PASSWORD.all().map(|given| (given, "sslkey"));
    let pairs = [("sslcert", "sslkey"), ("sslkey", "sslcert"), ("sslcrl", "sslrootcert")];
    for (given, lacking) in pairs.into_iter().chain(passwords) {
        if entry.has(given) && !entry.has(lacking) {
            entry.note(given, format!("needs {lacking} as well"));
        }
    }
}

/// Finds what cannot be used of the files. Over a Unix socket none of it is.
fn read_files(entry: &Section, host: &str, tls: &ServerTls) {
    let terms = tls.terms();
    if !terms.has_files() || terms.mode == SslMode::Disable || host.starts_with('/') {
        return;
    }
    let unnamed = Terms { identity: None, ..terms.clone() };
    let roots = Terms { revoked: None, ..unnamed.clone() };
    for (key, part) in [("sslrootcert", roots), ("sslcrl", unnamed)] {
        if let Err(error) = ServerTls::new(part).load() {
            entry.note(key, error.to_string());
            return;
        }
    }
    if let Err(error) = tls.load() {
        entry.note("sslcert", error.to_string());
    }
}

/// Relative paths start where the configuration lies.
fn beside(configuration: &Path, path: &str) -> PathBuf {
    configuration.with_file_name("").join(path)
}
