//! The live page: its files, the events that it is drawn from, their limits, and the key that turns it off. What a browser makes of
//! it is `tests/page/run`'s affair.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use harness::client::{Client, Login};
use harness::{Cluster, Options, Result, Stop, Weir, WeirSetup, wait_for};
use serde_json::Value;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What somebody calls himself who means no good.
const MISCHIEF: &str = "<script>alert(1)</script>";

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// What weir tells of itself.
fn seen(weir: &Weir) -> Result<Value> {
    let answer = weir.get("/status.json")?;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("content-type: application/json"),
        "{answer}"
    );
    Ok(serde_json::from_str(body(&answer)).unwrap())
}

/// Waits until it tells something of which this is true, and says what that is.
fn wait_seen(weir: &Weir, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    wait_for(what, PATIENCE, || Ok(Some(seen(weir)?).filter(|seen| is_so(seen))))
}

fn entries<'a>(seen: &'a Value, path: &str) -> &'a [Value] {
    seen.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The first entry of a list in which a field says this.
fn entry<'a>(seen: &'a Value, path: &str, field: &str, says: &str) -> Option<&'a Value> {
    entries(seen, path).iter().find(|entry| entry[field] == says)
}

/// One who watches.
struct Watcher(BufReader<TcpStream>);

impl Watcher {
    /// Asks to watch, and reads the head of the answer.
    fn new(weir: &Weir) -> Result<(String, Self)> {
        let mut stream = TcpStream::connect(("127.0.0.1", weir.metrics_port()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: weir\r\n\r\n")?;
        let mut watcher = Self(BufReader::new(stream));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && watcher.0.read_line(&mut head)? > 0 {}
        Ok((head, watcher))
    }

    /// The next snapshot; `None` at the end of them.
    fn next(&mut self) -> Result<Option<Value>> {
        let mut line = String::new();
        while self.0.read_line(&mut line)? > 0 {
            if let Some(json) = line.strip_prefix("data: ") {
                return Ok(Some(serde_json::from_str(json).unwrap()));
            }
            line.clear();
        }
        Ok(None)
    }
}

#[test]
fn the_page_is_whole_and_reaches_nobody_else() -> Result<()> {
    let weir = WeirSetup::in_front_of(Cluster::shared(), 0..1).start(WEIR)?;
    let page = weir.get("/")?;
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("content-type: text/html; charset=utf-8"),
        "{page}"
    );
    let policy = page.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(page.contains("x-content-type-options: nosniff"), "{page}");
    // What the policy would not let run is not there either.
    assert!(
        !page.contains("style=") && !page.contains("onclick") && !body(&page).contains("<style"),
        "{page}"
    );
    let kinds = [("page.css", "text/css"), ("page.js", "text/javascript"), ("icon.svg", "image/svg+xml")];
    for (file, kind) in kinds {
        assert!(body(&page).contains(&format!("\"{file}\"")), "the page does not name {file}");
        let answer = weir.get(&format!("/{file}"))?;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains(&format!("content-type: {kind}")),
            "{answer}"
        );
        let text = body(&answer).replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("://") && !text.contains("innerHTML"), "{file}");
    }
    assert!(!body(&page).contains("://"));
    Ok(())
}

#[test]
fn it_tells_what_a_cluster_did_and_no_value_of_it() -> Result<()> {
    let cluster = Cluster::shared();
    let weir = WeirSetup::in_front_of(cluster, 0..cluster.size()).at_any_age().start(WEIR)?;
    let login = Login::new("app", "app").parameter("application_name", MISCHIEF);
    let mut client = Client::connect(&weir.address(), &login)?;
    for n in 0..20 {
        client.query(&format!("SELECT 'a secret' || {n}"))?;
    }
    client.query("/* weir: primary */ SELECT 'a secret', 0.53125")?;
    client.query("BEGIN")?;
    client.query("SELECT 1 FOR UPDATE")?;
    let held = wait_seen(&weir, "a transaction", |seen| seen["clients"]["idle_in_transaction"] == 1)?;
    let told = entry(&held, "/clients/top", "application", MISCHIEF).unwrap();
    assert_eq!((&told["user"], &told["database"]), (&"app".into(), &"app".into()));
    assert_eq!((&told["state"], &told["server"]), (&"idle_in_transaction".into(), &"primary".into()));
    assert!(told["peer"].as_str().unwrap().starts_with("127.0.0.1:") && told["for_ms"].is_u64(), "{told}");
    client.query("COMMIT")?;
    client.query("CREATE TEMP TABLE mine (n int)")?;
    let seen = wait_seen(&weir, "a pinned session", |seen| !entries(seen, "/pins").is_empty())?;
    let pin = entry(&seen, "/pins", "application", MISCHIEF).unwrap();
    assert!(pin["reasons"].as_array().unwrap().contains(&"temporary".into()), "{pin}");
    assert!(pin["what_to_do"].as_str().unwrap().contains("DROP"), "{pin}");

    assert_eq!(seen["verdict"]["level"], "well", "{}", seen["verdict"]);
    let roles: Vec<_> =
        entries(&seen, "/servers").iter().map(|server| server["role"].as_str().unwrap()).collect();
    assert_eq!(roles.iter().filter(|role| **role == "primary").count(), 1, "{roles:?}");
    assert_eq!(roles.iter().filter(|role| **role == "replica").count(), cluster.size() - 1, "{roles:?}");
    assert_eq!(seen["reads"]["start"]["replicas"], 20, "{}", seen["reads"]);
    let kept = entry(&seen, "/reads/kept", "reason", "hint_primary");
    assert!(kept.is_some_and(|kept| kept["start"] == 1 && kept["what_to_do"] != ""), "{}", seen["reads"]);
    assert!(
        entries(&seen, "/reads/shapes").iter().any(|shape| shape["text"].as_str().unwrap().contains("?, ?"))
    );
    assert!(!entries(&seen, "/transactions").is_empty() && !entries(&seen, "/pools").is_empty());
    assert!(
        entries(&seen, "/events").iter().any(|event| event["text"] == "is primary"),
        "{}",
        seen["events"]
    );
    let text = seen.to_string();
    assert!(!text.contains("a secret") && !text.contains("0.53125"), "{text}");
    Ok(())
}

