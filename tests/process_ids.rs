//! A client has the process ID that it was given: it says so itself, others signal it by that, and nobody is hit in its
//! stead who happens to have the server process on which it worked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use harness::client::{Client, Login, Message, front};
use harness::{Cluster, Result, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const PATIENCE: Duration = Duration::from_secs(20);

/// Of a server process. The call does not stand alone, and is the server's to answer.
const SERVERS_OWN: &str = "SELECT pg_backend_pid() + 0";

/// Of nobody: no server has as many, and no copy of weir gives it at its first clients.
const NOBODY: u32 = i32::MAX as u32;

fn start() -> Result<Weir> {
    let more = "[[users]]\nname = \"outsider\"\nauth = \"trust\"\nserver_password = \"outsider\"\n";
    let roles = "DO $$BEGIN CREATE ROLE outsider LOGIN PASSWORD 'outsider'; EXCEPTION WHEN duplicate_object \
                 OR unique_violation THEN END$$";
    Cluster::shared().sql(0, roles)?;
    WeirSetup::in_front_of(Cluster::shared(), 0..2).set("pool", "size", "4").append(more).start(WEIR)
}

fn pid(client: &Client) -> u32 {
    client.key().unwrap().pid
}

fn as_user(weir: &Weir, name: &str) -> Result<Client> {
    Client::connect(&weir.address(), &Login::new(name, name).database("app"))
}

fn sqlstate(heard: &[Message]) -> Option<String> {
    heard.iter().find_map(Message::error).map(|error| error.sqlstate().to_owned())
}

/// The only value of the only row, in the form in which it came.
fn value(heard: &[Message]) -> Vec<u8> {
    let rows: Vec<_> = heard.iter().filter(|message| message.tag == b'D').map(Message::row).collect();
    assert_eq!((rows.len(), rows[0].len()), (1, 1), "{heard:?}");
    rows[0][0].clone().unwrap()
}

/// The bytes of a type's messages.
fn bodies(heard: &[Message], tag: u8) -> Vec<Vec<u8>> {
    heard.iter().filter(|message| message.tag == tag).map(|message| message.body.clone()).collect()
}

/// The end of a client that was terminated.
fn assert_terminated(client: &mut Client) -> Result<()> {
    let heard = client.until_ready()?;
    let error = heard.iter().find_map(Message::error).unwrap();
    assert_eq!((error.severity(), error.sqlstate()), ("FATAL", "57P01"));
    assert_eq!(error.message(), "terminating connection due to administrator command");
    assert!(client.is_closed_within(PATIENCE)?);
    Ok(())
}

/// The client hears what `told` is, but for the number, which is its own.
fn assert_own(client: &mut Client, form: &str, frames: &[Vec<u8>], told: &[Message]) -> Result<()> {
    let heard = client.ask(frames)?;
    let tags = |heard: &[Message]| heard.iter().map(|message| message.tag).collect::<Vec<_>>();
    assert_eq!(tags(&heard), tags(told), "{form}");
    for tag in [b'T', b't', b'C'] {
        assert_eq!(bodies(&heard, tag), bodies(told, tag), "{form}");
    }
    match form {
        "prepared" => {}
        "binary" => assert_eq!(value(&heard), pid(client).to_be_bytes()),
        _ => assert_eq!(value(&heard), pid(client).to_string().into_bytes(), "{form}"),
    }
    Ok(())
}

#[test]
fn a_client_s_own_number_is_the_one_that_it_was_given() -> Result<()> {
    let weir = start()?;
    let mut direct = Cluster::shared().connect(0)?;
    let mut clients = [weir.connect()?, weir.connect()?];
    let forms: [(&str, Vec<Vec<u8>>); 6] = [
        ("simple", vec![front::query("SELECT pg_backend_pid()")]),
        ("named", vec![front::query("/* weir: primary */ select pg_catalog.pg_backend_pid() \"Pid\";")]),
        (
            "unnamed",
            vec![
                front::parse("", "SELECT pg_backend_pid() AS pid", &[]),
                front::describe_statement(""),
                front::bind("", "", &[]),
                front::describe_portal(""),
                front::execute("", 0),
                front::sync(),
            ],
        ),
        ("prepared", vec![front::parse("own", "SELECT pg_backend_pid()", &[]), front::sync()]),
        ("again", vec![front::bind("", "own", &[]), front::execute("", 0), front::sync()]),
        (
            "binary",
            vec![
                front::bind_formats("p", "own", &[], &[], &[1]),
                front::describe_portal("p"),
                front::execute("p", 1),
                front::sync(),
            ],
        ),
    ];
    for (form, frames) in &forms {
        let told = direct.ask(frames)?;
        for client in &mut clients {
            assert!(pid(client) > 1 << 22 && i32::try_from(pid(client)).is_ok());
            assert_own(client, form, frames, &told)?;
            if *form == "prepared" {
                continue;
            }
            for (begin, end) in [("BEGIN", "COMMIT"), ("BEGIN READ ONLY", "ROLLBACK")] {
                client.query(begin)?;
                assert_own(client, form, frames, &told)?;
                client.query(end)?;
            }
        }
    }
    // What is not alone is about the server process, and consistent there.
    let [client, _] = &mut clients;
    assert!(client.query(SERVERS_OWN)?.value().parse::<u32>().unwrap() <= 1 << 22);
    let seen = "SELECT count(*) FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    assert_eq!(client.query(seen)?.value(), "1");
    let own = pid(client).to_string();
    let strings = client.query("SELECT 1; SELECT ';', 2; SELECT pg_backend_pid()")?;
    assert_eq!(strings.value(), own);
    Ok(())
}

/// By which a client names another.
fn ways(function: &str, pid: u32) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let text = pid.to_string();
    let sql = format!("SELECT {function}($1)");
    let run = |frames: &[Vec<u8>]| [frames, &[front::execute("", 0), front::sync()]].concat();
    vec![
        ("literal", vec![front::query(format!("SELECT {function}({pid})"))]),
        ("quoted", vec![front::query(format!("select pg_catalog.{function}('{pid}'::int) as done"))]),
        ("among others", vec![front::query(format!("SELECT 1; SELECT {function}({pid}); SELECT 2"))]),
        (
            "parsed",
            run(&[front::parse("", format!("SELECT {function}({pid})"), &[]), front::bind("", "", &[])]),
        ),
        ("text", run(&[front::parse("", &sql, &[]), front::bind("", "", &[Some(text.as_bytes())])])),
        (
            "binary",
            run(&[
                front::parse("", &sql, &[23]),
                front::bind_formats("", "", &[1], &[Some(&pid.to_be_bytes())], &[1]),
            ]),
        ),
        (
            "executed later",
            vec![
                front::parse("", &sql, &[]),
                front::describe_statement(""),
                front::bind("", "", &[Some(text.as_bytes())]),
                front::describe_portal(""),
                front::flush(),
                front::execute("", 0),
                front::sync(),
            ],
        ),
    ]
}

