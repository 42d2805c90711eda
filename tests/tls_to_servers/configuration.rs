//! What an operator may write, and what is refused before anything is connected.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use harness::Authority;
use weir::config::{Config, Mistakes, load_with};
use weir::net::tls::{Passphrase, Root, SslMode, Way};

use crate::{WEIR, beside, directory, file};

fn load(test: &str, keys: &str) -> Result<Config, Mistakes> {
    load_with(&written(test, keys), &HashMap::new())
}

fn written(test: &str, keys: &str) -> std::path::PathBuf {
    let text =
        format!("[[servers]]\nhost = \"db.example\"\n{keys}\n[[users]]\nname = \"a\"\npassword = \"b\"\n");
    file(test, "proxy.toml", &text)
}

fn mistakes(test: &str, keys: &str) -> Vec<String> {
    let mistakes = load(test, keys).expect_err("the configuration was taken");
    mistakes.list.iter().map(|mistake| format!("{}: {}", mistake.key, mistake.problem)).collect()
}

#[test]
fn words_and_their_defaults_are_libpqs() {
    const TEST: &str = "words";
    let ours = Authority::new("ours");
    file(TEST, "root.pem", &ours.pem());
    let terms = |keys: &str| load(TEST, keys).unwrap().servers[0].tls.terms().clone();
    assert_eq!(
        (terms("").mode, terms("").begin, terms("").root),
        (SslMode::Prefer, Way::Demanded, Root::Anyone)
    );
    let relative = terms("sslmode = \"verify-ca\"\nsslrootcert = \"root.pem\"");
    assert_eq!(relative.root, Root::File(directory(TEST).join("root.pem")));
    assert_eq!(terms("sslmode = \"require\"\nsslnegotiation = \"direct\"").begin, Way::Direct);
    assert!(terms("").tls_1_2 && terms("ssl_min_protocol_version = \"TLSv1.2\"").tls_1_2);
    assert!(!terms("ssl_min_protocol_version = \"TLSv1.3\"").tls_1_2);
    file(TEST, "root.crl", &ours.revocation_list(&[]));
    let listed = terms("sslmode = \"verify-ca\"\nsslrootcert = \"root.pem\"\nsslcrl = \"root.crl\"");
    assert_eq!(listed.revoked, Some(directory(TEST).join("root.crl")));
    let (certificate, key) = beside::files();
    let own = format!("sslcert = {certificate:?}\nsslkey = {key:?}");
    file(TEST, "passphrase", beside::PASSPHRASE);
    for passphrase in
        [format!("sslpassword = {:?}", beside::PASSPHRASE), "sslpassword_file = \"passphrase\"".to_owned()]
    {
        let identity = terms(&format!("{own}\n{passphrase}")).identity.unwrap();
        assert_eq!(identity.passphrase, Some(Passphrase::new(beside::PASSPHRASE)), "{passphrase}");
    }
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        return;
    }
    assert_eq!(terms("sslrootcert = \"system\"").mode, SslMode::VerifyFull);
}

#[test]
fn what_cannot_be_meant_is_a_mistake() {
    const TEST: &str = "mistakes";
    let ours = Authority::new("ours");
    file(TEST, "root.pem", &ours.pem());
    let client = ours.client("a");
    file(TEST, "client.pem", &client.certificate);
    file(TEST, "client.key", &client.key);
    file(TEST, "other.key", &ours.client("b").key);
    let open = file(TEST, "open.key", &client.key);
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    let own = |key: &str| format!("sslcert = \"client.pem\"\nsslkey = \"{key}\"");
    load(TEST, &own("client.key")).unwrap();
    file(TEST, "root.crl", &ours.revocation_list(&[]));
    let (certificate, key) = beside::files();
    let closed = format!("sslcert = {certificate:?}\nsslkey = {key:?}");
    for (keys, words) in [
        ("sslmode = \"on\"", "servers[0].sslmode: expected \"disable\" or \"allow\""),
        ("sslnegotiation = \"direct\"", "servers[0].sslnegotiation: weak sslmode \"prefer\" may not be used"),
        (
            "sslrootcert = \"system\"\nsslmode = \"verify-ca\"",
            "servers[0].sslmode: weak sslmode \"verify-ca\" may not",
        ),
        ("sslmode = \"verify-full\"", "servers[0].sslmode: \"verify-full\" needs sslrootcert"),
        ("sslrootcert = \"nowhere.pem\"", "servers[0].sslrootcert: "),
        ("sslrootcert = \"client.key\"", "no certificate"),
        ("sslcert = \"client.pem\"", "servers[0].sslcert: needs sslkey as well"),
        (
            "sslmode = \"disable\"\nchannel_binding = \"require\"",
            "servers[0].channel_binding: \"require\" needs TLS",
        ),
        (&own("open.key"), "group or world access"),
        (&own("other.key"), "does not go with its certificate"),
        (&own("root.pem"), "no private key"),
        ("sslcrl = \"root.crl\"", "servers[0].sslcrl: needs sslrootcert as well"),
        ("sslrootcert = \"root.pem\"\nsslcrl = \"root.pem\"", "no certificate revocation list"),
        ("sslpassword = \"x\"", "servers[0].sslpassword: needs sslkey as well"),
        (&closed, "servers[0].sslcert: "),
        (&closed, "no passphrase is given"),
        (&format!("{closed}\nsslpassword = \"another\""), "not encrypted by the passphrase"),
        (
            &format!("{}\nsslpassword = \"x\"\nsslpassword_file = \"root.pem\"", own("client.key")),
            "only one can hold",
        ),
        (
            "ssl_min_protocol_version = \"TLSv1.1\"",
            "servers[0].ssl_min_protocol_version: expected \"TLSv1.2\" or \"TLSv1.3\"",
        ),
    ] {
        let found = mistakes(TEST, keys);
        assert!(found.len() == 1 && found[0].contains(words), "{keys}: {found:?}");
    }
    let text = std::fs::read_to_string(written(TEST, "sslmode = \"verify-full\"")).unwrap();
    let local = file(TEST, "local.toml", &text.replace("db.example", "/run/postgresql"));
    load_with(&local, &HashMap::new()).unwrap();
}

#[test]
fn check_warns_of_what_is_not_safe() {
    const TEST: &str = "warnings";
    let check = |keys: &str, host: &str| {
        let text = std::fs::read_to_string(written(TEST, keys)).unwrap().replace("db.example", host);
        let file = file(TEST, "checked.toml", &text);
        let output = Command::new(WEIR).arg("check").arg("--config").arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let ours = Authority::new("ours");
    file(TEST, "root.pem", &ours.pem());
    for mode in ["disable", "allow", "prefer", "require", "verify-ca"] {
        let keys = format!("sslmode = \"{mode}\"\nsslrootcert = \"root.pem\"");
        let said = check(&keys, "db.example");
        assert!(said.contains(&format!("is on another machine and sslmode is \"{mode}\"")), "{said}");
        for host in ["127.0.0.1", "::1", "localhost", "/run/postgresql"] {
            assert!(!check(&keys, host).contains("on another machine"), "{mode} {host}");
        }
    }
    let said = check("sslmode = \"verify-full\"\nsslrootcert = \"root.pem\"", "db.example");
    assert!(!said.contains("warning:") && said.contains("TLS: verify-full"), "{said}");
}
