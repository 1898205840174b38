//! Where in the ranking of a row of logits a given mass is reached, without sorting the vocabulary.
//!
//! The answer is defined by a walk along the ranking, the most likely token first, that adds up weights one after the other. A flat
//! distribution makes that walk long, and sorting for it slow. Here one pass adds the weights up in bins of depth below the largest
//! logit, and only the tokens of the bin in which the mass is reached are sorted.
//!
//! These sums are taken in another order than the walk's, so their last bits may differ. The difference is bounded; where the answer would
//! depend on it there is no answer, and the caller walks. So the answers are those of the walk.

use super::softmax::Softmax;
use super::top_k::Place;
use super::{TokenId, math};
use crate::kernels::{Isa, Kernel, Task};

/// The weights of a row of logits, added up by depth.
#[derive(Debug)]
pub(crate) struct Histogram {
    softmax: Softmax,
    /// The bin of each token, `[vocab_size]`.
    bins: Vec<u16>,
    /// The sum of the weights in each bin, the most likely tokens first.
    masses: Box<[f64; BINS]>,
    /// No sum here differs by more than half of this from the sum of the same weights in the order of the ranking.
    slack: f64,
}

/// Where a mass is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    pub(crate) token: TokenId,
    /// The sum of the weights up to the token and including its own, correct to half of the slack.
    pub(crate) mass: f64,
}

/// A power of two, so that an index needs no check.
const BINS: usize = 1024;
const LANES: usize = 16;
/// Tokens whose bins are compared in one go.
const BLOCK: usize = 64;

impl Histogram {
    /// Adds up the weights of `logits`, which sum to `mass`.
    pub(crate) fn new(softmax: Softmax, logits: &[f32], mass: f64) -> Self {
        let count = logits.len() as f64;
        // The mean depth, weighted by nothing: most of the mass lies within twice this depth. All deeper tokens share the last bin.
        let typical = libm::log(count / mass).max(0.0);
        let scale = (BINS as f64 / (2.0 * typical + 1e-3)) as f32;
        let mut bins = vec![0; logits.len()];
        let mut masses = Box::new([0.0; BINS]);
        Kernel::current().run(Fill { softmax, scale, logits, bins: &mut bins, masses: &mut masses });
        // A sum of n terms of one sign has a relative error of at most n / 2^53, in any order. Two sums are compared, and a target
        // may itself be such a sum.
        let slack = 8.0 * count * mass / (1u64 << 53) as f64;
        Self { softmax, bins, masses, slack }
    }

    /// The sum of all weights, correct to half of the slack.
    pub(crate) fn total(&self) -> f64 {
        self.masses.iter().sum()
    }

    /// The first token in the ranking at which the sum of the weights exceeds `target`, which may be off by half of the slack. `None` if
    /// that depends on rounding. `logits` are those given to [`Self::new`].
    pub(crate) fn locate(&self, logits: &[f32], target: f64) -> Option<Reached> {
        let mut mass = 0.0;
        let bin = self.masses.iter().position(|&own| {
            let after = mass + own;
            let is_reached = after > target;
            mass = if is_reached { mass } else { after };
            is_reached
        })?;
        if mass > target - self.slack {
            return None;
        }
        let mut places = self.places(logits, bin as u16);
        places.sort_unstable();
        for token in places.into_iter().map(Place::token) {
            mass += self.softmax.weight(logits, token);
            if mass > target + self.slack {
                return Some(Reached { token, mass });
            }
            if mass > target - self.slack {
                return None;
            }
        }
        None
    }

    fn places(&self, logits: &[f32], bin: u16) -> Vec<Place> {
        let mut places = Vec::new();
        for (block, bins) in (0..self.bins.len()).step_by(BLOCK).zip(self.bins.chunks(BLOCK)) {
            // Without an early exit, so that it becomes vector code.
            if !bins.iter().fold(false, |found, &one| found | (one == bin)) {
                continue;
            }
            let own = (block..block + bins.len()).filter(|&index| self.bins[index] == bin);
            places.extend(own.map(|index| Place::new(logits[index], index as TokenId)));
        }
        places
    }
}

struct Fill<'a> {
    softmax: Softmax,
    /// Bins for each unit of depth.
    scale: f32,
    logits: &'a [f32],
    /// One for each logit, written.
    bins: &'a mut [u16],
    masses: &'a mut [f64; BINS],
}

impl Task for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let softmax = self.softmax;
        if softmax.unscaled() {
            self.fill(|logit| logit - softmax.max);
        } else {
            self.fill(|logit| softmax.scaled(logit));
        }
    }
}

