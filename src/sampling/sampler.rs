//! The draw of one token.

use super::kept::Kept;
use super::{Filters, NothingLeft, uniform};
use crate::lm::top_k::top_k;
use crate::lm::{LogSumExp, TokenId};

/// How a token is chosen among those that the filters keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampler {
    /// The most likely one; of equal ones, that with the lowest id.
    Greedy,
    /// One drawn by its probability. Choice i of a request draws from the stream (seed, i).
    Multinomial {
        /// The request's seed.
        seed: u64,
        /// The index of the choice.
        choice: u32,
    },
}

/// A token, and how likely the model itself holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// The token.
    pub token: TokenId,
    /// `ln P(token)` of the model, before any filter; nats.
    pub logprob: f64,
}

impl Sampler {
    /// Draws the token that stands at `position`, counted from the start of its sequence.
    ///
    /// The logits of tokens ruled out are overwritten with `-inf`; the others stay as they are.
    pub fn draw(&self, filters: &Filters, logits: &mut [f32], position: u64) -> Result<Drawn, NothingLeft> {
        let model = LogSumExp::new(logits);
        filters.rule_out(logits);
        let token = match *self {
            // No other filter ever removes the most likely token.
            Sampler::Greedy => *top_k(logits, 1).first().ok_or(NothingLeft)?,
            Sampler::Multinomial { seed, choice } => {
                Kept::new(filters, logits)?.quantile(logits, uniform(seed, choice, position))
            }
        };
        Ok(Drawn { token, logprob: model.logprob(logits[token as usize]) })
    }
}
