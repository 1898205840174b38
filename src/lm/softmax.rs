//! Softmax at a temperature, without the normalisation.

use super::{TokenId, math, reduce};

/// The weights of a row of logits. The largest logit is subtracted first, so that no weight exceeds 1 and none overflows at any
/// temperature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Softmax {
    /// The largest logit.
    pub(crate) max: f32,
    /// Above 0.
    pub(crate) temperature: f32,
}

impl Softmax {
    /// The logit at the temperature, at most 0.
    #[inline(always)]
    pub(crate) fn scaled(&self, logit: f32) -> f32 {
        (logit - self.max) / self.temperature
    }

    /// The weight of a token: a probability that is not normalised.
    pub(crate) fn weight(&self, logits: &[f32], token: TokenId) -> f64 {
        f64::from(math::exp(self.scaled(logits[token as usize])))
    }

    /// The sum of all weights.
    pub(crate) fn mass(&self, logits: &[f32]) -> f64 {
        match self.unscaled() {
            true => reduce::sum(logits, |logit| math::exp(logit - self.max)),
            false => reduce::sum(logits, |logit| math::exp(self.scaled(logit))),
        }
    }

    /// Whether the temperature changes nothing. A division by 1 gives the same bits as none, but takes longer than the exponential.
    pub(crate) fn unscaled(&self) -> bool {
        self.temperature == 1.0
    }
}