impl Fill<'_> {
    #[inline(always)]
    fn fill(self, scaled: impl Fn(f32) -> f32) {
        let (vectors, rest) = self.logits.as_chunks();
        let (bins, bins_rest) = self.bins.as_chunks_mut();
        for (logits, bins) in vectors.iter().zip(bins) {
            *bins = add(logits, self.scale, &scaled, self.masses);
        }
        let mut padded = [f32::NEG_INFINITY; LANES];
        padded[..rest.len()].copy_from_slice(rest);
        bins_rest.copy_from_slice(&add(&padded, self.scale, &scaled, self.masses)[..rest.len()]);
    }
}

/// Adds the weights of `logits` to `masses`. The bin of each.
#[inline(always)]
fn add(
    logits: &[f32; LANES],
    scale: f32,
    scaled: &impl Fn(f32) -> f32,
    masses: &mut [f64; BINS],
) -> [u16; LANES] {
    // Added to a small number, it leaves the nearest integer in the lowest bits: a conversion that becomes vector code.
    const TO_INTEGER: f32 = (1 << (f32::MANTISSA_DIGITS - 1)) as f32;
    let mut bins = [0; LANES];
    let mut weights = [0.0; LANES];
    for ((&logit, bin), weight) in logits.iter().zip(&mut bins).zip(&mut weights) {
        let scaled = scaled(logit);
        // Rising with the depth, so the order of the bins is that of the ranking. A token that is ruled out is infinitely deep.
        let depth = (-scaled * scale).min((BINS - 1) as f32);
        *bin = (depth + TO_INTEGER).to_bits() as u16;
        *weight = math::exp(scaled);
    }
    for (&bin, &weight) in bins.iter().zip(&weights) {
        masses[usize::from(bin) % BINS] += f64::from(weight);
    }
    bins
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lm::reduce;
    use crate::lm::test_logits::{gaussian, logits_with_ties};
    use crate::lm::top_k::top_k;

    /// The walk that defines the answer, and the sum up to each token.
    fn walk(softmax: Softmax, logits: &[f32]) -> Vec<Reached> {
        let mut mass = 0.0;
        let tokens = top_k(logits, logits.len()).into_iter();
        let weighed = tokens.map(|token| {
            mass += softmax.weight(logits, token);
            Reached { token, mass }
        });
        weighed.collect()
    }

    fn softmax(logits: &[f32], temperature: f32) -> Softmax {
        Softmax { max: reduce::max(logits), temperature }
    }

    proptest! {
        #[test]
        fn a_mass_is_located_where_the_walk_reaches_it_or_not_at_all(
            logits in logits_with_ties(1..2500),
            temperature in prop_oneof![Just(1.0f32), 0.01..100.0f32],
            shares in prop::collection::vec(0.0..1.0f64, 8),
            ends in prop::collection::vec(any::<prop::sample::Index>(), 8),
        ) {
            prop_assume!(logits.iter().any(|&logit| logit > f32::NEG_INFINITY));
            let softmax = softmax(&logits, temperature);
            let histogram = Histogram::new(softmax, &logits, softmax.mass(&logits));
            let walked = walk(softmax, &logits);
            let whole = walked[walked.len() - 1].mass;
            // Also exactly where one token ends and the next begins, where only the walk itself can tell.
            let ends = ends.iter().map(|end| end.get(&walked).mass).flat_map(|end| [end, end.next_down(), end.next_up()]);
            for target in shares.iter().map(|share| share * whole).chain(ends) {
                let expected = walked.iter().find(|reached| reached.mass > target);
                if let Some(found) = histogram.locate(&logits, target) {
                    let expected = expected.expect("the walk reaches it too");
                    prop_assert_eq!(found.token, expected.token);
                    prop_assert!((found.mass - expected.mass).abs() <= histogram.slack / 2.0);
                }
            }
        }
    }

    /// Falling back to the walk is correct, but slow.
    #[test]
    fn nearly_every_mass_is_located() {
        for scale in [0.0, 0.01, 1.0, 3.0, 30.0] {
            let logits = gaussian(1, 50_000, scale);
            let softmax = softmax(&logits, 1.0);
            let mass = softmax.mass(&logits);
            let histogram = Histogram::new(softmax, &logits, mass);
            let located = (1..1000).filter(|&share| {
                // A share that is no multiple of 1 / 50,000, where equal tokens end.
                histogram.locate(&logits, (f64::from(share) + 0.123_456) / 1000.2 * mass).is_some()
            });
            assert_eq!(located.count(), 999, "logits of scale {scale}");
        }
    }
}
