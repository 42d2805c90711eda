//! Each kind of key, by what a client or an operator sees of it.

use std::time::Duration;

use harness::client::Client;
use harness::{Signal, free_port, send_signal, wait_for};

use crate::stage::{Stage, with, without};

const PATIENCE: Duration = Duration::from_secs(20);

fn route(client: &mut Client) -> String {
    client.query("SELECT count(*) FROM t").unwrap();
    client.query("SHOW weir.route").unwrap().value().to_owned()
}

/// Waits until a read of this session goes there.
fn goes(client: &mut Client, to: &str) {
    wait_for(to, PATIENCE, || Ok((route(client) == to).then_some(()))).unwrap();
}

fn sqlstate<T: std::fmt::Debug>(outcome: harness::Result<T>) -> String {
    outcome.unwrap_err().sqlstate().unwrap_or_default().to_owned()
}

#[test]
fn users_and_databases_come_and_go() {
    let stage = Stage::new(0, 1);
    let plain = stage.text();
    assert_eq!(sqlstate(stage.log_in("guest", "one", "app")), "28P01");
    let guest = "[[users]]\nname = \"guest\"\npassword = \"one\"\nserver_user = \"app\"\n\
                 server_password = \"app\"\n";
    let told = stage.take(&format!("{plain}{guest}"));
    assert_eq!(told.trim(), "users[guest]: added");
    let mut first = stage.log_in("guest", "one", "app").unwrap();
    assert_eq!(first.query("SELECT current_user").unwrap().value(), "app");

    let told = stage.take(&format!("{plain}{}", guest.replace("\"one\"", "\"two\"")));
    assert_eq!(told.trim(), "users[guest].password: changed");
    assert_eq!(sqlstate(stage.log_in("guest", "one", "app")), "28P01");
    stage.log_in("guest", "two", "app").unwrap();
    assert_eq!(first.query("SELECT 1").unwrap().value(), "1", "who is in stays in");

    // Another password towards the servers is used by sessions that are there as well.
    stage.cluster.sql(0, "ALTER ROLE app PASSWORD 'three'").unwrap();
    let text = plain.replace("name = \"app\"\npassword = \"app\"", "name = \"app\"\npassword = \"three\"");
    stage.take(&format!(
        "{text}{}",
        guest.replace("server_password = \"app\"", "server_password = \"three\"")
    ));
    stage
        .cluster
        .sql(0, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        .unwrap();
    assert_eq!(first.query("SELECT 2").unwrap().value(), "2");
    stage.log_in("app", "three", "app").unwrap().query("SELECT 1").unwrap();
    stage.cluster.sql(0, "ALTER ROLE app PASSWORD 'app'").unwrap();

    stage.take(&plain);
    assert_eq!(sqlstate(stage.log_in("guest", "two", "app")), "28P01");
    let log = stage.weir.log();
    for secret in ["\"one\"", "\"two\"", "three"] {
        assert!(!log.contains(secret), "{log}");
    }

    let shop = "[[databases]]\nname = \"shop\"\nserver_database = \"app\"\n";
    assert_eq!(
        sqlstate(stage.log_in("app", "app", "shop").and_then(|mut client| client.query("SELECT 1"))),
        "3D000"
    );
    assert_eq!(stage.take(&format!("{plain}{shop}")).trim(), "databases[shop]: added");
    let mut shopper = stage.log_in("app", "app", "shop").unwrap();
    assert_eq!(shopper.query("SELECT current_database()").unwrap().value(), "app");
    stage.take(&plain);
    assert_eq!(shopper.query("SELECT current_database()").unwrap().value(), "app", "it goes on where it is");
}

#[test]
fn targets_rules_levels_and_timeouts_hold_from_the_next_request_on() {
    let stage = Stage::new(1, 2);
    let plain = stage.text();
    let mut client = stage.weir.connect().unwrap();
    goes(&mut client, "replica1 (replica, read)");
    stage.take(&format!("{plain}[[routing.rules]]\ntable = \"t\"\ntarget = \"primary\"\n"));
    assert_eq!(route(&mut client), "primary (primary, rule)");
    stage.take(&plain.replacen("name = \"app\"\n", "name = \"app\"\ntarget = \"primary\"\n", 1));
    assert_eq!(route(&mut client), "primary (primary, user_target)");
    stage.take(&plain);
    goes(&mut client, "replica1 (replica, read)");

    assert_eq!(client.query("SHOW weir.consistency").unwrap().value(), "eventual");
    stage.set("routing", "consistency", "\"session\"");
    assert_eq!(client.query("SHOW weir.consistency").unwrap().value(), "session");

    let told = stage.set("timeouts", "query", "\"300ms\"");
    assert_eq!(told.trim(), "timeouts.query: \"300ms\", was not set");
    assert_eq!(sqlstate(client.query("SELECT pg_sleep(60)")), "57014");
    stage.set("timeouts", "query", "\"off\"");
    stage.set("timeouts", "idle_client", "\"200ms\"");
    client.query("SELECT 1").unwrap();
    assert!(client.is_closed_within(PATIENCE).unwrap());
}

#[test]
fn pools_shrink_idle_connections_first_then_those_that_come_back() {
    let stage = Stage::new(0, 1);
    let mut clients: Vec<_> = (0..6).map(|_| stage.weir.connect().unwrap()).collect();
    for client in &mut clients {
        client.query("BEGIN").unwrap();
        client.query("INSERT INTO t VALUES (1)").unwrap();
    }
    // Three are idle, three at work.
    clients.iter_mut().take(3).for_each(|client| drop(client.query("COMMIT").unwrap()));
    assert_eq!(stage.connections(0), 6);
    let is = |count: usize| {
        wait_for(&format!("{count} connections"), PATIENCE, || {
            Ok((stage.connections(0) == count).then_some(()))
        })
        .unwrap();
    };
    stage.set("pool", "size", "2");
    is(3);
    clients.iter_mut().skip(3).for_each(|client| drop(client.query("SELECT count(*) FROM t").unwrap()));
    is(3);
    clients.iter_mut().skip(3).for_each(|client| drop(client.query("COMMIT").unwrap()));
    is(2);
    // It holds for who comes, too, and is taken back.
    clients.iter_mut().take(2).for_each(|client| {
        client.query("BEGIN").unwrap();
        client.query("INSERT INTO t VALUES (2)").unwrap();
    });
    stage.set("pool", "checkout_timeout", "\"200ms\"");
    assert_eq!(sqlstate(clients[2].query("INSERT INTO t VALUES (3)")), "57014");
    stage.set("pool", "size", "3");
    clients[2].query("INSERT INTO t VALUES (3)").unwrap();
    is(3);
    clients.iter_mut().take(2).for_each(|client| drop(client.query("COMMIT").unwrap()));

    // Limits over all pools, and of one server.
    stage.take(&with(&with(&stage.text(), "pool", "size", "1"), "pool", "total", "1"));
    is(1);
    let text = with(&with(&stage.text(), "pool", "total", "0"), "pool", "size", "5");
    stage.take(&text.replacen("name = \"primary\"\n", "name = \"primary\"\nconnections = 1\n", 1));
    clients[0].query("BEGIN").unwrap();
    clients[0].query("INSERT INTO t VALUES (4)").unwrap();
    assert_eq!(sqlstate(clients[1].query("INSERT INTO t VALUES (5)")), "57014");
    stage.take(&text);
    wait_for("the new limit", PATIENCE, || Ok(clients[1].query("INSERT INTO t VALUES (5)").ok())).unwrap();
    clients[0].query("COMMIT").unwrap();
}

#[test]
fn servers_come_and_go() {
    let stage = Stage::new(2, 2);
    let plain = stage.text();
    let mut client = stage.weir.connect().unwrap();
    goes(&mut client, "replica1 (replica, read)");
    let more = stage.server(2, "weight = 5");
    let told = stage.take(&format!("{plain}{more}"));
    assert_eq!(told.trim(), format!("servers[{}:{}]: added", stage.cluster.host(2), stage.cluster.port(2)));
    stage.weir.wait_up("replica2", 1.0).unwrap();

    // What runs on one that is taken away comes to its end there.
    let mut reader = stage.weir.connect().unwrap();
    let there = |reader: &mut Client| {
        reader.query("BEGIN READ ONLY").unwrap();
        reader.query("DECLARE c CURSOR FOR SELECT generate_series(1, 9)").unwrap();
        let is = reader.query("SHOW weir.route").unwrap().value().starts_with("replica1");
        if !is {
            reader.query("COMMIT").unwrap();
        }
        Ok(is.then_some(()))
    };
    wait_for("a transaction on replica1", PATIENCE, || there(&mut reader)).unwrap();
    let without_it = without(&format!("{plain}{more}"), "name = \"replica1\"");
    stage.take(&without_it);
    goes(&mut client, "replica2 (replica, read)");
    assert_eq!(reader.query("FETCH 1 FROM c").unwrap().value(), "1");
    assert_eq!(stage.connections(1), 1, "the one that is at work");
    reader.query("COMMIT").unwrap();
    let gone = || Ok((stage.connections(1) == 0).then_some(()));
    wait_for("connections to be closed", PATIENCE, gone).unwrap();
    let watched = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'weir%'";
    let unwatched = || Ok((stage.cluster.sql(1, watched)?.value() == "0").then_some(()));
    wait_for("nobody to watch it", PATIENCE, unwatched).unwrap();
    assert!(
        stage
            .weir
            .metrics()
            .unwrap()
            .all("weir_server_up")
            .all(|series| series.labels["server"] != "replica1")
    );

    // Weights and names are another matter: nothing moves.
    stage.take(&without_it.replace("weight = 5", "weight = 0"));
    assert_eq!(route(&mut client), "primary (primary, no_replica)");
    stage.take(&without_it.replace("name = \"replica2\"", "name = \"renamed\""));
    goes(&mut client, "renamed (replica, read)");
    // What was written is read, wherever servers went.
    client.query("SET weir.consistency = 'session'").unwrap();
    for n in 0..20 {
        stage.take(if n % 2 == 0 { &plain } else { &without_it });
        client.query(&format!("INSERT INTO t VALUES ({})", 100 + n)).unwrap();
        let read = client.query(&format!("SELECT count(*) FROM t WHERE id = {}", 100 + n)).unwrap();
        assert_eq!(read.value(), "1");
    }
}

#[test]
fn listeners_come_and_go_and_their_clients_stay() {
    let stage = Stage::new(1, 2);
    let (plain, port) = (stage.text(), free_port().unwrap());
    assert!(Stage::at(port).is_err());
    let listener = format!("[[listeners]]\naddress = \"127.0.0.1:{port}\"\ntarget = \"primary\"\n");
    stage.take(&format!("{plain}{listener}"));
    let mut client = Stage::at(port).unwrap();
    assert_eq!(route(&mut client), "primary (primary, listener_target)");
    client.query("BEGIN").unwrap();
    client.query("INSERT INTO t VALUES (1)").unwrap();
    // Its clients go by what it says now.
    stage.take(&format!("{plain}{}", listener.replace("\"primary\"", "\"auto\"")));
    client.query("COMMIT").unwrap();
    goes(&mut client, "replica1 (replica, read)");
    // Another socket in the place of one.
    stage.take(&format!("{plain}{listener}reuse_port = true\n"));
    Stage::at(port).unwrap().query("SELECT 1").unwrap();
    stage.take(&plain);
    assert!(Stage::at(port).is_err());
    assert_eq!(client.query("SELECT 1").unwrap().value(), "1");

    let directory = stage.weir.config().parent().unwrap().to_owned();
    let socket = directory.join(format!(".s.PGSQL.{}", stage.weir.port()));
    stage.set("listen", "unix_socket", &format!("{:?}", directory.display().to_string()));
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
    stage.take(&plain);
    assert!(!socket.exists());

    // Fewer places for clients: who is there stays.
    stage.set("listen", "client_limit", "1");
    assert_eq!(sqlstate(stage.weir.connect()), "53300");
    assert_eq!(client.query("SELECT 1").unwrap().value(), "1");
    stage.set("listen", "client_limit", "100");
    stage.weir.connect().unwrap();
}

#[test]
fn figures_and_the_log_move() {
    let stage = Stage::new(0, 1);
    let (plain, port) = (stage.text(), free_port().unwrap());
    let get = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port));
    stage.set("metrics", "address", &format!("\"127.0.0.1:{port}\""));
    assert!(get(port).is_ok() && get(stage.weir.metrics_port()).is_err());
    stage.take(&plain);
    assert!(get(port).is_err() && get(stage.weir.metrics_port()).is_ok());

    stage.weir.connect().unwrap();
    let connected = || stage.weir.log().matches("client connected").count();
    wait_for("a line", PATIENCE, || Ok((connected() == 1).then_some(()))).unwrap();
    stage.set("log", "filter", "\"warn\"");
    stage.weir.connect().unwrap().query("SELECT 1").unwrap();
    stage.set("log", "filter", "\"info\"");
    stage.weir.connect().unwrap();
    wait_for("another line", PATIENCE, || Ok((connected() == 2).then_some(()))).unwrap();

    let told = stage.take(&with(&with(&plain, "runtime", "workers", "3"), "log", "format", "\"json\""));
    assert!(told.contains("runtime.workers: 3, was not set; holds after a restart: "), "{told}");
    stage.weir.connect().unwrap();
    wait_for("JSON", PATIENCE, || {
        Ok(stage.weir.log().contains("\"message\":\"client connected\"").then_some(()))
    })
    .unwrap();
}

