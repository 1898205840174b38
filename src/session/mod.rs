//! The sessions: what each has read, who may advance it, and when it goes.
//!
//! Synchronous and small: one lock around a [`Sessions`] table, taken for moments only. Whoever advances a
//! session takes a [`Lease`], works on a copy without any lock, and puts it back by dropping the lease; reads
//! meanwhile see the session as it stood. This module knows no model, no text and no HTTP.

mod gone;
mod id;
mod lease;
mod limits;
mod memory;
mod sessions;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use id::SessionId;
pub use lease::Lease;
pub use limits::{Evict, SessionLimits};
pub use sessions::{Closed, NewSession, OnExisting, SessionInfo, SessionStats, Sessions};

use crate::error::{Error, ErrorKind, Result};
use crate::lm::{State, Tail, TokenId};

/// A point in a sequence: the state, the weights that made it, how many tokens led to it, and how they ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The model's memory.
    pub state: State,
    /// The identity of the weights that made the state: to others its numbers mean nothing.
    pub identity: Arc<str>,
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

    /// Refuses a model of other weights than those that made the state. Asked wherever a state meets a model.
    ///
    /// # Errors
    /// `StateMismatch` naming both identities.
    pub fn check_made_by(&self, identity: &str) -> Result<()> {
        if *self.identity == *identity {
            return Ok(());
        }
        let message = format!(
            "the state was made by weights of identity `{}`, expected `{identity}`, the identity of the model",
            self.identity
        );
        Err(Error::new(ErrorKind::StateMismatch, message))
    }
}
