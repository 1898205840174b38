//! The way out of the engine: a bounded channel that neither end waits at with a lock held.
//!
//! The reader tells the engine only what it waits for: that a parked job has room again, or that a job which is not over has lost
//! its reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst, fence};

use tokio::sync::mpsc;

use super::bell::News;
use super::inbox::Inbox;

/// The engine's end. It never blocks: a job looks at [`Self::flow`] before it makes something to send.
pub struct Outlet<T> {
    sender: mpsc::Sender<T>,
    standing: Arc<Standing>,
}

/// The client's end. Dropping it cancels the job.
pub struct Reader<T> {
    receiver: mpsc::Receiver<T>,
    standing: Arc<Standing>,
    /// Set when the job is handed to an engine.
    engine: Option<Arc<Inbox>>,
}

/// What each end knows of the other.
#[derive(Default)]
struct Standing {
    /// The engine has found no room, and wants to hear when there is some.
    parked: AtomicBool,
    /// The last word is said: nobody needs to hear that the reader goes.
    over: AtomicBool,
}

/// How the reader does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// There is room for what a turn can produce.
    Open,
    /// The reader is slow: the job is parked until there is room, of which its engine hears.
    Full,
    /// The reader is gone.
    Gone,
}

/// A channel for `items_max` items and the job's last word, which always finds room.
pub fn outlet<T>(items_max: usize) -> (Outlet<T>, Reader<T>) {
    let (sender, receiver) = mpsc::channel(items_max.max(1) + 1);
    let standing = Arc::new(Standing::default());
    (Outlet { sender, standing: standing.clone() }, Reader { receiver, standing, engine: None })
}

impl<T> Outlet<T> {
    /// Sends an item. What nobody waits for any more is dropped.
    pub fn send(&self, item: T) {
        // Full cannot be: a job sends at most one item a turn while the flow is open, and one last word.
        let _ = self.sender.try_send(item);
    }

    /// Sends the last word.
    pub fn close(self, item: T) {
        self.standing.over.store(true, SeqCst);
        self.send(item);
    }

    /// Whether the reader keeps up.
    pub fn flow(&self) -> Flow {
        if self.sender.is_closed() {
            return Flow::Gone;
        }
        if self.has_room() {
            return Flow::Open;
        }
        self.standing.parked.store(true, SeqCst);
        // The reader makes room and then looks whether it is waited for; so look for room again after saying so. One of the
        // two sees the other.
        fence(SeqCst);
        if self.has_room() { Flow::Open } else { Flow::Full }
    }

    /// Whether there is room for an item and the last word.
    fn has_room(&self) -> bool {
        self.sender.capacity() > 1
    }
}

impl<T> Reader<T> {
    /// The next item; `None` when the job is closed.
    pub async fn next(&mut self) -> Option<T> {
        let item = self.receiver.recv().await;
        self.tell_of_room();
        item
    }

    /// The next item if it is there already.
    pub fn try_next(&mut self) -> Option<T> {
        let item = self.receiver.try_recv().ok();
        self.tell_of_room();
        item
    }

    /// The same reader, which tells the engine behind `inbox` what its job waits for.
    pub fn telling(mut self, inbox: Arc<Inbox>) -> Self {
        self.engine = Some(inbox);
        self
    }

    fn tell_of_room(&self) {
        fence(SeqCst);
        if self.standing.parked.load(SeqCst) && self.standing.parked.swap(false, SeqCst) {
            self.tell(News::ROOM);
        }
    }

    fn tell(&self, news: News) {
        if let Some(inbox) = &self.engine {
            inbox.tell(news);
        }
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.receiver.close();
        if !self.standing.over.load(SeqCst) {
            self.tell(News::GONE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::thread::spawn;
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::engine::InboxLimits;

    const ALL: [News; 4] = [News::JOB, News::ROOM, News::GONE, News::SHUT];

    fn inbox() -> Arc<Inbox> {
        Arc::new(Inbox::new(InboxLimits { jobs_max: 1, bytes_max: 1 }))
    }

    #[test]
    fn a_reader_that_keeps_up_and_goes_at_the_end_tells_nothing() {
        let inbox = inbox();
        let (outlet, reader) = outlet(2);
        let mut reader = reader.telling(inbox.clone());
        outlet.send(1);
        assert_eq!((outlet.flow(), reader.try_next()), (Flow::Open, Some(1)));
        outlet.close(2);
        assert_eq!(reader.try_next(), Some(2));
        drop(reader);
        assert!(!inbox.news().tell_of(&ALL));
    }

    #[test]
    fn a_reader_tells_of_room_that_is_waited_for_once() {
        let inbox = inbox();
        let (outlet, reader) = outlet(2);
        let mut reader = reader.telling(inbox.clone());
        outlet.send(1);
        outlet.send(2);
        assert_eq!(outlet.flow(), Flow::Full);
        reader.try_next();
        assert!(inbox.news().tell_of(&[News::ROOM]));
        reader.try_next();
        assert!(!inbox.news().tell_of(&ALL));
        assert_eq!(outlet.flow(), Flow::Open);
    }

    #[test]
    fn a_reader_that_goes_before_the_end_tells_so() {
        let inbox = inbox();
        let (outlet, reader) = outlet::<()>(1);
        drop(reader.telling(inbox.clone()));
        assert!(inbox.news().tell_of(&[News::GONE]));
        assert_eq!(outlet.flow(), Flow::Gone);
    }

    /// An engine that fills a channel of one item, parks, and sleeps until it hears of room: each item races with a falling asleep.
    #[test]
    fn no_parked_job_is_forgotten() {
        const ITEMS: usize = 100_000;
        let inbox = inbox();
        let (outlet, reader) = outlet(1);
        let mut reader = reader.telling(inbox.clone());
        let (done, finished) = sync_channel(1);
        let engine = spawn(move || {
            let clock = Clock::system();
            for item in 0..ITEMS {
                while outlet.flow() == Flow::Full {
                    inbox.wait(None, &clock);
                    inbox.news();
                }
                outlet.send(item);
            }
        });
        let client = spawn(move || {
            let mut taken = 0;
            while taken < ITEMS {
                match reader.try_next() {
                    Some(item) => {
                        assert_eq!(item, taken);
                        taken += 1;
                    }
                    None => std::thread::yield_now(),
                }
            }
            let _ = done.send(());
        });
        finished.recv_timeout(Duration::from_secs(60)).expect("a parked job was forgotten");
        client.join().unwrap();
        engine.join().unwrap();
    }
}
