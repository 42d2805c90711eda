//! Who follows whom, and how far replicas are.

use std::fmt::Write;
use std::fs;

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Cluster, Server};
use crate::{Failure, Result, wait_for};

/// How long replicas may take to catch up, or to change their state.
const PATIENCE: Duration = Duration::from_secs(30);

/// Settings of every server. Nothing here outlives the test, so nothing is synced to disk.
const COMMON: &str = "\
listen_addresses = '127.0.0.1'
fsync = off
full_page_writes = off
max_connections = 800
shared_buffers = 64MB
wal_level = replica
max_wal_senders = 10
wal_keep_size = 512MB
max_prepared_transactions = 10
hot_standby_feedback = on
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
log_line_prefix = '%m [%p] %q%u@%d/%a '
log_timezone = 'UTC'
timezone = 'UTC'
";

impl Cluster {
    /// Waits until every running replica has replayed what the primary has written up to now.
    pub fn wait_caught_up(&self) -> Result<()> {
        self.wait_replayed("SELECT pg_current_wal_insert_lsn()")
    }

    /// The same for what it has acknowledged. With `wal_log_hints` its last WAL may be that of a read, which nothing
    /// flushes while nobody writes, so that replicas never have all of it.
    pub fn wait_acknowledged(&self) -> Result<()> {
        self.wait_replayed("SELECT pg_current_wal_flush_lsn()")
    }

    fn wait_replayed(&self, position: &str) -> Result<()> {
        let primary = self.primary();
        let target = without_page_header(lsn(self.sql(primary, position)?.value())?);
        for index in
            (0..self.size()).filter(|index| *index != primary && self.servers[*index].pid().is_some())
        {
            let mut admin = self.admin(index)?;
            if admin.query("SELECT pg_is_in_recovery()")?.value() != "t" {
                continue;
            }
            wait_for(&format!("{} to catch up", self.name(index)), PATIENCE, || {
                let replayed = lsn(admin.query("SELECT pg_last_wal_replay_lsn()")?.value())?;
                Ok((replayed >= target).then_some(()))
            })?;
        }
        Ok(())
    }

    /// Keeps a replica at the state it has now, while it goes on receiving.
    pub fn pause_replay(&self, replica: usize) -> Result<()> {
        let mut admin = self.admin(replica)?;
        admin.query("SELECT pg_wal_replay_pause()")?;
        wait_for("the replay to pause", PATIENCE, || {
            let state = admin.query("SELECT pg_get_wal_replay_pause_state()")?;
            Ok((state.value() == "paused").then_some(()))
        })
    }

    /// Lets a paused replica go on.
    pub fn resume_replay(&self, replica: usize) -> Result<()> {
        self.sql(replica, "SELECT pg_wal_replay_resume()").map(drop)
    }

    /// Makes a replica a primary. The old primary is left as it is: stop it first, or have two.
    pub fn promote(&self, replica: usize) -> Result<()> {
        if self.sql(replica, "SELECT pg_promote(true, 60)")?.value() != "t" {
            return Err(Failure::new(format!("{} was not promoted", self.name(replica))));
        }
        self.primary.store(replica, Ordering::SeqCst);
        Ok(())
    }

    /// Makes a running replica follow the present primary.
    pub fn follow(&self, replica: usize) -> Result<()> {
        self.write_config(&self.servers[replica], self.primary())?;
        self.sql(replica, "SELECT pg_reload_conf()").map(drop)
    }

    /// Makes a server, an old primary for instance, a replica of the present primary, with a new copy of its data.
    pub fn rejoin(&self, index: usize) -> Result<()> {
        let server = &self.servers[index];
        server.stop(super::Stop::Immediate)?;
        fs::remove_dir_all(server.data())?;
        self.back_up(&self.servers[self.primary()], &server.data())?;
        self.write_config(server, self.primary())?;
        self.start_server(server)
    }

