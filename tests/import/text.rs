//! What is written: of each kind of pgbouncer.ini the keys that it becomes, and that `weir check` takes them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) fn directory(test: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("import").join(test);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

pub(crate) fn weir(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .output()
        .unwrap()
}

pub(crate) fn words(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// Imports, checks, and gives what was written.
fn imported(test: &str, ini: &str, userlist: &str) -> (PathBuf, String) {
    let directory = directory(test);
    std::fs::write(directory.join("pgbouncer.ini"), ini).unwrap();
    std::fs::write(directory.join("userlist.txt"), userlist).unwrap();
    let output = weir(&directory, &["import", "pgbouncer.ini", "--output", "proxy.toml"]);
    assert!(output.status.success(), "{}", words(&output));
    let text = std::fs::read_to_string(directory.join("proxy.toml")).unwrap();
    let check = weir(&directory, &["check"]);
    assert!(check.status.success(), "{}\n{text}", words(&check));
    (directory, text)
}

fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|own| own == *line), "{line} is not in:\n{text}");
    }
}

#[test]
fn the_usual_file() {
    let ini = "[databases]\nshop = host=10.0.0.1 port=5433\nshop_ro = host=10.0.0.2,10.0.0.3 dbname=shop pool_size=5\n\
               * = host=10.0.0.1 port=5433\n\
               [users]\nreports = pool_mode=session query_timeout=600 max_user_connections=3\n\
               [pgbouncer]\nlisten_addr = localhost, 10.0.0.9\nlisten_port = 6543\nunix_socket_dir =\n\
               auth_type = scram-sha-256\nauth_file = userlist.txt\npool_mode = transaction\nmax_client_conn = 500\n\
               default_pool_size = 25\nmin_pool_size = 3\nreserve_pool_size = 5\nserver_idle_timeout = 60.5\n\
               query_wait_timeout = 0\nidle_transaction_timeout = 30\nadmin_users = postgres, ops\n\
               stats_users = monitoring\nserver_tls_sslmode = require\nlogfile = /var/log/x\nno_such_key = 1\nverbose = 1\n\
               ignore_startup_parameters = extra_float_digits\nserver_reset_query = DISCARD ALL\n";
    let userlist = "\"app\" \"SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"\n\
                    \"ops\" \"hunter2\"\n";
    let (directory, text) = imported("usual", ini, userlist);
    has(
        &text,
        &[
            "address = [\"127.0.0.1:6543\", \"10.0.0.9:6543\"]",
            "client_limit = 500",
            "host = \"10.0.0.1\"",
            "port = 5433",
            "host = \"10.0.0.3\"",
            "sslmode = \"require\"",
            "mode = \"transaction\"",
            "size = 25",
            "min_idle = 3",
            "idle_timeout = \"60500ms\"",
            "checkout_timeout = \"1d\"   # PgBouncer: for ever",
            "idle_in_transaction = \"30s\"",
            "users = [\"postgres\", \"ops\"]",
            "stats_users = [\"monitoring\"]",
            "name = \"shop_ro\"",
            "server_database = \"shop\"",
            "pool_size = 5",
            "pool_mode = \"session\"",
            "query_timeout = \"600s\"",
            "filter = \"debug\"",
            // As whom the servers are watched: an operator whose password is known.
            "server_password_file = \"ops.password\"",
            "user = \"ops\"",
            "database = \"shop\"",
        ],
    );
    assert!(text.contains("no_such_key (pgbouncer.ini:25): no key of PgBouncer's"), "{text}");
    for told in [
        "logfile",
        "reserve_pool_size",
        "ignore_startup_parameters",
        "server_reset_query",
        "max_user_connections",
    ] {
        assert!(text.contains(&format!("{told} (pgbouncer.ini:")), "{told} is passed over:\n{text}");
    }
    assert!(!text.contains("hunter2") && text.contains("several hosts"), "{text}");
    assert_eq!(std::fs::read_to_string(directory.join("ops.password")).unwrap(), "hunter2\n");

    let again = weir(&directory, &["import", "pgbouncer.ini", "--output", "proxy.toml"]);
    assert_eq!(again.status.code(), Some(1), "{}", words(&again));
    assert!(words(&again).contains("is there already"), "{}", words(&again));
}

