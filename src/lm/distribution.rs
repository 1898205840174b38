//! Logits seen as probabilities.

use super::ranks::ranks;
use super::top_k::{Place, top_k};
use super::{LogSumExp, TokenId, reduce};

/// Up to how many tokens are ranked one by one. To count for one takes so little for each logit that a pass in which each logit is searched among
/// all of them is faster only from about here on.
const RANKED_ALONE: usize = 256;

/// Up to how many probabilities are added up in `f64`. More take long.
const ADDED_EXACTLY: usize = 256;

/// `ln P(token)` of `logits`, as [`Distribution::logprob`] has it, for one that is asked for nothing else.
pub fn logprob(logits: &[f32], token: TokenId) -> f64 {
    LogSumExp::new(logits).logprob(logits[token as usize])
}

/// One row of logits `[vocab_size]`, the logarithm of the sum of their exponentials, and their entropy.
///
/// Every logprob is `f64`, in nats. Token arguments must be below `vocab_size`. Tokens are ordered by decreasing logit, equal ones (`-0.0`
/// and `0.0` are equal) by id.
#[derive(Clone, Copy, Debug)]
pub struct Distribution<'a> {
    logits: &'a [f32],
    normaliser: LogSumExp,
    entropy: f64,
    /// What was subtracted from all logits, so that the largest is 0.
    shift: f64,
}

impl<'a> Distribution<'a> {
    /// Sums once over `logits`, which must be finite or `-inf` (a token that is ruled out), and not all `-inf`.
    pub fn new(logits: &'a [f32]) -> Self {
        Self::shifted(logits, 0.0)
    }

    /// The same for logits from which `shift` was subtracted, which changes no probability.
    pub(crate) fn shifted(logits: &'a [f32], shift: f64) -> Self {
        let (normaliser, entropy) = LogSumExp::with_entropy(logits);
        Self { logits, normaliser, entropy, shift }
    }

