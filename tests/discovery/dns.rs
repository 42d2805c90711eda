//! Servers by the names that lead to them.

use harness::client::{Client, Login};
use harness::{Cluster, Options, Result, Weir, free_port, wait_for};

use crate::name_server::{NameServer, Zone};
use crate::stage::{
    PATIENCE, Traffic, WEIR, console, forward, known, reload, setup, wait_known, wait_logged,
};

fn cluster() -> Result<Cluster> {
    let cluster = Cluster::with(Options::new(2))?;
    cluster.sql(0, "CREATE TABLE t (id int); ALTER TABLE t OWNER TO app")?;
    cluster.wait_caught_up()?;
    Ok(cluster)
}

fn start(cluster: &Cluster, names: &NameServer, servers: &str) -> Result<Weir> {
    setup(cluster)
        .set("discovery", "kind", "\"dns\"")
        .set("discovery", "timeout", "\"500ms\"")
        .set("discovery", "nameservers", &format!("[\"127.0.0.1:{}\"]", names.port))
        .append(servers)
        .start(WEIR)
}

/// Waits until a name has been asked for anew, by a question that came after this.
fn wait_asked(names: &NameServer, name: &str) -> Result<()> {
    let before = names.asked(name);
    wait_for("the name to be asked for", PATIENCE, || Ok((names.asked(name) >= before + 2).then_some(())))
}

#[test]
fn addresses_of_a_name_are_servers_that_come_and_go() -> Result<()> {
    let (cluster, names, port) = (cluster()?, NameServer::start(), free_port()?);
    let at = |server: usize| ["127.0.0.2", "127.0.0.3", "127.0.0.4"][server];
    (0..3).for_each(|server| forward(at(server), port, cluster.port(server)));
    names.say("db.test", Zone::Addresses(1, vec![at(0), at(1)]));
    let weir = start(
        &cluster,
        &names,
        &format!("[[servers]]\nname = \"db\"\nhost = \"db.test\"\nport = {port}\nweight = 3"),
    )?;
    wait_known(&weir, &["db/127.0.0.2", "db/127.0.0.3"])?;
    let traffic = Traffic::start(&weir.address());
    // Somebody who stands on the primary, and somebody who stands on nothing.
    let (mut writer, mut idle) = (weir.connect()?, weir.connect()?);
    writer.query("BEGIN")?;
    writer.query("INSERT INTO t VALUES (0)")?;
    idle.query("SET application_name = 'idle'")?;
    for _ in 0..3 {
        names.say("db.test", Zone::Addresses(1, vec![at(2), at(0)]));
        wait_known(&weir, &["db/127.0.0.2", "db/127.0.0.4"])?;
        traffic.goes_on()?;
        names.say("db.test", Zone::Addresses(1, vec![at(1), at(0)]));
        wait_known(&weir, &["db/127.0.0.2", "db/127.0.0.3"])?;
        traffic.goes_on()?;
    }
    let rows = console(&weir, "SHOW DNS_HOSTS")?;
    let addresses = format!("127.0.0.2:{port},127.0.0.3:{port}");
    assert_eq!(rows, [[Some("db.test".to_owned()), Some("1".to_owned()), Some(addresses)]]);
    assert_eq!(console(&weir, "SHOW FRESHNESS")?[0][8].as_deref(), Some("3"), "the entry says the weight");
    // What cannot be asked for changes nothing, nor does an answer that there is nobody.
    names.say("db.test", Zone::Failure);
    wait_logged(&weir, "who is known stays")?;
    wait_asked(&names, "db.test")?;
    names.forget("db.test");
    wait_asked(&names, "db.test")?;
    names.say("db.test", Zone::Silence);
    wait_asked(&names, "db.test")?;
    assert_eq!(known(&weir)?, ["db/127.0.0.2", "db/127.0.0.3"]);
    assert!(weir.get("/status")?.contains("discovery trouble: db.test: "), "{}", weir.get("/status")?);
    names.say("db.test", Zone::Addresses(1, vec![at(0), at(2)]));
    wait_known(&weir, &["db/127.0.0.2", "db/127.0.0.4"])?;
    traffic.goes_on()?;
    assert_eq!(traffic.end(), "");
    writer.query("COMMIT")?;
    assert_eq!(idle.query("SHOW application_name")?.value(), "idle");
    let events = console(&weir, "SHOW EVENTS")?;
    let told = |of: &str, what: &str| {
        events.iter().any(|row| row[2].as_deref() == Some(of) && row[3].as_deref().unwrap().starts_with(what))
    };
    assert!(told("db/127.0.0.4", "found") && told("db/127.0.0.3", "not found any more"), "{events:?}");
    Ok(())
}

