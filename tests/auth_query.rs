//! Users whom the configuration does not list: those that the servers know, and those of a userlist.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use harness::client::{Client, Login};
use harness::{Cluster, Failure, Mark, Options, Result, Stop, Weir, WeirSetup, wait_for};
use rustix::process::{Pid, Signal, kill_process};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The role that servers let in without a password, so that a verifier is enough to log in to them.
const PEOPLE: &str = "app_trust";

/// Longer than any test.
const LONG: &str = "\"1h\"";

fn asking(cluster: &Cluster, query: &str, user: &str) -> WeirSetup {
    WeirSetup::in_front_of(cluster, 0..cluster.size())
        .at_any_age()
        .probing_quickly()
        .set("auth", "query", query)
        .set("auth", "query_user", &format!("\"{user}\""))
        .set("auth", "query_password", &format!("\"{user}\""))
        .set("auth", "query_ttl", LONG)
        .set("auth", "query_negative_ttl", LONG)
}

/// That a client is in, as whom, or what it hears.
fn told(weir: &Weir, user: &str, password: &str, database: &str) -> String {
    let outcome = Client::connect(&weir.address(), &Login::new(user, password).database(database))
        .and_then(|mut client| client.query("SELECT session_user").map(|answer| answer.value().to_owned()));
    match outcome {
        Ok(user) => format!("in as {user}"),
        Err(Failure::Server(error)) => format!("{} {}", error.sqlstate(), error.message()),
        Err(failure) => failure.to_string(),
    }
}

fn failed(user: &str) -> String {
    format!("28P01 password authentication failed for user \"{user}\"")
}

/// How often the servers were asked for anybody.
fn asked(cluster: &Cluster, mark: &Mark, words: &str) -> usize {
    (0..cluster.size())
        .map(|server| cluster.statements(server, mark).iter().filter(|sql| sql.contains(words)).count())
        .sum()
}

#[test]
fn users_are_those_of_the_servers() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(0, &format!("ALTER ROLE {PEOPLE} PASSWORD 'secret'"))?;
    cluster.sql(
        0,
        "CREATE ROLE without LOGIN; CREATE ROLE late LOGIN PASSWORD 'late' VALID UNTIL 'yesterday'",
    )?;
    cluster.wait_caught_up()?;
    let weir = asking(&cluster, "true", "postgres").start(WEIR)?;
    let mark = cluster.mark();
    for _ in 0..3 {
        assert_eq!(told(&weir, PEOPLE, "secret", "app"), format!("in as {PEOPLE}"));
        assert_eq!(told(&weir, PEOPLE, "Secret", "app"), failed(PEOPLE));
        for nobody in ["none", "without", "late"] {
            assert_eq!(told(&weir, nobody, nobody, "app"), failed(nobody));
        }
        assert_eq!(told(&weir, "app", "app", "app"), "in as app", "who is listed is not asked for");
    }
    // One question for each name, and perhaps one more for the one whose password did not fit.
    let questions = asked(&cluster, &mark, "pg_authid");
    assert!((4..=6).contains(&questions), "{questions}");
    // As PostgreSQL has it: the password first.
    cluster.sql(0, &format!("ALTER ROLE {PEOPLE} NOLOGIN"))?;
    let barred = format!("28000 role \"{PEOPLE}\" is not permitted to log in");
    assert_eq!(told(&weir, PEOPLE, "secret", "app"), barred);
    assert_eq!(told(&weir, PEOPLE, "wrong", "app"), failed(PEOPLE));
    cluster.sql(0, &format!("ALTER ROLE {PEOPLE} LOGIN VALID UNTIL 'yesterday'"))?;
    assert_eq!(told(&weir, PEOPLE, "secret", "app"), failed(PEOPLE));
    Ok(())
}

#[test]
fn a_password_that_is_changed_is_known_after_one_that_does_not_fit() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    let password = |word: &str| cluster.sql(0, &format!("ALTER ROLE {PEOPLE} PASSWORD '{word}'")).map(drop);
    password("first")?;
    let weir = asking(&cluster, "true", "postgres").start(WEIR)?;
    let enters = |word: &str| told(&weir, PEOPLE, word, "app").starts_with("in");
    assert!(enters("first"));
    password("second")?;
    // What does not fit an answer of this second is not asked for again: it may be a guess.
    thread::sleep(Duration::from_millis(1100));
    assert!(!enters("second"), "the answer of before counts for an hour");
    assert!(enters("second"));
    assert!(!enters("first"));
    drop(weir);

    let weir = asking(&cluster, "true", "postgres").set("auth", "query_ttl", "\"0ms\"").start(WEIR)?;
    for word in ["third", "fourth"] {
        password(word)?;
        assert_eq!(told(&weir, PEOPLE, word, "app"), format!("in as {PEOPLE}"), "each login asks");
    }
    Ok(())
}

