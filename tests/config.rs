//! What a configuration file and the environment become, or the mistakes that are named instead.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use weir::config::{
    Config, Credential, Interface, ListenAddress, Listener, LogFormat, Mistakes, Place, PoolMode,
    RoleSetting, Statement, Timeouts, load_whole_with, load_with,
};
use weir::sql::{Consistency, MaxStaleness, Target, Transactions};

const MINIMAL: &str = r#"
[[servers]]
host = "db1"
[[servers]]
host = "db2"
[[users]]
name = "app"
password = "hunter2"
"#;

/// A verifier of the right form, for no password in particular.
const VERIFIER: &str = "SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A directory that only the named test writes to.
fn directory(test: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("config").join(test);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn load(test: &str, text: &str, environment: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let file = directory(test).join("proxy.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    load_with(&file, &environment.collect::<HashMap<_, _>>())
}

/// The mistakes as lines of text, without the head line.
fn mistakes(test: &str, text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let mistakes = load(test, text, environment).expect_err("the configuration was taken");
    mistakes.list.iter().map(ToString::to_string).collect()
}

#[test]
fn two_servers_and_a_user_are_enough() {
    let config = load("minimal", MINIMAL, &[]).unwrap();
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:6432");
    assert_eq!(config.listeners.len(), 1);
    assert!(config.metrics.is_none());
    let server = &config.servers[1];
    assert_eq!((&*server.name, &*server.host, server.port, server.weight), ("db2:5432", "db2", 5432, 1));
    assert_eq!(server.role, RoleSetting::Auto);
    assert_eq!(&*config.users[0].server_user, "app");
    assert_eq!(config.users[0].server_proof.password().unwrap().expose(), "hunter2");
    assert_eq!(&*config.health.user, "app");
    assert_eq!((config.pool.size, config.pool.total), (20, 0));
    assert_eq!(config.routing.transactions, Transactions::Lazy);
    assert_eq!((config.listeners[0].transactions, config.users[0].transactions), (None, None));
    assert_eq!(config.routing.consistency, Consistency::Global);
    assert_eq!(config.routing.max_staleness, Some(Duration::from_secs(10)));
    assert_eq!(config.routing.freshness_wait, Duration::from_millis(10));
    assert_eq!((config.users[0].consistency, config.users[0].max_staleness), (None, None));
    assert_eq!(config.log.slow_query, Some(Duration::from_secs(1)));
    assert!(config.workers >= 1);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn all_mistakes_are_named_at_once_each_with_its_key_and_line() {
    let text = r#"
[listen]
address = "localhost"
client_limits = 5
[pool]
size = "20"
mode = "statement"
idle_timeout = 5
min_idle = 30
[[servers]]
prot = 5432
[[servers]]
host = "b"
port = 70000
weight = 99999999999999999999
[[users]]
name = "x"
[routing]
transactions = "eager"
consistency = "best"
read_functions = ["ok", "a.b.c"]
hold_back = "64kb"
[[routing.rules]]
statement = "("
[[routing.rules]]
target = "primary"
[poll]
size = 1
"#;
    let found = mistakes("many", text, &[]);
    let expected = [
        "line 3: listen.address: expected an IP address and a port, such as",
        "line 4: listen.client_limits: unknown; did you mean client_limit?",
        "line 6: pool.size: expected a whole number from 1 to 10000, found \"20\"",
        "line 7: pool.mode: expected \"transaction\" or \"session\", found \"statement\"",
        "line 8: pool.idle_timeout: expected a time from 1s to 30d with its unit",
        "line 9: pool.min_idle: is 30, more than size, which is 20",
        "line 10: servers[0].host: is missing",
        "line 11: servers[0].prot: unknown; did you mean port?",
        "line 14: servers[1].port: expected a whole number from 1 to 65535, found 70000",
        "line 15: servers[1].weight: expected a whole number from 0 to 1000, found a number beyond all limits",
        "line 16: users[0]: needs one of password, password_file, password_env, verifier, or auth = \"trust\"",
        "line 19: routing.transactions: expected \"lazy\" or \"primary\", found \"eager\"",
        "line 20: routing.consistency: expected \"eventual\" or \"session\" or \"global\" or \"strong\", found \"best\"",
        "line 21: routing.read_functions: expected name or schema.name, found \"a.b.c\"",
        "line 22: routing.hold_back: expected 0 to 16777216 bytes with a unit (B, kB, MB), found \"64kb\"",
        "line 23: routing.rules[0].target: is missing; a rule gives target, transactions, or both",
        "line 24: routing.rules[0].statement: not a regular expression: unclosed group",
        "line 25: routing.rules[1]: needs a condition",
        "line 27: poll: unknown; did you mean pool?",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "found {found}\nexpected {expected}");
    }
}

#[test]
fn what_contradicts_itself_is_a_mistake() {
    let cases = [
        ("[[servers]]\nhost = \"db1\"\n", "servers[2].host: another entry is the same server already"),
        ("[[servers]]\nhost = \"db3\"\nname = \"db1:5432\"\n", "servers[2].name: another server is called"),
        ("[[users]]\nname = \"app\"\nauth = \"trust\"\n", "users[1].name: another user is called"),
        ("[[databases]]\nname = \"a\"\n[[databases]]\nname = \"a\"\n", "databases[1].name: another database"),
        (
            "[[listeners]]\naddress = \"127.0.0.1:6432\"\n",
            "listeners[0].address: clients are listened for at this",
        ),
        (
            "[[listeners]]\naddress = \"[::1]:1\"\n[[listeners]]\naddress = \"[::1]:1\"\n",
            "listeners[1].address: clients are listened for at this",
        ),
        (
            "[listen]\naddress = [\"*:1\", \"[::1]:1\"]\n",
            "listen.address: clients are listened for at this address already",
        ),
        (
            "[listen]\nunix_socket = [\"/run\", \"/run/\"]\n",
            "listen.unix_socket: clients are listened for at this address already",
        ),
        ("[listen]\naddress = []\n", "listen.address: is empty, and there is no unix_socket"),
        (
            "[listen]\naddress = \"[::1]:0\"\nunix_socket = \"/run\"\n",
            "listen.unix_socket: is called by its port",
        ),
        (
            "[listen]\nunix_socket = \"run\"\n",
            "listen.unix_socket: expected the absolute path of a directory",
        ),
        ("[listen]\nunix_socket_mode = \"0788\"\n", "listen.unix_socket_mode: expected permissions in octal"),
        ("[listen]\nunix_socket_mode = 777\n", "listen.unix_socket_mode: expected permissions in octal"),
        ("[listen]\nreuse_port = \"true\"\n", "listen.reuse_port: expected true or false, found \"true\""),
        ("[[listeners]]\ntarget = \"primary\"\n", "listeners[0].address: is missing"),
        ("[metrics]\naddress = \"127.0.0.1:6432\"\n", "metrics.address: clients are listened for at this"),
        ("[metrics]\n", "line 9: metrics.address: is missing"),
        ("[pool]\nsize = 20\ntotal = 10\n", "pool.total: is 10, less than size, which is 20"),
        ("[health]\nuser = \"nobody\"\n", "health.user: no [[users]] entry is called \"nobody\""),
        ("[log]\nfilter = \"weir=loud\"\n", "log.filter: "),
        ("[log]\nslow_query = \"never\"\n", "log.slow_query: expected a time from 1ms to 1d"),
        ("[routing]\nmax_staleness = \"never\"\n", "routing.max_staleness: expected a time from 1ms to 24d"),
        ("[routing]\nmax_staleness = \"0ms\"\n", "routing.max_staleness: expected a time from 1ms to 24d"),
        ("[routing]\nfreshness_wait = \"off\"\n", "routing.freshness_wait: expected a time from 0us to 1s"),
        ("[[databases]]\nname = \"a\"\nmax_staleness = 5\n", "databases[0].max_staleness: expected a time"),
        (
            "[[databases]]\nname = \"a\"\ntransactions = \"auto\"\n",
            "databases[0].transactions: expected \"lazy\" or \"primary\", found \"auto\"",
        ),
        (
            "[[listeners]]\naddress = \"[::1]:1\"\ntransactions = true\n",
            "listeners[0].transactions: expected",
        ),
        ("[[users]]\nname = \"a\"\nauth = \"trust\"\ntransactions = \"\"\n", "users[1].transactions: "),
        (
            "[[routing.rules]]\nuser = \"app\"\ntransactions = \"replica\"\n",
            "routing.rules[0].transactions: expected \"lazy\" or \"primary\", found \"replica\"",
        ),
        ("pool = 5\n", "pool: expected a table, found 5"),
        ("[listeners]\naddress = \"127.0.0.1:1\"\n", "listeners: expected a list of tables: [[listeners]]"),
        ("[[users]]\nname = \"a\\u0000b\"\nauth = \"trust\"\n", "users[1].name: must not hold a zero byte"),
        ("[[users]]\nname = \"\"\nauth = \"trust\"\n", "users[1].name: must not be empty"),
    ];
    for (more, expected) in cases {
        // A bare key must come before the first table.
        let text =
            if more.starts_with('[') { format!("{MINIMAL}{more}") } else { format!("{more}{MINIMAL}") };
        let found = mistakes("cross", &text, &[]);
        let [only] = &found[..] else { panic!("{more}: {found:#?}") };
        assert!(only.contains(expected) && only.starts_with("line "), "{more}: found {only}");
    }
}

#[test]
fn roles_must_leave_room_for_one_primary() {
    let server = |host: &str, role: &str| format!("[[servers]]\nhost = \"{host}\"\nrole = \"{role}\"\n");
    let user = "[[users]]\nname = \"app\"\nauth = \"trust\"\n";
    let with = |servers: &[String]| servers.concat() + user;
    let replicas = with(&[server("a", "replica"), server("b", "replica")]);
    assert_eq!(
        mistakes("roles", &replicas, &[]),
        ["line 1: servers: all have role = \"replica\", so no write could ever run"]
    );
    let primaries = with(&[server("a", "primary"), server("b", "primary")]);
    assert_eq!(mistakes("roles", &primaries, &[]), ["line 1: servers: only one can have role = \"primary\""]);
    assert!(load("roles", &with(&[server("a", "replica"), server("b", "auto")]), &[]).is_ok());
    let none = mistakes("roles", "", &[]);
    assert_eq!(none.len(), 2, "{none:#?}");
    assert!(
        none[0].starts_with("servers: at least one") && none[1].starts_with("users: at least one"),
        "{none:#?}"
    );
}

#[test]
fn the_environment_overrides_scalars_of_sections() {
    let environment = [
        ("WEIR__LISTEN__ADDRESS", "0.0.0.0:7000"),
        ("WEIR__POOL__SIZE", "7"),
        ("WEIR__POOL__IDLE_TIMEOUT", "90s"),
        ("WEIR__ROUTING__TRANSACTIONS", "primary"),
        ("WEIR__ROUTING__CONSISTENCY", "session"),
        ("WEIR__ROUTING__MAX_STALENESS", "off"),
        ("WEIR__ROUTING__FRESHNESS_WAIT", "0ms"),
        ("WEIR__METRICS__ADDRESS", "127.0.0.1:9187"),
        ("WEIR__LOG__FORMAT", "json"),
        ("WEIR__HEALTH__INTERVAL", ""),
        ("WEIR_HOME", "not ours"),
        ("PATH", "/bin"),
    ];
    let text = format!("{MINIMAL}[pool]\nsize = 5\nqueue_limit = 6\n");
    let config = load("environment", &text, &environment).unwrap();
    assert_eq!(config.listeners[0].address.to_string(), "0.0.0.0:7000");
    assert_eq!((config.pool.size, config.pool.queue_limit), (7, 6), "the file's other keys stay");
    assert_eq!(config.pool.idle_timeout, Duration::from_secs(90));
    assert_eq!(config.routing.transactions, Transactions::Primary);
    assert_eq!(config.routing.consistency, Consistency::Session);
    assert_eq!((config.routing.max_staleness, config.routing.freshness_wait), (None, Duration::ZERO));
    assert_eq!(config.metrics.unwrap().address.port(), 9187);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.health.interval, Duration::from_secs(1), "an empty variable counts as not set");
}

#[test]
fn the_short_name_of_the_log_filter_wins() {
    let environment = [("WEIR_LOG", "debug"), ("WEIR__LOG__FILTER", "warn")];
    assert_eq!(load("short", MINIMAL, &environment).unwrap().log.filter, "debug");
    assert_eq!(load("short", MINIMAL, &environment[1..]).unwrap().log.filter, "warn");
}

#[test]
fn mistakes_in_the_environment_name_the_variable() {
    let environment = [
        ("WEIR__POOL__SIZ", "3"),
        ("WEIR__POOL__TOTAL", "many"),
        ("WEIR__SERVERS__0__PORT", "5"),
        ("WEIR__LISTEN", "0.0.0.0:1"),
        ("WEIR__ROUTING__READ_FUNCTIONS", "a,b"),
        ("WEIR_LOG", "weir=loud"),
    ];
    let found = mistakes("variables", MINIMAL, &environment);
    let expected = [
        "WEIR_LOG: log.filter: ",
        "WEIR__LISTEN: expected WEIR__SECTION__KEY, such as WEIR__POOL__SIZE",
        "WEIR__POOL__SIZ: pool.siz: unknown; did you mean size?",
        "WEIR__POOL__TOTAL: pool.total: expected a whole number from 0 to 1000000, found \"many\"",
        "WEIR__ROUTING__READ_FUNCTIONS: routing.read_functions: a list cannot be set from the environment",
        "WEIR__SERVERS__0__PORT: [[servers]] is a list",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "found {found}\nexpected {expected}");
    }
}

