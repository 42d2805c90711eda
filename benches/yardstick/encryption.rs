//! TLS in front of every target, or on both its sides, by one and the same kind of key for all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use harness::client::{Address, Hello, TlsAddress};
use harness::{Cluster, Failure, Result, WeirSetup, tools};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};

/// Where there is TLS. A direct connection has it in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// Between clients and proxies
    Clients,
    /// There, and between proxies and servers
    Both,
}

/// The kind of key that all present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyKind {
    /// ECDSA over P-256
    Ecdsa,
    /// RSA of 2048 bits
    Rsa,
}

/// A certificate that all present, and its key.
#[derive(Debug)]
pub(crate) struct Encryption {
    side: Side,
    /// In DER, which is what clients trust.
    trusted: Vec<u8>,
    certificate: PathBuf,
    /// As weir wants it: nobody else may read it.
    key: PathBuf,
    /// The same for PgBouncer, which runs as another user.
    open_key: PathBuf,
}

impl Encryption {
    /// Makes them, and has all servers of a cluster speak TLS.
    pub(crate) fn prepare(cluster: &Cluster, side: Side, kind: KeyKind) -> Result<Self> {
        let failed = |error: rcgen::Error| Failure::new(error.to_string());
        let key = match kind {
            KeyKind::Ecdsa => KeyPair::generate(),
            KeyKind::Rsa => KeyPair::from_pem_and_sign_algo(&rsa_key()?, &PKCS_RSA_SHA256),
        };
        let key = key.map_err(failed)?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate =
            CertificateParams::new(names).and_then(|params| params.self_signed(&key)).map_err(failed)?;
        let (trusted, certificate, key) =
            (certificate.der().to_vec(), certificate.pem(), key.serialize_pem());
        for server in 0..cluster.size() {
            cluster.secure(server, &certificate, &key, None)?;
        }
        let directory = cluster.directory();
        Ok(Self {
            side,
            trusted,
            certificate: write(directory, "proxy.crt", &certificate, 0o644)?,
            key: write(directory, "proxy.key", &key, 0o600)?,
            open_key: write(directory, "proxy-open.key", &key, 0o644)?,
        })
    }

    /// A proxy's address for the clients that this program is itself.
    pub(crate) fn address(&self, port: u16) -> Address {
        Address::Tls(TlsAddress { port, authority: self.trusted.clone(), hello: Hello::Asked })
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

/// A new RSA key as PEM, which ring cannot make.
fn rsa_key() -> Result<String> {
    let mut openssl = Command::new(tools::ensure("openssl")?);
    let output = openssl
        .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()?;
    if !output.status.success() {
        return Err(Failure::new(format!("no RSA key:\n{}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn write(directory: &Path, name: &str, text: &str, mode: u32) -> Result<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    Ok(path)
}
