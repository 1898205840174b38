//! The way out of the engine: a bounded channel whose reader wakes the engine when there is room again.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::inbox::Inbox;

/// The engine's end. It never blocks: a job looks at [`Self::flow`] before it makes something to send.
pub struct Outlet<T> {
    sender: mpsc::Sender<T>,
}

/// The client's end. Dropping it cancels the job.
pub struct Reader<T> {
    receiver: mpsc::Receiver<T>,
    /// Set when the job is handed to an engine.
    wake: Option<Arc<Inbox>>,
}

/// How the reader does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// There is room for what a turn can produce.
    Open,
    /// The reader is slow: the job is parked until there is room.
    Full,
    /// The reader is gone.
    Gone,
}

/// A channel for `items_max` items and the job's last word, which always finds room.
pub fn outlet<T>(items_max: usize) -> (Outlet<T>, Reader<T>) {
    let (sender, receiver) = mpsc::channel(items_max.max(1) + 1);
    (Outlet { sender }, Reader { receiver, wake: None })
}

impl<T> Outlet<T> {
    /// Sends an item, or the last word. What nobody waits for any more is dropped.
    pub fn send(&self, item: T) {
        // Full cannot be: a job sends at most one item a turn while the flow is open, and one last word.
        let _ = self.sender.try_send(item);
    }

    /// Whether the reader keeps up.
    pub fn flow(&self) -> Flow {
        match self.sender.capacity() {
            _ if self.sender.is_closed() => Flow::Gone,
            0 | 1 => Flow::Full,
            _ => Flow::Open,
        }
    }
}

impl<T> Reader<T> {
    /// The next item; `None` when the job is closed.
    pub async fn next(&mut self) -> Option<T> {
        let item = self.receiver.recv().await;
        self.wake();
        item
    }

    /// The next item if it is there already.
    pub fn try_next(&mut self) -> Option<T> {
        let item = self.receiver.try_recv().ok();
        self.wake();
        item
    }

    /// Has `inbox`'s engine woken when this reader makes room or goes.
    pub fn waking(mut self, inbox: Arc<Inbox>) -> Self {
        self.wake = Some(inbox);
        self
    }

    fn wake(&self) {
        if let Some(inbox) = &self.wake {
            inbox.wake();
        }
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.receiver.close();
        self.wake();
    }
}
