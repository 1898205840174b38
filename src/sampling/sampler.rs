//! The draw of one token.

use super::filtered::Filtered;
use super::{Filtering, NothingLeft, uniform};
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
    /// The same for another choice of the request.
    pub fn of_choice(self, choice: u32) -> Self {
        match self {
            Sampler::Greedy => Sampler::Greedy,
            Sampler::Multinomial { seed, .. } => Sampler::Multinomial { seed, choice },
        }
    }

    /// Draws the token at `position`, counted from the start of its sequence.
    ///
    /// Logits with a bias, a penalty or a ban are overwritten; the others are left unchanged.
    ///
    /// # Errors
    /// [`NothingLeft`] if every token is ruled out.
    pub fn draw(
        &self,
        filtering: &Filtering,
        logits: &mut [f32],
        position: u64,
    ) -> Result<Drawn, NothingLeft> {
        let model = LogSumExp::new(logits);
        let originals = filtering.adjust(logits);
        let token = match *self {
            // A temperature of 0 leaves this token alone, whatever the filters after it.
            Sampler::Greedy => *top_k(logits, 1).first().ok_or(NothingLeft)?,
            Sampler::Multinomial { seed, choice } => {
                Filtered::new(&filtering.filters, logits)?.quantile(logits, uniform(seed, choice, position))
            }
        };
        Ok(Drawn { token, logprob: model.logprob(originals.logit(logits, token)) })
    }
}
