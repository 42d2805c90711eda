//! The log's way out of the process: a queue of lines, which a thread of its own writes.
//!
//! A pipe whose reader does not read and a disk that is full hold up nobody. When the queue is full, lines are lost, and
//! counted. Nobody ever waits here, but for the last lines at the end, and for those not long.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that wait to be written: a megabyte or two, as lines are.
const LINES_MAX: usize = 4096;

/// How long the end waits for the last lines.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Counts lines that were to be logged and are lost.
#[derive(Clone, Debug, Default)]
pub struct LostLines {
    /// Those that found no place in the queue.
    turned_away: Option<ErrorCounter>,
    /// Those that could not be written.
    unwritten: Arc<AtomicU64>,
}

impl LostLines {
    /// How many were lost so far.
    pub fn count(&self) -> u64 {
        let turned_away = self.turned_away.as_ref().map_or(0, ErrorCounter::dropped_lines);
        self.unwritten.load(Ordering::Relaxed).saturating_add(u64::try_from(turned_away).unwrap_or(u64::MAX))
    }
}

/// As long as this is there, what is logged is written. Dropping it has the lines written that still wait.
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub struct LogQueue {
    worker: Option<WorkerGuard>,
    lost: LostLines,
}

impl LogQueue {
    /// Writes to `out` from a thread of its own, and never in pieces.
    pub(super) fn to(out: impl Write + Send + 'static) -> (NonBlocking, Self) {
        let unwritten = Arc::<AtomicU64>::default();
        let queue = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_MAX);
        let (lines, worker) = queue.thread_name("log").finish(Output { out, unwritten: unwritten.clone() });
        let lost = LostLines { turned_away: Some(lines.error_counter()), unwritten };
        (lines, Self { worker: Some(worker), lost })
    }

    /// Counts what is lost.
    pub fn lost(&self) -> LostLines {
        self.lost.clone()
    }
}

impl Drop for LogQueue {
    fn drop(&mut self) {
        let worker = self.worker.take();
        let (done, ended) = mpsc::channel();
        // Where the queue is full, the guard complains on standard output, which may be the very pipe that nobody reads.
        let flush = move || {
            drop(worker);
            let _ = done.send(());
        };
        if thread::Builder::new().spawn(flush).is_ok() {
            // Whether it is done or takes too long, the end has come.
            let _ = ended.recv_timeout(FLUSH_MAX);
        }
    }
}

/// Where lines go, and how many did not get there.
struct Output<W> {
    out: W,
    unwritten: Arc<AtomicU64>,
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.out.write_all(line).is_err() {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::time::Instant;

    use super::*;

    /// A pipe with room for one line.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            self.0.send(bytes.to_vec()).map(|()| bytes.len()).map_err(gone)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue() -> (NonBlocking, LogQueue, Receiver<Vec<u8>>) {
        let (pipe, reader) = sync_channel(1);
        let (lines, queue) = LogQueue::to(Pipe(pipe));
        (lines, queue, reader)
    }

    #[test]
    fn a_reader_that_does_not_read_holds_up_neither_lines_nor_the_end() {
        let (mut lines, queue, _reader) = queue();
        let lost = queue.lost();
        let begun = Instant::now();
        (0..LINES_MAX + 1000).for_each(|_| lines.write_all(b"a line\n").unwrap());
        // One is in the pipe and one at its mouth.
        assert!((998..=1000).contains(&lost.count()), "{}", lost.count());
        drop(queue);
        assert!(begun.elapsed() < 2 * FLUSH_MAX, "{:?}", begun.elapsed());
    }

    #[test]
    fn the_end_has_the_last_lines_written() {
        let (mut lines, queue, reader) = queue();
        (0..100).for_each(|n| write!(lines, "{n}").unwrap());
        let lost = queue.lost();
        let reader = thread::spawn(move || reader.iter().count());
        drop((queue, lines));
        assert_eq!((reader.join().unwrap(), lost.count()), (100, 0));
    }

    #[test]
    fn what_cannot_be_written_is_lost_and_what_follows_is_tried() {
        let (mut lines, queue, reader) = queue();
        let lost = queue.lost();
        drop(reader);
        (0..3).for_each(|n| write!(lines, "{n}").unwrap());
        drop(queue);
        assert_eq!(lost.count(), 3);
    }
}
