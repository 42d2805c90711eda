//! What an operator may say beside sslmode: lists of certificates that hold no more, a key with a passphrase, the oldest version.
//! psql says what is right.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Authority, Cluster, Options, Result};
use weir::net::tls::{Identity, Passphrase, Root, SslMode, Terms};

use crate::file;
use crate::modes::{ask, connect};

/// Whether psql gets in with these words beside host and port.
fn psql(cluster: &Cluster, words: &str) -> bool {
    let connection = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user=app dbname=app password=app {words}",
        cluster.port(0)
    );
    let mut psql = Command::new(cluster.postgres().program("psql").unwrap());
    psql.args([
        "-X",
        "-A",
        "-t",
        "-c",
        "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        &connection,
    ]);
    let output = psql.env_remove("PGSSLMODE").env("HOME", "/nonexistent").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim() == "t"
}

async fn weir(cluster: &Cluster, terms: Terms) -> bool {
    match connect(cluster, terms, "app").await {
        Ok(mut login) => ask(&mut login).await == "t",
        Err(_) => false,
    }
}

fn one_server() -> Result<Cluster> {
    let cluster = Cluster::with(Options::new(0))?;
    cluster.admit(0, "hostssl all all 127.0.0.1/32 scram-sha-256\n")?;
    Ok(cluster)
}

