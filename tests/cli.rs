//! The command line, run as a process: what it prints, where, and with which exit code.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const GOOD: &str = "[[servers]]\nhost = \"db\"\n[[users]]\nname = \"app\"\npassword = \"hunter2\"\n";

fn weir(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(arguments)
        // No proxy.toml stands here.
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn file(name: &str, text: &str) -> String {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli");
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join(name);
    std::fs::write(&file, text).unwrap();
    file.into_os_string().into_string().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn check_says_what_a_good_file_means() {
    let file = file("good.toml", GOOD);
    let output = weir(&["check", "--config", &file], &[("WEIR__LISTEN__ADDRESS", "0.0.0.0:7777")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("is right") && text.contains("0.0.0.0:7777") && text.contains("db:5432"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn check_names_all_mistakes_of_a_bad_file() {
    let file = file("bad.toml", "[[servers]]\nhost = 5\nprot = 1\n[[users]]\nname = \"a\"\n");
    let output = weir(&["check", "-c", &file], &[("WEIR__POOL__SIZE", "none")]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(stdout(&output), "");
    let text = stderr(&output);
    assert!(text.contains(": 4 mistakes\n"), "{text}");
    for part in
        ["line 2: servers[0].host", "line 3: servers[0].prot", "line 4: users[0]: needs", "WEIR__POOL__SIZE"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn run_does_not_start_with_a_bad_file() {
    let output = weir(&["run", "--config", &file("bad_run.toml", "[[servers]]\n")], &[]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("servers[0].host: is missing"), "{}", stderr(&output));
}

/// Route and reason, the first two words of the answer, and the whole of it.
fn explained(arguments: &[&str]) -> (String, String, String) {
    let output = weir(&[&["explain"], arguments].concat(), &[]);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    let text = stdout(&output);
    let word = |key: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(key));
        value.unwrap_or_else(|| panic!("no {key} in {text}")).trim().to_owned()
    };
    (word("route "), word("reason "), text.clone())
}

#[test]
fn explain_says_where_a_statement_goes_and_why() {
    for (sql, route, reason) in [
        ("SELECT name FROM products WHERE id = 1", "replica", "read"),
        ("UPDATE products SET price = 2 WHERE id = 1", "primary", "write"),
        ("WITH gone AS (DELETE FROM carts RETURNING id) SELECT count(*) FROM gone", "primary", "write"),
        ("SELECT id FROM jobs LIMIT 1 FOR UPDATE SKIP LOCKED", "primary", "row_lock"),
        ("SELECT nextval('orders_id_seq')", "primary", "sequence"),
        ("/* weir: primary */ SELECT 1", "primary", "hint_primary"),
        ("SELEC 'T", "primary", "unparsable"),
    ] {
        let (to, why, text) = explained(&[sql]);
        assert_eq!((to.as_str(), why.as_str()), (route, reason), "{sql}: {text}");
        assert!(text.contains("Without a configuration"), "{text}");
        assert!(!text.contains("catalog"), "only where it matters: {text}");
    }
}

#[test]
fn explain_says_what_the_catalog_would_decide() {
    let (route, reason, text) = explained(&["SELECT total(id) FROM carts"]);
    assert_eq!((route.as_str(), reason.as_str()), ("primary", "unknown_function"));
    assert!(
        text.contains("total (not asked: no catalog)") && text.contains("the primary's catalog"),
        "{text}"
    );
}

#[test]
fn explain_follows_a_configuration() {
    let rules = "read_functions = [\"total\"]\n\
        [[routing.rules]]\napplication_name = \"nightly\"\ntarget = \"replica\"\n\
        [[routing.rules]]\ntable = \"sessions\"\ntarget = \"primary\"\n\
        [[databases]]\nname = \"books\"\ntarget = \"primary\"\n";
    let file = file("explain.toml", &format!("{GOOD}[routing]\n{rules}"));
    let decided = |arguments: &[&str]| {
        let (route, reason, text) = explained(&[&["--config", &file], arguments].concat());
        assert!(text.contains(&file), "{text}");
        format!("{route} {reason}")
    };
    assert_eq!(decided(&["SELECT 1"]), "replica read");
    assert_eq!(decided(&["SELECT total(id) FROM carts"]), "replica read");
    assert_eq!(decided(&["SELECT * FROM sessions"]), "primary rule");
    assert_eq!(decided(&["SELECT other(1)"]), "primary unknown_function");
    assert_eq!(decided(&["--application-name", "nightly", "SELECT other(1)"]), "replica rule");
    assert_eq!(decided(&["--user", "app", "--database", "books", "SELECT 1"]), "primary database_target");

    let output = weir(&["explain", "--config", &file, "--user", "nobody", "SELECT 1"], &[]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
    assert!(stderr(&output).contains("no [[users]] entry is called \"nobody\""), "{}", stderr(&output));
    let output = weir(&["explain", "--config", "/nowhere/proxy.toml", "SELECT 1"], &[]);
    assert_eq!(output.status.code(), Some(78), "a file that was asked for must be there");
}

const TRANSACTION: &str = "BEGIN;\n-- what is in it\nSELECT * FROM carts;\nSELECT now();\n\
    DELETE FROM carts\n  WHERE id = 1;\nSELECT * FROM carts;\nCOMMIT;\n";

const TABLE: &str = "\
#  where                    reason          statement
1  weir                     lazy_control    BEGIN
2  replica, alone           lazy_read       SELECT * FROM carts
3  replica, in transaction  lazy_state      SELECT now()
4  primary, upgrade         write           DELETE FROM carts ...
5  primary, in transaction  in_transaction  SELECT * FROM carts
6  primary, in transaction  in_transaction  COMMIT

transaction 1-6: upgraded, write
as one string: primary, multi_statement

Without a configuration, each statement by itself, while a replica is up and fresh enough.
No server was asked.
Relations are taken for tables: of a view that asks for the time of the transaction, or the like, the
primary's catalog would tell.
";

#[test]
fn explain_takes_a_whole_transaction() {
    let output = weir(&["explain", TRANSACTION], &[]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), TABLE), "{}", stderr(&output));
    let output = weir(&["explain", "--file", &file("transaction.sql", TRANSACTION)], &[]);
    assert_eq!(stdout(&output), TABLE, "{}", stderr(&output));
}

#[test]
fn explain_reads_standard_input() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["explain", "--file", "-"])
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(TRANSACTION.as_bytes()).unwrap();
    assert_eq!(stdout(&child.wait_with_output().unwrap()), TABLE);
}

#[test]
fn explain_takes_either_a_string_or_a_file() {
    let one = file("one.sql", "/* weir: primary */\nSELECT 1;\n");
    let (route, reason, _) = explained(&["--file", &one]);
    assert_eq!((route.as_str(), reason.as_str()), ("primary", "hint_primary"), "one statement, as a string");
    for arguments in [&["explain"][..], &["explain", "--file", &one, "SELECT 1"]] {
        assert_eq!(weir(arguments, &[]).status.code(), Some(2), "{arguments:?}");
    }
    let output = weir(&["explain", "--file", "/nowhere/transaction.sql"], &[]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
    assert!(stderr(&output).contains("/nowhere/transaction.sql cannot be read"), "{}", stderr(&output));
}

#[test]
fn explain_knows_where_transactions_run() {
    let rules = "[routing]\ntransactions = \"primary\"\n\
        [[routing.rules]]\napplication_name = \"web\"\ntransactions = \"lazy\"\n\
        [[databases]]\nname = \"books\"\ntransactions = \"lazy\"\n";
    let file = file("explain_transactions.toml", &format!("{GOOD}{rules}"));
    let ran = |arguments: &[&str]| {
        let all = [&["explain", "--config", &file], arguments, &["BEGIN; SELECT 1; COMMIT"]].concat();
        let output = weir(&all, &[]);
        let text = stdout(&output);
        let ran = text.lines().find_map(|line| line.strip_prefix("transaction 1-3: "));
        ran.unwrap_or_else(|| panic!("{text}{}", stderr(&output))).to_owned()
    };
    assert_eq!(ran(&[]), "primary, begin");
    assert_eq!(ran(&["--database", "books"]), "none");
    assert_eq!(ran(&["--application-name", "web"]), "none");
}

#[test]
fn a_file_that_is_not_there_is_a_mistake_too() {
    let output = weir(&["check", "--config", "/nowhere/proxy.toml"], &[]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        stderr(&output).contains("/nowhere/proxy.toml: 1 mistake\n  cannot be read"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_wrong_command_line_has_its_own_exit_code() {
    for arguments in [&["fly"][..], &["check", "--confg", "x"], &[]] {
        assert_eq!(weir(arguments, &[]).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_on_standard_output() {
    let output = weir(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    for part in ["Usage: weir", "weir check --config", "WEIR__SECTION__KEY", "Exit codes:", "78"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(stdout(&weir(&["--version"], &[])), format!("weir {}\n", env!("CARGO_PKG_VERSION")));
}

/// Who reads the first lines of an answer and goes away is told no more, and nothing is wrong with that.
#[test]
fn nobody_minds_a_reader_who_goes_away() {
    let good = file("pipe.toml", GOOD);
    let script = file("pipe.sql", &"SELECT 1;\n".repeat(20_000));
    for (arguments, stream) in [
        (&["check", "--config", &good][..], "stdout"),
        (&["explain", "--file", &script], "stdout"),
        (&["explain", "SELECT 1"], "stdout"),
        (&["check", "--config", "/nowhere/proxy.toml"], "stderr"),
    ] {
        // A pipe whose reader is gone before anything is written.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(arguments).current_dir(env!("CARGO_TARGET_TMPDIR")).env_clear();
        match stream {
            "stdout" => command.stdout(writer).stderr(Stdio::piped()),
            _ => command.stdout(Stdio::piped()).stderr(writer),
        };
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        let code = if stream == "stdout" { 0 } else { 78 };
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn check_looks_at_the_limit_of_files() {
    let file = file("files.toml", &format!("{GOOD}[listen]\nclient_limit = 100000\n"));
    let shell = format!("ulimit -n 512; exec {} check --config {file}", env!("CARGO_BIN_EXE_weir"));
    let output = Command::new("sh").args(["-c", &shell]).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.contains("warning: client_limit is 100000, and a process may have 512 files here"),
        "{text}"
    );
    assert!(text.contains("room for 256 clients"), "{text}");
}

#[test]
fn check_finds_users_whom_no_line_of_hba_file_names() {
    let rules = file("nobody.hba", "host all other all scram-sha-256\nhost all app all reject\n");
    let text =
        format!("{GOOD}[[users]]\nname = \"other\"\npassword = \"x\"\n[auth]\nhba_file = \"{rules}\"\n");
    let output = weir(&["check", "--config", &file("nobody.toml", &text)], &[]);
    let text = stdout(&output);
    assert!(
        text.contains("warning: nobody can log in as user \"app\": no line of hba_file lets it in"),
        "{text}"
    );
    assert!(!text.contains("as user \"other\""), "{text}");
}

#[test]
fn explain_says_of_begin_what_is_done_with_it() {
    let config = format!("{GOOD}[[databases]]\nname = \"reports\"\ntarget = \"replica\"\n");
    let file = file("explain_begin.toml", &config);
    for database in ["reports", "shop"] {
        let (route, reason, _) = explained(&["--config", &file, "--database", database, "BEGIN"]);
        assert_eq!((route.as_str(), reason.as_str()), ("weir", "lazy_control"), "{database}");
    }
    let arguments = ["explain", "--config", &file, "--database", "reports"];
    let output =
        weir(&[&arguments[..], &["BEGIN; SELECT f(); INSERT INTO t VALUES (1); COMMIT"]].concat(), &[]);
    let text = stdout(&output);
    for row in ["1  weir ", "2  replica, alone ", "3  primary, upgrade ", "4  primary, in transaction "] {
        assert!(text.contains(row), "{row}: {text}");
    }
}

/// Shells and `man` are told of each command and each option, from the command line itself.
#[test]
fn completions_and_manual_pages_know_every_command() {
    let help = stdout(&weir(&["--help"], &[]));
    let commands = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let commands: Vec<&str> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.contains(&"init") && commands.contains(&"run"), "{commands:?}");
    for shell in ["bash", "zsh", "fish"] {
        let text = stdout(&weir(&["completions", shell], &[]));
        for command in &commands {
            assert!(text.contains(command), "{shell} is not told of {command}");
        }
        assert!(text.contains("sslrootcert"), "{shell} is not told of options");
    }
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli").join("man");
    let output = weir(&["man", directory.to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for command in commands.iter().filter(|command| **command != "help") {
        let page = std::fs::read_to_string(directory.join(format!("weir-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(std::fs::read_to_string(directory.join("weir.1")).unwrap().contains("weir\\-init"));
}

/// Each command says what it does, with an example where it is not plain.
#[test]
fn each_command_has_help() {
    for (command, words) in [
        ("init", "postgresql://postgres@db1/shop"),
        ("import", "/etc/pgbouncer/pgbouncer.ini"),
        ("health", "Exit codes"),
        ("completions", "shell"),
        ("man", "directory"),
    ] {
        let output = weir(&[command, "--help"], &[]);
        assert!(stdout(&output).contains(words), "{command}: {}", stdout(&output));
    }
    let output = weir(&["init"], &[]);
    assert_eq!(
        (output.status.code(), stderr(&output).contains("as whom?")),
        (Some(1), true),
        "{}",
        stderr(&output)
    );
}
