//! What a session carries comes off again, though its object was dropped or a right is gone; and what another session has
//! left on a connection is not seen.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use harness::client::front::{bind, execute, parse, query, sync};
use harness::client::{Client, Login};
use harness::{Cluster, Result, Weir, WeirSetup};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// One connection to the primary and nothing else.
fn single() -> WeirSetup {
    WeirSetup::in_front_of(Cluster::shared(), [0])
        .set("pool", "size", "1")
        .append("[[users]]\nname = \"carries\"\npassword = \"carries\"")
}

/// A client that the servers know as a superuser of its own.
fn connect(weir: &Weir, user: &str) -> Result<Client> {
    Client::connect(&weir.address(), &Login::new(user, user).database("app"))
}

/// A setting that stops being valid.
struct Case {
    /// What is there before; a line each.
    before: &'static str,
    /// What the session says.
    set: &'static str,
    /// What takes its ground away.
    gone: &'static str,
    /// What takes it back.
    undo: &'static [&'static str],
    /// What a server says to it from then on.
    sqlstate: &'static str,
}

const TELL: &str = "SELECT concat_ws(' ', current_user, session_user, current_setting('default_tablespace'), \
    current_setting('temp_tablespaces'), current_setting('default_table_access_method'), \
    current_setting('default_text_search_config'))";

const CASES: &[Case] = &[
    Case {
        before: "CREATE TEXT SEARCH CONFIGURATION public.gone (COPY = simple)",
        set: "SET default_text_search_config = 'public.gone'",
        gone: "DROP TEXT SEARCH CONFIGURATION public.gone",
        undo: &[
            "RESET default_text_search_config",
            "SET default_text_search_config TO DEFAULT",
            "SET default_text_search_config = 'pg_catalog.english'",
            "RESET ALL",
            "DISCARD ALL",
        ],
        sqlstate: "22023",
    },
    Case {
        before: "SET allow_in_place_tablespaces = on\nCREATE TABLESPACE gone LOCATION ''",
        set: "SET default_tablespace = gone",
        gone: "DROP TABLESPACE gone",
        undo: &["RESET default_tablespace", "SET default_tablespace = ''", "RESET ALL"],
        sqlstate: "22023",
    },
    Case {
        before: "SET allow_in_place_tablespaces = on\nCREATE TABLESPACE gone LOCATION ''",
        set: "SET temp_tablespaces = gone",
        gone: "DROP TABLESPACE gone",
        undo: &["RESET temp_tablespaces", "DISCARD ALL"],
        sqlstate: "42704",
    },
    Case {
        before: "CREATE ACCESS METHOD gone TYPE TABLE HANDLER heap_tableam_handler",
        set: "SET default_table_access_method = gone",
        gone: "DROP ACCESS METHOD gone",
        undo: &["RESET default_table_access_method", "DISCARD ALL"],
        sqlstate: "22023",
    },
    Case {
        before: "CREATE ROLE gone",
        set: "SET ROLE gone",
        gone: "DROP ROLE gone",
        undo: &[
            "RESET ROLE",
            "SET ROLE NONE",
            "SET ROLE app",
            "SET SESSION AUTHORIZATION DEFAULT",
            "DISCARD ALL",
        ],
        sqlstate: "22023",
    },
    Case {
        before: "CREATE ROLE gone",
        set: "SET SESSION AUTHORIZATION gone",
        gone: "DROP ROLE gone",
        undo: &["RESET SESSION AUTHORIZATION", "SET SESSION AUTHORIZATION app", "DISCARD ALL"],
        sqlstate: "22023",
    },
    Case {
        before: "ALTER ROLE carries SUPERUSER",
        set: "SET session_replication_role = replica",
        gone: "ALTER ROLE carries NOSUPERUSER",
        // PostgreSQL as well refuses to reset it by name.
        undo: &["RESET ALL", "DISCARD ALL"],
        sqlstate: "42501",
    },
    Case {
        before: "ALTER ROLE carries SUPERUSER",
        set: "SET SESSION AUTHORIZATION app",
        gone: "ALTER ROLE carries NOSUPERUSER\n\
               SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'carries'",
        // Whether a user is a superuser to this, a server process has found out at its login.
        undo: &["RESET SESSION AUTHORIZATION"],
        sqlstate: "42501",
    },
];