#[test]
fn services_say_the_ports_and_their_targets_are_the_servers() -> Result<()> {
    let (cluster, names) = (cluster()?, NameServer::start());
    names.say("one.test", Zone::Addresses(1, vec!["127.0.0.1"]));
    let services = |servers: &[usize]| {
        Zone::Services(1, servers.iter().map(|server| ("one.test", cluster.port(*server))).collect())
    };
    names.say("_postgresql._tcp.test", services(&[0, 1]));
    let weir = start(&cluster, &names, "[[servers]]\nhost = \"_postgresql._tcp.test\"")?;
    let name = |server: usize| format!("one.test:{}", cluster.port(server));
    let sorted = |servers: &[usize]| {
        let mut names: Vec<String> = servers.iter().map(|server| name(*server)).collect();
        names.sort();
        names
    };
    let wait = |servers: &[usize]| {
        wait_known(&weir, &sorted(servers).iter().map(String::as_str).collect::<Vec<_>>())
    };
    wait(&[0, 1])?;
    let traffic = Traffic::start(&weir.address());
    names.say("_postgresql._tcp.test", services(&[0, 2]));
    wait(&[0, 2])?;
    traffic.goes_on()?;
    // That a target cannot be asked for is no reason to lose it.
    names.say("one.test", Zone::Failure);
    wait_asked(&names, "one.test")?;
    assert_eq!(known(&weir)?, sorted(&[0, 2]));
    names.say("one.test", Zone::Addresses(1, vec!["127.0.0.1"]));
    names.say("_postgresql._tcp.test", services(&[0, 1, 2]));
    wait(&[0, 1, 2])?;
    traffic.goes_on()?;
    assert_eq!(traffic.end(), "");
    Ok(())
}

#[test]
fn a_reload_and_what_is_found_do_not_contradict_each_other() -> Result<()> {
    let (cluster, names) = (cluster()?, NameServer::start());
    names.say("one.test", Zone::Addresses(60, vec!["127.0.0.1"]));
    names.say("other.test", Zone::Addresses(60, vec!["127.0.0.1"]));
    let entry = |host: &str, server: usize, more: &str| {
        format!(
            "[[servers]]\nhost = \"{host}\"\nname = \"s{server}\"\nport = {}\n{more}\n",
            cluster.port(server)
        )
    };
    let weir = start(&cluster, &names, &entry("one.test", 0, ""))?;
    wait_known(&weir, &["s0/127.0.0.1"])?;
    let traffic = Traffic::start(&weir.address());
    let before = std::fs::read_to_string(weir.config())?;
    let take = |text: &str| {
        let output = reload(&weir, text);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    // Another name beside it: it is looked up at once, whatever the TTL of the first.
    let both = format!("{before}{}", entry("other.test", 1, "weight = 7"));
    take(&both);
    wait_known(&weir, &["s0/127.0.0.1", "s1/127.0.0.1"])?;
    traffic.goes_on()?;
    take(&both.replace("weight = 7", "weight = 9"));
    let weight = |name: &str| -> Result<Option<String>> {
        let rows = console(&weir, "SHOW FRESHNESS")?;
        Ok(rows.into_iter().find(|row| row[0].as_deref() == Some(name)).and_then(|row| row[8].clone()))
    };
    assert_eq!(
        weight("s1/127.0.0.1")?.as_deref(),
        Some("9"),
        "what was found goes by what its entry says now"
    );
    // Without looking up anything, and back.
    let listed = both.replace("kind = \"dns\"", "kind = \"static\"").replace("one.test", "127.0.0.1");
    let listed = listed.replace("other.test", "127.0.0.1");
    let listed: String =
        listed.lines().filter(|line| !line.starts_with("nameservers")).map(|l| format!("{l}\n")).collect();
    take(&listed);
    wait_known(&weir, &["s0", "s1"])?;
    traffic.goes_on()?;
    take(&before);
    wait_known(&weir, &["s0/127.0.0.1"])?;
    traffic.goes_on()?;
    assert_eq!(traffic.end(), "");
    let mut client = Client::connect(&weir.address(), &Login::new("app", "app"))?;
    client.query("INSERT INTO t VALUES (1)")?;
    Ok(())
}
