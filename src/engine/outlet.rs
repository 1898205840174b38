//! How results leave the engine: through a bounded channel whose engine end never blocks, or, where there is only one result, in a
//! promise, which costs a fraction of a channel.
//!
//! The reader tells the engine only what the engine waits for: that a parked job has room again, and that a job which is not over
//! has lost its reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst, fence};

use tokio::sync::{mpsc, oneshot};

use super::bell::News;
use super::inbox::Inbox;

/// The engine's end. It never blocks: a job runs only while [`Self::flow`] is open.
pub struct Outlet<T> {
    sender: mpsc::Sender<T>,
    /// Most items that the job sends in a turn.
    turn_max: usize,
    shared: Arc<Shared>,
}

/// The engine's end where a job has one result.
pub struct Promise<T>(oneshot::Sender<T>);

/// The client's end. Dropping it cancels the job.
pub struct Reader<T> {
    source: Source<T>,
    /// Set once the job has been given to an engine.
    engine: Option<Arc<Inbox>>,
}

/// Where items come from.
enum Source<T> {
    Outlet(mpsc::Receiver<T>, Arc<Shared>),
    /// `None` once the item was taken.
    Promise(Option<oneshot::Receiver<T>>),
}

/// What both ends know.
#[derive(Default)]
struct Shared {
    /// The engine has found no room and waits to hear of some.
    parked: AtomicBool,
    /// The last message is sent: the engine need not hear that the reader is dropped.
    over: AtomicBool,
}

/// Whether a reader keeps up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// There is room for the results of a turn.
    Open,
    /// The reader is slow. The job is parked until there is room again.
    Full,
    /// The reader is gone.
    Gone,
}

/// How many items a channel holds.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Items that may wait for a slow reader.
    pub items_max: usize,
    /// Most items that a job sends in a turn.
    pub turn_max: usize,
}

/// A channel for `items_max` items and the last message of the job, for which there is always room. The job sends at most one item in a
/// turn.
pub fn outlet<T>(items_max: usize) -> (Outlet<T>, Reader<T>) {
    wide_outlet(Capacity { items_max, turn_max: 1 })
}

/// The same for a job that sends several items in a turn.
pub fn wide_outlet<T>(capacity: Capacity) -> (Outlet<T>, Reader<T>) {
    let Capacity { items_max, turn_max } = capacity;
    let (sender, receiver) = mpsc::channel(items_max.max(turn_max) + 1);
    let shared = Arc::new(Shared::default());
    let source = Source::Outlet(receiver, shared.clone());
    (Outlet { sender, turn_max, shared }, Reader { source, engine: None })
}

/// A promise of one item.
pub fn promise<T>() -> (Promise<T>, Reader<T>) {
    let (sender, receiver) = oneshot::channel();
    (Promise(sender), Reader { source: Source::Promise(Some(receiver)), engine: None })
}

impl<T> Promise<T> {
    /// Sends the item. It is dropped if the reader is gone.
    pub fn keep(self, item: T) {
        let _ = self.0.send(item);
    }

    /// Whether the reader is still there; there is always room for the item.
    pub fn flow(&self) -> Flow {
        if self.0.is_closed() { Flow::Gone } else { Flow::Open }
    }
}

impl<T> Outlet<T> {
    /// Sends an item. It is dropped if the reader is gone.
    pub fn send(&self, item: T) {
        // The channel cannot be full: a job sends at most `turn_max` items in a turn, only while the flow is open, and one last message.
        let _ = self.sender.try_send(item);
    }

    /// Sends the last message.
    pub fn close(self, item: T) {
        self.shared.over.store(true, SeqCst);
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
        self.shared.parked.store(true, SeqCst);
        // The reader makes room and then checks `parked`; this end sets `parked` and then checks for room. With a fence between
        // the two steps on both sides, at least one end sees what the other has done.
        fence(SeqCst);
        if self.has_room() { Flow::Open } else { Flow::Full }
    }

    /// Whether there is room for the items of a turn and the last message.
    fn has_room(&self) -> bool {
        self.sender.capacity() > self.turn_max
    }
}