/// Somebody else has the connection for a moment, and leaves it without the session's settings.
fn passes_by(other: &mut Client) -> Result<()> {
    other.query("SET TimeZone = 'Asia/Tokyo'; RESET TimeZone").map(drop)
}

fn admin(sql: &str) -> Result<()> {
    let cluster = Cluster::shared();
    let mut admin =
        Client::connect(&cluster.address(0), &Login::new("postgres", "postgres").database("app"))?;
    sql.lines().try_for_each(|sql| admin.query(sql).map(drop))
}

#[test]
fn what_takes_a_setting_back_does_not_need_it() -> Result<()> {
    admin("CREATE ROLE carries LOGIN SUPERUSER PASSWORD 'carries'")?;
    for transactions in ["lazy", "primary"] {
        for case in CASES {
            let setup = single().set("routing", "transactions", &format!("\"{transactions}\""));
            let weir = setup.start(WEIR)?;
            for undo in case.undo {
                let what = format!("{}; {undo}; {transactions}", case.set);
                admin("ALTER ROLE carries SUPERUSER")?;
                admin(case.before)?;
                let mut client = connect(&weir, "carries")?;
                client.query(case.set)?;
                let mut second = connect(&weir, "carries")?;
                passes_by(&mut second)?;
                admin(case.gone)?;
                passes_by(&mut second)?;
                // What would run under it fails, outside of a transaction and in one.
                let refused = client.query("SELECT 1").unwrap_err();
                assert_eq!(refused.sqlstate(), Some(case.sqlstate), "{what}: {refused}");
                client.query("BEGIN").unwrap();
                let refused = client.query("SELECT 1").unwrap_err();
                assert_eq!(refused.sqlstate(), Some(case.sqlstate), "{what}: {refused}");
                assert_eq!(client.query("SELECT 1").unwrap_err().sqlstate(), Some("25P02"), "{what}");
                client.query("ROLLBACK")?;
                client.query("BEGIN; SAVEPOINT a; ROLLBACK TO a; COMMIT")?;
                passes_by(&mut second)?;
                client.query(undo).unwrap_or_else(|failure| panic!("{what}: {failure}"));
                let (tells, others) = (client.query(TELL)?, second.query(TELL)?);
                assert_eq!(others.value(), "carries carries   heap pg_catalog.simple", "{what}");
                let another = undo.contains(" app") || undo.contains("english");
                assert_eq!(tells.value() == others.value(), !another, "{what}: {}", tells.value());
                client.close()?;
                second.close()?;
            }
        }
    }
    admin("DROP ROLE carries")
}

const TENANT: &str = "SELECT coalesce(current_setting('app.tenant', true), 'nothing')";

/// How many connections have been opened so far.
fn logins(weir: &Weir) -> Result<f64> {
    Ok(weir.metrics()?.sum("weir_backend_connects_total", &[("result", "ok")]))
}

#[test]
fn a_custom_setting_of_another_session_is_not_heard_of() -> Result<()> {
    for (transactions, size) in [("lazy", "20"), ("primary", "20")] {
        let uses: [&[&str]; 5] = [
            &["BEGIN", "SET LOCAL app.tenant = 'x'", TENANT, "COMMIT"],
            &["BEGIN", "SET LOCAL app.tenant = 'x'", "ROLLBACK"],
            &["SET app.tenant = 'x'", TENANT, "RESET app.tenant"],
            &["SELECT set_config('app.' || 'tenant', 'x', false)", TENANT],
            &["DO $$ BEGIN PERFORM set_config('app.tenant', 'x', false); END $$", TENANT],
        ];
        for used in uses {
            let weir = WeirSetup::in_front_of(Cluster::shared(), 0..3)
                .set("pool", "size", size)
                .set("routing", "transactions", &format!("\"{transactions}\""))
                .start(WEIR)?;
            let mut one = weir.connect()?;
            used.iter().try_for_each(|sql| one.query(sql).map(drop))?;
            one.close()?;
            std::thread::sleep(std::time::Duration::from_millis(200));
            let mut others = Vec::new();
            for _ in 0..18 {
                let mut other = weir.connect()?;
                other.query("BEGIN")?;
                others.push(other);
            }
            for other in &mut others {
                assert_eq!(other.query(TENANT)?.value(), "nothing", "{used:?}, {transactions}, {size}");
                assert_eq!(
                    other.query(&format!("/* weir: primary */ {TENANT}"))?.value(),
                    "nothing",
                    "{used:?}, {transactions}, {size}, on the primary"
                );
            }
        }
    }
    Ok(())
}

