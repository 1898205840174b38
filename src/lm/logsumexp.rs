//! `ln sum exp(logits)`, which turns a logit into a log-probability.

use super::{math, reduce};

/// The normaliser of one row of logits. It does not borrow the row, so the row may change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogSumExp {
    max: f32,
    /// `ln sum exp(logit - max)`, in `0..=ln V`. It is stored apart from `max` so that logprobs keep their precision when all logits
    /// are far from zero.
    log_sum: f64,
}

impl LogSumExp {
    /// Sums once over `logits` `[vocab_size]`, which must be finite or `-inf` (a token ruled out), and not all ruled out.
    ///
    /// The relative error of the sum, which is the absolute error of every logprob, is below 1e-7 for Gaussian logits of any scale and
    /// number. For logits within 16 nats of the best it is at most 6e-7: half an ulp of `logit - max` and one of `exp`. To
    /// come near that, nearly all the mass must be in equal tokens far below the best.
    pub fn new(logits: &[f32]) -> Self {
        let max = reduce::max(logits);
        let sum = reduce::sum(logits, |logit| math::exp(logit - max));
        Self { max, log_sum: libm::log(sum) }
    }

    /// The same, and the entropy, nats, in one pass over the exponentials.
    pub(super) fn with_entropy(logits: &[f32]) -> (Self, f64) {
        let max = reduce::max(logits);
        // -sum p ln p = log_sum + sum e^d (-d) / sum e^d, where d = logit - max: no term is negative, so nothing cancels.
        let [sum, moment] = reduce::sums(logits, |logit| {
            let weight = math::exp(logit - max);
            // At -104 the weight is 0, and -inf times 0 would be NaN.
            [weight, weight * (max - logit).min(104.0)]
        });
        let log_sum = libm::log(sum);
        (Self { max, log_sum }, log_sum + moment / sum)
    }

    /// `ln sum exp(logits)`, nats.
    pub fn value(&self) -> f64 {
        f64::from(self.max) + self.log_sum
    }

    /// The logarithm of the share that the logits of this sum have of those of `whole`, nats.
    pub(super) fn log_share_of(&self, whole: &Self) -> f64 {
        (f64::from(self.max) - f64::from(whole.max)) + (self.log_sum - whole.log_sum)
    }

    /// The log-probability of a token with this logit, nats; `-inf` for a token that is ruled out.
    pub fn logprob(&self, logit: f32) -> f64 {
        (f64::from(logit) - f64::from(self.max)) - self.log_sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lm::test_logits::gaussian;

    fn exact_sum(logits: &[f32]) -> f64 {
        let max = f64::from(reduce::max(logits));
        logits.iter().map(|&x| libm::exp(f64::from(x) - max)).sum()
    }

    fn relative_error(logits: &[f32]) -> f64 {
        (libm::exp(LogSumExp::new(logits).log_sum) / exact_sum(logits) - 1.0).abs()
    }

    #[test]
    fn the_sum_is_exact_to_1e_7() {
        for vocab_size in [1, 2, 27, 1000, 10_000, 250_000] {
            for (seed, scale) in [0.1, 1.0, 3.0, 10.0, 30.0].into_iter().enumerate() {
                let logits = gaussian(seed as u64, vocab_size, scale);
                let error = relative_error(&logits);
                assert!(error < 1e-7, "{vocab_size} logits of scale {scale}: {error:e}");
            }
        }
    }

    #[test]
    fn the_sum_of_equal_logits_is_within_the_bound_of_one_subtraction() {
        for depth in [0.0, 0.3, 3.3, 11.7, 12.4, 15.9] {
            let mut logits = vec![7.3 - depth; 250_000];
            logits[123_456] = 7.3;
            let error = relative_error(&logits);
            assert!(error < 6e-7, "{depth} below: {error:e}");
        }
    }

    #[test]
    fn far_logits_keep_their_differences() {
        for offset in [0.0, 4096.0, -4096.0] {
            let lse = LogSumExp::new(&[offset, offset + 1.0]);
            assert!((lse.logprob(offset + 1.0) + libm::log1p(libm::exp(-1.0))).abs() < 1e-7);
            assert!((lse.value() - f64::from(offset) - 1.313_261_687_518_222_8).abs() < 1e-7);
        }
        let lse = LogSumExp::new(&[1e30, -1e30, f32::NEG_INFINITY]);
        assert_eq!(lse.logprob(1e30), 0.0);
        assert_eq!(lse.logprob(-1e30), -2.0 * f64::from(1e30f32));
        assert_eq!(lse.logprob(f32::NEG_INFINITY), f64::NEG_INFINITY);
    }

    #[test]
    fn entropy_is_that_of_the_definition() {
        let naive = |logits: &[f32]| -> f64 {
            let max = f64::from(reduce::max(logits));
            let sum = exact_sum(logits);
            let logprobs = logits.iter().map(|&x| f64::from(x) - max - libm::log(sum));
            -logprobs.filter(|p| p.is_finite()).map(|p| p * libm::exp(p)).sum::<f64>()
        };
        for (seed, scale) in [0.1, 3.0, 30.0].into_iter().enumerate() {
            let mut logits = gaussian(seed as u64, 5000, scale);
            logits[17] = f32::NEG_INFINITY;
            let (lse, entropy) = LogSumExp::with_entropy(&logits);
            assert_eq!(lse, LogSumExp::new(&logits), "scale {scale}");
            assert!((entropy - naive(&logits)).abs() < 1e-6 * (1.0 + entropy), "scale {scale}");
        }
        assert_eq!(LogSumExp::with_entropy(&[3.0]).1, 0.0);
        let (_, uniform) = LogSumExp::with_entropy(&[1e30; 8]);
        assert!((uniform - libm::log(8.0)).abs() < 1e-15);
    }
}
