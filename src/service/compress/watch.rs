//! How far a file has come, while its pieces are read side by side.

use std::sync::Arc;

/// Is told of bytes that are done, as they are done; all in all of each byte once. It is called on the threads of the engines, and must be
/// quick.
#[derive(Clone)]
pub struct Watch(Arc<dyn Fn(usize) + Send + Sync>);

/// The bytes of one piece.
pub(super) struct Watched {
    watch: Watch,
    done: usize,
    len: usize,
}

impl Watch {
    /// Calls `tell` with the number of bytes that were done since.
    pub fn new(tell: impl Fn(usize) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// A piece of `len` bytes, of which none is done.
    pub(super) fn of(&self, len: usize) -> Watched {
        Watched { watch: self.clone(), done: 0, len }
    }
}

impl Watched {
    /// The first `done` bytes are done.
    pub(super) fn reach(&mut self, done: usize) {
        let more = done.min(self.len).saturating_sub(self.done);
        if more > 0 {
            self.done += more;
            self.watch.0(more);
        }
    }

    /// All bytes are done.
    pub(super) fn finish(mut self) {
        self.reach(self.len);
    }
}
