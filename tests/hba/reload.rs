//! The files while weir runs, and files that are wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use harness::client::{Client, Login};
use harness::{Cluster, Options, Signal, Stop, Weir, WeirSetup, send_signal};

const PATIENCE: Duration = Duration::from_secs(20);

fn directory(test: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hba_reload").join(test);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Whether `app` gets in, and what it is told if not.
fn knock(weir: &Weir) -> String {
    match weir.connect() {
        Ok(_) => "in".to_owned(),
        Err(failure) => failure.to_string(),
    }
}

fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    assert!(harness::wait_until(PATIENCE, condition), "{what} did not come");
}

fn hang_up(weir: &Weir) {
    send_signal(weir.pid(), Signal::HUP).unwrap();
}

#[test]
fn files_are_followed_and_wrong_ones_are_not() {
    let cluster = Cluster::with(Options::new(0)).unwrap();
    let directory = directory("followed");
    let (hba, users) = (directory.join("hba"), directory.join("users"));
    fs::write(&hba, "host all @users 127.0.0.1/32 scram-sha-256\n").unwrap();
    fs::write(&users, "app").unwrap();
    let weir = WeirSetup::in_front_of(&cluster, [0])
        .set("auth", "hba_file", &format!("{:?}", hba.display().to_string()))
        .start(env!("CARGO_BIN_EXE_weir"))
        .unwrap();
    assert_eq!(knock(&weir), "in");
    let mut stays = weir.connect().unwrap();

    // A file that the file names, and nobody has told weir.
    fs::write(&users, "somebody_else").unwrap();
    wait_until("the new list of users", || knock(&weir).contains("no pg_hba.conf entry"));
    assert_eq!(stays.query("SELECT 1").unwrap().value(), "1", "who is in stays in");

    fs::write(&hba, "host all all 127.0.0.1/32 reject\n").unwrap();
    hang_up(&weir);
    wait_until("the new rules", || knock(&weir).contains("pg_hba.conf rejects connection"));

    // What is wrong is told, all of it, and changes nothing.
    fs::write(&hba, "host all all 127.0.0.1/32 trust\nhost all all all gss\nlocal all all ldap\n").unwrap();
    wait_until("the mistakes to be told", || weir.log().contains("what it said before holds on"));
    let log = weir.log();
    assert!(log.contains("hba line 2: ") && log.contains("gss"), "{log}");
    assert!(log.contains("hba line 3: ") && log.contains("ldap"), "{log}");
    assert!(knock(&weir).contains("pg_hba.conf rejects connection"));

    fs::remove_file(&hba).unwrap();
    hang_up(&weir);
    wait_until("the loss to be told", || weir.log().contains("could not open file"));
    assert!(knock(&weir).contains("pg_hba.conf rejects connection"));
    fs::write(&hba, "host all app 127.0.0.1/32 scram-sha-256\n").unwrap();
    wait_until("the file that is right", || knock(&weir) == "in");
}

/// A line that may be for somebody is neither taken nor passed over while nobody says whether it is.
#[test]
fn without_a_server_no_line_for_the_members_of_a_role_rules() {
    let cluster = Cluster::with(Options::new(0)).unwrap();
    let hba = directory("members").join("hba");
    fs::write(&hba, "host all +app 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n").unwrap();
    let weir = WeirSetup::in_front_of(&cluster, [0])
        .set("auth", "hba_file", &format!("{:?}", hba.display().to_string()))
        .start(env!("CARGO_BIN_EXE_weir"))
        .unwrap();
    assert_eq!(knock(&weir), "in");
    cluster.sql(0, "CREATE ROLE known").unwrap();
    let come = |user| {
        let login = Login::new(user, "x").database("app");
        Client::connect(&weir.address(), &login).map(drop).unwrap_err()
    };
    for user in ["known", "stranger"] {
        assert_eq!(come(user).sqlstate(), Some("28000"), "{user} is trusted, and not listed");
    }
    cluster.stop(0, Stop::Fast).unwrap();
    let refused = come("stranger");
    assert_eq!(refused.sqlstate(), Some("08006"), "{refused}");
    assert!(refused.to_string().contains("no server can be asked for the user"), "{refused}");
    // What was said of a role that there was counts on.
    assert_eq!(come("known").sqlstate(), Some("28000"));
}

fn weir(command: &str, config: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir")).arg(command).arg("--config").arg(config).output().unwrap()
}

#[test]
fn a_start_with_wrong_files_fails_and_check_tells_why() {
    let directory = directory("wrong");
    let config = directory.join("proxy.toml");
    let text = "[auth]\nhba_file = \"hba\"\nident_file = \"ident\"\n[[servers]]\nhost = \"127.0.0.1\"\nport = 1\n\
                [listen]\naddress = \"127.0.0.1:0\"\n[[users]]\nname = \"app\"\npassword = \"app\"\n";
    fs::write(&config, text).unwrap();
    fs::write(
        directory.join("hba"),
        "local all all trust\nhost all all 10.0.0.0/33 trust\nhost all all all gss\n",
    )
    .unwrap();
    fs::write(directory.join("ident"), "m a\n").unwrap();
    for command in ["check", "run"] {
        let output = weir(command, &config);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{told}");
        for words in [
            "3 mistakes",
            "hba line 2: invalid CIDR mask in address \"10.0.0.0/33\"",
            "hba line 3: invalid authentication method \"gss\": not supported by weir",
            "ident line 1: missing entry at end of line",
        ] {
            assert!(told.contains(words), "{words} is not in {told}");
        }
    }
    fs::write(directory.join("hba"), "local all all peer map=other\nhostssl all all all cert\n").unwrap();
    fs::write(directory.join("ident"), "m a b\n").unwrap();
    let output = weir("check", &config);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("rules       "), "{told}");
    assert!(told.contains("warning: ") && told.contains("map \"other\""), "{told}");
    assert!(told.contains("line 2: hostssl record cannot match because no listener has TLS"), "{told}");
}
