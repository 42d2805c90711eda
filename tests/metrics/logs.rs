//! Whose a line of the log is, in which words, and that a program can read it.

use std::time::Duration;

use harness::client::{Client, Login};
use harness::{Cluster, Result, WeirSetup, wait_for};
use serde_json::Value;

/// A name that must be quoted, once.
const ODD: &str = r#"say "hi" \ twice"#;

/// All strings in a line, however deep.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Object(fields) => fields.values().flat_map(strings).collect(),
        Value::Array(values) => values.iter().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn json_lines_say_who_and_where_and_quote_it_once() -> Result<()> {
    let weir = WeirSetup::in_front_of(Cluster::shared(), 0..3)
        .set("log", "format", "\"json\"")
        .set("log", "slow_query", "\"100ms\"")
        .start(env!("CARGO_BIN_EXE_weir"))?;
    let login = |password| Login::new("app", password).parameter("application_name", ODD);
    let mut client = Client::connect(&weir.address(), &login("app"))?;
    client.query("/* weir: target=primary */ SELECT 'a secret' FROM pg_sleep(0.2)")?;
    Client::connect(&weir.address(), &login("wrong")).unwrap_err();
    let lines = wait_for("both lines", Duration::from_secs(30), || {
        let log = weir.log();
        let told = ["slow query", "login failed"].iter().all(|words| log.contains(words));
        // The last line may be half there.
        let whole = &log[..log.rfind('\n').map_or(0, |end| end + 1)];
        let lines: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Ok(told.then_some(lines))
    })?;
    for line in &lines {
        let twice = strings(line).into_iter().find(|text| text.len() > 1 && text.starts_with('"'));
        assert_eq!(twice, None, "{line}");
    }
    let line = |message: &str| lines.iter().find(|line| line["message"] == message).unwrap();
    for told in [line("client connected"), line("slow query"), line("login failed")] {
        let span = &told["span"];
        assert_eq!((&span["user"], &span["database"]), (&"app".into(), &"app".into()), "{told}");
        assert_eq!(span["application_name"], ODD, "{told}");
        assert!(span["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{told}");
    }
    let slow = line("slow query");
    assert_eq!(
        (&slow["server"], &slow["route"]),
        (&Cluster::shared().name(0).into(), &"primary".into()),
        "{slow}"
    );
    assert_eq!(slow["reason"], "hint_primary", "{slow}");
    assert!(slow["milliseconds"].as_u64().unwrap() >= 200, "{slow}");
    assert!(!slow.to_string().contains("secret"), "{slow}");
    let names: Vec<&str> = (0..3).map(|server| Cluster::shared().name(server)).collect();
    let servers = lines.iter().filter_map(|line| line.get("server"));
    assert!(servers.clone().count() >= 3, "each server comes up");
    servers.for_each(|server| assert!(names.contains(&server.as_str().unwrap()), "{server}"));
    Ok(())
}