#[test]
fn secrets_come_from_the_file_a_file_of_their_own_or_the_environment() {
    std::fs::write(directory("secrets").join("app.password"), "from a file\r\nsecond line\n").unwrap();
    let text = format!(
        r#"
[[servers]]
host = "db"
[[users]]
name = "a"
password_file = "app.password"
[[users]]
name = "b"
password_env = "B_PASSWORD"
server_user = "owner"
server_password = "another"
[[users]]
name = "c"
verifier = "{VERIFIER}"
server_password_env = "B_PASSWORD"
[[users]]
name = "d"
auth = "trust"
target = "replica"
transactions = "primary"
consistency = "session"
max_staleness = "2s"
pool_size = 3
pool_mode = "session"
query_timeout = "off"
idle_client_timeout = "1h"
[timeouts]
query = "30s"
idle_in_transaction = "1min"
"#
    );
    let config = load("secrets", &text, &[("B_PASSWORD", "from the environment")]).unwrap();
    let [a, b, c, d] = &config.users[..] else { panic!("{config:?}") };
    let Credential::Password(password) = &a.credential else { panic!("{a:?}") };
    assert_eq!(password.expose(), "from a file");
    assert_eq!(a.server_proof.password().unwrap().expose(), "from a file");
    let Credential::Password(password) = &b.credential else { panic!("{b:?}") };
    assert_eq!(password.expose(), "from the environment");
    assert_eq!((&*b.server_user, b.server_proof.password().unwrap().expose()), ("owner", "another"));
    let Credential::Verifier(verifier) = &c.credential else { panic!("{c:?}") };
    assert_eq!(verifier.expose(), VERIFIER);
    assert_eq!(c.server_proof.password().unwrap().expose(), "from the environment");
    assert!(matches!(d.credential, Credential::Trust) && d.server_proof.password().is_none(), "{d:?}");
    assert_eq!((d.target, d.pool_size), (Target::Replica, Some(3)));
    assert_eq!((d.transactions, a.transactions), (Some(Transactions::Primary), None));
    assert_eq!(d.pool_mode, Some(PoolMode::Session));
    let minute = Some(Duration::from_secs(60));
    let own = Timeouts { idle_client: minute.map(|m| m * 60), idle_in_transaction: minute, query: None };
    let all = Timeouts { idle_client: None, query: Some(Duration::from_secs(30)), ..own };
    assert_eq!((d.timeouts, a.timeouts), (own, all), "its own, or those of all users");
    let age = MaxStaleness::AtMost(Duration::from_secs(2));
    assert_eq!((d.consistency, d.max_staleness), (Some(Consistency::Session), Some(age)));

    let shown = format!("{config:?}{}", weir::config::Summary(&config));
    for secret in ["from a file", "from the environment", "another", "SCRAM-SHA-256$4096"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn each_secret_is_given_once_and_can_be_had() {
    let user = |keys: &str| format!("[[servers]]\nhost = \"db\"\n[[users]]\nname = \"a\"\n{keys}\n");
    std::fs::write(directory("proof").join("empty"), "\n").unwrap();
    let cases = [
        ("password = \"p\"\npassword_env = \"PW\"", "users[0].password_env: password is given already"),
        ("password = \"p\"\nverifier = \"V\"", "users[0].verifier: password is given already"),
        ("auth = \"trust\"\npassword = \"p\"", "users[0].password: is never asked for with auth = \"trust\""),
        (
            "password = \"p\"\nserver_password = \"p\"\nserver_password_env = \"PW\"",
            "users[0].server_password_env: server_password is given already",
        ),
        ("password_env = \"NOT_SET\"", "the environment variable NOT_SET is not set"),
        ("password_env = \"NOTHING\"", "the environment variable NOTHING is empty"),
        ("password_file = \"missing\"", "users[0].password_file: the file cannot be read: No such file"),
        ("password_file = \"empty\"", "users[0].password_file: the file's first line is empty"),
        ("password = \"\"", "users[0].password: must not be empty"),
        ("password = 5", "users[0].password: expected text"),
        ("verifier = \"md5abc\"", "users[0].verifier: expected SCRAM-SHA-256$<iterations>"),
    ];
    for (keys, expected) in cases {
        let keys = keys.replace("\"V\"", &format!("\"{VERIFIER}\""));
        let found = mistakes("proof", &user(&keys), &[("PW", "p"), ("NOTHING", "")]);
        let [only] = &found[..] else { panic!("{keys}: {found:#?}") };
        assert!(only.contains(expected), "{keys}: found {only}");
    }
}

#[test]
fn a_verifier_must_be_whole() {
    let right = VERIFIER;
    let (head, keys) = right.rsplit_once('$').unwrap();
    let wrong = [
        right.replace("SCRAM-SHA-256", "SCRAM-SHA-1"),
        right.replace("4096", "0"),
        right.replace("4096", "many"),
        right.replace("AAECAwQFBgcICQoLDA0ODw==", ""),
        format!("{head}${}", keys.replace(':', "")),
        format!("{head}$AAEC:AAEC"),
        format!("{right}="),
    ];
    for verifier in wrong {
        let text =
            format!("[[servers]]\nhost = \"db\"\n[[users]]\nname = \"a\"\nverifier = \"{verifier}\"\n");
        let found = mistakes("verifier", &text, &[]);
        assert!(found[0].contains("users[0].verifier: expected SCRAM-SHA-256$"), "{verifier}: {found:?}");
    }
}

#[test]
fn no_mistake_quotes_a_secret() {
    let wrong = [
        // The value of a key with a typing error, of a key of the wrong kind, and under the wrong key.
        "[[users]]\nname = \"a\"\npasword = \"hunter2\"\n",
        "[[users]]\nname = \"a\"\npassword = [\"hunter2\"]\n",
        "[[users]]\nname = \"a\"\npassword_env = \"hunter2\"\n",
        "[[users]]\nname = \"a\"\npassword_file = \"hunter2\"\n",
        "[[users]]\nname = \"a\"\nverifier = \"hunter2\"\n",
        "[[users]]\nname = \"a\"\npassword = \"hunter2\\u0000\"\n",
        // TOML that is broken on that very line.
        "[[users]]\nname = \"a\"\npassword = \"hunter2\n",
        "[[users]]\nname = \"a\"\npassword = hunter2\n",
        "[[users]]\nname = \"a\"\npassword = 'a' hunter2\n",
    ];
    for text in wrong {
        let mistakes = load("quotes", text, &[]).expect_err(text);
        let shown = format!("{mistakes} {mistakes:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(mistakes.list.iter().any(|mistake| matches!(mistake.place, Place::Line(1..=4))), "{shown}");
    }
}

#[test]
fn what_is_allowed_but_unwise_is_a_warning() {
    let file = directory("unwise").join("proxy.toml");
    std::fs::write(&file, MINIMAL).unwrap();
    let warnings = |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        load_with(&file, &HashMap::new()).unwrap().warnings
    };
    assert_eq!(warnings(0o640), [""; 0]);
    let [warning] = &warnings(0o644)[..] else { panic!("no single warning") };
    assert!(warning.contains("holds passwords and every user of this machine can read it"), "{warning}");

    let password = directory("unwise").join("a.password");
    std::fs::write(&password, "hunter2\n").unwrap();
    let filed = "[[servers]]\nhost = \"db\"\n[[users]]\nname = \"a\"\npassword_file = \"a.password\"\n";
    for (mode, count) in [(0o644, 1), (0o640, 0)] {
        std::fs::set_permissions(&password, std::fs::Permissions::from_mode(mode)).unwrap();
        let warnings = load("unwise", filed, &[]).unwrap().warnings;
        assert_eq!(warnings.len(), count, "{warnings:?}");
        let said = "a.password holds secrets and every user of this machine can read it";
        assert!(warnings.iter().all(|warning| warning.contains(said)), "{warnings:?}");
    }

    let trust = "[[servers]]\nhost = \"db\"\n[[users]]\nname = \"a\"\nauth = \"trust\"\n";
    assert_eq!(load("unwise", trust, &[]).unwrap().warnings, [""; 0]);
    let open = load("unwise", trust, &[("WEIR__LISTEN__ADDRESS", "0.0.0.0:6432")]).unwrap().warnings;
    assert_eq!(open, ["user \"a\" needs no password, and weir listens beyond this machine"]);

    let verifier = trust.replace("auth = \"trust\"", &format!("verifier = \"{VERIFIER}\""));
    let warnings = load("unwise", &verifier, &[]).unwrap().warnings;
    assert!(warnings[0].contains("has a verifier and no server_password"), "{warnings:?}");
}

#[test]
fn rules_listeners_and_databases_are_read_in_their_order() {
    let more = r#"
[[listeners]]
address = "[::1]:7000"
target = "primary"
transactions = "primary"
[[databases]]
name = "reports"
server_database = "shop"
target = "replica"
transactions = "lazy"
consistency = "eventual"
max_staleness = "off"
pool_size = 2
[[routing.rules]]
table = "public.t"
target = "primary"
[[routing.rules]]
application_name = "x"
statement = "(?i)^select"
target = "auto"
transactions = "lazy"
[[routing.rules]]
user = "app"
transactions = "primary"
"#;
    let config = load("lists", &format!("{MINIMAL}{more}"), &[]).unwrap();
    assert_eq!(config.listeners[1].target, Target::Primary);
    assert_eq!(config.listeners[1].transactions, Some(Transactions::Primary));
    assert_eq!(config.listeners[1].address.to_string(), "[::1]:7000");
    let database = &config.databases[0];
    assert_eq!((&*database.name, &*database.server_database), ("reports", "shop"));
    assert_eq!((database.target, database.consistency), (Target::Replica, Some(Consistency::Eventual)));
    assert_eq!(database.max_staleness, Some(MaxStaleness::Off));
    assert_eq!(database.transactions, Some(Transactions::Lazy));
    let [first, second, third] = &config.routing.rules[..] else { panic!("{:?}", config.routing.rules) };
    assert_eq!((first.table.as_deref(), first.target), (Some("public.t"), Some(Target::Primary)));
    assert_eq!(first.transactions, None);
    assert_eq!((second.target, second.transactions), (Some(Target::Auto), Some(Transactions::Lazy)));
    assert_eq!((third.target, third.transactions), (None, Some(Transactions::Primary)), "no target is fixed");
    let shown = weir::config::Summary(&config).to_string();
    for part in [
        "[::1]:7000, always the primary, transactions on the primary",
        "reports is shop on the servers, replicas where they can, transactions are lazy",
        "BEGIN       transactions are lazy",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert!(second.statement.as_ref().unwrap().is_match(b"SELECT '\xe9'"), "statements need not be UTF-8");
}

/// Of one entry with several addresses, each is a listener.
#[test]
fn an_entry_may_have_several_addresses_and_sockets() {
    let listening = |more: &str, environment: &[(&str, &str)]| {
        let config = load("listening", &format!("{MINIMAL}{more}"), environment).unwrap();
        config.listeners
    };
    let shown = |listeners: &[std::sync::Arc<Listener>]| -> Vec<String> {
        listeners.iter().map(|listener| listener.address.to_string()).collect()
    };
    let more = "[listen]\naddress = [\"127.0.0.1:7000\", \"[::1]:7000\"]\nunix_socket = [\"/run/a\", \"@b\"]\n\
                [[listeners]]\nunix_socket = \"/run/c\"\nunix_socket_mode = \"770\"\ntarget = \"primary\"\n\
                [[listeners]]\naddress = \"*:7001\"\nunix_socket = \"/run/a\"\nreuse_port = true\n";
    let all = listening(more, &[]);
    assert_eq!(
        shown(&all),
        [
            "127.0.0.1:7000",
            "[::1]:7000",
            "/run/a/.s.PGSQL.7000",
            "@b/.s.PGSQL.7000",
            "/run/c/.s.PGSQL.7000",
            "*:7001",
            "/run/a/.s.PGSQL.7001",
        ]
    );
    let exposed: Vec<_> = all.iter().map(|listener| listener.address.is_exposed()).collect();
    assert_eq!(exposed, [false, false, false, false, false, true, false]);
    let modes = all.iter().filter_map(|listener| match &listener.address {
        ListenAddress::Unix(unix) => Some(unix.mode),
        ListenAddress::Tcp(_) => None,
    });
    assert_eq!(modes.collect::<Vec<_>>(), [0o777, 0o777, 0o770, 0o777]);
    let targets = [all[0].target, all[4].target, all[5].target];
    assert_eq!(targets, [Target::Auto, Target::Primary, Target::Auto]);

    let only = listening("[listen]\naddress = []\nunix_socket = \"/run\"\n", &[]);
    assert_eq!(shown(&only), ["/run/.s.PGSQL.6432"]);
    let by_environment = [
        ("WEIR__LISTEN__ADDRESS", "0.0.0.0:7000, [::]:7000"),
        ("WEIR__LISTEN__REUSE_PORT", "true"),
        ("WEIR__LISTEN__UNIX_SOCKET", "/run"),
    ];
    let several = listening("", &by_environment);
    assert_eq!(shown(&several), ["0.0.0.0:7000", "[::]:7000", "/run/.s.PGSQL.7000"]);
    let ListenAddress::Tcp(second) = &several[1].address else { panic!("{several:?}") };
    assert!(matches!(second.interface, Interface::Ipv6(_)) && second.reuse_port, "IPv4 has a listener");
    let long = format!("[listen]\nunix_socket = \"/{}\"\n", "x".repeat(94));
    let found = mistakes("listening", &format!("{MINIMAL}{long}"), &[]);
    assert!(found[0].contains("is longer than the 107 bytes"), "{found:?}");
}

proptest::proptest! {
    /// Whatever the file holds, there is an answer; and a configuration that is taken can be taken again.
    #[test]
    fn no_file_makes_loading_panic(parts in proptest::collection::vec(proptest::sample::select(vec![
        "[pool]", "[[servers]]", "[[users]]", "[servers]", "\n", "=", "\"", "host", "name", "size", " ", "5", "[", "]",
        "{", "}", ".", "'a'", "\"10s\"", "auth = \"trust\"", "host = \"h\"", "name = \"n\"", "-1", "1e400", "#", "\u{e9}",
    ]), 0..40)) {
        let text = parts.concat();
        if let Err(mistakes) = load("any", &text, &[]) {
            proptest::prop_assert!(!mistakes.list.is_empty());
        }
    }
}

#[test]
fn users_may_stand_elsewhere() {
    let file = directory("elsewhere").join("users.txt");
    std::fs::write(&file, "\"app\" \"from the list\"\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let servers = "[[servers]]\nhost = \"db1\"\n";
    let text = format!(
        "{servers}[auth]\nuserlist = \"users.txt\"\nquery = true\nquery_user = \"asker\"\nquery_password = \"hidden\"\n\
         query_ttl = \"5s\"\n"
    );
    let config = load("elsewhere", &text, &[]).unwrap();
    let query = config.auth.query.as_ref().unwrap();
    assert_eq!((&query.statement, &*query.user, &query.database), (&Statement::Password, "asker", &None));
    assert_eq!((query.ttl, query.negative_ttl), (Duration::from_secs(5), Duration::from_secs(1)));
    assert_eq!((&*config.health.user, config.users.len()), ("asker", 0));
    assert_eq!(config.warnings, [""; 0]);
    let shown = format!("{config:?}{}", weir::config::Summary(&config));
    assert!(!shown.contains("hidden") && shown.contains("asked as asker"), "{shown}");

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let config = load("elsewhere", &text, &[]).unwrap();
    assert!(config.warnings[0].contains("users.txt holds secrets"), "{:?}", config.warnings);

    // A user whose password stands elsewhere; and one that can ask, as it is listed.
    let text = format!("{MINIMAL}[[users]]\nname = \"other\"\n[auth]\nquery = true\nquery_user = \"app\"\n");
    let config = load("elsewhere", &text, &[]).unwrap();
    assert!(matches!(config.users[1].credential, Credential::Elsewhere));
    assert_eq!(config.auth.query.unwrap().proof.password().unwrap().expose(), "hunter2");
    assert_eq!(&*config.health.user, "app");
}

#[test]
fn what_is_wrong_with_users_elsewhere_is_told() {
    let file = directory("elsewhere_wrong").join("wrong.txt");
    std::fs::write(file, "\"app\" \"x\"\n\"app\n").unwrap();
    let servers = "[[servers]]\nhost = \"db1\"\n";
    for (text, expected) in [
        ("[auth]\nuserlist = \"wrong.txt\"", "wrong.txt, line 2: expected a name in double quotes"),
        ("[auth]\nuserlist = \"none.txt\"\n", "auth.userlist: "),
        ("[auth]\nquery = true", "auth.query_user: is missing"),
        ("[auth]\nquery = \"SELECT 1\"", "auth.query: expected a statement in which $1"),
        ("[auth]\nquery = 1", "auth.query: expected text, found 1; or true, or false"),
        ("[auth]\nquery_pasword = \"x\"", "auth.query_pasword: unknown; did you mean query_password?"),
        ("[auth]\nquery_password = \"x\"\nquery_password_env = \"Y\"", "query_password is given already"),
        ("[auth]\nuserlist = \"wrong.txt\"", "health.user: is missing; as whom are the servers watched?"),
        (
            "[[databases]]\nname = \"a\"\nauth_query = \"SELECT f($1)\"",
            "databases: auth_query needs [auth] query",
        ),
    ] {
        let found = mistakes("elsewhere_wrong", &format!("{servers}{text}"), &[]);
        assert!(found.iter().any(|found| found.contains(expected)), "{expected}: {found:#?}");
    }
}

#[test]
fn what_differs_between_two_is_told_by_key_and_no_secret_with_it() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("config").join("differs");
    std::fs::create_dir_all(&directory).unwrap();
    let (file, password) = (directory.join("proxy.toml"), directory.join("password"));
    let read = |text: &str, secret: &str, environment: &[(&str, &str)]| {
        std::fs::write(&password, secret).unwrap();
        std::fs::write(&file, text).unwrap();
        let pairs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load_whole_with(&file, &pairs.collect()).unwrap().written
    };
    let users = "[[users]]\nname = \"a.b]\"\npassword_file = \"password\"\n\
                 [[users]]\nname = \"c\"\npassword = \"planted\"\n";
    let before = read(
        &format!(
            "[pool]\nsize = 5\n[routing]\nread_functions = [\"f\"]\n[[servers]]\nhost = \"one\"\nweight = 2\n\
             [[servers]]\nhost = \"two\"\n{users}"
        ),
        "hidden",
        &[],
    );
    let users = users.replace("planted", "seeded");
    let after = read(
        &format!(
            "[routing]\nread_functions = [\"f\", \"g\"]\n[[servers]]\nhost = \"three\"\n\
             [[servers]]\nhost = \"one\"\nweight = 3\n{users}[[users]]\nname = \"d\"\nauth = \"trust\"\n\
             [runtime]\nworkers = 2\n"
        ),
        "buried",
        &[("WEIR__POOL__SIZE", "7"), ("WEIR__TIMEOUTS__QUERY", "1s")],
    );
    let told: Vec<_> = before.changes_to(&after).list.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "pool.size: \"7\", was 5",
            "routing.read_functions: [\"f\", \"g\"], was [\"f\"]",
            "runtime.workers: 2, was not set; holds after a restart: the threads that carry the data are there from \
             the start",
            "servers[one:5432].weight: 3, was 2",
            "servers[three:5432]: added",
            "servers[two:5432]: removed",
            "timeouts.query: \"1s\", was not set",
            "users[a.b]].password_file: what it leads to has changed",
            "users[c].password: changed",
            "users[d]: added",
        ]
    );
    assert_eq!(after.changes_to(&after).list, []);
    assert!(
        ["planted", "seeded", "hidden", "buried"]
            .iter()
            .all(|secret| !format!("{before:?}{after:?}").contains(secret))
    );
}

/// What stands where a server's host belongs may hold a password: no mistake quotes it.
#[test]
fn a_host_is_a_host_alone() {
    for (host, expected) in [
        ("postgres://app:hunter2@db1:5432/shop", "is a connection string"),
        ("PostgreSQL://app:hunter2@db1", "is a connection string"),
        ("host=db1 password=hunter2", "holds more than a host"),
        ("app:hunter2@db1", "holds more than a host"),
        ("db1:5432", "holds a port, which stands in port"),
        ("hunter2:54", "holds a port, which stands in port"),
        ("[::1]", "an IPv6 address stands without brackets"),
        ("[::1]:5432", "an IPv6 address stands without brackets"),
        ("db1,db2", "names several hosts; each has a [[servers]] entry of its own"),
        ("${DB_HOST}", "holds a variable, which nothing fills in"),
        ("db1 ", "is no host name, no IP address and no directory"),
        ("db1/shop", "is no host name, no IP address and no directory"),
        ("fe80::1::2", "is no host name, no IP address and no directory"),
    ] {
        let text = format!("[[servers]]\nhost = \"{host}\"\n[[users]]\nname = \"a\"\nauth = \"trust\"\n");
        let found = mistakes("hosts", &text, &[]);
        let [only] = &found[..] else { panic!("{host}: {found:#?}") };
        assert!(only.starts_with(&format!("line 2: servers[0].host: {expected}")), "{host}: {only}");
        assert!(!only.contains("hunter2"), "{only}");
    }
    for host in
        ["db-1.example.com", "db_1", "10.0.0.1", "::1", "fe80::1%eth0", "/run/postgresql", "bücher.example"]
    {
        let text = format!("[[servers]]\nhost = \"{host}\"\n[[users]]\nname = \"a\"\nauth = \"trust\"\n");
        assert_eq!(&*load("hosts", &text, &[]).unwrap().servers[0].host, host);
    }
    let two = "[[servers]]\nhost = \"db1:1\"\n[[servers]]\nhost = \"db2:1\"\n[[users]]\nname = \"a\"\nauth = \"trust\"\n";
    assert_eq!(mistakes("hosts", two, &[]).len(), 2, "two that are wrong are not the same");
    // Nor under any other key.
    for more in [
        "[listen]\naddress = \"postgres://app:hunter2@db1\"\n",
        "[pool]\nmode = \"postgres://app:hunter2@db1\"\n",
        "[pool]\nsize = \"host=db1 password=hunter2\"\n",
        "[[databases]]\nname = \"postgresql://app:hunter2@db1\"\n",
        "[health]\nuser = \"postgres://app:hunter2@db1\"\n",
    ] {
        let found = mistakes("hosts", &format!("{MINIMAL}{more}"), &[]);
        assert!(found.len() == 1 && !found[0].contains("hunter2"), "{found:?}");
    }
}

#[test]
fn a_log_filter_lets_something_of_weirs_through() {
    let with = |filter: &str| load("filters", MINIMAL, &[("WEIR_LOG", filter)]);
    for right in [
        "info",
        "INFO",
        "off",
        "weir=debug",
        "weir::pool",
        "info,weir::pool=debug",
        "warn,hyper=info,tokio_postgres=debug",
        "weir[session]=trace",
        "[session{user=a}]=debug",
        "error,weir::session::flow=trace",
    ] {
        assert_eq!(with(right).unwrap().log.filter, right);
    }
    for (wrong, expected) in [
        ("inof", "\"inof\" is no level and no module of weir's; did you mean info?"),
        ("debgu,weir::pool=info", "\"debgu\" is no level and no module of weir's; did you mean debug?"),
        ("verbose", "\"verbose\" is no level and no module of weir's; levels are"),
        ("weri=debug", "\"weri\" is no module; did you mean weir?"),
        ("weir::pol=debug,info", "weir has no module \"pol\"; did you mean pool?"),
        ("hyper=debug", "says nothing of weir, so that nothing of it would be logged"),
        ("info weir=debug", ""),
    ] {
        let found = mistakes("filters", MINIMAL, &[("WEIR_LOG", wrong)]);
        let [only] = &found[..] else { panic!("{wrong}: {found:#?}") };
        assert!(only.contains(&format!("log.filter: {expected}")), "{wrong}: {only}");
    }
}

#[test]
fn a_variable_with_too_few_underscores_is_a_mistake() {
    for (variable, meant) in [
        ("WEIR_POOL_SIZE", "WEIR__POOL__SIZE"),
        ("WEIR_POOL__SIZE", "WEIR__POOL__SIZE"),
        ("WEIR_LOG_FILTER", "WEIR__LOG__FILTER"),
        ("WEIR_METRICS_ADDRESS", "WEIR__METRICS__ADDRESS"),
        ("WEIR_LISTEN_CLIENT_LIMIT", "WEIR__LISTEN__CLIENT_LIMIT"),
    ] {
        let found = mistakes("underscores", MINIMAL, &[(variable, "50")]);
        assert_eq!(found, [format!("{variable}: is not heeded; it is called {meant}")]);
    }
    let found = mistakes("underscores", MINIMAL, &[("WEIR__POOL_SIZE", "50")]);
    assert_eq!(found, ["WEIR__POOL_SIZE: expected WEIR__SECTION__KEY, such as WEIR__POOL__SIZE"]);
    // What Kubernetes tells of a service that is called weir, and what is not set.
    let others = [
        ("WEIR_PORT", "tcp://10.0.0.1:6432"),
        ("WEIR_SERVICE_HOST", "10.0.0.1"),
        ("WEIR_METRICS_SERVICE_PORT", "9187"),
        ("WEIR_TEST_TLS", "1"),
        ("WEIR_POOL_SIZE", ""),
    ];
    assert_eq!(load("underscores", MINIMAL, &others).unwrap().warnings, [""; 0]);
}

#[test]
fn copies_know_each_other_by_numbers() {
    let peer = |id: &str, host: &str| format!("[[peers]]\nid = {id}\nhost = \"{host}\"\n");
    let two = peer("1", "a") + &peer("2", "b");
    let config = load("peers", &format!("{MINIMAL}{two}"), &[("WEIR__LISTEN__PEER_ID", "2")]).unwrap();
    let peers = &config.clients.peers;
    assert_eq!((peers.own, peers.all.len(), peers.all[0].port), (Some(2), 2, 6432));
    assert_eq!(peers.other(1).map(|peer| &*peer.host), Some("a"));
    assert!(peers.other(2).is_none() && peers.other(3).is_none());
    let summary = weir::config::Summary(&config).to_string();
    assert!(summary.contains("copies      1 at a:6432, 2 at b:6432 (this one)\n"), "{summary}");
    assert!(summary.contains("\"global\" holds within one copy"), "{summary}");
    assert!(load("peers", MINIMAL, &[]).unwrap().clients.peers.all.is_empty());
    for (more, own, expected) in [
        (two.clone(), "", "peers: which of them is this copy?"),
        (two.clone() + &peer("2", "c"), "1", "peers[2].id: another copy is 2 already"),
        (peer("0", "a"), "1", "peers[0].id: expected a whole number from 1 to 255"),
        (peer("256", "a"), "1", "peers[0].id: expected a whole number from 1 to 255"),
        ("[[peers]]\nhost = \"a\"\n".to_owned(), "1", "peers[0].id: is missing"),
        ("[[peers]]\nid = 1\n".to_owned(), "1", "peers[0].host: is missing"),
        (peer("1", "a:6432"), "1", "peers[0].host: holds a port"),
        (
            peer("1", "a") + "sslmode = \"verify-full\"\n",
            "1",
            "peers[0].sslmode: \"verify-full\" needs sslrootcert",
        ),
        (two.clone(), "300", "listen.peer_id: expected a whole number from 1 to 255"),
    ] {
        let found = mistakes("peers", &format!("{MINIMAL}{more}"), &[("WEIR__LISTEN__PEER_ID", own)]);
        assert!(found.iter().any(|one| one.contains(expected)), "{expected}: {found:?}");
    }
}

/// The warnings of a file with more behind its servers and its user.
fn warned(test: &str, more: &str) -> Vec<String> {
    load(test, &format!("{MINIMAL}{more}"), &[]).unwrap_or_else(|mistakes| panic!("{mistakes}")).warnings
}

#[test]
fn what_is_possible_and_hardly_meant_is_a_warning() {
    let rule = |what: &str| format!("[[routing.rules]]\n{what}\n");
    for (more, expected) in [
        (
            "[[servers]]\nhost = \"db3\"\nconnections = 10\n".to_owned(),
            "server \"db3:5432\" may have 10 connections, fewer than one pool ([pool] size = 20): pools there never grow to their size",
        ),
        (
            "[[users]]\nname = \"b\"\nauth = \"trust\"\npool_size = 80\n[pool]\ntotal = 60\n".to_owned(),
            "user \"b\" may have 80 connections in a pool, more than [pool] total = 60",
        ),
        (
            "[[servers]]\nhost = \"db3\"\nport = 6432\n[listen]\naddress = \"127.0.0.1:5432\"\n".to_owned(),
            "server \"db3:6432\" has the port of a pooler, and weir listens at PostgreSQL's: are the ports of 127.0.0.1:5432 and db3:6432 swapped?",
        ),
        (
            "[[users]]\nname = \"b\"\nauth = \"cert\"\n".to_owned(),
            "nobody can log in as user \"b\": it proves itself by a certificate, and no listener has tls_ca",
        ),
        (
            rule("user = \"nobody\"\ntarget = \"primary\""),
            "routing.rules[0] never holds: no [[users]] entry is called \"nobody\"",
        ),
        (
            rule("application_name = \"a\"\ntarget = \"primary\"")
                + &rule("application_name = \"a\"\ntable = \"t\"\ntarget = \"replica\""),
            "routing.rules[1] never decides: wherever it holds, routing.rules[0] does, and comes first",
        ),
        (
            rule("table = \"t\"\ntarget = \"primary\"\ntransactions = \"lazy\"")
                + &rule("table = \"s.t\"\ntransactions = \"primary\""),
            "routing.rules[1] never decides: wherever it holds, routing.rules[0] does, and comes first",
        ),
        (
            "[[users]]\nname = \"b\"\nauth = \"trust\"\ntarget = \"primary\"\n".to_owned()
                + &rule("user = \"b\"\ntarget = \"replica\""),
            "routing.rules[0] never decides on a target: user \"b\" has one of its own, which comes first",
        ),
        (
            "[[databases]]\nname = \"d\"\ntarget = \"primary\"\n".to_owned()
                + &rule("database = \"d\"\ntarget = \"replica\""),
            "routing.rules[0] never decides on a target: database \"d\" has one of its own, which comes first",
        ),
        (
            "[[databases]]\nname = \"d\"\nserver_database = \"e\"\n[health]\ndatabase = \"d\"\n".to_owned(),
            "[health] database = \"d\" is a name for clients; on the servers it is \"e\"",
        ),
        (
            format!("[[users]]\nname = \"b\"\npassword = \"{VERIFIER}\"\n"),
            "users[1].password looks like a SCRAM verifier, and is taken for the password itself; verifier is the key for one",
        ),
        (
            "[[users]]\nname = \"b\"\npassword = \"md5900150983cd24fb0d6963f7d28e17f72\"\n".to_owned(),
            "users[1].password looks like an MD5 hash, and is taken for the password itself; [auth] userlist takes those",
        ),
        (
            "[[users]]\nname = \"b\"\npassword = \"${APP_PASSWORD}\"\n".to_owned(),
            "users[1].password looks like a variable, which nothing fills in; password_env is the key for one",
        ),
    ] {
        assert_eq!(warned("doubts", &more), [expected], "{more}");
    }
    let idle = "[[servers]]\nhost = \"db1\"\nweight = 0\n[[servers]]\nhost = \"db2\"\nweight = 0\n[[users]]\nname = \"a\"\nauth = \"trust\"\n";
    let warnings = load("doubts", idle, &[]).unwrap().warnings;
    assert_eq!(warnings, ["no replica takes reads: weight is 0 for every server that could be one"]);
}

#[test]
fn what_looks_like_a_mistake_and_is_right_is_no_warning() {
    let rule = |what: &str| format!("[[routing.rules]]\n{what}\n");
    for more in [
        rule("user = \"app\"\ntarget = \"primary\"") + &rule("target = \"replica\"\ndatabase = \"d\""),
        rule("table = \"t\"\ntarget = \"primary\"") + &rule("table = \"t\"\ntransactions = \"primary\""),
        rule("table = \"s.t\"\ntarget = \"primary\"") + &rule("table = \"t\"\ntarget = \"replica\""),
        rule("statement = \"a\"\ntarget = \"primary\"") + &rule("statement = \"b\"\ntarget = \"replica\""),
        "[[servers]]\nhost = \"db3\"\nweight = 0\n".to_owned(),
        "[[servers]]\nhost = \"db3\"\nport = 6432\n".to_owned(),
    ] {
        assert_eq!(warned("no doubts", &more), [""; 0], "{more}");
    }
}

#[test]
fn weir_is_no_server_of_its_own() {
    let user = "[[users]]\nname = \"a\"\nauth = \"trust\"\n";
    let server = |host: &str, port: u16| format!("[[servers]]\nhost = \"{host}\"\nport = {port}\n{user}");
    for (listen, host, port) in [
        ("address = \"127.0.0.1:5432\"", "127.0.0.1", 5432),
        ("address = \"127.0.0.1:5432\"", "localhost", 5432),
        ("address = \"0.0.0.0:5432\"", "localhost", 5432),
        ("address = \"*:5432\"", "::1", 5432),
        ("address = \"10.0.0.1:5432\"", "10.0.0.1", 5432),
        ("unix_socket = \"/run/weir\"", "/run/weir", 6432),
        ("unix_socket = \"/run/weir\"", "/run/weir/", 6432),
    ] {
        let found = mistakes("loops", &format!("[listen]\n{listen}\n{}", server(host, port)), &[]);
        assert_eq!(
            found,
            [format!(
                "line 4: servers[0].host: weir itself listens at port {port} there: it would be its own server"
            )],
            "{listen}"
        );
    }
    for (listen, host, port) in [
        ("address = \"127.0.0.1:5432\"", "127.0.0.1", 5433),
        ("address = \"127.0.0.1:5432\"", "10.0.0.1", 5432),
        ("address = \"0.0.0.0:5432\"", "db", 5432),
        ("unix_socket = \"/run/weir\"", "/run/weir", 5432),
    ] {
        load("loops", &format!("[listen]\n{listen}\n{}", server(host, port)), &[]).unwrap();
    }
    // The same server by names that differ in nothing.
    for (one, other) in [("db1", "DB1"), ("db1.example.com", "db1.example.com."), ("localhost", "127.0.0.1")]
    {
        let text = format!("[[servers]]\nhost = \"{one}\"\n{}", server(other, 5432));
        let found = mistakes("loops", &text, &[]);
        assert_eq!(found, ["line 4: servers[1].host: another entry is the same server already"], "{other}");
    }
}