#[test]
fn a_function_may_answer_in_each_database_and_give_plain_passwords() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    let sql = |sql: &str| cluster.sql(0, sql).map(drop);
    sql("CREATE ROLE asker LOGIN PASSWORD 'asker'")?;
    sql("CREATE ROLE plain LOGIN PASSWORD 'plain'")?;
    sql(&format!("ALTER ROLE {PEOPLE} PASSWORD 'secret'"))?;
    sql("CREATE DATABASE shop")?;
    // As PgBouncer's manual has it: a row of nothing where there is nobody.
    let mut admin =
        Client::connect(&cluster.address(0), &Login::new("postgres", "postgres").database("app"))?;
    admin.query(
        "CREATE FUNCTION user_lookup(in i_username text, out uname text, out phash text) RETURNS record AS $$
         BEGIN
             SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = i_username INTO uname, phash;
             RETURN;
         END; $$ LANGUAGE plpgsql SECURITY DEFINER;
         REVOKE ALL ON FUNCTION user_lookup(text) FROM public;
         GRANT EXECUTE ON FUNCTION user_lookup(text) TO asker",
    )?;
    let mut admin =
        Client::connect(&cluster.address(0), &Login::new("postgres", "postgres").database("shop"))?;
    admin.query("CREATE TABLE people (name text, secret text); INSERT INTO people VALUES ('plain', 'plain'); GRANT SELECT ON people TO asker")?;
    drop(admin);
    let weir = asking(&cluster, "\"SELECT * FROM user_lookup($1)\"", "asker")
        .append("[[databases]]\nname = \"store\"\nserver_database = \"shop\"\nauth_query = \"SELECT name, secret FROM people WHERE name = $1\"")
        .start(WEIR)?;
    assert_eq!(told(&weir, PEOPLE, "secret", "app"), format!("in as {PEOPLE}"));
    assert_eq!(told(&weir, "none", "none", "app"), failed("none"));
    assert_eq!(told(&weir, "plain", "plain", "store"), "in as plain");
    assert_eq!(told(&weir, PEOPLE, "secret", "store"), failed(PEOPLE), "that database has people of its own");
    assert_eq!(told(&weir, PEOPLE, "secret", "nowhere"), failed(PEOPLE), "nobody can be asked there");
    // No such function: nobody can tell, and the log says why.
    assert_eq!(told(&weir, PEOPLE, "secret", "shop"), "08006 no server can be asked for the user");
    wait_for("the log to say why", PATIENCE, || {
        Ok(weir.log().contains("function user_lookup").then_some(()))
    })?;
    // Who asked there is in nobody's way.
    let mut admin = Client::connect(&weir.address(), &Login::new("postgres", "postgres").database("app"))?;
    admin.query("DROP DATABASE shop")?;
    Ok(())
}

#[test]
fn a_hash_serves_whom_servers_ask_for_md5() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    cluster.sql(0, "SET password_encryption = 'md5'; CREATE ROLE hashed LOGIN PASSWORD 'hashed'")?;
    let hba = PathBuf::from(cluster.sql(0, "SHOW hba_file")?.value());
    let lines = fs::read_to_string(&hba).unwrap();
    fs::write(&hba, format!("host all hashed 127.0.0.1/32 md5\n{lines}")).unwrap();
    cluster.sql(0, "SELECT pg_reload_conf()")?;
    let direct = || Client::connect(&cluster.address(0), &Login::new("hashed", "hashed").database("app"));
    wait_for("the server to ask for MD5", PATIENCE, || Ok(direct().ok()))?;
    let weir = asking(&cluster, "true", "postgres").start(WEIR)?;
    for _ in 0..2 {
        assert_eq!(told(&weir, "hashed", "hashed", "app"), "in as hashed");
        assert_eq!(told(&weir, "hashed", "other", "app"), failed("hashed"));
    }
    Ok(())
}

#[test]
fn who_may_read_only_the_view_may_ask_too() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    cluster.sql(0, "CREATE ROLE asker LOGIN PASSWORD 'asker'")?;
    cluster.sql(0, &format!("ALTER ROLE {PEOPLE} PASSWORD 'secret'"))?;
    let mut admin =
        Client::connect(&cluster.address(0), &Login::new("postgres", "postgres").database("app"))?;
    admin.query("GRANT SELECT ON pg_shadow TO asker")?;
    let weir = asking(&cluster, "true", "asker").start(WEIR)?;
    assert_eq!(told(&weir, PEOPLE, "secret", "app"), format!("in as {PEOPLE}"));
    assert_eq!(told(&weir, "none", "none", "app"), failed("none"));
    Ok(())
}

