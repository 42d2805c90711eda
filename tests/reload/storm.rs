//! Reloads every 100 ms, each of which changes something, under clients of all kinds: none of them sees an error.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::client::{Client, Message, front};
use harness::{Failure, Options, Result, free_port};

use crate::stage::{Stage, with, without};

/// Time from the beginning of one reload to that of the next.
const PACE: Duration = Duration::from_millis(100);

/// How often each change comes and goes.
const ROUNDS: usize = 2;

/// What a client does again and again, and how often it has.
type Habit = fn(&Stage, &AtomicBool) -> Result<usize>;

/// One change of a configuration.
type Change = fn(&Stage, &Ports, &str) -> String;

/// Ports that listeners come and go at.
struct Ports {
    more: u16,
    metrics: u16,
}

/// What is there in every second round.
const CHANGES: &[Change] = &[
    |_, _, text| with(text, "pool", "size", "3"),
    |_, _, text| without(text, "name = \"replica2\""),
    |_, _, text| with(text, "routing", "max_staleness", "\"1min\""),
    |_, _, text| text.replacen("name = \"app\"\n", "name = \"app\"\ntarget = \"replica\"\n", 1),
    |_, ports, text| {
        format!("{text}[[listeners]]\naddress = \"127.0.0.1:{}\"\ntarget = \"primary\"\n", ports.more)
    },
    |_, _, text| with(text, "timeouts", "query", "\"10min\""),
    |_, _, text| with(text, "log", "filter", "\"weir=debug\""),
    |_, _, text| format!("{text}[[routing.rules]]\ntable = \"t\"\ntarget = \"primary\"\n"),
    |_, _, text| with(text, "health", "interval", "\"50ms\""),
    |_, _, text| with(text, "pool", "total", "24"),
    // Another way to reach it makes it another server.
    |_, _, text| text.replacen("name = \"replica1\"\n", "name = \"replica1\"\nsslmode = \"disable\"\n", 1),
    |_, _, text| format!("{text}[[users]]\nname = \"more\"\npassword = \"more\"\n"),
    |_, _, text| with(text, "listen", "client_limit", "500"),
    |_, _, text| format!("{text}[[databases]]\nname = \"other\"\nserver_database = \"app\"\n"),
    |_, _, text| text.replacen("name = \"replica1\"\n", "name = \"replica1\"\nweight = 3\n", 1),
    |_, ports, text| with(text, "metrics", "address", &format!("\"127.0.0.1:{}\"", ports.metrics)),
    |_, _, text| with(text, "routing", "consistency", "\"global\""),
    // Clients write meanwhile, and wait for a moment.
    |_, _, text| text.replacen("name = \"primary\"\n", "name = \"primary\"\nsslmode = \"disable\"\n", 1),
    |_, _, text| with(text, "pool", "prepared_statements", "2"),
    |_, _, text| with(text, "health", "user", "\"postgres\""),
    |_, _, text| text.replacen("name = \"app\"\n", "name = \"app\"\ntransactions = \"primary\"\n", 1),
];

/// What clients do.
const HABITS: &[(&str, Habit)] = &[
    ("reads", |stage, over| {
        repeat(stage, over, |client, n| {
            expect(client.query(&format!("SELECT {n} FROM pg_class LIMIT 1"))?.value(), &n.to_string())
        })
    }),
    ("writes and reads its own", |stage, over| {
        repeat(stage, over, |client, n| {
            client.query("SET weir.consistency = 'session'")?;
            client.query(&format!("INSERT INTO own VALUES ({n})"))?;
            expect(client.query(&format!("SELECT count(*) > 0 FROM own WHERE id = {n}"))?.value(), "t")
        })
    }),
    ("transactions", |stage, over| {
        repeat(stage, over, |client, n| {
            client.query("BEGIN")?;
            client.query("SELECT count(*) FROM pg_class")?;
            client.query(&format!("INSERT INTO t VALUES ({n})"))?;
            client.query("SAVEPOINT s")?;
            client.query("DELETE FROM t")?;
            client.query("ROLLBACK TO s")?;
            client.query("SELECT pg_sleep(0.02)")?;
            expect(client.query(&format!("SELECT count(*) > 0 FROM t WHERE id = {n}"))?.value(), "t")?;
            client.query("COMMIT").map(drop)
        })
    }),
    ("cursors of a reader", |stage, over| {
        repeat(stage, over, |client, _| {
            client.query("BEGIN READ ONLY")?;
            client.query("DECLARE c CURSOR FOR SELECT generate_series(1, 100)")?;
            expect(client.query("FETCH 1 FROM c")?.value(), "1")?;
            client.query("SELECT pg_sleep(0.05)")?;
            expect(client.query("FETCH 1 FROM c")?.value(), "2")?;
            client.query("COMMIT").map(drop)
        })
    }),
    ("prepared statements and settings", prepared),
    ("a temporary table", temporary),
    ("a pipeline", |stage, over| {
        repeat(stage, over, |client, n| {
            let one = |n: usize| {
                [
                    front::parse("", format!("SELECT {n}"), &[]),
                    front::bind("", "", &[]),
                    front::execute("", 0),
                ]
            };
            let mut frames: Vec<_> = (n..n + 20).flat_map(one).collect();
            frames.push(front::sync());
            rows(&client.ask(&frames)?, 20)
        })
    }),
    ("a copy", |stage, over| {
        repeat(stage, over, |client, n| {
            let line = format!("{n}\n").into_bytes();
            client.send(&[front::query("COPY t FROM STDIN"), front::copy_data(line), front::copy_done()])?;
            let heard = client.until_ready()?;
            heard.iter().find_map(Message::error).map_or(Ok(()), |error| Err(Failure::new(error.to_string())))
        })
    }),
    ("comings and goings", |stage, over| {
        let mut done = 0;
        while !over.load(Ordering::SeqCst) {
            let mut client = stage.weir.connect()?;
            client.query("SELECT 1")?;
            client.close()?;
            done += 1;
        }
        Ok(done)
    }),
];