#[test]
fn users_that_the_servers_know() {
    let ini = "[databases]\nshop = host=db\n[pgbouncer]\nlisten_addr = *\nauth_type = md5\nauth_file = userlist.txt\n\
               auth_user = lookup\nauth_query = SELECT usename, passwd FROM pg_shadow WHERE usename=$1\nauth_dbname = shop\n\
               unix_socket_dir = /tmp\nunix_socket_mode = 0770\nso_reuseport = 1\npeer_id = 2\n\
               [peers]\n1 = host=a\n2 = host=b port=6433\n";
    let (_, text) = imported("lookup", ini, "\"lookup\" \"secret\"\n");
    has(
        &text,
        &[
            "address = [\"*:6432\"]",
            "unix_socket = \"/tmp\"",
            "unix_socket_mode = \"0770\"",
            "reuse_port = true",
            "peer_id = 2",
            "id = 1",
            "port = 6433",
            "query = true",
            "query_user = \"lookup\"",
            "query_password_file = \"lookup.password\"",
            "query_database = \"shop\"",
            // PgBouncer's default, which applications were written for.
            "mode = \"session\"",
        ],
    );

    let own = "[databases]\nshop = host=db auth_query='SELECT * FROM b.f($1)'\n[pgbouncer]\nauth_user = lookup\n\
               listen_addr = 127.0.0.1\nauth_file = userlist.txt\nauth_query = SELECT * FROM a.user_lookup($1)\n";
    let (_, text) = imported("own_lookup", own, "\"lookup\" \"secret\"\n");
    has(&text, &["query = \"SELECT * FROM a.user_lookup($1)\"", "auth_query = \"SELECT * FROM b.f($1)\""]);
}

#[test]
fn one_user_for_all() {
    let ini = "[databases]\na = host=db user=owner password='it''s'\nb = host=db user=owner\n\
               [pgbouncer]\nlisten_addr=127.0.0.1\nauth_type = trust\nauth_file = userlist.txt\npool_mode = statement\n";
    let (directory, text) = imported("forced", ini, "\"app\" \"\"\n\"web\" \"\"\n");
    has(
        &text,
        &[
            "name = \"app\"",
            "name = \"web\"",
            "auth = \"trust\"",
            "server_user = \"owner\"",
            "server_password_file = \"owner.password\"",
            "mode = \"transaction\"",
        ],
    );
    assert!(text.contains("pool_mode statement"), "{text}");
    assert_eq!(std::fs::read_to_string(directory.join("owner.password")).unwrap(), "it's\n");
}

/// A user's password is not taken for that of the one who it is on the servers.
#[test]
fn a_password_stays_with_its_user() {
    let directory = directory("stays");
    std::fs::write(directory.join("userlist.txt"), "\"app\" \"hunter2\"\n").unwrap();
    let ini = "[databases]\na = host=db user=owner\n[pgbouncer]\nlisten_addr = 127.0.0.1\nauth_file = userlist.txt\n";
    std::fs::write(directory.join("pgbouncer.ini"), ini).unwrap();
    let output = weir(&directory, &["import", "pgbouncer.ini", "--output", "proxy.toml"]);
    assert!(words(&output).contains("weir watches the servers as a user of its own"), "{}", words(&output));
    assert!(!directory.join("app.password").exists());
    let text = std::fs::read_to_string(directory.join("proxy.toml")).unwrap();
    has(&text, &["server_user = \"owner\""]);
}

#[test]
fn what_cannot_be_is_said() {
    let directory = directory("refused");
    std::fs::write(directory.join("pgbouncer.ini"), "[pgbouncer]\nlisten_addr = *\n").unwrap();
    let output = weir(&directory, &["import", "pgbouncer.ini"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("has no [databases]"), "{}", words(&output));
    std::fs::write(
        directory.join("pgbouncer.ini"),
        "[databases]\na = host=b\n[pgbouncer]\nauth_file = gone.txt\n",
    )
    .unwrap();
    let output = weir(&directory, &["import", "pgbouncer.ini"]);
    assert!(words(&output).contains("auth_file: ") && output.status.code() == Some(1), "{}", words(&output));
    let output = weir(&directory, &["import", "nowhere.ini"]);
    assert!(words(&output).contains("nowhere.ini cannot be read"), "{}", words(&output));
}
