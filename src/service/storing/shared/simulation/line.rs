//! Lines that lose what goes over them.

use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::store::{Call, Reply, SharedStore, Shelf};

/// A line from a server to the store.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) shelf: Shelf,
    pub(super) fate: Arc<Mutex<Fate>>,
}

/// What happens to calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They are made.
    Made,
    /// They get lost.
    Lost,
    /// They are made, and the replies get lost.
    RepliesLost,
    /// The first half is made, and the replies get lost.
    Torn,
}

impl SharedStore for Line {
    fn call(&mut self, calls: &[Call]) -> Result<Vec<Reply>> {
        let fate = *self.fate.lock().unwrap();
        let made = match fate {
            Fate::Made | Fate::RepliesLost => calls,
            Fate::Torn => &calls[..calls.len() / 2],
            Fate::Lost => &[],
        };
        let replies = self.shelf.call(made)?;
        if fate == Fate::Made { Ok(replies) } else { Err(Error::internal("the line is down")) }
    }
}