#[tokio::test]
async fn a_certificate_that_is_revoked_is_not_taken() -> Result<()> {
    let cluster = one_server()?;
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (server, replaced) = (ours.server(&["localhost"]), ours.server(&["localhost"]));
    cluster.secure(0, &server.certificate, &server.key, None)?;
    let root = file("revoked", "root.pem", &ours.pem());
    let list = |name: &str, text: &str| file("revoked", name, text);
    let none = list("none.crl", &ours.revocation_list(&[]));
    let another = list("another.crl", &ours.revocation_list(&[&replaced]));
    let this = list("this.crl", &ours.revocation_list(&[&replaced, &server]));
    let others = list("others.crl", &other.revocation_list(&[]));
    let both = [other.revocation_list(&[]), ours.revocation_list(&[])].concat();
    let both = list("both.crl", &both);
    let agree = async |list: &Path, mode: SslMode| {
        let words =
            format!("sslmode={} sslrootcert={} sslcrl={}", mode.as_str(), root.display(), list.display());
        let terms = Terms {
            mode,
            root: Root::File(root.clone()),
            revoked: Some(list.to_owned()),
            ..Terms::default()
        };
        let (right, ours) = (psql(&cluster, &words), weir(&cluster, terms).await);
        assert_eq!(ours, right, "{words}");
        ours
    };
    for mode in [SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
        for (list, taken) in
            [(&none, true), (&another, true), (&both, true), (&this, false), (&others, false)]
        {
            assert_eq!(agree(list, mode).await, taken, "{mode:?} {list:?}");
        }
    }
    let refused = Terms {
        mode: SslMode::VerifyFull,
        root: Root::File(root.clone()),
        revoked: Some(this),
        ..Terms::default()
    };
    let error = connect(&cluster, refused, "app").await.map(drop).unwrap_err();
    assert!(format!("{error:?}").contains("certificate revoked"), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn an_older_version_than_the_oldest_is_not_spoken() -> Result<()> {
    let cluster = one_server()?;
    let server = Authority::new("ours").server(&["localhost"]);
    cluster.sql(0, "ALTER SYSTEM SET ssl_max_protocol_version = 'TLSv1.2'")?;
    cluster.secure(0, &server.certificate, &server.key, None)?;
    for (word, tls_1_2) in [("TLSv1.2", true), ("TLSv1.3", false)] {
        let terms = Terms { mode: SslMode::Require, tls_1_2, ..Terms::default() };
        let taken = weir(&cluster, terms).await;
        assert_eq!(
            taken,
            psql(&cluster, &format!("sslmode=require ssl_min_protocol_version={word}")),
            "{word}"
        );
        assert_eq!(taken, tls_1_2);
    }
    Ok(())
}

#[tokio::test]
async fn a_key_with_a_passphrase_is_shown_by_who_has_it() -> Result<()> {
    let cluster = one_server()?;
    let server = Authority::new("ours").server(&["localhost"]);
    cluster.secure(0, &server.certificate, &server.key, Some(AUTHORITY))?;
    cluster.admit(0, "hostssl all all 127.0.0.1/32 cert\n")?;
    let (certificate, key) = files();
    for (passphrase, opens) in [(Some(PASSPHRASE), true), (Some("another"), false), (None, false)] {
        let said = passphrase.map_or_else(String::new, |said| format!("sslpassword='{said}'"));
        let words =
            format!("sslmode=require sslcert={} sslkey={} {said}", certificate.display(), key.display());
        assert_eq!(psql(&cluster, &words), opens, "{words}");
        let identity = Identity {
            certificate: certificate.clone(),
            key: key.clone(),
            passphrase: passphrase.map(Passphrase::new),
        };
        let terms = Terms { mode: SslMode::Require, identity: Some(identity), ..Terms::default() };
        assert_eq!(weir(&cluster, terms).await, opens, "{words}");
    }
    Ok(())
}

/// Where [`CERTIFICATE`] and [`KEY`] are.
pub(crate) fn files() -> (PathBuf, PathBuf) {
    (file("passphrase", "app.crt", CERTIFICATE), file("passphrase", "app.key", KEY))
}

/// What [`KEY`] is encrypted by.
pub(crate) const PASSPHRASE: &str = "open sesame";

// Made with openssl req -x509, openssl x509 -req and openssl pkcs8 -topk8 -v2 aes-256-cbc, of OpenSSL 3.0, for a hundred years: no
// library of these tests encrypts keys.
pub(crate) const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBmjCCAT+gAwIBAgIUFqzk+Q6Q0zFWqPzT2YP8uEFO0vcwCgYIKoZIzj0EAwIw
ITEfMB0GA1UEAwwWYW4gYXV0aG9yaXR5IG9mIGEgdGVzdDAgFw0yNjExMjgyMjAx
MDNaGA8yMTI2MTEwNDIyMDEwM1owITEfMB0GA1UEAwwWYW4gYXV0aG9yaXR5IG9m
IGEgdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAmPZr+d0TIboet81vYf
aIku8gu09nByXb8gOhMUMYkbex8lrTY1gmJh+JmNNyV05XWZUN5RIu+KmiCl7gyR
soOjUzBRMB0GA1UdDgQWBBT0LsdmRil5ZzU9MCLCL1EGzQzLCjAfBgNVHSMEGDAW
gBT0LsdmRil5ZzU9MCLCL1EGzQzLCjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49
BAMCA0kAMEYCIQCbJbKXXDaij61fUZxDdGgV+c6ONC8O0j8wbyjN9eP//gIhAMFl
A+WKcUq57TNojGI43xQSGh9sKkpReoiV7pdamupm
-----END CERTIFICATE-----";

pub(crate) const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBgDCCASagAwIBAgIUPD50Bd+ImCjmpi5LDpyqb6FbX+QwCgYIKoZIzj0EAwIw
ITEfMB0GA1UEAwwWYW4gYXV0aG9yaXR5IG9mIGEgdGVzdDAgFw0yNjExMjgyMjAx
NDdaGA8yMTI2MTEwNDIyMDE0N1owDjEMMAoGA1UEAwwDYXBwMFkwEwYHKoZIzj0C
AQYIKoZIzj0DAQcDQgAELkjxY6ycJoIZ722flNRpxVD0iiPq3IxcG13iiMyWycgv
X3hIg7rFYfdP/fpsrC7WSu46ux+hr04opqZNsl7Ak6NNMEswCQYDVR0TBAIwADAd
BgNVHQ4EFgQUcGTMzPppI3zD8uKT1MJiA2yCkxwwHwYDVR0jBBgwFoAU9C7HZkYp
eWc1PTAiwi9RBs0MywowCgYIKoZIzj0EAwIDSAAwRQIgGd9OdSu691QkblYQNBNb
m9LStqkA8oQ8xlR1ZUp90m8CIQDwLovVs23EILOpWjtGdKNhO+3+aoUStjO88nK2
DLLjxw==
-----END CERTIFICATE-----";

pub(crate) const KEY: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgglknB8xR8fwICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEFWjJxGp5LyirDJFX4EsPFsEgZAD
oRtpsGqDlQ6Exw0yLdYpgJT3TQPf67DV0rNXB7OVuQ0BapYvha92g+nK2uDmydiw
c2WE0+3c+YrcVOj+pQCnh9qMtq1Urrdxa/pqjhN/T+bZmbsZob11xYz3I0WcKXVE
gpEPQ2sXV/Z25oQ3Iml1KzXeDC7Z6w1/YRix6wtxX/kg/lGa5qDj+/qz+CR55II=
-----END ENCRYPTED PRIVATE KEY-----";