    /// The logits, `[vocab_size]`, as they were given.
    pub fn logits(&self) -> &'a [f32] {
        self.logits
    }

    /// `ln sum exp(logits)`, nats, of the logits before any shift.
    pub fn logsumexp(&self) -> f64 {
        self.normaliser.value() + self.shift
    }

    /// `ln P(token)`; `-inf` for a token that is ruled out.
    pub fn logprob(&self, token: TokenId) -> f64 {
        self.normaliser.logprob(self.logits[token as usize])
    }

    /// The logarithm of the probability of `tokens` together, which are distinct; `-inf` if all of them are ruled out. Of many tokens it is
    /// as exact as a logprob ([`LogSumExp::new`]).
    pub fn logprob_of_any(&self, tokens: &[TokenId]) -> f64 {
        if tokens.len() <= ADDED_EXACTLY {
            return libm::log(tokens.iter().map(|&token| libm::exp(self.logprob(token))).sum());
        }
        let logits = tokens.iter().map(|&token| self.logits[token as usize]);
        // Without those that are ruled out: of none at all the sum is 0, and its logarithm `-inf`.
        let logits: Vec<f32> = logits.filter(|&logit| logit > f32::NEG_INFINITY).collect();
        LogSumExp::new(&logits).log_share_of(&self.normaliser)
    }

    /// The `k` most likely tokens, the most likely first; fewer if fewer are not ruled out.
    pub fn top_k(&self, k: usize) -> Vec<TokenId> {
        top_k(self.logits, k)
    }

    /// The token's place in the order of [`Self::top_k`], counted from 1.
    pub fn rank(&self, token: TokenId) -> usize {
        let own = self.logits[token as usize];
        let (before, after) = self.logits.split_at(token as usize);
        1 + reduce::count(before, |logit| logit >= own) + reduce::count(after, |logit| logit > own)
    }

    /// The rank of each of `tokens`, as [`Self::rank`] has it.
    pub fn ranks(&self, tokens: &[TokenId]) -> Vec<usize> {
        if tokens.len() <= RANKED_ALONE {
            return tokens.iter().map(|&token| self.rank(token)).collect();
        }
        let place = |token: TokenId| Place::new(self.logits[token as usize], token);
        let wanted: Vec<Place> = tokens.iter().map(|&token| place(token)).collect();
        ranks(&wanted, (0..self.logits.len() as TokenId).map(place), Place::cmp)
    }

    /// The entropy, nats.
    pub fn entropy(&self) -> f64 {
        self.entropy
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lm::test_logits::{gaussian, logits_with_ties};

    #[test]
    fn probabilities_sum_to_one() {
        for vocab_size in [1, 27, 10_000, 250_000] {
            let logits = gaussian(7, vocab_size, 3.0);
            let distribution = Distribution::new(&logits);
            let probabilities =
                (0..vocab_size as TokenId).map(|token| libm::exp(distribution.logprob(token)));
            assert!((probabilities.sum::<f64>() - 1.0).abs() < 1e-7);
        }
    }

    #[test]
    fn a_rank_counts_across_blocks() {
        let logits = gaussian(7, 250_000, 3.0);
        let distribution = Distribution::new(&logits);
        let order = distribution.top_k(250_000);
        for place in [0, 49, 65_536, 131_072, 249_999] {
            assert_eq!(distribution.rank(order[place]), place + 1);
        }
    }

    #[test]
    fn tokens_are_together_as_likely_as_their_sum() {
        for (offset, ruled_out) in [(0.0, 0), (1000.0, 77), (-300.0, 0)] {
            let mut logits = gaussian(7, 10_000, 3.0);
            logits[5000..].iter_mut().for_each(|logit| *logit += offset);
            logits[..ruled_out].fill(f32::NEG_INFINITY);
            let distribution = Distribution::new(&logits);
            for count in [1, ADDED_EXACTLY, ADDED_EXACTLY + 1, 3000, 5000] {
                let tokens: Vec<TokenId> = (0..5000).rev().take(count).collect();
                let best = tokens.iter().map(|&token| distribution.logprob(token)).fold(f64::MIN, f64::max);
                let sum: f64 =
                    tokens.iter().map(|&token| libm::exp(distribution.logprob(token) - best)).sum();
                let error = distribution.logprob_of_any(&tokens) - best - libm::log(sum);
                let exact = if count <= ADDED_EXACTLY { 1e-12 } else { 6e-7 };
                // What is less likely than the smallest `f64` is impossible, if few are added up.
                let is_nothing = count <= ADDED_EXACTLY && best < -700.0;
                assert!(error.abs() < exact || is_nothing, "{count} tokens, {offset}: {error:e}");
            }
        }
        let mut logits = vec![f32::NEG_INFINITY; 1000];
        logits[0] = 1.0;
        let distribution = Distribution::new(&logits);
        for count in [0, 10, 900] {
            let tokens: Vec<TokenId> = (1..=count).collect();
            assert_eq!(distribution.logprob_of_any(&tokens), f64::NEG_INFINITY, "{count} tokens");
        }
        let all: Vec<TokenId> = (0..1000).collect();
        assert_eq!(distribution.logprob_of_any(&all), 0.0);
    }

    proptest! {
        #[test]
        fn a_rank_is_a_place_in_the_list(logits in logits_with_ties(1..300)) {
            prop_assume!(logits.iter().any(|&logit| logit > f32::NEG_INFINITY));
            let distribution = Distribution::new(&logits);
            let ranks: Vec<usize> =
                distribution.top_k(logits.len()).into_iter().map(|token| distribution.rank(token)).collect();
            prop_assert_eq!(&ranks, &(1..=ranks.len()).collect::<Vec<_>>());
        }

        #[test]
        fn tokens_ranked_together_have_the_ranks_that_each_has_alone(
            logits in logits_with_ties(1..300),
            count in 0..3 * RANKED_ALONE,
            step in 1..300usize,
        ) {
            prop_assume!(logits.iter().any(|&logit| logit > f32::NEG_INFINITY));
            let distribution = Distribution::new(&logits);
            // Some occur twice.
            let tokens: Vec<TokenId> = (0..count).map(|at| (at * step % logits.len()) as TokenId).collect();
            let alone: Vec<usize> = tokens.iter().map(|&token| distribution.rank(token)).collect();
            prop_assert_eq!(distribution.ranks(&tokens), alone);
        }
    }
}