/// Requests that set a tenant, among others that do not: neither opens a connection for each.
#[test]
fn custom_settings_do_not_cost_a_login_each() -> Result<()> {
    let weir = single().set("pool", "size", "4").start(WEIR)?;
    let mut tenants = [weir.connect()?, weir.connect()?, weir.connect()?];
    let mut others = [weir.connect()?, weir.connect()?];
    others[0].query("CREATE TABLE carried (id int)")?;
    let before = logins(&weir)?;
    for _ in 0..100 {
        for tenant in &mut tenants {
            for sql in ["BEGIN", "SET LOCAL app.tenant = 'x'", "INSERT INTO carried VALUES (1)", "COMMIT"] {
                tenant.query(sql)?;
            }
        }
        for other in &mut others {
            assert_eq!(other.query(&format!("/* weir: primary */ {TENANT}"))?.value(), "nothing");
        }
    }
    let opened = logins(&weir)? - before;
    assert!(opened < 20.0, "{opened} logins");
    Ok(())
}

#[test]
fn temporary_tables_of_another_session_leave_nothing_that_shows() -> Result<()> {
    for size in ["1", "20"] {
        let weir = single().set("pool", "size", size).start(WEIR)?;
        let make = "CREATE TEMP TABLE own (a int); INSERT INTO own VALUES (1)";
        let brief = "BEGIN; CREATE TEMP TABLE own (a int) ON COMMIT DROP; INSERT INTO own VALUES (1); COMMIT";
        let code = "DO $$ BEGIN CREATE TEMP TABLE own (a int); INSERT INTO own VALUES (1); END $$";
        for used in [make, brief, code] {
            weir.connect()?.query(used)?;
            std::thread::sleep(std::time::Duration::from_millis(200));
            let mut other = weir.connect()?;
            other.query("SET temp_buffers = '2MB'").unwrap();
            assert_eq!(other.query("SHOW temp_buffers")?.value(), "2MB", "{used}");
            other.query(brief)?;
            // One who has not set any is not disturbed by those of another.
            let mut third = weir.connect()?;
            assert_eq!(third.query("SHOW temp_buffers")?.value(), "8MB", "{used}");
            third.query(brief)?;
            assert_eq!(other.query("SHOW temp_buffers")?.value(), "2MB", "{used}");
            other.query("RESET temp_buffers").unwrap();
        }
    }
    Ok(())
}

/// What a session says before somebody else takes the ground of its setting away, and after that.
struct Lost {
    before: &'static [&'static str],
    after: &'static [&'static str],
    /// What becomes of each: a command tag or an SQLSTATE, and the status behind it.
    hears: &'static [(&'static str, char)],
}