impl<T> Reader<T> {
    /// The next item; `None` when the job is closed. No item is lost if this is dropped before it is ready.
    pub async fn next(&mut self) -> Option<T> {
        let item = match &mut self.source {
            Source::Outlet(receiver, _) => receiver.recv().await,
            Source::Promise(receiver) => {
                let item = receiver.as_mut()?.await.ok();
                *receiver = None;
                item
            }
        };
        self.tell_of_room();
        item
    }

    /// The next item, if there is one already.
    pub fn try_next(&mut self) -> Option<T> {
        let item = match &mut self.source {
            Source::Outlet(receiver, _) => receiver.try_recv().ok(),
            Source::Promise(receiver) => {
                let item = receiver.as_mut()?.try_recv().ok();
                if item.is_some() {
                    *receiver = None;
                }
                item
            }
        };
        self.tell_of_room();
        item
    }

    /// The reader of a job that was given to the engine behind `inbox`, which it tells what that engine waits for.
    pub fn telling(mut self, inbox: Arc<Inbox>) -> Self {
        self.engine = Some(inbox);
        self
    }

    fn tell_of_room(&self) {
        let Source::Outlet(_, shared) = &self.source else { return };
        fence(SeqCst);
        if shared.parked.load(SeqCst) && shared.parked.swap(false, SeqCst) {
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
        let is_over = match &mut self.source {
            Source::Outlet(receiver, shared) => {
                receiver.close();
                shared.over.load(SeqCst)
            }
            Source::Promise(None) => true,
            Source::Promise(Some(receiver)) => {
                // Only before the channel is closed does it tell whether the item is still to come.
                let is_over = !matches!(receiver.try_recv(), Err(oneshot::error::TryRecvError::Empty));
                receiver.close();
                is_over
            }
        };
        if !is_over {
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
        Arc::new(Inbox::new(InboxLimits {
            jobs_max: 1,
            bytes_max: 1,
            wait_max: Duration::ZERO,
            rows_max: 1,
            state_bytes_max: 1,
            turn_steps: 1.0,
        }))
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
    fn a_job_that_sends_several_items_in_a_turn_has_room_for_all_of_them_or_is_full() {
        let (outlet, mut reader) = wide_outlet(Capacity { items_max: 1, turn_max: 3 });
        assert_eq!(outlet.flow(), Flow::Open);
        (0..3).for_each(|item| outlet.send(item));
        for item in 0..3 {
            assert_eq!(outlet.flow(), Flow::Full);
            assert_eq!(reader.try_next(), Some(item));
        }
        assert_eq!(outlet.flow(), Flow::Open);
        (3..6).for_each(|item| outlet.send(item));
        outlet.close(6);
        let left: Vec<i32> = std::iter::from_fn(|| reader.try_next()).collect();
        assert_eq!(left, [3, 4, 5, 6]);
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

    #[test]
    fn a_promise_is_kept_once_and_nothing_is_told() {
        let inbox = inbox();
        let (kept, reader) = promise();
        let mut reader = reader.telling(inbox.clone());
        assert_eq!((kept.flow(), reader.try_next()), (Flow::Open, None));
        kept.keep(7);
        assert_eq!((reader.try_next(), reader.try_next()), (Some(7), None));
        drop(reader);
        let (kept, reader) = promise();
        kept.keep(8);
        drop(reader.telling(inbox.clone()));
        assert!(!inbox.news().tell_of(&ALL), "the engine has nothing left to do for either reader");
    }

    #[test]
    fn a_reader_that_no_longer_wants_what_was_promised_tells_so() {
        let inbox = inbox();
        let (promise, reader) = promise::<()>();
        drop(reader.telling(inbox.clone()));
        assert!(inbox.news().tell_of(&[News::GONE]));
        assert_eq!(promise.flow(), Flow::Gone);
    }

    /// An engine fills a channel of one item, parks, and sleeps until it hears of room, so that every item races with a thread that is
    /// about to sleep.
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
