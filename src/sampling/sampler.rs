//! The draw of one token.

use super::filtered::Filtered;
use super::{Filters, NothingLeft, uniform};
use crate::lm::top_k::top_k;
use crate::lm::{LogSumExp, TokenId};

/// How a token is chosen from those that the filters keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampler {
    /// The most likely token; ties are broken by the lower id.
    Greedy,
    /// A token drawn at random with its probability. Choice i of a request uses the random numbers of (seed, i).
    Multinomial {
        /// The request's seed.
        seed: u64,
        /// The index of the choice.
        choice: u32,
    },
}

/// A token that was drawn, and its log-probability under the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// The token.
    pub token: TokenId,
    /// `ln P(token)` under the model, before any filter; in nats.
    pub logprob: f64,
}

impl Sampler {
    /// Draws the token at `position`, counted from the start of its sequence.
    ///
    /// The logits of tokens that are ruled out are overwritten with `-inf`; the others are left unchanged.
    ///
    /// # Errors
    /// [`NothingLeft`] if every token is ruled out.
    pub fn draw(&self, filters: &Filters, logits: &mut [f32], position: u64) -> Result<Drawn, NothingLeft> {
        let model = LogSumExp::new(logits);
        filters.rule_out(logits);
        let token = match *self {
            // No other filter ever removes the most likely token.
            Sampler::Greedy => *top_k(logits, 1).first().ok_or(NothingLeft)?,
            Sampler::Multinomial { seed, choice } => {
                Filtered::new(filters, logits)?.quantile(logits, uniform(seed, choice, position))
            }
        };
        Ok(Drawn { token, logprob: model.logprob(logits[token as usize]) })
    }
}
