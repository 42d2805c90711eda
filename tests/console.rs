//! The console, asked by real programs: psql, pgbench, PgBouncer's exporters' and agents' queries, drivers that prepare
//! everything; compared with the real PgBouncer; and a switchover during which nobody hears of an error.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use harness::client::{Address, Client, Login, Message, front};
use harness::{Cluster, Options, Result, Stop, Weir, WeirSetup, free_port, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What PgBouncer shows, and its columns' names are compared.
const SHOWN: [&str; 20] = [
    "ACTIVE_SOCKETS",
    "CLIENTS",
    "CONFIG",
    "DATABASES",
    "DNS_HOSTS",
    "DNS_ZONES",
    "FDS",
    "LISTS",
    "MEM",
    "PEERS",
    "PEER_POOLS",
    "POOLS",
    "SERVERS",
    "SOCKETS",
    "STATE",
    "STATS",
    "STATS_AVERAGES",
    "STATS_TOTALS",
    "TOTALS",
    "USERS",
];

/// What only weir does.
const OWN: [&str; 7] = ["ROUTES", "PINS", "FRESHNESS", "TRANSACTIONS", "DISCOVERY", "EVENTS", "SHAPES"];

fn setup(cluster: &Cluster) -> WeirSetup {
    WeirSetup::in_front_of(cluster, 0..cluster.size())
        .at_any_age()
        .set("console", "users", "[\"postgres\"]")
        .set("console", "stats_users", "[\"app_plain\"]")
}

fn weir() -> Result<Weir> {
    setup(Cluster::shared()).start(WEIR)
}

/// Somebody at the console.
fn operator(weir: &Weir) -> Result<Client> {
    Client::connect(&weir.address(), &Login::new("postgres", "postgres").database("weir"))
}

/// Rows as maps from columns' names.
fn rows(client: &mut Client, sql: &str) -> Result<Vec<BTreeMap<String, String>>> {
    let heard = client.ask(&[front::query(sql)])?;
    if let Some(error) = heard.iter().find_map(Message::error) {
        return Err(error.into());
    }
    let names = heard.iter().find(|message| message.tag == b'T').map(Message::columns).unwrap_or_default();
    let row = |message: &Message| {
        let values = message.text_row().into_iter().map(Option::unwrap_or_default);
        names.iter().cloned().zip(values).collect()
    };
    Ok(heard.iter().filter(|message| message.tag == b'D').map(row).collect())
}

/// The words of an error, and its SQLSTATE.
fn refused(client: &mut Client, sql: &str) -> Result<(String, String)> {
    let heard = client.ask(&[front::query(sql)])?;
    let error = heard.iter().find_map(Message::error).unwrap_or_else(|| panic!("{sql}: {heard:?}"));
    Ok((error.sqlstate().to_owned(), error.message().to_owned()))
}

/// A program of PostgreSQL's, towards weir.
fn program(weir: &Weir, name: &str, user: &str, database: &str) -> Command {
    let mut command = Command::new(Cluster::shared().postgres().program(name).unwrap());
    command
        .args(["-h", "127.0.0.1", "-p", &weir.port().to_string(), "-U", user])
        .env("PGPASSWORD", user)
        .env("PGDATABASE", database)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn only_operators_come_in_and_who_may_look_may_not_turn() -> Result<()> {
    let weir = weir()?;
    for database in ["weir", "pgbouncer"] {
        let login = Login::new("app", "app").database(database);
        let Err(error) = Client::connect(&weir.address(), &login) else { panic!("app is no operator") };
        assert!(error.to_string().contains("permission denied for database"), "{error}");
    }
    let mut looks =
        Client::connect(&weir.address(), &Login::new("app_plain", "app_plain").database("pgbouncer"))?;
    assert!(!rows(&mut looks, "SHOW POOLS")?.is_empty());
    for sql in ["PAUSE", "RELOAD", "SHOW FDS", "SET log.slow_query = '1s'", "SHUTDOWN"] {
        assert_eq!(
            refused(&mut looks, sql)?,
            ("42501".to_owned(), "admin access needed".to_owned()),
            "{sql}"
        );
    }
    let wrong = Login::new("postgres", "wrong").database("weir");
    let Err(error) = Client::connect(&weir.address(), &wrong) else { panic!("a wrong password") };
    assert!(error.to_string().contains("password authentication failed"), "{error}");
    Ok(())
}

#[test]
fn without_a_section_there_is_no_console() -> Result<()> {
    let cluster = Cluster::shared();
    let weir = WeirSetup::in_front_of(cluster, 0..1).start(WEIR)?;
    let Err(error) =
        Client::connect(&weir.address(), &Login::new("postgres", "postgres").database("pgbouncer"))
    else {
        panic!("there is no such database")
    };
    assert!(error.to_string().contains("does not exist"), "{error}");
    Ok(())
}

/// A PgBouncer of its own, which ends with the test.
struct PgBouncer(Child, u16, PathBuf);

impl PgBouncer {
    /// `None` where it is not installed.
    fn start() -> Result<Option<Self>> {
        let Some(program) = harness::tools::find("pgbouncer") else { return Ok(None) };
        let directory = std::env::temp_dir().join(format!("weir-console-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let port = free_port()?;
        let config = directory.join("pgbouncer.ini");
        let text = format!(
            "[databases]\napp = host=127.0.0.1 port=1\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = any\nunix_socket_dir =\nadmin_users = app\nlogfile =\n"
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new(program);
        // As root it does not run, but as somebody else, who must be able to read.
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        let child = command.arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Some(Self(child, port, directory)))
    }

    fn connect(&self) -> Result<Client> {
        let login = Login::new("app", "app").database("pgbouncer");
        wait_for(
            "PgBouncer to listen",
            PATIENCE,
            || Ok(Client::connect(&Address::local(self.1), &login).ok()),
        )
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_dir_all(&self.2);
    }
}

fn described(client: &mut Client, sql: &str) -> Result<Option<Vec<(String, u32)>>> {
    let heard = client.ask(&[front::query(sql)])?;
    let found = heard.iter().find(|message| message.tag == b'T');
    Ok(found.map(|message| message.columns().into_iter().zip(message.types()).collect()))
}

/// All of PgBouncer's columns are there, with their types and in their order; newer versions have a few more.
#[test]
fn columns_are_those_of_the_real_pgbouncer() -> Result<()> {
    let Some(pgbouncer) = PgBouncer::start()? else { return Ok(()) };
    let weir = weir()?;
    let (mut theirs, mut ours) = (pgbouncer.connect()?, operator(&weir)?);
    let mut compared = 0;
    for shown in SHOWN {
        let sql = format!("SHOW {shown}");
        // What is too new for the one that is installed.
        let Some(expected) = described(&mut theirs, &sql)? else { continue };
        let mut found = described(&mut ours, &sql)?.unwrap_or_else(|| panic!("no {sql}")).into_iter();
        for column in &expected {
            assert!(found.any(|ours| ours == *column), "{sql} has no {column:?} in its place: {expected:?}");
        }
        compared += 1;
    }
    assert!(compared >= 17, "{compared}");
    // Rows have names, too.
    for sql in ["SHOW LISTS", "SHOW TOTALS"] {
        let names = |client: &mut Client| -> Result<Vec<Option<String>>> {
            let heard = client.ask(&[front::query(sql)])?;
            Ok(heard
                .iter()
                .filter(|m| m.tag == b'D')
                .filter_map(|m| m.text_row().into_iter().next())
                .collect())
        };
        let (expected, found) = (names(&mut theirs)?, names(&mut ours)?);
        assert!(expected.iter().all(|name| found.contains(name)), "{sql}: {expected:?} {found:?}");
    }
    for sql in
        ["PAUSE", "RESUME", "RELOAD", "RECONNECT", "WAIT_CLOSE", "DISABLE app", "ENABLE app", "SUSPEND"]
    {
        assert_eq!(ours.query(sql)?.tag, theirs.query(sql)?.tag, "{sql}");
        if sql == "SUSPEND" {
            ours.query("RESUME")?;
        }
    }
    Ok(())
}

/// What weir does counts: clients, pools, statistics, servers.
#[test]
fn what_runs_is_shown() -> Result<()> {
    let weir = weir()?;
    let login = Login::new("app", "app").parameter("application_name", "shop 7");
    let mut client = Client::connect(&weir.address(), &login)?;
    for _ in 0..10 {
        client.query("SELECT 1")?;
    }
    client.query("BEGIN")?;
    client.query("CREATE TEMP TABLE shown (id int)")?;
    let mut operator = operator(&weir)?;

    let of_app = |all: Vec<BTreeMap<String, String>>, column: &str| {
        all.into_iter().find(|row| row[column] == "app").unwrap_or_else(|| panic!("no row of app"))
    };
    let shown = of_app(rows(&mut operator, "SHOW CLIENTS")?, "user");
    assert_eq!((&*shown["application_name"], &*shown["state"]), ("shop 7", "active"), "{shown:?}");
    assert_eq!(shown["id"], client.key().unwrap().pid.to_string());
    let servers = rows(&mut operator, "SHOW SERVERS")?;
    let linked: Vec<_> = servers.iter().filter(|row| row["link"] == shown["ptr"]).collect();
    assert_eq!(linked.len(), 1, "{servers:?}");
    assert_eq!(
        (linked[0]["ptr"].as_str(), linked[0]["application_name"].as_str()),
        (shown["link"].as_str(), "shop 7")
    );
    let pool = of_app(rows(&mut operator, "SHOW POOLS")?, "user");
    assert_eq!((pool["cl_active"].as_str(), pool["sv_active"].as_str()), ("1", "1"), "{pool:?}");
    assert_eq!(pool["pool_mode"], "transaction");

    client.query("COMMIT")?;
    let pins = rows(&mut operator, "SHOW PINS")?;
    assert_eq!(pins.len(), 1, "{pins:?}");
    assert_eq!((pins[0]["reasons"].as_str(), pins[0]["user"].as_str()), ("temporary", "app"));
    let figures = of_app(rows(&mut operator, "SHOW STATS")?, "database");
    let figure = |name: &str| figures[name].parse::<u64>().unwrap();
    assert_eq!(figure("total_query_count"), 13, "{figures:?}");
    assert_eq!(figure("total_xact_count"), 11, "{figures:?}");
    assert!(figure("total_received") > 100 && figure("total_sent") > 100, "{figures:?}");
    assert!(
        figure("total_query_time") > 0 && figure("total_xact_time") >= figure("total_query_time"),
        "{figures:?}"
    );

    let shapes = rows(&mut operator, "SHOW SHAPES")?;
    let select = shapes.iter().find(|row| row["shape"] == "SELECT ?").unwrap_or_else(|| panic!("{shapes:?}"));
    assert_eq!((select["calls"].as_str(), select["application_name"].as_str()), ("10", "shop 7"));
    assert_eq!((select["route"].as_str(), select["kind"].as_str()), ("replica", "read"));
    let routes = rows(&mut operator, "SHOW ROUTES")?;
    assert!(routes.iter().any(|row| row["route"] == "replica" && row["reason"] == "read"), "{routes:?}");
    let transactions = rows(&mut operator, "SHOW TRANSACTIONS")?;
    assert!(transactions.iter().any(|row| row["ran"] == "primary"), "{transactions:?}");
    let freshness = rows(&mut operator, "SHOW FRESHNESS")?;
    let roles: Vec<_> = freshness.iter().map(|row| row["role"].as_str()).collect();
    assert_eq!(roles, ["primary", "replica", "replica"]);
    let events = rows(&mut operator, "SHOW EVENTS")?;
    assert!(events.iter().any(|row| row["event"] == "is primary"), "{events:?}");
    Ok(())
}

/// A read that stays on the primary is found, with what to change, and without its values.
#[test]
fn shapes_say_what_keeps_reads_on_the_primary_and_what_to_change() -> Result<()> {
    let weir = weir()?;
    let mut client = weir.connect()?;
    for n in 0..5 {
        client.query(&format!("SELECT clock_timestamp(), 'secret {n}', pg_backend_pid()"))?;
    }
    let mut operator = operator(&weir)?;
    let shapes = rows(&mut operator, "SHOW SHAPES")?;
    let kept = shapes.iter().find(|row| row["shape"].contains("pg_backend_pid")).unwrap();
    assert_eq!((kept["calls"].as_str(), kept["route"].as_str()), ("5", "primary"), "{kept:?}");
    assert_eq!((kept["reason"].as_str(), kept["kind"].as_str()), ("server_state", "read"), "{kept:?}");
    assert!(kept["what_to_do"].contains("the server it runs on"), "{kept:?}");
    assert!(shapes.iter().all(|row| !row["shape"].contains("secret")), "{shapes:?}");
    Ok(())
}

/// What they ask, and the columns that they read of it.
const ASKED: [(&str, &str); 9] = [
    (
        "SHOW STATS",
        "database total_xact_count total_query_count total_received total_sent total_xact_time \
          total_query_time total_wait_time avg_xact_count avg_query_count avg_recv avg_sent avg_xact_time \
          avg_query_time avg_wait_time",
    ),
    (
        "SHOW STATS_TOTALS;",
        "database query_count query_time bytes_received bytes_sent wait_time xact_count xact_time",
    ),
    (
        "SHOW POOLS;",
        "database user cl_active cl_active_cancel_req cl_waiting cl_waiting_cancel_req sv_active \
          sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode",
    ),
    (
        "SHOW DATABASES;",
        "name host port database force_user pool_size reserve_pool pool_mode max_connections \
          current_connections paused disabled",
    ),
    ("SHOW LISTS;", "list items"),
    ("SHOW CONFIG;", "key value default changeable"),
    ("SHOW VERSION;", "version"),
    ("SHOW SERVERS", "type user database state addr port local_addr local_port connect_time request_time"),
    ("SHOW CLIENTS", "type user database state addr port connect_time request_time wait wait_us"),
];

/// What the exporters and agents ask, in the words in which they do (prometheus-community/pgbouncer_exporter, Datadog's
/// pgbouncer check, Zabbix, Telegraf and psycopg's pools), and what they must find.
#[test]
fn exporters_and_agents_find_what_they_look_for() -> Result<()> {
    let weir = weir()?;
    let mut app = weir.connect()?;
    app.query("SELECT 1")?;
    // lib/pq says these at login.
    let login = Login::new("postgres", "postgres")
        .database("pgbouncer")
        .parameter("client_encoding", "UTF8")
        .parameter("datestyle", "ISO, MDY")
        .parameter("extra_float_digits", "2")
        .parameter("application_name", "pgbouncer_exporter");
    let mut exporter = Client::connect(&weir.address(), &login)?;
    for (sql, columns) in ASKED {
        let all = rows(&mut exporter, sql)?;
        let first = all.first().unwrap_or_else(|| panic!("{sql} gives nothing"));
        for column in columns.split_whitespace() {
            assert!(first.contains_key(column), "{sql} has no {column}");
        }
    }
    // Each is a time series of its own: twice the same one is an error to Prometheus.
    let pools = rows(&mut exporter, "SHOW POOLS;")?;
    let mut names: Vec<_> = pools.iter().map(|row| (row["database"].clone(), row["user"].clone())).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "{pools:?}");
    let config = rows(&mut exporter, "SHOW CONFIG;")?;
    for key in ["max_client_conn", "max_user_connections"] {
        let row = config.iter().find(|row| row["key"] == key).unwrap();
        assert!(row["value"].parse::<f64>().is_ok(), "{row:?}");
    }
    let version = rows(&mut exporter, "SHOW VERSION;")?;
    let version = version[0]["version"].clone();
    assert_eq!(version.split(['.', ' ']).filter(|part| part.parse::<u32>().is_ok()).count(), 3, "{version}");
    let time = &rows(&mut exporter, "SHOW CLIENTS")?[0]["connect_time"];
    assert_eq!(time.len(), "2026-11-28 21:43:53 UTC".len(), "{time}");
    for sql in [
        "SET client_encoding = 'UTF8'",
        "SHOW datestyle",
        "SELECT 1",
        "BEGIN",
        "ROLLBACK",
        ";",
        "SET extra_float_digits = 3",
    ] {
        let heard = exporter.ask(&[front::query(sql)])?;
        assert!(heard.iter().all(|message| message.error().is_none()), "{sql}: {heard:?}");
    }
    Ok(())
}

/// What pgAdmin 4 asks before it opens a query tool (web/pgadmin/utils/driver/psycopg3, and its dashboard), and the columns that it
/// looks at.
const OF_PGADMIN: [(&str, &str); 6] = [
    ("SELECT version()", "version"),
    (
        "\nSELECT\n    db.oid as did, db.datname, db.datallowconn,\n    pg_encoding_to_char(db.encoding) AS serverencoding,
    has_database_privilege(db.oid, 'CREATE') as cancreate,\n    datistemplate\nFROM\n    pg_catalog.pg_database db
WHERE db.datname = current_database()",
        "did datname datallowconn serverencoding cancreate datistemplate",
    ),
    (
        "\nSELECT\n    gss_authenticated, encrypted\nFROM\n    pg_catalog.pg_stat_gssapi\nWHERE pid = pg_backend_pid()",
        "gss_authenticated encrypted",
    ),
    (
        "\nSELECT\n    roles.oid as id, roles.rolname as name,\n    roles.rolsuper as is_superuser,
    CASE WHEN roles.rolsuper THEN true ELSE roles.rolcreaterole END as\n    can_create_role,
    CASE WHEN roles.rolsuper THEN true\n    ELSE roles.rolcreatedb END as can_create_db,
    CASE WHEN 'pg_signal_backend'=ANY(ARRAY(WITH RECURSIVE cte AS (
    SELECT pg_roles.oid,pg_roles.rolname FROM pg_catalog.pg_roles WHERE pg_roles.oid = roles.oid UNION ALL
    SELECT m.roleid, pgr.rolname FROM cte cte_1 JOIN pg_catalog.pg_auth_members m ON m.member = cte_1.oid
    JOIN pg_catalog.pg_roles pgr ON pgr.oid = m.roleid) SELECT rolname FROM cte)) THEN True
    ELSE False END as can_signal_backend\nFROM\n    pg_catalog.pg_roles as roles\nWHERE\n    rolname = current_user",
        "id name is_superuser can_create_role can_create_db can_signal_backend",
    ),
    (
        "SELECT CASE WHEN usesuper THEN pg_catalog.pg_is_in_recovery() ELSE FALSE END as inrecovery,
        CASE WHEN usesuper AND pg_catalog.pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE FALSE END as
        isreplaypaused FROM pg_catalog.pg_user WHERE usename=current_user",
        "inrecovery isreplaypaused",
    ),
    (
        "SELECT CASE WHEN (SELECT count(extname) FROM pg_catalog.pg_extension WHERE extname='bdr') > 0 THEN 'pgd'
        WHEN (SELECT COUNT(*) FROM pg_replication_slots) > 0 THEN 'log' ELSE NULL END as type",
        "type",
    ),
];

#[test]
fn pgadmin_comes_in_and_looks() -> Result<()> {
    let weir = weir()?;
    let mut client = operator(&weir)?;
    let begin =
        "SET DateStyle=ISO;\nSET client_min_messages=notice;\nSELECT set_config('bytea_output','hex',false)
 FROM pg_show_all_settings()\n WHERE name = 'bytea_output';\nSET client_encoding='utf-8';\n";
    let heard = client.ask(&[front::query(begin)])?;
    let count = |tag| heard.iter().filter(|message| message.tag == tag).count();
    assert_eq!((count(b'E'), count(b'D'), count(b'C')), (0, 1, 4), "{heard:?}");
    for (sql, columns) in OF_PGADMIN {
        let columns: Vec<&str> = columns.split(' ').collect();
        let described = described(&mut client, sql)?.unwrap();
        assert_eq!(described.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), columns, "{sql}");
        let all = rows(&mut client, sql)?;
        assert_eq!(all.len(), 1, "{sql}");
    }
    // What it asks of a server's objects it is refused, and the query tool shows.
    assert_eq!(refused(&mut client, "SELECT oid, nspname FROM pg_catalog.pg_namespace")?.0, "42601");
    assert!(!rows(&mut client, "SHOW POOLS")?.is_empty());
    Ok(())
}

/// Drivers that prepare everything, and ask for binary values.
#[test]
fn the_extended_protocol_works_with_names_formats_and_limits() -> Result<()> {
    let weir = weir()?;
    let mut operator = operator(&weir)?;
    let frames = [
        front::parse("s", "SHOW LISTS", &[]),
        front::describe_statement("s"),
        front::bind_formats("", "s", &[], &[], &[1]),
        front::describe_portal(""),
        front::execute("", 2),
        front::execute("", 0),
        front::sync(),
    ];
    let heard = operator.ask(&frames)?;
    let tags: String = heard.iter().map(|message| char::from(message.tag)).collect();
    assert!(tags.starts_with("1tT2TDDsD"), "{tags}");
    assert!(tags.ends_with("DCZ"), "{tags}");
    let first = heard.iter().find(|message| message.tag == b'D').unwrap().row();
    assert_eq!(first[0].as_deref(), Some(&b"databases"[..]));
    assert_eq!(first[1].as_ref().map(Vec::len), Some(4), "an int4 in binary");

    let mut tags_of = |frames: &[Vec<u8>]| -> Result<String> {
        Ok(operator.ask(frames)?.iter().map(|message| char::from(message.tag)).collect())
    };
    let again = [front::parse("s", "SHOW POOLS", &[]), front::bind("", "s", &[]), front::sync()];
    assert_eq!(tags_of(&again)?, "EZ", "a name twice, and what follows is skipped");
    let unknown = [front::parse("", "SELECT * FROM pg_class", &[]), front::sync()];
    assert_eq!(tags_of(&unknown)?, "EZ");
    let bound = [front::bind("", "s", &[Some(b"1")]), front::sync()];
    assert_eq!(tags_of(&bound)?, "EZ", "no parameters");
    let order = [
        front::parse("", "SET routing.freshness_wait = '20ms'", &[]),
        front::describe_statement(""),
        front::bind("", "", &[]),
        front::execute("", 0),
        front::sync(),
    ];
    assert_eq!(tags_of(&order)?, "1tn2CZ");
    assert_eq!(tags_of(&[front::close_statement("s"), front::sync()])?, "3Z");
    assert_eq!(tags_of(&[front::bind("", "s", &[]), front::sync()])?, "EZ");
    let empty = [front::parse("", "", &[]), front::bind("", "", &[]), front::execute("", 0), front::sync()];
    assert_eq!(tags_of(&empty)?, "12IZ");
    Ok(())
}

#[test]
fn psql_shows_and_an_unknown_command_is_told() -> Result<()> {
    let weir = weir()?;
    for shown in SHOWN.iter().chain(&OWN).chain(&["HELP", "VERSION"]) {
        let output =
            program(&weir, "psql", "postgres", "weir").args(["-Xc", &format!("SHOW {shown}")]).output()?;
        assert!(output.status.success(), "SHOW {shown}: {}", text(&output));
    }
    let help = program(&weir, "psql", "postgres", "pgbouncer").args(["-Xc", "show help"]).output()?;
    for word in ["SHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS", "SHOW SHAPES", "KILL_CLIENT"] {
        assert!(text(&help).contains(word), "{}", text(&help));
    }
    let mut operator = operator(&weir)?;
    let (sqlstate, words) = refused(&mut operator, "SELECT * FROM pg_class")?;
    assert_eq!(sqlstate, "42601");
    assert!(words.contains("runs no SQL"), "{words}");
    assert_eq!(refused(&mut operator, "FOO")?.0, "42601");
    assert_eq!(refused(&mut operator, "RESUME")?.1, "weir is not paused/suspended");
    Ok(())
}

#[test]
fn settings_that_are_live_can_be_set_and_others_say_that_they_cannot() -> Result<()> {
    let weir = weir()?;
    let mut operator = operator(&weir)?;
    assert_eq!(
        operator.query("SET routing.transactions = 'primary'")?.tag,
        "SET routing.transactions=primary"
    );
    let mut client = weir.connect()?;
    assert_eq!(client.query("SHOW weir.transactions")?.rows, [[Some("primary".to_owned())]]);
    let config = rows(&mut operator, "SHOW CONFIG")?;
    let row = config.iter().find(|row| row["key"] == "routing.transactions").unwrap();
    assert_eq!((row["value"].as_str(), row["changeable"].as_str()), ("primary", "yes"));
    let (sqlstate, words) = refused(&mut operator, "SET runtime.workers = 3")?;
    assert_eq!(sqlstate, "55P02");
    assert!(words.contains("cannot be set here"), "{words}");
    let (sqlstate, words) = refused(&mut operator, "SET routing.consistency = 'sometimes'")?;
    assert_eq!(sqlstate, "22023");
    assert!(words.contains("routing.consistency"), "{words}");
    Ok(())
}

/// Waits until a client is shown in this state.
fn wait_state(operator: &mut Client, pid: u32, state: &str) -> Result<()> {
    wait_for(&format!("a client that is {state}"), PATIENCE, || {
        let all = rows(operator, "SHOW CLIENTS")?;
        let is_it = |row: &&BTreeMap<String, String>| row["id"] == pid.to_string() && row["state"] == state;
        Ok(all.iter().find(is_it).map(|_| ()))
    })
}

#[test]
fn a_paused_database_lets_what_runs_end_and_holds_what_would_begin() -> Result<()> {
    let weir = weir()?;
    let mut operator = operator(&weir)?;
    let mut running = weir.connect()?;
    running.query("BEGIN")?;
    running.query("CREATE TABLE IF NOT EXISTS console_paused (id int)")?;

    operator.send(&[front::query("PAUSE app")])?;
    let mut second = self::operator(&weir)?;
    let paused = |second: &mut Client| -> Result<bool> {
        Ok(rows(second, "SHOW DATABASES")?.iter().any(|row| row["name"] == "app" && row["paused"] == "1"))
    };
    wait_for("the pause to begin", PATIENCE, || Ok(paused(&mut second)?.then_some(())))?;
    let address = weir.address();
    let late = thread::spawn(move || -> Result<String> {
        let mut client = Client::connect(&address, &Login::new("app", "app"))?;
        Ok(client.query("SELECT 42")?.value().to_owned())
    });
    // What runs goes on, to its end.
    running.query("INSERT INTO console_paused VALUES (1)")?;
    assert!(operator.read_within(Duration::from_millis(100))?.is_none(), "it does not return before");
    running.query("DROP TABLE console_paused")?;
    running.query("COMMIT")?;
    let tags: Vec<u8> = operator.until_ready()?.iter().map(|message| message.tag).collect();
    assert_eq!(tags, b"CZ");
    assert_eq!(rows(&mut operator, "SHOW SERVERS")?.len(), 0, "all connections are closed");

    running.send(&[front::query("SELECT 43")])?;
    wait_state(&mut operator, running.key().unwrap().pid, "waiting")?;
    // One who waits can cancel, and goes on afterwards.
    running.cancel()?;
    let heard = running.until_ready()?;
    assert_eq!(heard[0].error().unwrap().sqlstate(), "57014");
    running.send(&[front::query("SELECT 44")])?;
    wait_state(&mut operator, running.key().unwrap().pid, "waiting")?;
    assert_eq!(refused(&mut operator, "RESUME other")?.1, "database other is not paused");
    operator.query("RESUME app")?;
    assert!(running.until_ready()?.iter().any(|message| message.tag == b'D'));
    assert_eq!(late.join().unwrap()?, "42", "who came meanwhile came in afterwards");
    Ok(())
}

#[test]
fn clients_are_killed_disabled_and_reconnected() -> Result<()> {
    let weir = weir()?;
    let mut operator = operator(&weir)?;
    let mut client = weir.connect()?;
    client.query("SELECT 1")?;
    let before = rows(&mut operator, "SHOW SERVERS")?;
    assert!(!before.is_empty());
    operator.query("RECONNECT")?;
    operator.query("WAIT_CLOSE")?;
    assert!(
        rows(&mut operator, "SHOW SERVERS")?.iter().all(|row| !before.iter().any(|b| b["ptr"] == row["ptr"]))
    );
    client.query("SELECT 1")?;

    operator.query("DISABLE app")?;
    let Err(error) = weir.connect() else { panic!("it is disabled") };
    assert!(error.to_string().contains("not currently accepting connections"), "{error}");
    client.query("SELECT 1")?;
    operator.query("ENABLE app")?;
    weir.connect()?;

    let pid = client.key().unwrap().pid;
    operator.query(&format!("KILL_CLIENT {pid}"))?;
    assert!(client.read()?.error().unwrap().sqlstate() == "57P01");
    assert_eq!(refused(&mut operator, "KILL_CLIENT 1")?.1, "client not found");
    let mut client = weir.connect()?;
    operator.query("KILL app")?;
    assert!(client.read()?.error().unwrap().sqlstate() == "57P01");
    operator.query("RESUME app")?;
    weir.connect()?.query("SELECT 1")?;
    Ok(())
}

#[test]
fn who_is_full_still_lets_operators_in() -> Result<()> {
    let weir = setup(Cluster::shared()).set("listen", "client_limit", "1").start(WEIR)?;
    let mut client = weir.connect()?;
    assert!(weir.connect().is_err());
    let mut operator = operator(&weir)?;
    assert_eq!(rows(&mut operator, "SHOW CLIENTS")?.len(), 2);
    client.query("SELECT 1")?;
    Ok(())
}

#[test]
fn weir_is_shut_down_when_its_clients_have_left_or_at_once() -> Result<()> {
    let mut weir = weir()?;
    let client = weir.connect()?;
    let mut operator = operator(&weir)?;
    operator.query("SHUTDOWN WAIT_FOR_CLIENTS")?;
    assert!(weir.connect().is_err(), "nobody comes in any more");
    assert!(weir.exit_status().is_none());
    client.close()?;
    wait_for("weir to end", PATIENCE, || Ok(weir.exit_status()))?;

    let mut weir = self::weir()?;
    let _client = weir.connect()?;
    let mut operator = self::operator(&weir)?;
    operator.send(&[front::query("SHUTDOWN")])?;
    let ended = wait_for("weir to end", PATIENCE, || Ok(weir.exit_status()))?;
    assert!(ended.success());
    Ok(())
}

/// pgbench in each protocol, at once, through PAUSE, a switchover and RESUME: not one error.
#[test]
fn nobody_hears_of_a_switchover_while_all_is_paused() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2)
        .probing_quickly()
        .set("console", "users", "[\"postgres\"]")
        .set("pool", "primary_wait", "\"1s\"")
        .start(WEIR)?;
    let initial = program(&weir, "pgbench", "app", "app").args(["-i", "-q", "-I", "dtgvp"]).output()?;
    assert!(initial.status.success(), "{}", text(&initial));
    let mut operator = operator(&weir)?;
    let mut clients: Vec<Child> = Vec::new();
    for arguments in [["-M", "simple"], ["-M", "extended"], ["-M", "prepared"], ["-C", "-S"]] {
        let mut command = program(&weir, "pgbench", "app", "app");
        command.args(["-n", "-c", "3", "-T", "600", "-P", "1"]).args(arguments);
        clients.push(command.spawn()?);
    }
    let count = |operator: &mut Client| -> Result<u64> {
        let all = rows(operator, "SHOW STATS")?;
        let app = all.iter().find(|row| row["database"] == "app");
        Ok(app.map_or(0, |row| row["total_xact_count"].parse().unwrap()))
    };
    let goes_on = |operator: &mut Client| {
        let before = count(operator)?;
        wait_for("transactions", PATIENCE, || Ok((count(operator)? > before + 200).then_some(())))
    };
    goes_on(&mut operator)?;
    operator.set_patience(PATIENCE);
    operator.query("PAUSE")?;
    let paused = count(&mut operator)?;
    cluster.stop(0, Stop::Fast)?;
    weir.wait_up(cluster.name(0), 0.0)?;
    cluster.promote(1)?;
    assert_eq!(count(&mut operator)?, paused, "nothing runs meanwhile");
    operator.query("RESUME")?;
    goes_on(&mut operator)?;
    for client in &mut clients {
        // SIGINT would be an error of its own; one that has failed has ended by itself.
        assert!(client.try_wait()?.is_none(), "a pgbench has ended");
        client.kill()?;
    }
    for client in clients {
        let output = client.wait_with_output()?;
        let said = text(&output);
        assert!(!said.to_lowercase().contains("error") && !said.contains("aborted"), "{said}");
    }
    Ok(())
}
