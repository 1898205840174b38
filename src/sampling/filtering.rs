//! The filters of a request while it runs: with the tokens that its penalties have counted so far.

use super::adjust::{Originals, Seen};
use super::filtered::Filtered;
use super::{Filters, NothingLeft};
use crate::lm::{Distribution, TokenId};

/// Filters, and the tokens of one continuation that they have seen.
#[derive(Clone, Debug)]
pub struct Filtering {
    pub(super) filters: Filters,
    /// `None` if no penalty asks for them.
    seen: Option<Seen>,
}

impl Filtering {
    /// Filters for what follows `read`, the tokens of the request.
    pub fn new(filters: Filters, read: &[TokenId]) -> Self {
        let seen = filters.counts_tokens().then(|| Seen::new(read));
        Self { filters, seen }
    }

    /// The same filters for what follows `read` instead.
    pub fn after(self, read: &[TokenId]) -> Self {
        Self::new(self.filters, read)
    }

    /// Counts a token that was drawn.
    pub fn drew(&mut self, token: TokenId) {
        if let Some(seen) = &mut self.seen {
            seen.add(token);
        }
    }

    /// Overwrites `logits` `[vocab_size]` with the filtered logits, and returns the distribution that tokens are drawn from.
    /// Tokens that were filtered out have the logit `-inf`; the probabilities of the others sum to 1.
    ///
    /// # Errors
    /// [`NothingLeft`] if every token is ruled out.
    pub fn apply<'a>(&self, logits: &'a mut [f32]) -> Result<Distribution<'a>, NothingLeft> {
        self.adjust(logits);
        let filtered = Filtered::new(&self.filters, logits)?;
        filtered.write(logits);
        Ok(Distribution::shifted(logits, filtered.shift()))
    }

    /// Applies what changes single logits.
    pub(super) fn adjust(&self, logits: &mut [f32]) -> Originals {
        self.filters.adjust(logits, self.seen.as_ref())
    }
}
