//! What survives the process: bytes by key. A [`Store`] belongs to one server, and is written in groups; a [`SharedStore`] is that of
//! several, which agree through it on who writes what.
//!
//! A store knows neither sessions nor models. It is called from one thread, which may wait for it; nobody else does. A group is written
//! to a [`Store`] as a whole or not at all, and has survived the end of the process and of the machine's power once the call returns.

mod file;
mod redis;
mod shared;
mod shelf;

pub use self::redis::RedisStore;
pub use file::FileStore;
pub use shared::{Action, Call, Replica, Reply, Reserve, SharedStore, Stored, Version};
pub use shelf::Shelf;

use crate::error::Result;

/// Bytes by key, beyond the life of a process.
pub trait Store: Send {
    /// Shows every entry to `each`, in no order that matters.
    ///
    /// # Errors
    /// `Internal`, with what the store was doing.
    fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<()>;

    /// Writes all of `group`, or nothing. A store that has failed is tried again with the next call.
    ///
    /// # Errors
    /// `Internal`, with what the store was doing.
    fn write(&mut self, group: &[Change]) -> Result<()>;

    /// Removes the entries of which `keep` is false.
    ///
    /// # Errors
    /// `Internal`, with what the store was doing.
    fn retain(&mut self, keep: &dyn Fn(&str) -> bool) -> Result<()>;
}

/// What happens to an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is written, or replaced.
    Put {
        /// Its key.
        key: String,
        /// Its value.
        bytes: Vec<u8>,
    },
    /// It is removed, if it is there.
    Remove {
        /// Its key.
        key: String,
    },
}
