//! The sessions: what each has read, who may advance it, and when it goes.
//!
//! Synchronous and small: one lock around a [`Sessions`] table, taken for moments only. Whoever advances a
//! session takes a [`Lease`], works on a copy without any lock, and puts it back by dropping the lease; reads
//! meanwhile see the session as it stood. This module knows no model, no text and no HTTP.

mod gone;
mod id;
mod lease;
mod limits;
mod sessions;
mod table;
#[cfg(test)]
mod tests;

pub use id::SessionId;
pub use lease::Lease;
pub use limits::{Evict, SessionLimits};
pub use sessions::{Closed, NewSession, OnExisting, SessionInfo, SessionStats, Sessions};

use crate::lm::{State, Tail, TokenId};

/// A point in a sequence: the state, how many tokens led to it, and how they ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The model's memory.
    pub state: State,
    /// Tokens read since the model's start; the manifest's initial tokens do not count.
    pub position: u64,
    /// The decoder's context.
    pub tail: Tail,
}

impl Snapshot {
    /// Moves on past `tokens`, which the model has just read into the state.
    pub fn advance(&mut self, tokens: &[TokenId]) {
        self.position += tokens.len() as u64;
        self.tail.extend(tokens);
    }
}