#[test]
fn a_replica_answers_without_a_primary_and_what_was_answered_counts_without_any() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(0, &format!("ALTER ROLE {PEOPLE} PASSWORD 'secret'"))?;
    cluster.wait_caught_up()?;
    let weir = asking(&cluster, "true", "postgres").set("auth", "query_ttl", "\"0ms\"").start(WEIR)?;
    cluster.stop(0, Stop::Immediate)?;
    weir.wait_up(cluster.name(0), 0.0)?;
    assert_eq!(told(&weir, PEOPLE, "secret", "app"), format!("in as {PEOPLE}"));
    cluster.stop(1, Stop::Immediate)?;
    weir.wait_up(cluster.name(1), 0.0)?;
    assert_eq!(told(&weir, PEOPLE, "wrong", "app"), failed(PEOPLE), "its password is known");
    assert_eq!(told(&weir, "other", "x", "app"), "08006 no server can be asked for the user");
    Ok(())
}

#[test]
fn made_up_names_occupy_no_server() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    cluster.sql(0, &format!("ALTER ROLE {PEOPLE} PASSWORD 'secret'"))?;
    let weir = asking(&cluster, "true", "postgres").start(WEIR)?;
    assert_eq!(told(&weir, PEOPLE, "secret", "app"), format!("in as {PEOPLE}"));
    let began = Instant::now();
    thread::scope(|scope| {
        for thread in 0..16 {
            let weir = &weir;
            scope.spawn(move || {
                for number in 0..25 {
                    let name = format!("nobody_{thread}_{number}");
                    assert_eq!(told(weir, &name, "x", "app"), failed(&name));
                }
            });
        }
        for _ in 0..20 {
            assert_eq!(told(&weir, PEOPLE, "secret", "app"), format!("in as {PEOPLE}"));
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'weir login'";
            let open: usize = cluster.sql(0, sql).unwrap().value().parse().unwrap();
            assert!(open <= 5, "{open}");
        }
    });
    eprintln!("{:?}", began.elapsed());
    Ok(())
}

/// A userlist that goes with this.
struct List(PathBuf);

impl List {
    fn new(name: &str, text: &str) -> Self {
        let list = Self(std::env::temp_dir().join(format!("weir-{name}-{}.txt", std::process::id())));
        list.write(text, 0o640);
        list
    }

    fn write(&self, text: &str, mode: u32) {
        fs::write(&self.0, text).unwrap();
        fs::set_permissions(&self.0, fs::Permissions::from_mode(mode)).unwrap();
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // What cannot be removed is in the directory for such things.
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_userlist_is_read_anew_when_it_changes_and_upon_a_signal() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    cluster.sql(0, &format!("ALTER ROLE {PEOPLE} PASSWORD 'secret'"))?;
    let verifier =
        cluster.sql(0, &format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{PEOPLE}'"))?;
    cluster.sql(0, "CREATE ROLE plain LOGIN PASSWORD 'plain'; CREATE ROLE later LOGIN PASSWORD 'later'")?;
    let people = format!("; people\n\"{PEOPLE}\" \"{}\"\n\"plain\" \"plain\" \"\"\n", verifier.value());
    let list = List::new("userlist", &people);
    let path = format!("\"{}\"", list.0.display());
    let mut weir = WeirSetup::in_front_of(&cluster, [0]).set("auth", "userlist", &path).start(WEIR)?;
    assert_eq!(told(&weir, PEOPLE, "secret", "app"), format!("in as {PEOPLE}"));
    assert_eq!(told(&weir, "plain", "plain", "app"), "in as plain");
    assert_eq!(told(&weir, "later", "later", "app"), failed("later"));

    list.write(&format!("{people}\"later\" \"later\"\n"), 0o640);
    let enters = |weir: &Weir, user: &str| told(weir, user, user, "app") == format!("in as {user}");
    wait_for("the list to be read", PATIENCE, || Ok(enters(&weir, "later").then_some(())))?;

    list.write("\"later\" \"later\n", 0o640);
    wait_for("the list to be looked at", PATIENCE, || Ok(weir.log().contains(", line 1: ").then_some(())))?;
    assert!(enters(&weir, "later") && enters(&weir, "plain"), "the one that was right counts");

    list.write("\"later\" \"later\"\n", 0o640);
    let pid = Pid::from_raw(i32::try_from(weir.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    wait_for("the list to be read", PATIENCE, || Ok((!enters(&weir, "plain")).then_some(())))?;
    assert!(enters(&weir, "later"));
    assert!(weir.exit_status().is_none());
    assert!(!weir.log().contains("SCRAM-SHA-256$"), "{}", weir.log());
    Ok(())
}
