//! Servers by what Patroni says of them: its documented JSON, and what a weir makes of it.

use std::sync::Arc;

use harness::client::{Client, Login};
use harness::{Authority, Cluster, Issued, Options, Result, Weir, free_port, wait_for};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::rest::{Rest, Says, is_closed};
use crate::stage::{
    PATIENCE, Traffic, WEIR, cluster_of, console, known, member, reload, setup, wait_known, wait_logged,
};

fn cluster() -> Result<Cluster> {
    let cluster = Cluster::with(Options::new(2))?;
    cluster.sql(0, "CREATE TABLE t (id int); ALTER TABLE t OWNER TO app")?;
    cluster.wait_caught_up()?;
    Ok(cluster)
}

fn start(cluster: &Cluster, urls: &[String], more: &str) -> Result<Weir> {
    patroni(cluster, urls).append(more).start(WEIR)
}

fn patroni(cluster: &Cluster, urls: &[String]) -> harness::WeirSetup {
    setup(cluster)
        .set("discovery", "kind", "\"patroni\"")
        .set("discovery", "interval", "\"100ms\"")
        .set("discovery", "timeout", "\"500ms\"")
        .set("discovery", "urls", &format!("{urls:?}"))
}

/// Waits until Patroni has been asked anew, by a question that came after this.
fn wait_asked(rest: &Rest) -> Result<()> {
    let before = rest.asked();
    wait_for("Patroni to be asked", PATIENCE, || Ok((rest.asked() >= before + 2).then_some(())))
}

/// Where reads run, of a hundred.
fn readers(cluster: &Cluster, weir: &Weir, what: &str) -> Result<Vec<usize>> {
    let mark = cluster.mark();
    let mut client = weir.connect()?;
    for turn in 0..100 {
        client.query(&format!("SELECT {turn} AS {what} FROM t LIMIT 1"))?;
    }
    let mut servers = cluster.ran_on(&mark, &format!("AS {what} "));
    servers.dedup();
    Ok(servers)
}

#[test]
fn members_come_and_go_and_nobody_hears_of_it() -> Result<()> {
    let cluster = cluster()?;
    let (leader, first) = (member(&cluster, 0, "leader", ""), member(&cluster, 1, "replica", ""));
    let second = member(&cluster, 2, "sync_standby", ", \"lag\": 0");
    let two = cluster_of(&[leader.clone(), first.clone()], "");
    let other_two = cluster_of(&[leader.clone(), second.clone()], "");
    let rest = Rest::start(two.clone());
    let weir = start(&cluster, &[rest.url()], "[[servers]]\nweight = 5\nconnections = 30")?;
    wait_known(&weir, &["pg0", "pg1"])?;
    let rows = console(&weir, "SHOW FRESHNESS")?;
    assert!(
        rows.iter().all(|row| row[8].as_deref() == Some("5") && row[13].as_deref() == Some("30")),
        "{rows:?}"
    );
    let traffic = Traffic::start(&weir.address());
    let mut pinned = weir.connect()?;
    pinned.query("CREATE TEMP TABLE own (id int)")?;
    for _ in 0..5 {
        rest.say(Says::Cluster(other_two.clone()));
        wait_known(&weir, &["pg0", "pg2"])?;
        traffic.goes_on()?;
        rest.say(Says::Cluster(two.clone()));
        wait_known(&weir, &["pg0", "pg1"])?;
        traffic.goes_on()?;
    }
    // One that is being made is no server yet.
    let made = member(&cluster, 2, "replica", ", \"state\": \"creating replica\", \"lag\": \"unknown\"");
    rest.say(Says::Cluster(cluster_of(&[leader.clone(), first.clone(), made], "")));
    wait_asked(&rest)?;
    assert_eq!(known(&weir)?, ["pg0", "pg1"]);
    // What is no answer takes nobody away.
    for says in [
        Says::Status("503 Service Unavailable"),
        Says::Cluster("{\"members\": []}".to_owned()),
        Says::Silence,
    ] {
        rest.say(says);
        wait_asked(&rest)?;
        assert_eq!(known(&weir)?, ["pg0", "pg1"]);
    }
    wait_logged(&weir, "it answers 503")?;
    rest.say(Says::Cluster(cluster_of(&[leader, first, second], "")));
    wait_known(&weir, &["pg0", "pg1", "pg2"])?;
    traffic.goes_on()?;
    assert_eq!(traffic.end(), "");
    pinned.query("SELECT * FROM own")?;
    Ok(())
}

