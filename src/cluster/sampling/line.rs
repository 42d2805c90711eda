//! The sampler's control connection to one server: what is asked over it, and how the answers are read.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_postgres::types::PgLsn;
use tokio_postgres::{Client, Statement};

use crate::cluster::control::{self, Parameters, is_forbidden};
use crate::cluster::roles::timeline_of;
use crate::freshness::{Lsn, Xid};

/// How far the server is. In recovery or not is read once, so that a promotion between two columns cannot mix two
/// answers (a subquery with a volatile function is not flattened). Not the flushed position of a primary: commits with
/// `synchronous_commit = off` are acknowledged before they are flushed.
///
/// And how far its transactions are. What a primary writes without a commit (hints, pruned pages, a transaction that
/// idles) may stay unflushed for long, and no replica reaches its insert position until then. But where all transactions
/// that may have ended on the primary, those before its snapshot's end, have ended on a replica too, nothing that was
/// acknowledged is missing there.
const SAMPLE: &str = "
    SELECT s.in_recovery, s.position,
           CASE WHEN NOT s.in_recovery THEN pg_catalog.pg_walfile_name(s.position) END,
           CASE WHEN s.in_recovery THEN pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())
                ELSE pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
           END::pg_catalog.text::pg_catalog.int8,
           CASE WHEN s.in_recovery THEN pg_catalog.pg_last_wal_receive_lsn() END
      FROM (SELECT r.in_recovery,
                   CASE WHEN r.in_recovery THEN pg_catalog.pg_last_wal_replay_lsn()
                        ELSE pg_catalog.pg_current_wal_insert_lsn() END AS position
              FROM (SELECT pg_catalog.pg_is_in_recovery() AS in_recovery OFFSET 0) AS r
            OFFSET 0) AS s";

/// A lower bound of a replica's timeline. What the WAL receiver has received counts: replay follows the same history,
/// so that whatever it has replayed belongs to that history. It is told to members of `pg_read_all_stats` only;
/// the control file learns of a new timeline at the next restartpoint.
const TIMELINE: &str = "
    SELECT GREATEST(
           (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),
           (SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()),
           (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver))";

/// Sizes in bytes.
const SIZES: &str = "
    SELECT pg_catalog.current_setting('wal_block_size')::pg_catalog.int8,
           pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))";

/// How often a replica is asked again for its timeline while it is lower than the primary's.
const TIMELINE_PAUSE: Duration = Duration::from_millis(100);

/// A control connection, and what was learned over it. Dropped, the connection is cut without a farewell: a server
/// that does not answer would not take one either.
#[derive(Debug)]
pub(super) struct Line {
    client: Client,
    driver: JoinHandle<()>,
    sample: Option<Statement>,
    page: u64,
    segment: u64,
    timeline: Option<u32>,
    timeline_asked: Option<Instant>,
}

/// What a server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is not in recovery.
    Primary {
        /// Its insert position.
        inserted: Lsn,
        /// Its timeline.
        timeline: u32,
        /// No transaction from this on has ended.
        ended: Xid,
    },
    /// It is in recovery.
    Replica {
        /// What it has replayed.
        replayed: Lsn,
        /// What it has received by replication; `None` when nothing since it was started.
        received: Option<Lsn>,
        /// All transactions before this have ended.
        ended: Xid,
    },
}

impl Line {
    /// Opens it and makes it ready to be asked.
    pub(super) async fn open(parameters: &Parameters) -> Result<Self, tokio_postgres::Error> {
        let (client, driver) = control::open(parameters).await?;
        let mut line =
            Self { client, driver, sample: None, page: 0, segment: 0, timeline: None, timeline_asked: None };
        let sizes = line.client.query_typed_one(SIZES, &[]).await?;
        let size = |column| sizes.try_get::<_, i64>(column).map(|size| u64::try_from(size).unwrap_or(0));
        (line.page, line.segment) = (size(0)?, size(1)?);
        line.sample = Some(line.client.prepare(SAMPLE).await?);
        Ok(line)
    }

    /// Asks how far the server is; `None` when it cannot tell. Not cancel safe: an unanswered question stands in
    /// front of the next one.
    pub(super) async fn ask(&self) -> Result<Option<Answer>, tokio_postgres::Error> {
        let row = match &self.sample {
            Some(statement) => self.client.query_one(statement, &[]).await?,
            None => self.client.query_typed_one(SAMPLE, &[]).await?,
        };
        let in_recovery: bool = row.try_get(0)?;
        let position: Option<PgLsn> = row.try_get(1)?;
        let wal_file: Option<&str> = row.try_get(2)?;
        let Some(position) = position.map(|position| Lsn(position.into())) else { return Ok(None) };
        let ended = Xid(u64::try_from(row.try_get::<_, i64>(3)?).unwrap_or_default());
        let primary = |timeline| Answer::Primary { inserted: position, timeline, ended };
        let received: Option<PgLsn> = row.try_get(4)?;
        let received = received.map(|received| Lsn(received.into()).max(position));
        let replica = in_recovery.then_some(Answer::Replica { replayed: position, received, ended });
        Ok(replica.or_else(|| wal_file.and_then(timeline_of).map(primary)))
    }

    /// Whether the connection is known to have ended.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Has the lower bound of a replica's timeline brought up to date if it is less than `needed`. Not cancel safe.
    pub(super) async fn reach_timeline(
        &mut self,
        needed: u32,
        now: Instant,
    ) -> Result<(), tokio_postgres::Error> {
        let lower = self.timeline.unwrap_or(1) < needed;
        let lately = |asked| now.saturating_duration_since(asked) < TIMELINE_PAUSE;
        if !lower || self.timeline_asked.is_some_and(lately) {
            return Ok(());
        }
        self.timeline_asked = Some(now);
        let timeline: Option<i32> = match self.client.query_typed_one(TIMELINE, &[]).await {
            Ok(row) => row.try_get(0)?,
            Err(error) if is_forbidden(&error) => None,
            Err(error) => return Err(error),
        };
        self.timeline = self.timeline.max(timeline.and_then(|timeline| u32::try_from(timeline).ok()));
        Ok(())
    }

    /// A lower bound of a replica's timeline.
    pub(super) fn timeline(&self) -> Option<u32> {
        self.timeline
    }

    /// Sizes in bytes of a page and of a segment of its write-ahead log.
    pub(super) fn sizes(&self) -> (u64, u64) {
        (self.page, self.segment)
    }

    /// An insert position as replay will see it.
    pub(super) fn as_replayed(&self, inserted: Lsn) -> Lsn {
        inserted.as_replayed(self.page, self.segment)
    }

    /// Waits until the connection has ended. Cancel safe.
    pub(super) async fn ended(&mut self) {
        // How its task ended, by itself or by a panic, makes no difference to who needs the connection.
        drop((&mut self.driver).await);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