#[test]
fn a_client_ends_by_its_number_and_its_transaction_with_it() -> Result<()> {
    let weir = start()?;
    let mut admin = weir.connect()?;
    admin.query("CREATE TABLE IF NOT EXISTS ended (id int)")?;
    for (way, frames) in ways("pg_terminate_backend", 0) {
        let _ = frames;
        let (mut resting, mut writing, mut running) = (weir.connect()?, weir.connect()?, weir.connect()?);
        writing.query("BEGIN; INSERT INTO ended VALUES (1)")?;
        running.send(&[front::query("INSERT INTO ended SELECT 2 FROM pg_sleep(60)")])?;
        std::thread::sleep(Duration::from_millis(100));
        for victim in [&mut resting, &mut writing, &mut running] {
            let frames = ways("pg_terminate_backend", pid(victim)).into_iter().find(|(one, _)| *one == way);
            let heard = admin.ask(&frames.unwrap().1)?;
            assert_eq!(sqlstate(&heard), None, "{way}: {heard:?}");
            assert!(!heard.iter().any(|message| message.tag == b'N'), "{way}: {heard:?}");
            if way != "among others" {
                assert_eq!(value(&heard), if way == "binary" { &b"\x01"[..] } else { b"t" }, "{way}");
            }
            assert_terminated(victim)?;
        }
        wait_for("nothing of theirs to run", PATIENCE, || {
            let left = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%ended%' AND state <> 'idle' \
                        AND pid <> pg_backend_pid()";
            Ok((Cluster::shared().sql(0, left)?.value() == "0").then_some(()))
        })?;
        assert_eq!(admin.query("SELECT count(*) FROM ended")?.value(), "0", "{way}");
        assert_eq!(admin.query("SELECT 'lives on'")?.value(), "lives on");
    }
    Ok(())
}