const LOST: &[Lost] = &[
    Lost {
        before: &["BEGIN", "SET ROLE lost_role", "SAVEPOINT s"],
        after: &["INSERT INTO lost VALUES (1)", "INSERT INTO lost VALUES (2)", "SELECT 1", "COMMIT"],
        hears: &[("22023", 'E'), ("25P02", 'E'), ("25P02", 'E'), ("ROLLBACK", 'I')],
    },
    Lost {
        before: &["BEGIN", "SAVEPOINT s", "SET ROLE lost_role"],
        after: &["INSERT INTO lost VALUES (1)", "SELECT 1", "ROLLBACK TO s", "SELECT current_user", "COMMIT"],
        hears: &[("22023", 'E'), ("25P02", 'E'), ("ROLLBACK", 'T'), ("SELECT 1", 'T'), ("COMMIT", 'I')],
    },
    Lost {
        before: &["BEGIN", "SAVEPOINT s", "SET LOCAL ROLE lost_role"],
        after: &[
            "INSERT INTO lost VALUES (1)",
            "ROLLBACK TO nowhere",
            "ROLLBACK TO s",
            "INSERT INTO lost_and_found VALUES (1)",
            "COMMIT",
            "DELETE FROM lost_and_found",
        ],
        hears: &[
            ("22023", 'E'),
            ("", 'E'),
            ("ROLLBACK", 'T'),
            ("INSERT 0 1", 'T'),
            ("COMMIT", 'I'),
            ("DELETE 1", 'I'),
        ],
    },
    Lost {
        before: &["SET ROLE lost_role", "BEGIN", "SAVEPOINT s"],
        after: &["INSERT INTO lost VALUES (1)", "SELECT 1", "INSERT INTO lost VALUES (2)", "COMMIT"],
        hears: &[("22023", 'E'), ("25P02", 'E'), ("25P02", 'E'), ("ROLLBACK", 'I')],
    },
    Lost {
        before: &["SET ROLE lost_role", "BEGIN", "SAVEPOINT s"],
        after: &[
            "SELECT current_user",
            "INSERT INTO lost VALUES (1)",
            "ROLLBACK TO s",
            "RESET ROLE",
            "COMMIT",
        ],
        hears: &[("", 'E'), ("25P02", 'E'), ("ROLLBACK", 'T'), ("RESET", 'T'), ("COMMIT", 'I')],
    },
    Lost {
        before: &["BEGIN", "SET ROLE lost_role"],
        after: &["SELECT current_user", "INSERT INTO lost VALUES (1)", "COMMIT"],
        hears: &[("", 'E'), ("25P02", 'E'), ("ROLLBACK", 'I')],
    },
    Lost {
        before: &["BEGIN", "SET ROLE lost_role"],
        // The error is in front of the end.
        after: &["INSERT INTO lost VALUES (1); COMMIT", "INSERT INTO lost VALUES (2)", "COMMIT"],
        hears: &[("22023", 'E'), ("25P02", 'E'), ("ROLLBACK", 'I')],
    },
    Lost {
        before: &["SET ROLE lost_role", "BEGIN", "SELECT 1"],
        after: &["INSERT INTO lost VALUES (1); COMMIT", "INSERT INTO lost VALUES (2)", "COMMIT"],
        hears: &[("22023", 'E'), ("25P02", 'E'), ("ROLLBACK", 'I')],
    },
    Lost {
        before: &["BEGIN", "SET ROLE lost_role"],
        after: &["DELETE FROM lost", "COMMIT AND CHAIN", "INSERT INTO lost_and_found VALUES (1)", "ROLLBACK"],
        hears: &[("22023", 'E'), ("ROLLBACK", 'T'), ("INSERT 0 1", 'T'), ("ROLLBACK", 'I')],
    },
    Lost {
        before: &["BEGIN", "SET default_text_search_config = 'public.lost_words'", "SELECT 1"],
        after: &["INSERT INTO lost VALUES (1)", "SELECT 1", "COMMIT", "SHOW default_text_search_config"],
        hears: &[("22023", 'E'), ("25P02", 'E'), ("ROLLBACK", 'I'), ("SHOW", 'I')],
    },
    Lost {
        before: &["SET ROLE lost_role", "BEGIN", "SAVEPOINT s"],
        after: &["DECLARE c CURSOR FOR SELECT 1", "INSERT INTO lost VALUES (1)", "SELECT 2", "COMMIT"],
        hears: &[("22023", 'E'), ("25P02", 'E'), ("25P02", 'E'), ("ROLLBACK", 'I')],
    },
    Lost {
        before: &["SET default_text_search_config = 'public.lost_words'", "BEGIN", "SELECT 1"],
        after: &["INSERT INTO lost VALUES (1)", "SELECT 1", "COMMIT"],
        hears: &[("22023", 'E'), ("25P02", 'E'), ("ROLLBACK", 'I')],
    },
    Lost {
        before: &["BEGIN", "SET LOCAL default_text_search_config = 'public.lost_words'", "SELECT 1"],
        after: &["INSERT INTO lost VALUES (1)", "ROLLBACK", "INSERT INTO lost_and_found VALUES (1)"],
        hears: &[("22023", 'E'), ("ROLLBACK", 'I'), ("INSERT 0 1", 'I')],
    },
    Lost {
        before: &[
            "BEGIN",
            "SAVEPOINT s",
            "SET LOCAL default_text_search_config = 'public.lost_words'",
            "SELECT 1",
        ],
        after: &["DECLARE c CURSOR FOR SELECT * FROM lost FOR UPDATE", "SELECT 1", "ROLLBACK TO s", "COMMIT"],
        hears: &[("22023", 'E'), ("25P02", 'E'), ("ROLLBACK", 'T'), ("COMMIT", 'I')],
    },
];

