//! Asking the servers where a statement ran: they log every statement before they run it.

use std::fs;

use super::Cluster;

/// The ends of all servers' logs at one moment.
#[derive(Clone, Debug)]
pub struct Mark(Vec<u64>);

/// What the line of a statement that runs says before the statement, for the simple protocol, the extended
/// protocol and FunctionCall. Statements in error reports follow `STATEMENT:` and do not count.
const RUNS: [&str; 3] = ["LOG:  statement: ", "LOG:  execute ", "LOG:  fastpath function call: "];

impl Cluster {
    /// Remembers this moment.
    pub fn mark(&self) -> Mark {
        let length = |path| fs::metadata(path).map(|file| file.len()).unwrap_or(0);
        Mark(self.servers.iter().map(|server| length(server.log())).collect())
    }

    /// The numbers of the servers that ran a statement containing `text` since the mark: one entry for each
    /// time, in the servers' order. `[0, 1, 1]` is once on server 0 and twice on server 1.
    ///
    /// A statement that a server refused while it ran it (25006, for instance) has run there in this sense.
    pub fn ran_on(&self, since: &Mark, text: &str) -> Vec<usize> {
        let on = |index| {
            self.statements(index, since).into_iter().filter(|s| s.contains(text)).map(move |_| index)
        };
        (0..self.size()).flat_map(on).collect()
    }

    /// The statements that a server ran since the mark, in its order, without the harness's own.
    pub fn statements(&self, server: usize, since: &Mark) -> Vec<String> {
        let entries = self.entries(server, since);
        let theirs = entries.iter().filter(|entry| !entry.contains("/harness LOG:"));
        theirs.filter_map(|entry| statement(entry)).map(str::to_owned).collect()
    }

    /// A server's log since the mark, entry by entry.
    pub fn entries(&self, server: usize, since: &Mark) -> Vec<String> {
        let log = self.servers[server].words(since.0[server]);
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
}

/// The statement in an entry that says that one runs.
fn statement(entry: &str) -> Option<&str> {
    RUNS.iter().find_map(|words| entry.split_once(words)).map(|(_, statement)| statement)
}
