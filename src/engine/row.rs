//! One sequence of a job between two turns: its state, and what it has left to read.

use std::sync::Arc;

use super::{RowPlan, Tag};
use crate::lm::{Extent, Logits, State, TokenId};
use crate::session::{Lease, Snapshot};
use crate::text::Joint;

/// A row of an admitted job.
pub(super) struct ActiveRow {
    pub(super) tag: Tag,
    pub(super) place: Place,
    pub(super) pending: Pending,
    /// Tokens of `pending` that are read and committed.
    pub(super) read: usize,
    pub(super) logits: Logits,
    pub(super) stage: Stage,
}

/// How far a row has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not read everything that it was given.
    Running,
    /// It waits for its job to decide.
    Ready,
    /// Its job has ended it.
    Finished,
}

/// Where the state of a row is kept.
pub(super) enum Place {
    /// In a session, which the row advances.
    Session(Lease),
    /// In the row alone.
    Copy(Snapshot),
}

/// What a row was given to read.
pub(super) enum Pending {
    /// Tokens of the request, and how the text ends with them.
    Prompt(Arc<[TokenId]>, Joint),
    /// A token that the job has chosen, and that the client may have seen.
    Drawn([TokenId; 1]),
}

impl ActiveRow {
    /// A row that has not run yet.
    pub(super) fn new(plan: RowPlan, place: Place) -> Self {
        let RowPlan { tag, tokens, joint, logits } = plan;
        Self { tag, place, pending: Pending::Prompt(tokens, joint), read: 0, logits, stage: Stage::Running }
    }

    /// The tokens left to read.
    pub(super) fn tokens(&self) -> &[TokenId] {
        &self.pending.tokens()[self.read..]
    }

    /// What it adds to a run in which it reads `len` of its tokens, and its logits are asked for as its job wants them after these.
    pub(super) fn extent(&self, len: usize) -> Extent {
        self.place.snapshot().state.counted(Extent::of_row(len, self.logits.positions(len).len()))
    }

    /// Whether it reads a token that its job has chosen.
    pub(super) fn is_drawn(&self) -> bool {
        matches!(self.pending, Pending::Drawn(_))
    }

    /// Whether its next turn sends nothing.
    pub(super) fn is_silent(&self) -> bool {
        self.is_drawn() && self.logits == Logits::None
    }

    /// Whether it has yet to read a token that the client may have seen.
    pub(super) fn owes_a_read(&self) -> bool {
        self.stage == Stage::Running && self.is_drawn()
    }

    pub(super) fn is_on_session(&self) -> bool {
        matches!(self.place, Place::Session(_))
    }

    /// How many tokens it may read in one turn.
    pub(super) fn piece_max(&self) -> usize {
        self.place.snapshot().piece_max(self.tokens().len())
    }

    /// The state, and the next `len` tokens that it is going to read.
    pub(super) fn state_and_tokens(&mut self, len: usize) -> (&mut State, &[TokenId]) {
        (&mut self.place.snapshot_mut().state, &self.pending.tokens()[self.read..self.read + len])
    }

    /// Counts the next `len` tokens as read: the model has replaced the state by its successor.
    pub(super) fn commit(&mut self, len: usize) {
        let tokens = &self.pending.tokens()[self.read..self.read + len];
        self.place.snapshot_mut().advance(tokens);
        self.read += len;
        if self.tokens().is_empty() {
            self.stage = Stage::Ready;
            if let Pending::Prompt(tokens, joint) = &self.pending
                && !tokens.is_empty()
            {
                self.place.snapshot_mut().end_text(*joint);
            }
        }
        if let Place::Session(lease) = &mut self.place {
            lease.reached();
        }
    }
}

impl Place {
    pub(super) fn snapshot(&self) -> &Snapshot {
        match self {
            Place::Session(lease) => &lease.snapshot,
            Place::Copy(snapshot) => snapshot,
        }
    }

    pub(super) fn snapshot_mut(&mut self) -> &mut Snapshot {
        match self {
            Place::Session(lease) => &mut lease.snapshot,
            Place::Copy(snapshot) => snapshot,
        }
    }
}

impl Pending {
    pub(super) fn tokens(&self) -> &[TokenId] {
        match self {
            Pending::Prompt(tokens, _) => tokens,
            Pending::Drawn(token) => token,
        }
    }
}
