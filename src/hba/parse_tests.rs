use std::path::Path;

use crate::config::HbaFiles;
use crate::hba::files::tests::rules;
use crate::hba::{Offered, files};

/// The words against a line, which must be refused.
fn refused(line: &str) -> String {
    let mistakes = rules(line, "").expect_err(line);
    assert_eq!(mistakes.list.len(), 1, "{mistakes}");
    assert_eq!(mistakes.list[0].place.as_ref().map(|place| place.line), Some(1));
    mistakes.list[0].problem.clone()
}

#[test]
fn what_postgresql_refuses_is_refused_in_its_words() {
    for (line, words) in [
        ("tcp all all 127.0.0.1/32 trust", "invalid connection type \"tcp\""),
        ("local,host all all trust", "multiple values specified for connection type"),
        ("local", "end-of-line before database specification"),
        ("local all", "end-of-line before role specification"),
        ("host all all", "end-of-line before IP address specification"),
        ("host all all 127.0.0.1", "end-of-line before netmask specification"),
        ("host all all 127.0.0.1 255.255.255.255", "end-of-line before authentication method"),
        ("local all all", "end-of-line before authentication method"),
        ("host all all 127.0.0.1/33 trust", "invalid CIDR mask in address \"127.0.0.1/33\""),
        ("host all all 127.0.0.1 ffff:: trust", "IP address and mask do not match"),
        ("host all all 127.0.0.1 mask trust", "invalid IP mask \"mask\""),
        ("host all all 300.0.0.1/8 trust", "invalid IP address \"300.0.0.1\""),
        ("host all all db/8 trust", "specifying both host name and CIDR mask is invalid: \"db/8\""),
        ("host all all a,b trust", "multiple values specified for host address"),
        ("local all all trust,md5", "multiple values specified for authentication type"),
        ("local all all scram", "invalid authentication method \"scram\""),
        ("host all all all peer", "peer authentication is only supported on local sockets"),
        ("host all all all cert", "cert authentication is only supported on hostssl connections"),
        ("local all all trust x", "authentication option not in name=value format: x"),
        ("local all all trust x=1", "unrecognized authentication option name: \"x\""),
        (
            "local all all md5 map=m",
            "authentication option \"map\" is only valid for authentication methods ident, peer, gssapi, sspi, and cert",
        ),
        (
            "host all all all md5 clientcert=verify-ca",
            "clientcert can only be configured for \"hostssl\" rows",
        ),
        ("hostssl all all all md5 clientcert=1", "invalid value for clientcert: \"1\""),
        (
            "hostssl all all all cert clientcert=verify-ca",
            "clientcert only accepts \"verify-full\" when using \"cert\" authentication",
        ),
        ("hostssl all all all cert clientname=SAN", "invalid value for clientname: \"SAN\""),
        ("local /[ all trust", "invalid regular expression \"[\": brackets [] not balanced"),
    ] {
        assert_eq!(refused(line), words, "{line}");
    }
}

#[test]
fn what_weir_cannot_do_is_refused() {
    for (line, word) in [
        ("host all all all ident", "not supported by weir"),
        ("host all all all gss", "not supported by weir"),
        ("host all all all ldap ldapserver=x", "not supported by weir"),
        ("host all all all radius", "not supported by weir"),
        ("hostnossl all all all password", "only over TLS"),
        ("local /\\bx all trust", "regular expression"),
    ] {
        assert!(refused(line).contains(word), "{line}: {}", refused(line));
    }
}

#[test]
fn quotes_take_a_words_meaning_away() {
    for line in
        ["local \"samerole\" \"+admins\" trust", "host all all \"all\" trust", "local all all \"trust\""]
    {
        rules(line, "").unwrap_or_else(|mistakes| panic!("{mistakes}"));
    }
}

#[test]
fn all_mistakes_are_told_with_their_lines() {
    let mistakes = rules("local all all trust\nx\nlocal all\n", "m a\n").unwrap_err();
    let shown = mistakes.to_string();
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(
        lines,
        [
            "/etc/hba: 3 mistakes",
            "  /etc/hba line 2: invalid connection type \"x\"",
            "  /etc/hba line 3: end-of-line before role specification",
            "  /etc/ident line 1: missing entry at end of line",
        ]
    );
    let nothing = rules("# nothing\n", "").unwrap_err();
    assert_eq!(nothing.list[0].problem, "configuration file \"/etc/hba\" contains no entries");
}

#[test]
fn what_can_never_match_is_taken_with_a_warning() {
    let rules = rules("hostgssenc all all all trust\nlocal all all peer map=m", "other a b").unwrap();
    assert_eq!(rules.warnings.len(), 2, "{:?}", rules.warnings);
}

#[test]
fn what_no_listener_has_is_told() {
    let rules =
        rules("hostssl all all all trust\nhost all all all trust\nhostssl all all all cert", "").unwrap();
    let lines = |offered| -> Vec<_> {
        rules.unmet(offered).iter().map(|told| told.place.as_ref().unwrap().line).collect()
    };
    assert_eq!(lines(Offered::Nothing), [1, 3]);
    assert_eq!(lines(Offered::Tls), [3]);
    assert_eq!(lines(Offered::Certificates), [0; 0]);
}

#[test]
fn files_on_disk_are_read_and_remembered() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp/hba_files");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(directory.join("more")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    write("pg_hba.conf", "include_dir more\ninclude_if_exists gone\nlocal @users all trust\n");
    write("users", "a b");
    write("more/one.conf", "local all all reject");
    let hba = directory.join("pg_hba.conf");
    let paths = HbaFiles { hba, ident: None };
    let (rules, mut seen) = files::load(&paths);
    assert_eq!(rules.unwrap().lines.len(), 2);
    // Each of them is watched, those as well that are not there.
    for (name, text) in [("more/two.conf", "local a a reject"), ("gone", "local b b reject"), ("users", "c")]
    {
        assert_eq!(seen.look_again(), seen);
        write(name, text);
        assert_ne!(seen.look_again(), seen, "{name}");
        seen = files::load(&paths).1;
    }
}

proptest::proptest! {
    #[test]
    fn no_text_stops_the_reading(text in "(host|local|hostssl|all|[a-z0-9./,\"#@+\\\\ =*(\\[{|^$?\t\r]|\n){0,60}") {
        let _ = rules(&text, &text);
        let _ = rules(&format!("local /{text} all trust"), &format!("m /{text} \\1"));
    }
}
