//! What a real weir says at /metrics that has seen a bit of everything.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::client::Client;
use harness::{Cluster, Metrics, Papers, Result, WeirSetup, free_port, wait_for};

/// The labels that Prometheus itself gives to what it scrapes.
const GIVEN: [&str; 2] = ["job", "instance"];

/// What was scraped.
pub(crate) struct Scraped(Metrics);

impl Scraped {
    pub(crate) fn of_a_weir_with_much_behind_it() -> Result<Self> {
        let (cluster, papers) = (Cluster::shared(), Papers::new()?);
        cluster.sql(0, "SET ROLE app; CREATE TABLE alerts (id int)")?;
        let writes =
            "FUNCTION alerts_write() RETURNS int LANGUAGE sql AS 'INSERT INTO alerts VALUES (1) RETURNING 1'";
        let lies =
            "FUNCTION alerts_lie() RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN alerts_write(); END'";
        cluster.sql(0, &format!("SET ROLE app; CREATE {writes}; CREATE {lies}"))?;
        cluster.wait_caught_up()?;
        let setup = WeirSetup::in_front_of(cluster, 0..3).at_any_age().encrypting_clients(&papers);
        // Nobody who could be asked for servers is there; those of the configuration are known.
        let patroni = format!("[\"http://127.0.0.1:{}\"]", free_port()?);
        let setup = setup.set("discovery", "kind", "\"patroni\"").set("discovery", "urls", &patroni);
        let weir = setup.start(env!("CARGO_BIN_EXE_weir"))?;
        let mut client = weir.connect()?;
        let queries = [
            "SELECT 1",
            "/* weir: primary */ SELECT 1",
            "INSERT INTO alerts VALUES (1)",
            "BEGIN",
            "SELECT 1",
            "INSERT INTO alerts VALUES (2)",
            "COMMIT",
            "BEGIN",
            "INSERT INTO alerts VALUES (3)",
            "COMMIT",
            "CREATE TEMP TABLE kept (id int)",
        ];
        queries.iter().try_for_each(|sql| client.query(sql).map(drop))?;
        runs_again(&mut weir.connect()?, &weir)?;
        client.query("SELECT nothing").unwrap_err();
        Ok(Self(weir.metrics()?))
    }

    /// The labels that a metric bears; none where there is no such metric.
    pub(crate) fn labels(&self, metric: &str) -> BTreeSet<String> {
        let own: Vec<_> = self.0.all(metric).flat_map(|series| series.labels.keys().cloned()).collect();
        let is_there = metric == "up" || self.0.all(metric).next().is_some();
        let given = GIVEN.iter().filter(|_| is_there).map(|label| (*label).to_owned());
        own.into_iter().chain(given).collect()
    }

    /// Whether a label has this value anywhere.
    pub(crate) fn has(&self, metric: &str, label: &str, value: &str) -> bool {
        GIVEN.contains(&label)
            || self.0.all(metric).any(|series| series.labels.get(label).is_some_and(|one| one == value))
    }
}

/// A function that lies is found out on a replica, once for each shape of statement that calls it; and not before the catalog
/// has told of it.
fn runs_again(client: &mut Client, weir: &harness::Weir) -> Result<()> {
    let mut nth = 0;
    wait_for("something to run again", Duration::from_secs(30), || {
        nth += 1;
        client.query(&format!("SELECT alerts_lie() AS c{nth}"))?;
        Ok((weir.metrics()?.sum("weir_reruns_total", &[]) > 0.0).then_some(()))
    })
}
