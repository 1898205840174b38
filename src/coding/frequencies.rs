//! Logits as whole numbers: how often each token would be seen if the model were right.

use super::range::{RangeDecoder, RangeEncoder, Share, TOTAL_MAX};
use crate::kernels::{Isa, Kernel, Task};
use crate::lm::{TokenId, math, reduce};

/// What the most likely token weighs. Every other token weighs less in proportion to its probability, but at least 1, so that every text
/// has a code.
const WEIGHT_MAX: f32 = (1 << 28) as f32;

/// The most tokens whose weights cannot exceed the largest total.
const VOCAB_MAX: u64 = TOTAL_MAX >> 29;

/// The weights of all tokens after one context. It is filled again for every context, so that no memory is allocated for a token.
#[derive(Default)]
pub struct Frequencies {
    weights: Vec<u32>,
    /// The sums of blocks of [`BLOCK`] weights.
    blocks: Vec<u64>,
}

/// Where a token lies among all weights: what the coder needs of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(Share);

const BLOCK: usize = 256;

impl Frequencies {
    /// Whether a vocabulary of this size can be coded.
    pub fn covers(vocab_size: usize) -> bool {
        vocab_size as u64 <= VOCAB_MAX
    }

    /// Takes the weights of `logits`, which are finite or `-inf`, and not all `-inf`.
    pub fn fill(&mut self, logits: &[f32]) {
        let Self { weights, blocks } = self;
        weights.resize(logits.len(), 0);
        blocks.resize(logits.len().div_ceil(BLOCK), 0);
        let max = reduce::max(logits);
        Kernel::current().run(Weigh { logits, max, weights, blocks });
    }

    fn total(&self) -> u64 {
        self.blocks.iter().sum()
    }

    /// Where `token` lies.
    pub fn interval(&self, token: TokenId) -> Interval {
        let token = token as usize;
        let block = token / BLOCK;
        let start = self.blocks[..block].iter().sum::<u64>() + sum(&self.weights[block * BLOCK..token]);
        Interval(Share { start, size: self.weights[token].into(), total: self.total() })
    }

    /// The next token of a code.
    pub fn decode(&self, decoder: &mut RangeDecoder) -> TokenId {
        let total = self.total();
        let target = decoder.target(total);
        let mut start = 0;
        let mut block = 0;
        while start + self.blocks[block] <= target {
            start += self.blocks[block];
            block += 1;
        }
        let mut token = block * BLOCK;
        while start + u64::from(self.weights[token]) <= target {
            start += u64::from(self.weights[token]);
            token += 1;
        }
        decoder.consume(Share { start, size: self.weights[token].into(), total });
        token as TokenId
    }
}

impl Interval {
    /// Adds the token to a code.
    pub fn encode(self, encoder: &mut RangeEncoder) {
        encoder.encode(self.0);
    }
}

#[inline(always)]
fn sum(weights: &[u32]) -> u64 {
    weights.iter().map(|&weight| u64::from(weight)).sum()
}

/// `weights[i] = 1 + floor(2^28 * exp(logits[i] - max))`, and the sums of blocks of them, on every instruction set alike.
struct Weigh<'a> {
    logits: &'a [f32],
    max: f32,
    weights: &'a mut [u32],
    /// One for each [`BLOCK`] weights.
    blocks: &'a mut [u64],
}

impl Task for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let Self { logits, max, weights, blocks } = self;
        for ((logits, weights), block) in logits.chunks(BLOCK).zip(weights.chunks_mut(BLOCK)).zip(blocks) {
            for (weight, &logit) in weights.iter_mut().zip(logits) {
                // At most 2^28, which an i32 holds; a conversion to it is one instruction on every processor.
                *weight = 1 + (math::exp(logit - max) * WEIGHT_MAX) as i32 as u32;
            }
            *block = sum(weights);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lm::Distribution;

    fn logits(len: usize) -> Vec<f32> {
        (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as f32 / 300.0 - 7.0).collect()
    }

    #[test]
    fn intervals_cover_the_total_without_a_gap_and_decode_to_their_tokens() {
        for len in [1, 2, 255, 256, 257, 1000] {
            let mut frequencies = Frequencies::default();
            frequencies.fill(&logits(len));
            let mut encoder = RangeEncoder::default();
            let mut end = 0;
            for token in 0..len as TokenId {
                let interval = frequencies.interval(token);
                assert_eq!(interval.0.start, end);
                end += interval.0.size;
                interval.encode(&mut encoder);
            }
            assert_eq!(end, frequencies.total());
            let mut decoder = RangeDecoder::new(encoder.finish());
            for token in 0..len as TokenId {
                assert_eq!(frequencies.decode(&mut decoder), token);
            }
        }
    }

    #[test]
    fn shares_are_the_probabilities() {
        let logits = logits(1000);
        let mut frequencies = Frequencies::default();
        frequencies.fill(&logits);
        let distribution = Distribution::new(&logits);
        for token in [0, 1, 500, 999] {
            let Interval(Share { size, total, .. }) = frequencies.interval(token);
            let found = size as f64 / total as f64;
            let expected = libm::exp(distribution.logprob(token));
            assert!(
                (found - expected).abs() < 1e-6 * expected + 1e-8,
                "{token}: {found}, expected {expected}"
            );
        }
    }

    #[test]
    fn weights_are_the_same_on_every_kernel_and_none_is_zero() {
        let mut logits = logits(1000);
        logits[7] = f32::NEG_INFINITY;
        logits[8] = -1e30;
        let max = reduce::max(&logits);
        let weigh = |kernel: Kernel| {
            let mut weights = vec![0; logits.len()];
            let mut blocks = vec![0; logits.len().div_ceil(BLOCK)];
            kernel.run(Weigh { logits: &logits, max, weights: &mut weights, blocks: &mut blocks });
            assert_eq!(blocks.iter().sum::<u64>(), sum(&weights));
            weights
        };
        let expected = weigh(Kernel::Portable);
        assert!(Kernel::supported().all(|kernel| weigh(kernel) == expected));
        assert_eq!((expected[7], expected[8], expected.iter().max()), (1, 1, Some(&((1 << 28) + 1))));
        assert!(Frequencies::covers(250_000) && !Frequencies::covers(1 << 30));
    }
}
