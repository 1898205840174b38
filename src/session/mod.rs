//! The sessions: what each has read, who may advance it, and when it ends.
//!
//! The module is synchronous and small: one lock around the table of all [`Sessions`], held for moments only. A session belongs to an
//! owner, and a handle finds those of one owner only. A job that advances
//! a session takes a [`Lease`], works without any lock, and puts the session back by dropping the lease. Reads in the meantime
//! see the session as it stood. If sessions are stored, the table notes in [`Changes`] which of them have changed. This module knows neither
//! models nor HTTP nor stores.

mod accounts;
mod changed;
mod changes;
mod dense;
mod gone;
mod history;
mod id;
mod index;
mod lease;
mod limits;
mod lists;
mod memory;
mod moment;
mod origins;
mod owner;
mod record;
mod replica;
mod restore;
mod sessions;
mod stored;
mod table;
#[cfg(test)]
mod tests;
mod wheel;

use std::sync::Arc;
use std::time::Duration;

pub use changed::{ServedWeights, cannot_go_on, no_longer_served, weights_changed};
pub use changes::{ChangeLimits, Changes, Eviction, Happened, Heed, Named, Taken, Ticket};
pub use history::{History, Rewind};
pub use id::SessionId;
pub use lease::Lease;
pub use limits::{Evict, OwnerLimits, SessionLimits};
pub use owner::Name;
pub use record::{Record, StoredName, Unusable};
pub use replica::Reload;
pub use restore::Restored;
pub use sessions::{Account, Closed, NewSession, OnExisting, SessionInfo, SessionStats, Sessions};

use crate::error::{Error, ErrorKind, Result};
use crate::lm::{State, TokenId};
use crate::text::{ExtraWords, Joint, Tail};

/// Sessions to look at under one lock, where there may be many more: some tenths of a millisecond.
pub const PIECE: usize = 256;

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
    /// The way that led here, as far as a session may go back; `None` if it may not.
    pub history: Option<Arc<History>>,
}

impl Snapshot {
    /// Position 0, where nothing was read, with the `state` that the weights `identity` begin with.
    pub fn at_start(state: State, identity: Arc<str>) -> Self {
        Self { state, identity, position: 0, tail: Tail::default(), history: None }
    }
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
    /// Words that are suggested in it although its model does not know them.
    pub extra_words: Option<Arc<ExtraWords>>,
}

impl Snapshot {
    /// The same, at the beginning of a history of `tokens_max` tokens; without one if that is 0.
    pub fn with_history(self, tokens_max: usize) -> Self {
        let history = (tokens_max > 0).then(|| Arc::new(History::new(tokens_max, &self)));
        Self { history, ..self }
    }

    /// How many of the next `left` tokens may be read at once.
    pub fn piece_max(&self, left: usize) -> usize {
        self.history.as_ref().map_or(left, |history| history.piece_max(left))
    }

    /// Counts `tokens`, at most [`Self::piece_max`], which the model has just read into the state.
    pub fn advance(&mut self, tokens: &[TokenId]) {
        self.position += tokens.len() as u64;
        self.tail.extend(tokens);
        if let Some(history) = &mut self.history {
            Arc::make_mut(history).extend(tokens, &self.state);
        }
    }

    /// Notes how the text stands after the last token.
    pub fn end_text(&mut self, joint: Joint) {
        self.tail.joint = joint;
        if let Some(history) = &mut self.history {
            Arc::make_mut(history).end_text(joint);
        }
    }

    /// `start`, with a history that begins there and is as long as the history here.
    fn restarted(&self, start: Snapshot) -> Self {
        start.with_history(self.history.as_ref().map_or(0, |history| history.tokens_max()))
    }

    /// Checks that a session that stands here can go back to `position`.
    ///
    /// # Errors
    /// `InvalidValue` for a position that is ahead or out of reach, and without a history.
    pub fn check_rewind(&self, position: u64) -> Result<()> {
        History::of(self.history.as_ref())?.check(position)
    }

    /// The way back to `position`.
    ///
    /// # Errors
    /// As [`Self::check_rewind`].
    pub fn rewind(&self, position: u64) -> Result<Rewind> {
        History::of(self.history.as_ref())?.rewind(&self.identity, position)
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
