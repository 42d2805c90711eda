//! Catalogs that all databases share, changed through one database and read through another.

use std::time::Duration;

use harness::Result;
use harness::client::{Client, Login};

use crate::stage::{Look, PRIMARY, REPLICA, Stage, WAYS, app, options};

/// What superusers make, in the database of which everything is changed and in the one where all is read.
const HERE: &[&str] = &[
    "CREATE ROLE holder; CREATE ROLE mortal; GRANT holder, mortal TO app WITH ADMIN OPTION; ALTER ROLE app CREATEROLE CREATEDB",
    // By app: from PostgreSQL 16 on a role takes back only what it has given itself.
    "SET ROLE app; GRANT mortal TO holder",
    "CREATE DATABASE other OWNER app",
    "CREATE DATABASE third OWNER app",
    "SET ROLE app; CREATE TABLE requests (name text);
     CREATE PROCEDURE makes(name text) LANGUAGE plpgsql AS 'BEGIN EXECUTE format(''CREATE ROLE %I'', name); END';
     CREATE FUNCTION makes_one(name text) RETURNS int LANGUAGE plpgsql AS
         'BEGIN EXECUTE format(''CREATE ROLE %I'', name); RETURN 1; END';
     CREATE FUNCTION acts() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN EXECUTE ''CREATE ROLE '' || quote_ident(NEW.name); RETURN NEW; END';
     CREATE TRIGGER acts AFTER INSERT ON requests FOR EACH ROW EXECUTE FUNCTION acts()",
];

const THERE: &str = "
    CREATE TABLE guarded AS SELECT 0 AS v; GRANT CREATE ON SCHEMA public TO holder; ALTER TABLE guarded OWNER TO holder; CREATE TABLE plain AS SELECT 0 AS v;
    CREATE FUNCTION looks() RETURNS int STABLE LANGUAGE sql AS 'SELECT v FROM plain';
    CREATE VIEW users AS SELECT usename AS name FROM pg_user;
    CREATE VIEW roles AS SELECT rolname AS name FROM pg_roles;
    CREATE FUNCTION has(text) RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM pg_roles WHERE rolname = $1';
    CREATE FUNCTION has_view(text) RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM roles WHERE name = $1';
    CREATE FUNCTION is_member(text) RETURNS int STABLE RETURN pg_has_role('holder', $1, 'member')::int";

/// What is said in one database, and what must be read in the other afterwards: 1, which is 0 before.
struct Change {
    says: &'static [&'static str],
    read: &'static str,
}

const fn change(says: &'static [&'static str], read: &'static str) -> Change {
    Change { says, read }
}

const CHANGES: &[Change] = &[
    change(&["CREATE ROLE a1"], "SELECT count(*) FROM pg_roles WHERE rolname = 'a1'"),
    change(
        &["BEGIN", "CREATE USER a2", "COMMIT"],
        "SELECT count(*) FROM pg_catalog.pg_user WHERE usename = 'a2'",
    ),
    change(&["CREATE USER a3"], "SELECT count(*) FROM users WHERE name = 'a3'"),
    change(&["CREATE ROLE a4"], "SELECT has('a4')"),
    change(&["CREATE ROLE a5"], "SELECT has_view('a5')"),
    change(&["CREATE ROLE a6"], "SELECT count(to_regrole('a6'))"),
    change(&["CREATE GROUP a7"], "SELECT count(*) FROM pg_group WHERE groname = 'a7'"),
    change(
        &["CREATE ROLE b1", "GRANT b1 TO holder"],
        "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = roleid WHERE rolname = 'b1' AND member = 'holder'::regrole",
    ),
    change(
        &["CREATE ROLE b2", "GRANT b2 TO app"],
        // From PostgreSQL 16 on who creates a role is a member of it already.
        "SELECT count(DISTINCT role_name) FROM information_schema.applicable_roles WHERE role_name = 'b2'",
    ),
    change(&["REVOKE mortal FROM holder"], "SELECT (NOT pg_has_role('holder', 'mortal', 'member'))::int"),
    change(&["GRANT mortal TO holder"], "SELECT is_member('mortal')"),
    change(&["ALTER ROLE mortal CREATEDB"], "SELECT rolcreatedb::int FROM pg_roles WHERE rolname = 'mortal'"),
    change(
        &["ALTER ROLE app SET work_mem = '5MB'"],
        "SELECT count(*) FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = setrole WHERE rolname = 'app'",
    ),
    change(
        &["ALTER DATABASE third SET work_mem = '5MB'"],
        "SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = 'third'",
    ),
    change(
        &["ALTER DATABASE third CONNECTION LIMIT 1"],
        "SELECT datconnlimit FROM pg_database WHERE datname = 'third'",
    ),
    change(
        &["REVOKE CONNECT ON DATABASE third FROM public"],
        "SELECT (NOT has_database_privilege('holder', 'third', 'connect'))::int",
    ),
    change(
        &["COMMENT ON DATABASE third IS '1'"],
        "SELECT coalesce(shobj_description(oid, 'pg_database'), '0') FROM pg_database WHERE datname = 'third'",
    ),
    change(
        &["COMMENT ON ROLE holder IS '1'"],
        "SELECT count(*) FROM pg_shdescription WHERE description = '1' AND classoid = 'pg_authid'::regclass",
    ),
    change(&["CREATE DATABASE c1"], "SELECT count(*) FROM pg_database WHERE datname = 'c1'"),
    change(
        &["CREATE TABLE owned (v int)", "GRANT SELECT ON owned TO holder"],
        "SELECT count(*) FROM pg_shdepend s JOIN pg_database d ON d.oid = dbid WHERE datname = 'app' AND refobjid = 'holder'::regrole",
    ),
    change(&["DO $$ BEGIN CREATE ROLE d1; END $$"], "SELECT count(*) FROM pg_roles WHERE rolname = 'd1'"),
    change(&["DO $$ BEGIN EXECUTE format('CREATE ROLE %s', 'd2'); END $$"], "SELECT has('d2')"),
    change(&["CALL makes('d3')"], "SELECT count(*) FROM pg_roles WHERE rolname = 'd3'"),
    change(&["SELECT makes_one('d4')"], "SELECT count(*) FROM roles WHERE name = 'd4'"),
    change(&["INSERT INTO requests VALUES ('d5')"], "SELECT has('d5')"),
    change(&["SELECT 1; CREATE ROLE d6"], "SELECT count(*) FROM pg_roles WHERE rolname = 'd6'"),
];