#[test]
fn tags_and_states_say_who_takes_no_reads() -> Result<()> {
    let cluster = cluster()?;
    let leader = member(&cluster, 0, "leader", "");
    let tagged =
        member(&cluster, 1, "replica", ", \"tags\": {\"noloadbalance\": true, \"nofailover\": true}");
    let plain = member(&cluster, 1, "replica", "");
    let other = member(&cluster, 2, "replica", "");
    let stopped = member(&cluster, 2, "replica", ", \"state\": \"stopped\"");
    let rest = Rest::start(cluster_of(&[leader.clone(), tagged, other.clone()], ""));
    let weir = start(&cluster, &[rest.url()], "")?;
    wait_known(&weir, &["pg0", "pg1", "pg2"])?;
    assert_eq!(readers(&cluster, &weir, "tagged")?, [2]);
    let rows = console(&weir, "SHOW DISCOVERY")?;
    let row = rows.iter().find(|row| row[1].as_deref() == Some("pg1")).unwrap();
    assert_eq!(row[5].as_deref(), Some("replica streaming nofailover noloadbalance"));
    assert_eq!(row[6].as_deref(), Some("takes no reads: noloadbalance"));
    rest.say(Says::Cluster(cluster_of(&[leader, plain, stopped], "")));
    wait_asked(&rest)?;
    assert_eq!(readers(&cluster, &weir, "stopped")?, [1]);
    assert_eq!(known(&weir)?, ["pg0", "pg1", "pg2"], "one that was there stays");
    let status = weir.get("/status")?;
    assert!(
        status.contains("discovery patroni, 3 servers, answered") && status.contains("replica stopped"),
        "{status}"
    );
    Ok(())
}

#[test]
fn the_next_endpoint_is_asked_by_tls_and_password() -> Result<()> {
    let cluster = cluster()?;
    let members: Vec<String> = (0..3)
        .map(|server| member(&cluster, server, if server == 0 { "leader" } else { "replica" }, ""))
        .collect();
    let (authority, stranger) = (Authority::new("patroni"), Authority::new("somebody"));
    // "weir:secret", in Base64.
    const LOGIN: Option<&str> = Some("d2VpcjpzZWNyZXQ=");
    let told = cluster_of(&members, "");
    let good = Rest::with(told.clone(), Some(tls(&authority, &authority.server(&["127.0.0.1"]))), LOGIN);
    let false_one = Rest::with(told.clone(), Some(tls(&authority, &stranger.server(&["127.0.0.1"]))), None);
    let misnamed = Rest::with(told.clone(), Some(tls(&authority, &authority.server(&["db9"]))), None);
    let forbidding = Rest::with(told, Some(tls(&authority, &authority.server(&["127.0.0.1"]))), Some("eA=="));
    let gone = free_port()?;
    assert!(is_closed(gone));
    let url = |port: u16| format!("https://127.0.0.1:{port}");
    let urls = [gone, false_one.port, misnamed.port, forbidding.port, good.port].map(url);
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("discovery");
    std::fs::create_dir_all(&directory)?;
    let own = authority.client("weir");
    let file = |name: &str, text: &str| -> Result<String> {
        let file = directory.join(name);
        std::fs::write(&file, text)?;
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(format!("{file:?}"))
    };
    let weir = patroni(&cluster, &urls)
        // Each that fails does so at once.
        .set("discovery", "timeout", "\"20s\"")
        .set("discovery", "user", "\"weir\"")
        .set("discovery", "password", "\"secret\"")
        .set("discovery", "sslrootcert", &file("root.pem", &authority.pem())?)
        .set("discovery", "sslcert", &file("weir.pem", &own.certificate)?)
        .set("discovery", "sslkey", &file("weir.key", &own.key)?)
        .start(WEIR)?;
    wait_known(&weir, &["pg0", "pg1", "pg2"])?;
    assert!(good.asked() > 0 && forbidding.asked() > 0, "{}", weir.log());
    assert_eq!((false_one.asked(), misnamed.asked()), (0, 0), "who is not known is told nothing");
    assert!(
        weir.get("/status")?.contains(&format!("by 127.0.0.1:{}", good.port)),
        "{}",
        weir.get("/status")?
    );
    assert!(!weir.log().contains("secret"));
    // The one that has answered is asked first from then on.
    let before = forbidding.asked();
    wait_asked(&good)?;
    assert_eq!(forbidding.asked(), before);
    Ok(())
}