    /// Makes an old primary a replica of the present one by pg_rewind, which needs `wal_log_hints` and
    /// `full_page_writes`. What it has that the present one does not is gone then.
    pub fn rewind(&self, index: usize) -> Result<()> {
        let server = &self.servers[index];
        server.stop(super::Stop::Fast)?;
        let primary = &self.servers[self.primary()];
        // It tells by the timeline in the control file, which the next checkpoint brings up to date.
        self.sql(self.primary(), "CHECKPOINT")?;
        let source = format!(
            "host={} port={} user=postgres dbname=postgres application_name=harness",
            primary.sockets().display(),
            primary.port()
        );
        let mut rewind = self.owner.command(&self.postgres.program("pg_rewind")?);
        rewind.arg("--no-sync").arg("--target-pgdata").arg(server.data()).arg("--source-server").arg(source);
        let output = rewind.output()?;
        if !output.status.success() {
            let words = [output.stdout, output.stderr].concat();
            return Err(Failure::new(format!("pg_rewind: {}", String::from_utf8_lossy(&words))));
        }
        self.write_config(server, self.primary())?;
        self.start_server(server)
    }

    /// The replica that has received the most of all that run.
    pub fn most_advanced(&self) -> Result<usize> {
        let mut best = None;
        for replica in (0..self.size()).filter(|n| *n != self.primary() && self.is_running(*n)) {
            let sql = "SELECT coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())";
            let received = lsn(self.sql(replica, sql)?.value())?;
            best = best.max(Some((received, replica)));
        }
        best.map(|(_, replica)| replica).ok_or_else(|| Failure::new("no replica runs"))
    }

    /// Writes a server's postgresql.conf, and standby.signal unless it is the primary.
    pub(super) fn write_config(&self, server: &Server, primary: usize) -> Result<()> {
        let (data, primary) = (server.data(), &self.servers[primary]);
        let mut text = COMMON.to_owned();
        let mut put = |name: &str, value: &str| {
            // Names come from us and values from tests; a quote in a value is doubled, as the file wants it.
            let value = value.trim_matches('\'').replace('\'', "''");
            let _ = writeln!(text, "{name} = '{value}'");
        };
        put("port", &server.port().to_string());
        if self.network.is_some() {
            put("listen_addresses", "*");
        }
        put("cluster_name", server.name());
        // The same under a name that means nothing to PostgreSQL, and so tells nobody that it differs between servers.
        put("harness.server", server.name());
        put("unix_socket_directories", &server.sockets().to_string_lossy());
        self.options.settings.iter().for_each(|(name, value)| put(name, value));
        if server.name() != primary.name() {
            let sockets = primary.sockets().display();
            put(
                "primary_conninfo",
                &format!(
                    "host={sockets} port={} user=postgres application_name={}",
                    primary.port(),
                    server.name()
                ),
            );
            self.options.replica_settings.iter().for_each(|(name, value)| put(name, value));
            fs::write(data.join("standby.signal"), "")?;
            self.owner.own(&data.join("standby.signal"))?;
        }
        let path = data.join("postgresql.conf");
        fs::write(&path, text)?;
        self.owner.own(&path)
    }
}

/// Reads `16/B374D848`.
fn lsn(text: &str) -> Result<u64> {
    let parse = |half| u64::from_str_radix(half, 16).ok();
    let halves = text.split_once('/').and_then(|(high, low)| Some((parse(high)?, parse(low)?)));
    halves.map(|(high, low)| high << 32 | low).ok_or_else(|| Failure::new(format!("{text:?} is not an LSN")))
}

/// On an idle primary the insert position may stand just past the header of a page that has no record yet: 24
/// bytes, 40 at the start of a segment. Replay will not come there before the next record, so the page's start
/// is what to wait for.
fn without_page_header(position: u64) -> u64 {
    const PAGE: u64 = 8192;
    match position % PAGE {
        header @ (24 | 40) => position - header,
        _ => position,
    }
}

#[cfg(test)]
mod tests {
    use super::{lsn, without_page_header};

    #[test]
    fn positions_are_read_and_page_headers_left_out() {
        assert_eq!(lsn("16/B374D848").unwrap(), 0x16_B374_D848);
        assert!(lsn("").is_err());
        assert_eq!(without_page_header(0x300_0028), 0x300_0000);
        assert_eq!(without_page_header(0x300_2018), 0x300_2000);
        assert_eq!(without_page_header(0x300_2050), 0x300_2050);
    }
}