/// What became of a request, by one protocol or the other.
fn hear(client: &mut Client, sql: &str, protocol: &str) -> Result<(String, char)> {
    let frames = match protocol {
        "simple" => vec![query(sql)],
        _ => {
            let run = |sql: &str| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)];
            sql.split("; ").flat_map(run).chain([sync()]).collect()
        }
    };
    let (mut what, mut status) = (String::new(), ' ');
    for message in client.ask(&frames)? {
        match message.error() {
            Some(error) => what = error.sqlstate().to_owned(),
            None if message.tag == b'C' => what = message.text(),
            None => status = message.status().unwrap_or(status),
        }
    }
    Ok((what, status))
}

/// A transaction that has only read, of which no server knows, meets a setting that no server takes: it fails, and nothing
/// of what follows runs outside of it.
#[test]
fn a_transaction_fails_by_a_setting_that_is_gone() -> Result<()> {
    admin(
        "CREATE ROLE lost LOGIN SUPERUSER PASSWORD 'lost'\n\
         CREATE TABLE lost (id int)\n\
         CREATE TABLE lost_and_found (id int)\n\
         GRANT ALL ON lost, lost_and_found TO app",
    )?;
    let weir = WeirSetup::in_front_of(Cluster::shared(), 0..3)
        .set("pool", "size", "1")
        .append("[[users]]\nname = \"lost\"\npassword = \"lost\"")
        .start(WEIR)?;
    for (user, protocol) in [("app", "simple"), ("app", "extended"), ("lost", "simple"), ("lost", "extended")]
    {
        for scene in LOST {
            meets_loss(&weir, (user, protocol), scene)?;
        }
    }
    pipelines_loss(&weir)?;
    admin("DROP TABLE lost, lost_and_found\nDROP ROLE lost")
}

/// What stands behind the request that fails is sent before that is answered.
fn pipelines_loss(weir: &Weir) -> Result<()> {
    for end in ["COMMIT", "ROLLBACK"] {
        admin("CREATE ROLE lost_role\nGRANT lost_role TO app")?;
        std::thread::sleep(std::time::Duration::from_millis(100));
        let mut client = connect(weir, "app")?;
        for sql in ["BEGIN", "SET ROLE lost_role"] {
            client.query(sql)?;
        }
        admin("DROP ROLE lost_role")?;
        client.send(
            &["INSERT INTO lost VALUES (1)", end, "INSERT INTO lost_and_found VALUES (3)"].map(query),
        )?;
        let mut errors = 0;
        for _ in 0..3 {
            errors += client.until_ready()?.iter().filter(|message| message.error().is_some()).count();
        }
        assert!(errors > 0, "{end}");
        let left = weir.connect()?.query("/* weir: primary */ SELECT count(*) FROM lost")?;
        assert_eq!(left.value(), "0", "{end}");
        client.query("ROLLBACK")?;
        assert_eq!(client.query("SELECT 1")?.value(), "1", "{end}");
        client.close()?;
    }
    Ok(())
}

fn meets_loss(weir: &Weir, (user, protocol): (&str, &str), scene: &Lost) -> Result<()> {
    admin(
        "DELETE FROM lost_and_found\n\
         CREATE ROLE lost_role\n\
         GRANT lost_role TO app\n\
         CREATE TEXT SEARCH CONFIGURATION public.lost_words (COPY = simple)",
    )?;
    std::thread::sleep(std::time::Duration::from_millis(100));
    let mut client = connect(weir, user)?;
    for sql in scene.before {
        hear(&mut client, sql, protocol)?;
    }
    let mut second = connect(weir, user)?;
    passes_by(&mut second)?;
    admin("DROP ROLE lost_role\nDROP TEXT SEARCH CONFIGURATION public.lost_words")?;
    std::thread::sleep(std::time::Duration::from_millis(100));
    passes_by(&mut second)?;
    for (sql, (what, status)) in scene.after.iter().zip(scene.hears) {
        let heard = hear(&mut client, sql, protocol)?;
        let as_told = heard.0 == *what || (what.is_empty() && heard.0.len() == 5);
        assert!(
            as_told && heard.1 == *status,
            "{sql}: {heard:?}, not {what:?}, {status}; {user}, {protocol}, {:?}, {:?}",
            scene.before,
            scene.after
        );
    }
    client.close()?;
    let left = weir.connect()?.query("/* weir: primary */ SELECT count(*) FROM lost")?;
    assert_eq!(left.value(), "0", "{:?}, {:?}", scene.before, scene.after);
    Ok(())
}