/// For who shows a certificate of the authority.
fn tls(authority: &Authority, issued: &Issued) -> Arc<ServerConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().into()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

#[test]
fn paused_and_standby_clusters_and_those_of_others() -> Result<()> {
    let cluster = cluster()?;
    let leader = member(&cluster, 0, "leader", "");
    let replica = member(&cluster, 1, "replica", "");
    let rest = Rest::start(cluster_of(&[leader.clone(), replica.clone()], ""));
    let weir = start(&cluster, &[rest.url()], "")?;
    wait_known(&weir, &["pg0", "pg1"])?;
    // Patroni may be stopped on a node while the cluster is paused, and PostgreSQL goes on there.
    rest.say(Says::Cluster(cluster_of(std::slice::from_ref(&leader), ", \"pause\": true")));
    wait_asked(&rest)?;
    assert_eq!(known(&weir)?, ["pg0", "pg1"]);
    assert!(weir.get("/status")?.contains("the cluster is paused"), "{}", weir.get("/status")?);
    // Another cluster's members are not this one's.
    let other = cluster_of(&[member(&cluster, 2, "leader", "")], "").replace("demo", "another");
    rest.say(Says::Cluster(other));
    wait_logged(&weir, "it is of the cluster")?;
    assert_eq!(known(&weir)?, ["pg0", "pg1"]);
    // The leader of a standby cluster is no primary: the servers themselves say who is one.
    let standby = [member(&cluster, 1, "standby_leader", ""), member(&cluster, 2, "replica", "")];
    rest.say(Says::Cluster(cluster_of(&standby, "")));
    wait_known(&weir, &["pg1", "pg2"])?;
    wait_logged(&weir, "Patroni names another leader")?;
    let mut client = weir.connect()?;
    assert_eq!(client.query("SELECT count(*) FROM t")?.value(), "0");
    assert!(weir.get("/readyz")?.contains("no primary"), "{}", weir.get("/readyz")?);
    rest.say(Says::Cluster(cluster_of(&[leader, replica], "")));
    wait_known(&weir, &["pg0", "pg1"])?;
    client.query("INSERT INTO t VALUES (1)")?;
    Ok(())
}

#[test]
fn entries_are_known_before_patroni_answers_and_say_what_holds_for_theirs() -> Result<()> {
    let cluster = cluster()?;
    let rest = Rest::start("not yet".to_owned());
    let entry = |server: usize, weight: u32| {
        let (host, port) = (cluster.host(server), cluster.port(server));
        format!("[[servers]]\nhost = \"{host}\"\nport = {port}\nname = \"seed{server}\"\nweight = {weight}\n")
    };
    let weir = start(&cluster, &[rest.url()], &(entry(0, 2) + &entry(1, 3) + "[[servers]]\nweight = 4\n"))?;
    wait_known(&weir, &["seed0", "seed1"])?;
    let answers =
        || Ok::<_, harness::Failure>(weir.metrics()?.sum("weir_discovery_up", &[("kind", "patroni")]));
    assert_eq!((answers()?, weir.metrics()?.all("weir_discovery_up").count()), (0.0, 1));
    assert!(weir.get("/status.json")?.contains("not all who are asked answer"));
    let traffic = Traffic::start(&weir.address());
    let all: Vec<String> = (0..3)
        .map(|server| member(&cluster, server, if server == 0 { "leader" } else { "replica" }, ""))
        .collect();
    rest.say(Says::Cluster(cluster_of(&all, "")));
    wait_known(&weir, &["pg0", "pg1", "pg2"])?;
    wait_for("Patroni to have answered", PATIENCE, || Ok((answers()? == 1.0).then_some(())))?;
    let weights = console(&weir, "SHOW FRESHNESS")?.into_iter().map(|row| row[8].clone().unwrap());
    assert_eq!(weights.collect::<Vec<_>>(), ["2", "3", "4"]);
    traffic.goes_on()?;
    // A reload that asks elsewhere loses nobody meanwhile.
    let text = std::fs::read_to_string(weir.config())?;
    let output = reload(&weir, &text.replace(&rest.url(), &format!("http://127.0.0.1:{}", free_port()?)));
    assert!(output.status.success(), "{output:?}");
    traffic.goes_on()?;
    assert_eq!(known(&weir)?, ["pg0", "pg1", "pg2"]);
    assert_eq!(traffic.end(), "");
    let mut client = Client::connect(&weir.address(), &Login::new("app", "app"))?;
    client.query("INSERT INTO t VALUES (1)")?;
    Ok(())
}