fn repeat(stage: &Stage, over: &AtomicBool, act: impl Fn(&mut Client, usize) -> Result<()>) -> Result<usize> {
    let mut client = stage.weir.connect()?;
    let mut done = 0;
    while !over.load(Ordering::SeqCst) {
        act(&mut client, done)?;
        done += 1;
    }
    Ok(done)
}

fn prepared(stage: &Stage, over: &AtomicBool) -> Result<usize> {
    let mut client = stage.weir.connect()?;
    client.query("SET app.tenant = 'seven'")?;
    for name in ["a", "b", "c"] {
        let sql = format!("SELECT $1::int, '{name}', current_setting('app.tenant')");
        client.ask(&[front::parse(name, sql, &[]), front::sync()])?;
    }
    let mut done = 0;
    while !over.load(Ordering::SeqCst) {
        for name in ["a", "b", "c"] {
            let value = done.to_string();
            let frames =
                [front::bind("", name, &[Some(value.as_bytes())]), front::execute("", 0), front::sync()];
            let heard = client.ask(&frames)?;
            rows(&heard, 1)?;
            let row = heard.iter().find(|message| message.name() == "DataRow").map(Message::text_row);
            let told = row.unwrap_or_default();
            expect(
                &format!("{told:?}"),
                &format!("{:?}", [value.as_str(), name, "seven"].map(|text| Some(text.to_owned()))),
            )?;
        }
        done += 1;
    }
    Ok(done)
}

/// It is on one connection as long as the storm lasts, wherever the primary goes.
fn temporary(stage: &Stage, over: &AtomicBool) -> Result<usize> {
    let mut client = stage.weir.connect()?;
    client.query("CREATE TEMP TABLE mine (id int)")?;
    let mut done = 0;
    while !over.load(Ordering::SeqCst) {
        client.query("INSERT INTO mine VALUES (1)")?;
        done += 1;
        expect(client.query("SELECT count(*) FROM mine")?.value(), &done.to_string())?;
    }
    Ok(done)
}

fn expect(found: &str, expected: &str) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Failure::new(format!("{found} in the place of {expected}"))) }
}

fn rows(heard: &[Message], expected: usize) -> Result<()> {
    if let Some(error) = heard.iter().find_map(Message::error) {
        return Err(Failure::new(error.to_string()));
    }
    let found = heard.iter().filter(|message| message.name() == "DataRow").count();
    expect(&found.to_string(), &expected.to_string())
}

fn pgbench(stage: &Stage, arguments: &[&str]) -> String {
    let program = stage.cluster.postgres().program("pgbench").unwrap();
    let port = stage.weir.port().to_string();
    let output = Command::new(program)
        .args(["-h", "127.0.0.1", "-p", &port, "-U", "app"])
        .args(arguments)
        .arg("app")
        .env("PGPASSWORD", "app")
        .output()
        .unwrap();
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{}", stage.weir.log());
    told
}

/// Has each change come and go, until it is over.
fn reloads(stage: &Stage, ports: &Ports, over: &AtomicBool) {
    let plain = stage.text();
    let mut on = vec![false; CHANGES.len()];
    for at in (0..CHANGES.len()).cycle().take(2 * ROUNDS * CHANGES.len()) {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let next = Instant::now() + PACE;
        on[at] = !on[at];
        let applied = CHANGES.iter().zip(&on).filter(|(_, on)| **on).map(|(change, _)| change);
        let text = applied.fold(plain.clone(), |text, change| change(stage, ports, &text));
        let told = stage.take(&text);
        assert!(!told.contains("nothing has changed"), "change {at}: {told}");
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn no_client_sees_an_error_while_everything_changes() {
    let stage = Stage::with(Options::new(2).setting("max_connections", "200"), 3);
    stage.cluster.sql(0, "CREATE TABLE own (id int); ALTER TABLE own OWNER TO app").unwrap();
    pgbench(&stage, &["-i", "-q"]);
    stage.cluster.wait_caught_up().unwrap();
    let (stage, over) = (&stage, &AtomicBool::new(false));
    let ports = Ports { more: free_port().unwrap(), metrics: free_port().unwrap() };
    std::thread::scope(|scope| {
        let clients: Vec<_> = HABITS
            .iter()
            .map(|(name, habit)| {
                let client = move || {
                    let outcome = habit(stage, over);
                    // Whoever fails ends it.
                    over.fetch_or(outcome.is_err(), Ordering::SeqCst);
                    outcome
                };
                (name, scope.spawn(client))
            })
            .collect();
        let bench = scope.spawn(move || {
            let mut told = Vec::new();
            while !over.load(Ordering::SeqCst) {
                told.push(pgbench(stage, &["-n", "-c", "4", "-M", "prepared", "-T", "2"]));
            }
            told
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reloads(stage, &ports, over)));
        over.store(true, Ordering::SeqCst);
        for (name, client) in clients {
            let done = client.join().unwrap();
            assert!(done.as_ref().is_ok_and(|done| *done > 0), "{name}: {done:?}\n{}", stage.weir.log());
        }
        let told = bench.join().unwrap();
        assert!(told.iter().all(|told| told.contains("number of failed transactions: 0")), "{told:?}");
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let log = stage.weir.log();
    assert!(!log.contains("not taken") && !log.contains("a task has panicked"), "{log}");
}
