//! Asking the servers where a statement ran: they log every statement before they run it.

use std::fs;

use super::Cluster;

/// The ends of all servers' logs at one moment.
#[derive(Clone, Debug)]
pub struct Mark(Vec<u64>);

/// What the line of a statement that runs says before the statement: simple protocol, FunctionCall. Statements in
/// error reports follow `STATEMENT:` and do not count.
const SIMPLE: [&str; 2] = ["LOG:  statement: ", "LOG:  fastpath function call: "];

/// The same for the extended protocol, with the name of the statement and a colon after it.
const EXTENDED: &str = "LOG:  execute ";

/// The application names of the harness and of weir's control connections, as a log line holds them.
const OURS: [&str; 3] = ["/harness LOG:", "/weir LOG:", "/weir sampler LOG:"];

impl Cluster {
    /// Remembers this moment.
    pub fn mark(&self) -> Mark {
        let length = |path| fs::metadata(path).map(|file| file.len()).unwrap_or(0);
        Mark(self.servers.iter().map(|server| length(server.log())).collect())
    }

    /// The numbers of the servers that ran a statement containing `text` since the mark: one entry for each
    /// time, in the servers' order. `[0, 1, 1]` is once on server 0 and twice on server 1.
    ///
    /// On a shared cluster other tests run at the same time: the text must be this test's alone.
    ///
    /// A statement that a server refused while it ran it (25006, for instance) has run there in this sense.
    pub fn ran_on(&self, since: &Mark, text: &str) -> Vec<usize> {
        let on = |index| {
            self.statements(index, since).into_iter().filter(|s| s.contains(text)).map(move |_| index)
        };
        (0..self.size()).flat_map(on).collect()
    }

    /// The statements that a server ran since the mark, in its order, without the harness's own and without what weir
    /// asks on its own account (probes, the catalog).
    pub fn statements(&self, server: usize, since: &Mark) -> Vec<String> {
        theirs(&self.entries(server, since))
    }

    /// The same between two marks, for who looks again and again at a log that grows.
    pub fn statements_between(&self, server: usize, since: &Mark, until: &Mark) -> Vec<String> {
        let length = until.0[server].saturating_sub(since.0[server]);
        theirs(&entries(&self.servers[server].words(since.0[server], length)))
    }

    /// A server's log since the mark, entry by entry.
    pub fn entries(&self, server: usize, since: &Mark) -> Vec<String> {
        entries(&self.servers[server].words(since.0[server], u64::MAX))
    }
}

/// Cuts a log into entries.
fn entries(log: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for line in log.lines() {
        match (line.strip_prefix('\t'), entries.last_mut()) {
            // Further lines of a statement begin with a tab.
            (Some(rest), Some(entry)) => {
                entry.push('\n');
                entry.push_str(rest);
            }
            _ => entries.push(line.to_owned()),
        }
    }
    entries
}

/// The statements in a log, without the harness's own and without what weir asks on its own account.
fn theirs(entries: &[String]) -> Vec<String> {
    let theirs = entries.iter().filter(|entry| !OURS.iter().any(|name| entry.contains(name)));
    theirs.filter_map(|entry| statement(entry)).map(str::to_owned).collect()
}

/// The statement in an entry that says that one runs.
fn statement(entry: &str) -> Option<&str> {
    let simple = SIMPLE.iter().find_map(|words| entry.split_once(words)).map(|(_, statement)| statement);
    simple.or_else(|| Some(entry.split_once(EXTENDED)?.1.split_once(": ")?.1))
}

#[cfg(test)]
mod tests {
    use super::{entries, theirs};

    #[test]
    fn statements_are_told_from_what_else_is_logged() {
        let log = "\
2026-01-01 00:00:00.000 UTC [1] LOG:  database system is ready to accept connections
2026-01-01 00:00:00.000 UTC [2] app@app/psql LOG:  statement: SELECT 1
2026-01-01 00:00:00.000 UTC [2] app@app/psql LOG:  execute <unnamed>: SELECT
\t  $1
2026-01-01 00:00:00.000 UTC [2] app@app/psql DETAIL:  parameters: $1 = 'x'
2026-01-01 00:00:00.000 UTC [2] app@app/psql ERROR:  syntax error at or near \"SELEC\"
2026-01-01 00:00:00.000 UTC [2] app@app/psql STATEMENT:  SELEC 1
2026-01-01 00:00:00.000 UTC [3] postgres@app/harness LOG:  statement: SELECT 2
2026-01-01 00:00:00.000 UTC [3] app@app/weir LOG:  execute s0: SELECT pg_is_in_recovery()
2026-01-01 00:00:00.000 UTC [4] app@app/weir sampler LOG:  execute s0: SELECT pg_is_in_recovery()
2026-01-01 00:00:00.000 UTC [2] app@app/psql LOG:  execute fetch from s/p: SELECT 3
";
        assert_eq!(theirs(&entries(log)), ["SELECT 1", "SELECT\n  $1", "SELECT 3"]);
    }
}