/// A client of the other database.
fn there(stage: &Stage, level: &str) -> Result<Client> {
    stage.log_in(app().database("other").parameter("options", &options(level)))
}

fn set() -> Result<Stage> {
    let stage = Stage::set("")?;
    HERE.iter().try_for_each(|sql| stage.cluster.sql(PRIMARY, sql).map(drop))?;
    there(&stage, "session")?.query(THERE)?;
    stage.catch_up()?;
    Ok(stage)
}

#[test]
fn what_all_databases_share_is_as_fresh_in_each_of_them() -> Result<()> {
    let stage = set()?;
    let mut wrong = Vec::new();
    for Change { says, read } in CHANGES {
        let mut reader = there(&stage, "global")?;
        let before = stage.wait_served_by_replica(&mut reader, read)?;
        let mut writer = stage.client("session")?;
        stage.cluster.pause_replay(REPLICA)?;
        says.iter().try_for_each(|sql| writer.query(sql).map(drop))?;
        let careless = Look { value: before, on: vec![REPLICA] };
        for way in WAYS {
            let look = stage.look_by(&mut there(&stage, "eventual")?, way, read)?;
            if look != careless {
                wrong.push(format!("{read}: who asks for nothing, {way:?}: {look:?}"));
            }
            let look = stage.look_by(&mut reader, way, read)?;
            if look.value != "1" {
                wrong.push(format!("{says:?}; {read}: somebody at global, {way:?}: {look:?}"));
            }
        }
        stage.catch_up()?;
        stage.wait_served_by_replica(&mut reader, read)?;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// What a role may do decides over every read.
#[test]
fn who_may_read_is_as_fresh_as_what_is_read() -> Result<()> {
    let stage = set()?;
    let (mut reader, read) = (there(&stage, "global")?, "SELECT count(*) FROM guarded");
    assert_eq!(stage.wait_served_by_replica(&mut reader, read)?, "1");
    stage.cluster.pause_replay(REPLICA)?;
    // By whoever gave it.
    stage.log_in(Login::new("postgres", "postgres").database("app"))?.query("REVOKE holder FROM app")?;
    let refused = reader.query(read).expect_err("it may not be read any more");
    assert_eq!(refused.sqlstate(), Some("42501"));
    assert_eq!(stage.look(&mut there(&stage, "eventual")?, read)?.value, "1");
    stage.catch_up()
}

/// What is not known to change what they share keeps nobody in other databases from a replica.
#[test]
fn code_in_one_database_costs_readers_of_another_nothing() -> Result<()> {
    let stage = set()?;
    stage.cluster.sql(
        PRIMARY,
        "SET ROLE app; CREATE TABLE q AS SELECT 0 AS v; CREATE PROCEDURE p() LANGUAGE sql AS 'UPDATE q SET v = v + 1';
         CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN EXECUTE format(''UPDATE %s SET v = 1'', ''q''); RETURN 1; END'",
    )?;
    let mut reader = there(&stage, "global")?;
    stage.wait_served_by_replica(&mut reader, "SELECT looks()")?;
    // Longer than weir takes between two readings of the catalog: until then nobody knows what a name reaches.
    std::thread::sleep(Duration::from_millis(1500));
    stage.cluster.pause_replay(REPLICA)?;
    let mut writer = stage.client("session")?;
    for says in ["CALL p()", "SELECT f()", "DO $$ BEGIN UPDATE q SET v = 2; END $$", "CREATE TABLE r (v int)"]
    {
        writer.query(says)?;
        for read in ["SELECT v FROM plain", "SELECT looks()", "SELECT now()"] {
            assert_eq!(stage.look(&mut reader, read)?.on, [REPLICA], "{says}; {read}");
        }
    }
    stage.catch_up()
}
