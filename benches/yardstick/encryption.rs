//! TLS in front of every target, or on both its sides, by one and the same kind of key for all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use harness::{Cluster, Failure, Result, WeirSetup};
use rcgen::{CertificateParams, KeyPair};

/// Where there is TLS. A direct connection has it in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// Between clients and proxies
    Clients,
    /// There, and between proxies and servers
    Both,
}

/// A certificate that all present, and its key: ECDSA over P-256.
#[derive(Debug)]
pub(crate) struct Encryption {
    side: Side,
    certificate: PathBuf,
    /// As weir wants it: nobody else may read it.
    key: PathBuf,
    /// The same for PgBouncer, which runs as another user.
    open_key: PathBuf,
}

impl Encryption {
    /// Makes them, and has all servers of a cluster speak TLS.
    pub(crate) fn prepare(cluster: &Cluster, side: Side) -> Result<Self> {
        let failed = |error: rcgen::Error| Failure::new(error.to_string());
        let key = KeyPair::generate().map_err(failed)?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate =
            CertificateParams::new(names).and_then(|params| params.self_signed(&key)).map_err(failed)?;
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
        for server in 0..cluster.size() {
            cluster.secure(server, &certificate, &key, None)?;
        }
        let directory = cluster.directory();
        Ok(Self {
            side,
            certificate: write(directory, "proxy.crt", &certificate, 0o644)?,
            key: write(directory, "proxy.key", &key, 0o600)?,
            open_key: write(directory, "proxy-open.key", &key, 0o644)?,
        })
    }

    /// What weir is told of it.
    pub(crate) fn weir(&self, setup: WeirSetup) -> WeirSetup {
        let towards = if self.side == Side::Both { "require" } else { "disable" };
        setup
            .each_server(&format!("sslmode = \"{towards}\""))
            .set("listen", "tls", "\"require\"")
            .set("listen", "tls_certificate", &format!("{:?}", self.certificate))
            .set("listen", "tls_key", &format!("{:?}", self.key))
    }

    /// What PgBouncer is told of it.
    pub(crate) fn pgbouncer(&self) -> String {
        let towards = if self.side == Side::Both { "require" } else { "disable" };
        let (certificate, key) = (self.certificate.display(), self.open_key.display());
        format!(
            "client_tls_sslmode = require\nclient_tls_cert_file = {certificate}\nclient_tls_key_file = {key}\n\
             server_tls_sslmode = {towards}\n"
        )
    }
}

fn write(directory: &Path, name: &str, text: &str, mode: u32) -> Result<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    Ok(path)
}
