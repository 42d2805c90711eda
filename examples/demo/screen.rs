//! The view: a small table, drawn over itself on a terminal, a line for each look elsewhere.

use std::fmt::Write;
use std::io::{IsTerminal, stdout};
use std::time::Instant;

use harness::{Cluster, Metrics, Result, Weir};

use crate::servers::Servers;
use crate::traffic::CLIENTS;

/// Longest line of the view.
const WIDTH: usize = 100;

/// Where the view is drawn.
pub(crate) struct Screen<'a> {
    cluster: &'a Cluster,
    begin: Instant,
    kind: Kind,
}

/// What standard output is.
enum Kind {
    /// A terminal, with the number of lines drawn last.
    Terminal(usize),
    /// A file or a pipe.
    Lines,
}

impl<'a> Screen<'a> {
    /// Prints what stays.
    pub(crate) fn new(cluster: &'a Cluster, weir: &Weir) -> Result<Self> {
        println!();
        println!(
            "  PostgreSQL {}, one primary, two replicas, weir in front",
            cluster.sql(0, "SHOW server_version")?.value()
        );
        println!();
        println!("    psql \"postgresql://app:app@127.0.0.1:{}/app\"", weir.port());
        println!("    curl http://127.0.0.1:{}/metrics", weir.metrics_port());
        println!("    less {}", weir.config().display());
        println!();
        println!(
            "  {CLIENTS} clients read and write, another works like an ORM; each server's own log says what it ran:"
        );
        println!();
        let kind = if stdout().is_terminal() { Kind::Terminal(0) } else { Kind::Lines };
        Ok(Self { cluster, begin: Instant::now(), kind })
    }

    /// Shows the present state.
    pub(crate) fn show(&mut self, servers: &Servers, metrics: &Metrics, errors: u64) {
        match &mut self.kind {
            Kind::Lines => println!("{}", self.line(servers, errors)),
            Kind::Terminal(drawn) => {
                let text = table(self.cluster, servers, metrics, errors);
                let mut out = String::new();
                // Up to the first line, then each line anew, then away with what an earlier, longer view left.
                if *drawn > 0 {
                    let _ = write!(out, "\x1b[{drawn}A\r");
                }
                *drawn = text.lines().count();
                for line in text.lines() {
                    let cut: String = line.chars().take(WIDTH).collect();
                    let _ = writeln!(out, "{cut}\x1b[K");
                }
                print!("{out}\x1b[J");
            }
        }
    }

    /// Leaves the view as it is, and the cursor below it.
    pub(crate) fn end(&self) {
        println!();
    }

    fn line(&self, servers: &Servers, errors: u64) -> String {
        let mut line = format!("{:>4.0} s", self.begin.elapsed().as_secs_f64());
        for (server, (reads, writes)) in servers.rates().iter().enumerate() {
            let _ = write!(line, " | {} {reads:.0} reads/s {writes:.0} writes/s", self.cluster.name(server));
        }
        line + &format!(" | ORM reads {:.0} % on replicas | {errors} errors", servers.orm_share())
    }
}

fn table(cluster: &Cluster, servers: &Servers, metrics: &Metrics, errors: u64) -> String {
    let mut text = String::from("                reads/s  writes/s       reads      writes\n");
    for (server, ((reads, writes), counts)) in servers.rates().iter().zip(servers.counts()).enumerate() {
        let name = cluster.name(server);
        let _ = writeln!(
            text,
            "    {name:<10}{reads:>9.0}{writes:>10.0}{:>12}{:>12}",
            counts.reads, counts.writes
        );
    }
    let _ = writeln!(
        text,
        "\n  {:.0} % of what the ORM reads, in transactions, comes from replicas",
        servers.orm_share()
    );
    let _ = writeln!(
        text,
        "\n  weir's routes and reasons, as /metrics counts them; {errors} errors at the clients\n"
    );
    for (route, reason, count) in routes(metrics) {
        let _ = writeln!(text, "    {route:<10}{reason:<24}{count:>12}");
    }
    let mut foreign = servers.foreign().peekable();
    if foreign.peek().is_some() {
        text += "\n  Others' statements\n\n";
    }
    for (server, statement) in foreign {
        let _ = writeln!(text, "    {server:<10}{statement}");
    }
    text + "\n  Ctrl-C ends this and removes everything\n"
}

/// Requests by route and reason, the most frequent first.
fn routes(metrics: &Metrics) -> Vec<(String, String, f64)> {
    let sums = metrics.sums_by("weir_requests_total", ["route", "reason"]);
    let mut routes: Vec<_> =
        sums.into_iter().map(|([route, reason], count)| (route, reason, count)).collect();
    routes.sort_by(|a, b| b.2.total_cmp(&a.2));
    routes
}
