//! The part of the table that is told over TLS: with certificates of several names, of another issuer, and without.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::sync::Arc;

use harness::Authority;
use rcgen::{CertificateParams, DnType};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::knock::Knock;
use super::table::Doors;

/// Writes a server's certificate, its key, and who signed it, by the names that PostgreSQL expects; they belong to whom the
/// directory belongs to.
pub(crate) fn equip(authority: &Authority, directory: &Path) {
    let issued = authority.server(&["127.0.0.1", "::1"]);
    let owner = directory.metadata().unwrap();
    for (name, text) in
        [("server.crt", issued.certificate), ("server.key", issued.key), ("root.crt", authority.pem())]
    {
        let file = directory.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
}

/// A client that knows whom an authority has signed, and shows a certificate of this name that somebody signs, or none.
fn client(trusts: &Authority, shows: Option<(&Authority, &str)>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusts.der().into()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let Some((signs, name)) = shows else { return Arc::new(config.with_no_client_auth()) };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "weir");
    if !name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    let issued = signs.issue(params);
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    Arc::new(config.with_client_auth_cert(chain, key).unwrap())
}

const HBA: &str = r#"
local     all    postgres                        trust
hostssl   all    all      127.0.0.1/32           cert
hostssl   all    all      127.0.0.2/32           scram-sha-256   clientcert=verify-full
hostssl   all    all      127.0.0.3/32           scram-sha-256   clientcert=verify-ca
hostssl   all    all      127.0.0.4/32           cert            map=m
hostssl   all    all      127.0.0.5/32           cert            clientname=DN  map=m
hostssl   all    all      127.0.0.6/32           trust           clientcert=verify-full
hostssl   all    all      127.0.0.7/32           reject          clientcert=verify-ca
hostssl   all    all      127.0.0.8/32           trust
hostnossl all    all      127.0.0.8/32           scram-sha-256
hostnossl all    all      127.0.0.9/32           trust
hostssl   all    all      127.0.0.10/32          password
hostssl   all    dora     127.0.0.11/32          md5
host      all    all      127.0.0.11/32          scram-sha-256
hostssl   all    all      127.0.0.12/32          md5             clientcert=verify-full clientname=DN
host      all    all      127.0.0.13/32          reject
"#;

const IDENT: &str = r#"
m   boss              alice
m   /^(.*)@weir$      \1
m   "/^CN=(.*),O=weir$" \1
"#;

/// From where, with which certificate (`-`: no TLS; none: no certificate; `other:`: of another issuer), who, and with which
/// password.
const KNOCKS: &[(&str, &str, &str, &str)] = &[
    ("127.0.0.1", "alice", "alice", ""),
    ("127.0.0.1", "bob", "alice", ""),
    ("127.0.0.1", "Alice", "alice", ""),
    ("127.0.0.1", "", "alice", ""),
    ("127.0.0.1", "none", "alice", ""),
    ("127.0.0.1", "-", "alice", ""),
    ("127.0.0.1", "nobody", "nobody", ""),
    ("127.0.0.1", "other:alice", "alice", ""),
    ("127.0.0.2", "alice", "alice", "alice"),
    ("127.0.0.2", "alice", "alice", "wrong"),
    ("127.0.0.2", "bob", "alice", "alice"),
    ("127.0.0.2", "none", "alice", "alice"),
    ("127.0.0.3", "bob", "alice", "alice"),
    ("127.0.0.3", "bob", "alice", "wrong"),
    ("127.0.0.3", "none", "alice", "alice"),
    ("127.0.0.4", "boss", "alice", ""),
    ("127.0.0.4", "alice", "alice", ""),
    ("127.0.0.4", "bob@weir", "bob", ""),
    ("127.0.0.4", "bob@weir", "alice", ""),
    ("127.0.0.4", "nobody@weir", "nobody", ""),
    ("127.0.0.5", "alice", "alice", ""),
    ("127.0.0.5", "bob", "alice", ""),
    ("127.0.0.5", "", "alice", ""),
    ("127.0.0.6", "alice", "alice", ""),
    ("127.0.0.6", "bob", "alice", ""),
    ("127.0.0.6", "none", "alice", ""),
    ("127.0.0.7", "alice", "alice", ""),
    ("127.0.0.7", "none", "alice", ""),
    ("127.0.0.8", "none", "alice", ""),
    ("127.0.0.8", "bob", "alice", ""),
    ("127.0.0.8", "-", "alice", "alice"),
    ("127.0.0.8", "-", "alice", "wrong"),
    ("127.0.0.9", "none", "alice", ""),
    ("127.0.0.9", "-", "alice", ""),
    ("127.0.0.10", "none", "alice", "alice"),
    ("127.0.0.10", "none", "alice", "wrong"),
    ("127.0.0.10", "none", "alice", ""),
    ("127.0.0.10", "none", "dora", "dora"),
    ("127.0.0.10", "none", "dora", "wrong"),
    ("127.0.0.10", "none", "nobody", "wrong"),
    ("127.0.0.10", "-", "alice", "alice"),
    ("127.0.0.11", "none", "dora", "dora"),
    ("127.0.0.11", "-", "dora", "dora"),
    ("127.0.0.12", "alice", "alice", "alice"),
    ("127.0.0.12", "bob", "alice", "wrong"),
    ("127.0.0.13", "alice", "alice", ""),
    ("127.0.0.13", "-", "alice", ""),
    ("127.0.0.14", "alice", "alice", ""),
    ("127.0.0.14", "-", "alice", ""),
];

#[test]
fn both_say_the_same_over_tls() {
    let (authority, other) = (Authority::new("ours"), Authority::new("other"));
    let doors = Doors::open(HBA, IDENT, Some(&authority));
    let (mut differences, mut told) = (String::new(), String::new());
    for (from, certificate, user, password) in KNOCKS.iter().copied() {
        let config = match certificate.strip_prefix("other:") {
            _ if certificate == "-" => None,
            _ if certificate == "none" => Some(client(&authority, None)),
            Some(name) => Some(client(&authority, Some((&other, name)))),
            None => Some(client(&authority, Some((&authority, certificate)))),
        };
        let knock = Knock { from, user, database: "app", password, tls: config.as_ref() };
        let (there, here) = (knock.at(&doors.server), knock.at(&doors.weir));
        let _ = writeln!(told, "{there}");
        if there != here {
            let row = (from, certificate, user, password);
            let _ = writeln!(differences, "{row:?}\n  PostgreSQL: {there}\n  weir:       {here}");
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
    for words in [
        "asked [] in",
        "asked [3] in",
        "asked [10 11 12] in",
        "broken off",
        "FATAL 28000 connection requires a valid client certificate",
        "FATAL 28000 certificate authentication failed for user \"alice\"",
        "FATAL 28000 \"trust\" authentication failed for user \"alice\"",
        "FATAL 28000 role \"nobody\" does not exist",
        "user \"alice\", database \"app\", SSL encryption",
        "user \"alice\", database \"app\", no encryption",
    ] {
        assert!(told.contains(words), "{words} is nowhere in\n{told}");
    }
}