#[test]
fn what_a_client_runs_is_cancelled_by_its_number() -> Result<()> {
    let weir = start()?;
    let (mut admin, mut victim) = (weir.connect()?, weir.connect()?);
    for (way, frames) in ways("pg_cancel_backend", pid(&victim)) {
        for sql in ["SELECT pg_sleep(60)", "/* weir: primary */ SELECT 1 FROM pg_sleep(60)"] {
            victim.send(&[front::query(sql)])?;
            std::thread::sleep(Duration::from_millis(100));
            let heard = admin.ask(&frames)?;
            assert_eq!(sqlstate(&heard), None, "{way}: {heard:?}");
            assert_eq!(sqlstate(&victim.until_ready()?).as_deref(), Some("57014"), "{way}");
        }
        // It rests, and what it asks next is not hit.
        admin.ask(&frames)?;
        victim.query("SELECT pg_sleep(0.02)")?;
    }
    // Who waits for a connection is cancelled as well.
    let mut holders: Vec<Client> = (0..3).map(|_| weir.connect()).collect::<Result<_>>()?;
    for holder in holders.iter_mut().chain([&mut admin]) {
        holder.query("BEGIN; CREATE TEMP TABLE held (id int) ON COMMIT DROP")?;
    }
    victim.send(&[front::query("CREATE TABLE waits (id int)")])?;
    wait_for("it to wait", PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_pool_waiting", &[]) == 1.0).then_some(()))
    })?;
    admin.query(&format!("SELECT pg_cancel_backend({})", pid(&victim)))?;
    assert_eq!(sqlstate(&victim.until_ready()?).as_deref(), Some("57014"));
    victim
        .send(&[front::query("CREATE TABLE waits (id int)"), front::query("CREATE TABLE waits (id int)")])?;
    std::thread::sleep(Duration::from_millis(300));
    admin.query(&format!("SELECT pg_terminate_backend({})", pid(&victim)))?;
    assert_terminated(&mut victim)
}

#[test]
fn a_client_signals_itself() -> Result<()> {
    let weir = start()?;
    for (way, _) in ways("pg_cancel_backend", 0) {
        let mut client = weir.connect()?;
        let frames =
            |function| ways(function, pid(&client)).into_iter().find(|(one, _)| *one == way).unwrap().1;
        let (cancel, terminate) = (frames("pg_cancel_backend"), frames("pg_terminate_backend"));
        assert_eq!(sqlstate(&client.ask(&cancel)?).as_deref(), Some("57014"), "{way}");
        assert_eq!(client.query("SELECT 'lives on'")?.value(), "lives on");
        client.send(&terminate)?;
        assert_terminated(&mut client)?;
    }
    Ok(())
}

/// Errors and warnings, without the place in the server's source.
fn reports(heard: &[Message]) -> Vec<Vec<(char, String)>> {
    let reports = heard.iter().filter_map(|message| message.error().or_else(|| message.notice()));
    let told = |(code, _): &(char, String)| !"FLRP".contains(*code);
    reports.map(|report| report.fields().iter().filter(|one| told(one)).cloned().collect()).collect()
}

#[test]
fn who_may_signal_whom_is_as_postgresql_has_it() -> Result<()> {
    let weir = start()?;
    let cluster = Cluster::shared();
    let outside = Login::new("outsider", "outsider").database("app");
    let mut others = [as_user(&weir, "postgres")?, weir.connect()?];
    let mut servers = [cluster.admin(0)?, cluster.connect(0)?];
    for (other, server) in others.iter_mut().zip(&mut servers) {
        for function in ["pg_cancel_backend", "pg_terminate_backend"] {
            let mut direct = Client::connect(&cluster.address(0), &outside)?;
            let mut outsider = Client::connect(&weir.address(), &outside)?;
            for (way, frames) in ways(function, pid(other)) {
                let told = direct.ask(&[front::query(format!("SELECT {function}({})", pid(server)))])?;
                let heard = outsider.ask(&frames)?;
                assert_eq!(reports(&heard), reports(&told), "{function}, {way}");
                assert_eq!(sqlstate(&heard).as_deref(), Some("42501"));
            }
        }
        other.query("SELECT 'untouched'")?;
        server.query("SELECT 'untouched'")?;
    }
    let [superuser, app] = &mut others;
    // By the role it acts as, and by membership.
    app.query("BEGIN; SET LOCAL ROLE app")?;
    let by = |name: &str| as_user(&weir, name);
    assert_eq!(by("app_plain")?.query(&format!("SELECT pg_cancel_backend({})", pid(app)))?.value(), "t");
    let acting = superuser
        .ask(&[front::query(format!("SET ROLE outsider; SELECT pg_cancel_backend({})", pid(app)))])?;
    assert_eq!(sqlstate(&acting).as_deref(), Some("42501"));
    superuser.query(&format!("SELECT pg_terminate_backend({}, 1000)", pid(app)))?;
    assert_terminated(app)
}

