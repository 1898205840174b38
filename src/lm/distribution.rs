//! Logits seen as probabilities.

use super::TokenId;

/// One row of logits `[vocab_size]` and the logarithm of the sum of their exponentials.
///
/// Every logprob is `f64`, in nats.
#[derive(Clone, Copy, Debug)]
pub struct Distribution<'a> {
    logits: &'a [f32],
    logsumexp: f64,
}

impl<'a> Distribution<'a> {
    /// Sums once over `logits`, which must be finite or `-inf` (a token ruled out), and not all ruled out.
    pub fn new(logits: &'a [f32]) -> Self {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|&x| f64::from(super::math::exp(x - max))).sum();
        Self { logits, logsumexp: f64::from(max) + libm::log(sum) }
    }

    /// The logits, `[vocab_size]`.
    pub fn logits(&self) -> &'a [f32] {
        self.logits
    }

    /// `ln sum exp(logits)`, nats.
    pub fn logsumexp(&self) -> f64 {
        self.logsumexp
    }

    /// `ln P(token)`.
    pub fn logprob(&self, token: TokenId) -> f64 {
        f64::from(self.logits[token as usize]) - self.logsumexp
    }

    /// The `k` most likely tokens, most likely first; equal logits by rising id. Tokens ruled out are never among them.
    pub fn top_k(&self, k: usize) -> Vec<TokenId> {
        let mut ids: Vec<TokenId> = (0..self.logits.len() as TokenId)
            .filter(|&id| self.logits[id as usize] > f32::NEG_INFINITY)
            .collect();
        ids.sort_by(|&a, &b| self.logits[b as usize].total_cmp(&self.logits[a as usize]).then(a.cmp(&b)));
        ids.truncate(k);
        ids
    }

    /// The token's place in that order, from 1.
    pub fn rank(&self, token: TokenId) -> usize {
        let own = self.logits[token as usize];
        1 + self
            .logits
            .iter()
            .enumerate()
            .filter(|&(id, &x)| x > own || (x == own && (id as TokenId) < token))
            .count()
    }

    /// The entropy, nats.
    pub fn entropy(&self) -> f64 {
        -(0..self.logits.len() as TokenId)
            .map(|id| self.logprob(id))
            .filter(|p| p.is_finite())
            .map(|p| p * libm::exp(p))
            .sum::<f64>()
    }
}