#[test]
fn what_is_wrong_is_told_whole_and_changes_nothing() {
    let stage = Stage::new(0, 1);
    let plain = stage.text();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut client = stage.weir.connect().unwrap();
    let wrong = [
        (
            with(&with(&plain, "pool", "size", "0"), "routing", "consistency", "\"perhaps\""),
            ["pool.size", "routing.consistency"],
        ),
        (
            with(&plain, "timeouts", "query", "\"1ms\"")
                + &format!("[[listeners]]\naddress = \"{address}\"\n"),
            ["cannot listen on", "in use"],
        ),
        (
            with(&with(&plain, "timeouts", "query", "\"1ms\""), "auth", "hba_file", "\"none\""),
            ["could not open file", "none"],
        ),
        ("no = [toml".to_owned(), ["line 1", ""]),
    ];
    for (text, words) in wrong {
        let output = stage.reload(&text);
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        for word in words {
            assert!(told.contains(word), "{word}: {told}");
            // The log has its own pace.
            wait_for(word, PATIENCE, || Ok(stage.weir.log().contains(word).then_some(()))).unwrap();
        }
        assert_eq!(
            client.query("SELECT pg_sleep(0.1), 1").map(drop).map_err(|error| error.to_string()),
            Ok(())
        );
    }
    let told = stage.take(&plain);
    assert!(told.contains("nothing has changed"), "{told}");

    // SIGHUP asks for the same.
    let before = stage.weir.log().matches("and holds").count();
    send_signal(stage.weir.pid(), Signal::HUP).unwrap();
    wait_for("the reload", PATIENCE, || {
        Ok((stage.weir.log().matches("and holds").count() > before).then_some(()))
    })
    .unwrap();

    let nobody = stage.weir.config().with_file_name("nobody.toml");
    std::fs::write(&nobody, &plain).unwrap();
    let mut weir = std::process::Command::new(env!("CARGO_BIN_EXE_weir"));
    let output = weir.arg("reload").arg("--config").arg(&nobody).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no weir runs with this configuration"));
}