#[test]
fn of_who_is_not_there_the_server_says_what_it_says() -> Result<()> {
    let weir = start()?;
    let mut direct = Cluster::shared().connect(0)?;
    let mut client = weir.connect()?;
    let gone = weir.connect()?;
    let number = pid(&gone);
    gone.close()?;
    wait_for("it to be gone", PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_clients", &[]) == 1.0).then_some(()))
    })?;
    for function in ["pg_cancel_backend", "pg_terminate_backend"] {
        for pid in [number, NOBODY] {
            for (way, frames) in ways(function, pid) {
                let (heard, told) = (client.ask(&frames)?, direct.ask(&frames)?);
                assert_eq!(reports(&heard), reports(&told), "{function}, {way}");
                assert_eq!(bodies(&heard, b'D'), bodies(&told, b'D'), "{function}, {way}");
                assert_eq!(bodies(&heard, b'D').len(), if way == "among others" { 3 } else { 1 });
            }
        }
        let (sql, text) = (format!("SELECT {function}($1)"), number.to_string());
        let too_many = [
            front::parse("", sql, &[]),
            front::bind("", "", &[Some(text.as_bytes()), None]),
            front::execute("", 0),
            front::sync(),
        ];
        assert_eq!(sqlstate(&client.ask(&too_many)?).as_deref(), Some("08P01"));
        let null = [
            front::parse("", format!("SELECT {function}($1)"), &[]),
            front::bind("", "", &[None]),
            front::execute("", 0),
            front::sync(),
        ];
        assert_eq!(bodies(&client.ask(&null)?, b'D'), bodies(&direct.ask(&null)?, b'D'));
    }
    Ok(())
}

#[test]
fn a_server_process_on_which_another_client_works_is_not_signalled() -> Result<()> {
    let weir = start()?;
    let (mut admin, mut other) = (weir.connect()?, weir.connect()?);
    other.query("BEGIN; CREATE TEMP TABLE held (id int) ON COMMIT DROP")?;
    let process: u32 = other.query(SERVERS_OWN)?.value().parse().unwrap();
    for function in ["pg_cancel_backend", "pg_terminate_backend"] {
        for (way, frames) in ways(function, process) {
            let heard = admin.ask(&frames)?;
            let error = heard.iter().find_map(Message::error).unwrap_or_else(|| panic!("{way}: {heard:?}"));
            assert_eq!(error.sqlstate(), "55006", "{way}");
            assert!(error.field('H').unwrap().contains(&pid(&other).to_string()), "{error:?}");
        }
    }
    other.query("SELECT * FROM held")?;
    // Its own, by either number.
    other.query("SAVEPOINT a")?;
    let own = other.ask(&[front::query(format!("SELECT pg_cancel_backend({process})"))])?;
    assert_eq!(sqlstate(&own).as_deref(), Some("57014"));
    other.query("ROLLBACK")?;
    // Nobody works there now.
    assert_eq!(admin.query(&format!("SELECT pg_cancel_backend({process})"))?.value(), "t");
    Ok(())
}

#[test]
fn what_does_not_run_signals_nobody() -> Result<()> {
    let weir = start()?;
    let (mut admin, mut other) = (weir.connect()?, weir.connect()?);
    let sql = format!("SELECT pg_terminate_backend({})", pid(&other));
    let bound = [front::parse("", &sql, &[]), front::bind("", "", &[])].concat();
    // Behind an error of its batch, never executed, and in a transaction that has failed.
    let behind = [
        front::parse("", "SELECT 1/0", &[]),
        front::bind("", "", &[]),
        front::execute("", 0),
        bound.clone(),
        front::execute("", 0),
        front::sync(),
    ];
    assert_eq!(sqlstate(&admin.ask(&behind)?).as_deref(), Some("22012"));
    assert_eq!(sqlstate(&admin.ask(&[bound.clone(), front::sync()])?), None);
    let rebound = [
        bound.clone(),
        front::parse("", "SELECT 1", &[]),
        front::bind("", "", &[]),
        front::execute("", 0),
        front::sync(),
    ];
    assert_eq!(value(&admin.ask(&rebound)?), b"1");
    admin.query("BEGIN")?;
    assert_eq!(sqlstate(&admin.ask(&[front::query("SELECT 1/0")])?).as_deref(), Some("22012"));
    assert_eq!(sqlstate(&admin.ask(&[front::query(&sql)])?).as_deref(), Some("25P02"));
    let executed = [bound, front::execute("", 0), front::sync()];
    assert_eq!(sqlstate(&admin.ask(&executed)?).as_deref(), Some("25P02"));
    admin.query("ROLLBACK")?;
    assert_eq!(sqlstate(&admin.ask(&[front::query(format!("EXPLAIN {sql}"))])?), None);
    other.query("SELECT 'untouched'")?;
    // And what runs does, in a transaction that is rolled back too.
    admin.query("BEGIN")?;
    admin.query(&sql)?;
    admin.query("ROLLBACK")?;
    assert_terminated(&mut other)
}
