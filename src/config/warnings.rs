//! What is allowed but deserves a word at start.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Config, Credential, Server, ServerProof};
use crate::net::tls::{Root, SslMode};

/// A file that every user of the machine may read, with passwords written in it.
pub(super) fn readable_passwords(file: &Path, passwords: usize) -> Option<String> {
    (passwords > 0 && is_readable_by_others(file)).then(|| {
        let file = file.display();
        format!(
            "{file} holds passwords and every user of this machine can read it; chmod 640, or password_file"
        )
    })
}

/// A list of secrets that every user of the machine may read.
pub(super) fn readable_secrets(file: &Path) -> Option<String> {
    is_readable_by_others(file).then(|| {
        let file = file.display();
        format!("{file} holds secrets and every user of this machine can read it; chmod 640")
    })
}

fn is_readable_by_others(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
}

/// Users that can do more, or less, than one may think.
pub(super) fn users(config: &Config) -> Vec<String> {
    let exposed =
        config.auth.hba.is_none() && config.listeners.iter().any(|listener| listener.address.is_exposed());
    let warning = |user: &super::User| match &user.credential {
        Credential::Trust if exposed => {
            Some(format!("user {:?} needs no password, and weir listens beyond this machine", user.name))
        }
        _ if user.name == config.health.user && user.server_proof == ServerProof::PassThrough => {
            Some(format!(
                "weir watches the servers as user {:?}, which has a verifier and no server_password: only servers that trust weir \
             will let it in; name another user in [health]",
                user.name
            ))
        }
        _ => None,
    };
    config.users.iter().filter_map(warning).collect()
}

impl Config {
    /// Servers on other machines that somebody in between could pretend to be, or listen to. Not said at each start: where all
    /// machines are one's own it is nothing new.
    pub fn unsafe_servers(&self) -> Vec<String> {
        let servers = self.servers.iter().chain(&self.template);
        servers.filter(|server| !is_here(&server.host)).filter_map(unsafe_server).collect()
    }
}

fn unsafe_server(server: &Server) -> Option<String> {
    let terms = server.tls.terms();
    let risk = match (terms.mode, &terms.root) {
        (SslMode::VerifyFull, _) => return None,
        (SslMode::Disable, _) => "nothing that is said to it is encrypted",
        (SslMode::Allow | SslMode::Prefer, _) => {
            "whoever is in between can have nothing encrypted, and read along"
        }
        (SslMode::Require, Root::Anyone) => "whoever is in between can pretend to be it",
        (SslMode::Require | SslMode::VerifyCa, _) => {
            "whoever has a certificate of the same issuer can pretend to be it"
        }
    };
    let name = if server.name.is_empty() { "that is found" } else { &*server.name };
    let mode = terms.mode.as_str();
    Some(format!(
        "server {name:?} is on another machine and sslmode is \"{mode}\": {risk}; \"verify-full\" is safe"
    ))
}

fn is_here(host: &str) -> bool {
    let loopback = host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    loopback || host.starts_with('/') || host.eq_ignore_ascii_case("localhost")
}
