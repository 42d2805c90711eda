//! What `weir check` says of how servers are found.

use std::process::Command;

use crate::stage::WEIR;

/// What it says of a configuration with a user, and whether it is right.
fn check(name: &str, text: &str) -> (bool, String) {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("discovery");
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join(format!("{name}.toml"));
    std::fs::write(&file, format!("{text}\n[[users]]\nname = \"app\"\npassword = \"app\"\n")).unwrap();
    let output = Command::new(WEIR).arg("check").arg("--config").arg(&file).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(told).unwrap())
}

#[track_caller]
fn wrong(name: &str, text: &str, words: &str) {
    let (right, told) = check(name, text);
    assert!(!right && told.contains(words), "{told}");
}

#[track_caller]
fn right(name: &str, text: &str, words: &[&str]) {
    let (right, told) = check(name, text);
    assert!(right && words.iter().all(|words| told.contains(words)), "{told}");
}

#[test]
fn mistakes_are_found() {
    let listed = "[[servers]]\nhost = \"10.0.0.1\"\n";
    let of = |section: &str| format!("[discovery]\n{section}\n{listed}");
    wrong("kind", &of("kind = \"consul\""), "\"static\" or \"dns\" or \"patroni\"");
    wrong("urls", &of("kind = \"patroni\""), "discovery.urls: is missing");
    wrong("url", &of("kind = \"patroni\"\nurls = [\"db1:8008\"]"), "such as http://db1:8008");
    let secret = "kind = \"patroni\"\nurls = [\"http://a:hunter2@db1\"]";
    wrong("secret", &of(secret), "it stands in user");
    assert!(!check("secret", &of(secret)).1.contains("hunter2"));
    wrong(
        "whose",
        &of("kind = \"patroni\"\nurls = [\"http://db1\"]\npassword = \"x\""),
        "whose is the password?",
    );
    wrong("other", &of("urls = [\"http://db1\"]"), "with kind = \"patroni\" alone");
    wrong("ns", &of("kind = \"dns\"\nnameservers = [\"dns.test\"]"), "expected addresses of name servers");
    wrong("names", &of("kind = \"dns\""), "no host is a name");
    wrong("hostless", "[discovery]\nkind = \"dns\"\n[[servers]]\nweight = 1\n", "host: is missing");
    wrong("service", "[[servers]]\nhost = \"_postgresql._tcp.test\"\n", "SRV records");
    wrong(
        "port",
        "[discovery]\nkind = \"patroni\"\nurls = [\"http://db1\"]\n[[servers]]\nport = 5433\n",
        "is found",
    );
    wrong("none", "[discovery]\nkind = \"static\"\n", "at least one [[servers]] entry");
    wrong(
        "roots",
        &of("kind = \"patroni\"\nurls = [\"https://db1\"]\nsslrootcert = \"nowhere.pem\""),
        "sslrootcert",
    );
}

#[test]
fn what_it_means_is_said() {
    let dns = "[discovery]\nkind = \"dns\"\n[[servers]]\nhost = \"db.test\"\nrole = \"replica\"\n[[servers]]\nhost = \"e.test\"\n";
    right("dns", dns, &["found by DNS", "/etc/resolv.conf", "every address that it leads to would have it"]);
    let patroni = "[discovery]\nkind = \"patroni\"\nurls = [\"http://db1\", \"http://[::1]:8009\"]\nuser = \"weir\"\npassword = \"x\"\n\
                   [[servers]]\nweight = 0\nconnections = 5\n";
    let said = [
        "http://db1:8008, http://[::1]:8009",
        "weight 0",
        "goes to db1:8008 unencrypted",
        "no server that is found takes reads",
    ];
    right("patroni", patroni, &said);
    assert!(!check("patroni", patroni).1.contains("goes to [::1]"));
}
