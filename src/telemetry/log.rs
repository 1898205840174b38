//! The log's way out: lines wait in a bounded buffer for a thread that writes them, so that no request waits for whoever reads the log.
//!
//! A line that finds no room is dropped and counted. The thread is woken when the first line comes, lets more lines come for a moment, and
//! writes all of them with one call.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Lines that wait to be written. A `write` is one line, which is kept whole or dropped; it never blocks.
#[derive(Debug)]
pub(super) struct Log {
    bytes_max: usize,
    pending: Mutex<Pending>,
    /// There are lines, or there are many of them, or no more will come.
    news: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    lines: Vec<u8>,
    is_shut: bool,
}

/// Keeps the log going. Dropping it writes what is left.
#[derive(Debug)]
pub struct LogGuard {
    log: Arc<Log>,
    written: Receiver<()>,
}

/// How long the first line waits for others.
const LINGER: Duration = Duration::from_millis(5);
/// How long the end of the process waits for somebody to read the log.
const PATIENCE: Duration = Duration::from_secs(1);

impl Log {
    /// Starts a thread that writes to `out` what is logged. `bytes_max` bounds the lines that wait for it.
    ///
    /// # Errors
    /// If the operating system cannot start a thread.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        bytes_max: usize,
    ) -> io::Result<(Arc<Self>, LogGuard)> {
        let log = Arc::new(Self {
            bytes_max,
            pending: Mutex::default(),
            news: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let (done, written) = sync_channel(1);
        let writer = log.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            writer.write_to(out);
            let _ = done.send(());
        })?;
        Ok((log.clone(), LogGuard { log, written }))
    }

    /// Lines that were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn push(&self, line: &[u8]) {
        let mut pending = self.lock();
        let before = pending.lines.len();
        if before + line.len() > self.bytes_max {
            drop(pending);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        pending.lines.extend_from_slice(line);
        let after = pending.lines.len();
        drop(pending);
        // Between the first line and many, the thread lets lines come.
        if before == 0 || (before..after).contains(&self.many()) {
            self.news.notify_one();
        }
    }

    /// Bytes that are written without waiting for more.
    fn many(&self) -> usize {
        self.bytes_max / 4
    }

    fn write_to(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        while self.take(&mut lines) {
            // If the reader of the log is gone, there is nobody to tell.
            let _ = out.write_all(&lines).and_then(|()| out.flush());
            lines.clear();
        }
    }

    /// Waits for lines and moves them into `lines`, which is empty; false if there are none and no more will come.
    fn take(&self, lines: &mut Vec<u8>) -> bool {
        let is_quiet = |pending: &mut Pending| pending.lines.is_empty() && !pending.is_shut;
        let are_few = |pending: &mut Pending| pending.lines.len() < self.many() && !pending.is_shut;
        let poisoned = "bug: a panic under the lock of the log";
        let pending = self.news.wait_while(self.lock(), is_quiet).expect(poisoned);
        let (mut pending, _) = self.news.wait_timeout_while(pending, LINGER, are_few).expect(poisoned);
        std::mem::swap(&mut pending.lines, lines);
        !lines.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().expect("bug: a panic under the lock of the log")
    }
}

impl Write for &Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.log.lock().is_shut = true;
        self.log.news.notify_one();
        // A reader that has stopped reading does not keep the process from ending.
        let _ = self.written.recv_timeout(PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::SyncSender;

    use super::*;

    /// Whoever reads the log: collects what is written, each time after a permit.
    struct Reader {
        permits: Receiver<()>,
        written: SyncSender<Vec<u8>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // An error is the end of the permits: everything may be written.
            let _ = self.permits.recv();
            self.written.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct World {
        log: Arc<Log>,
        guard: LogGuard,
        permits: SyncSender<()>,
        written: Receiver<Vec<u8>>,
    }

    fn world(bytes_max: usize) -> World {
        let (permits, permitted) = sync_channel(64);
        let (to, written) = sync_channel(64);
        let (log, guard) = Log::start(Reader { permits: permitted, written: to }, bytes_max).unwrap();
        World { log, guard, permits, written }
    }

    fn line(number: usize) -> String {
        format!("line {number:04}\n")
    }

    #[test]
    fn lines_are_written_in_order_and_those_that_are_ready_together() {
        let World { log, guard, permits, written } = world(1 << 20);
        let lines: Vec<String> = (0..100).map(line).collect();
        lines.iter().for_each(|line| (&*log).write_all(line.as_bytes()).unwrap());
        drop(permits);
        drop(guard);
        let writes: Vec<Vec<u8>> = written.iter().collect();
        assert_eq!(String::from_utf8(writes.concat()).unwrap(), lines.concat());
        assert!(writes.len() < lines.len() / 2, "{} writes of {} lines", writes.len(), lines.len());
        assert_eq!(log.dropped(), 0);
    }

    #[test]
    fn a_reader_that_stops_costs_whole_lines_and_blocks_nobody() {
        let room = 10 * line(0).len();
        let World { log, guard, permits, written } = world(room);
        // The reader is stuck in its first write. What it took no longer waits, and ten more lines have room.
        for number in 0..1000 {
            (&*log).write_all(line(number).as_bytes()).unwrap();
        }
        let dropped = log.dropped();
        assert!((980..=990).contains(&dropped), "{dropped} lines were dropped");
        drop(permits);
        drop(guard);
        let text = String::from_utf8(written.iter().collect::<Vec<_>>().concat()).unwrap();
        let numbers: Vec<usize> = text.lines().map(|line| line[5..].parse().unwrap()).collect();
        assert_eq!(numbers.len() as u64 + dropped, 1000);
        assert!(numbers.is_sorted(), "{numbers:?}");
    }

    #[test]
    fn a_line_without_room_is_dropped_even_if_it_is_the_first() {
        let World { log, guard, written, .. } = world(4);
        (&*log).write_all(b"12345").unwrap();
        drop(guard);
        assert_eq!((log.dropped(), written.iter().count()), (1, 0));
    }
}