#[test]
fn events_come_each_second_to_a_few_at_once() -> Result<()> {
    let weir = WeirSetup::in_front_of(Cluster::shared(), 0..1).at_any_age().start(WEIR)?;
    let mut client = weir.connect()?;
    let (head, mut first) = Watcher::new(&weir)?;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
    let before = first.next()?.unwrap();
    client.query("SELECT 1")?;
    let reads = |seen: &Value| seen["reads"]["start"]["primary"].as_u64().unwrap();
    let mut after = first.next()?.unwrap();
    while reads(&after) == reads(&before) {
        after = first.next()?.unwrap();
    }
    let rates = |seen: &Value| entries(seen, "/traffic/servers/0/reads").to_vec();
    wait_for("the read to be in the last minute", PATIENCE, || {
        Ok(rates(&first.next()?.unwrap()).iter().any(|rate| rate.as_f64() > Some(0.0)).then_some(()))
    })?;
    let mut others = Vec::new();
    for _ in 1..8 {
        let (head, mut watcher) = Watcher::new(&weir)?;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(watcher.next()?.is_some());
        others.push(watcher);
    }
    assert!(weir.get("/events")?.ends_with("8 watch already\n"));
    assert!(weir.get("/healthz")?.starts_with("HTTP/1.1 200"), "watchers keep nobody from asking");
    others.pop();
    wait_for("a place to come free", PATIENCE, || {
        Ok(Watcher::new(&weir)?.0.starts_with("HTTP/1.1 200").then_some(()))
    })?;
    assert!(first.next()?.is_some(), "who was there first is still told");
    Ok(())
}

#[test]
fn a_key_turns_it_off_and_on_while_somebody_watches() -> Result<()> {
    let weir = WeirSetup::in_front_of(Cluster::shared(), 0..1).set("metrics", "page", "true").start(WEIR)?;
    let (_, mut watcher) = Watcher::new(&weir)?;
    assert!(watcher.next()?.is_some());
    let reload = |from: &str, to: &str| -> Result<()> {
        let text = fs::read_to_string(weir.config())?.replace(from, to);
        fs::write(weir.config(), text)?;
        let told = Command::new(WEIR).arg("reload").arg("--config").arg(weir.config()).output()?;
        assert!(
            told.status.success() && String::from_utf8_lossy(&told.stdout).contains("metrics.page"),
            "{told:?}"
        );
        Ok(())
    };
    reload("page = true", "page = false")?;
    while watcher.next()?.is_some() {}
    for path in ["/", "/page.js", "/page.css", "/icon.svg", "/events", "/status.json"] {
        let answer = weir.get(path)?;
        assert!(
            answer.starts_with("HTTP/1.1 404") && answer.ends_with("page = true in [metrics] turns it on\n"),
            "{answer}"
        );
    }
    for path in ["/metrics", "/status", "/healthz", "/readyz"] {
        assert!(weir.get(path)?.starts_with("HTTP/1.1 200"), "{path}");
    }
    reload("page = false", "page = true")?;
    assert!(weir.get("/")?.starts_with("HTTP/1.1 200"));
    Ok(())
}

#[test]
fn it_says_in_words_what_is_not_well() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).probing_quickly().start(WEIR)?;
    wait_seen(&weir, "all to be well", |seen| seen["verdict"]["level"] == "well")?;
    cluster.stop(1, Stop::Immediate)?;
    let seen = wait_seen(&weir, "the replica to be down", |seen| seen["verdict"]["level"] == "attention")?;
    let all = format!("{} {}", seen["verdict"]["says"], seen["verdict"]["also"]);
    assert!(all.contains("No replica takes reads") && all.contains("replica1 is down: "), "{all}");
    let replica = entry(&seen, "/servers", "name", "replica1").unwrap();
    assert_eq!(replica["health"], "down");
    wait_seen(&weir, "its fall among the events", |seen| {
        let replica = entry(seen, "/servers", "name", "replica1").unwrap();
        replica["happened"]["text"].as_str().is_some_and(|text| text.starts_with("is down: "))
    })?;
    cluster.restart(1)?;
    wait_seen(&weir, "all to be well again", |seen| seen["verdict"]["level"] == "well")?;
    cluster.stop(0, Stop::Immediate)?;
    let seen = wait_seen(&weir, "the primary to be down", |seen| seen["verdict"]["level"] == "trouble")?;
    let says = seen["verdict"]["says"].as_str().unwrap();
    assert!(says.starts_with("The primary primary is down, nothing can be written: "), "{says}");
    Ok(())
}
