//! The sessions: what each has read, who may advance it, and when it ends.
//!
//! The module is synchronous and small: one lock around the table of [`Sessions`], held for moments only. A job that advances
//! a session takes a [`Lease`], works without any lock, and puts the session back by dropping the lease. Reads in the meantime
//! see the session as it stood. This module knows neither models nor HTTP.

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
use std::time::Duration;

pub use id::SessionId;
pub use lease::Lease;
pub use limits::{Evict, SessionLimits};
pub use sessions::{Closed, NewSession, OnExisting, SessionInfo, SessionStats, Sessions};

use crate::error::{Error, ErrorKind, Result};
use crate::lm::{State, TokenId};
use crate::text::Tail;

/// A point in a sequence: the state, the weights that computed it, the number of tokens read, and the last of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The model's memory.
    pub state: State,
    /// The identity of the weights that computed the state; its numbers mean nothing to other weights.
    pub identity: Arc<str>,
    /// Tokens read since the model's start; the manifest's initial tokens do not count.
    pub position: u64,
    /// The decoder's context.
    pub tail: Tail,
}

/// A session at a moment: the name of its model, where it stands, and how long it lives.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The name of its model.
    pub model: Arc<str>,
    /// Where it stands.
    pub snapshot: Snapshot,
    /// Its time to live after its last use.
    pub ttl: Duration,
}

impl Snapshot {
    /// Counts `tokens`, which the model has just read into the state.
    pub fn advance(&mut self, tokens: &[TokenId]) {
        self.position += tokens.len() as u64;
        self.tail.extend(tokens);
    }

    /// Refuses a model whose weights did not compute the state. Checked wherever a state meets a model.
    ///
    /// # Errors
    /// `StateMismatch`, which names both identities.
    pub fn check_made_by(&self, identity: &str) -> Result<()> {
        if *self.identity == *identity {
            return Ok(());
        }
        let message = format!(
            "the state was computed by weights with identity `{}`; the identity of the model is `{identity}`",
            self.identity
        );
        Err(Error::new(ErrorKind::StateMismatch, message))
    }
}
