//! What `typical_p` keeps (Meister et al. 2023, "Locally Typical Sampling"), without sorting the vocabulary.
//!
//! The answer is defined by a walk along the tokens, the most typical first, that adds up weights until they are a share of all. Over a flat
//! distribution that walk is long. Here one pass adds the weights up in bins of distance from the entropy, and only the tokens of the bin in
//! which the share is reached are sorted. As in [`Histogram`](crate::lm::histogram::Histogram), where the answer would depend on the order of
//! the sum, the walk decides.

use crate::lm::top_k::{Place, Ranking, top_k};
use crate::lm::{TokenId, math, reduce};

/// Tokens that are sorted at first.
const HEAD: usize = 64;

const BINS: usize = 1024;

/// The tokens of `scaled` whose surprise is closest to the entropy, as few as have this `share` of the probability; ties by the lower id.
/// `scaled` `[vocab_size]` are logits of which the largest is 0, with `-inf` for what was filtered out before. In no order.
pub(super) fn typical(scaled: &[f32], share: f64) -> Vec<TokenId> {
    // The entropy is `ln mass - mean` and the surprise of a token `ln mass - scaled`, so `ln mass` cancels. At -104 the weight is
    // 0, and 0 times -inf would be NaN.
    let [mass, moment] = reduce::sums(scaled, |scaled| {
        let weight = math::exp(scaled);
        [weight, weight * scaled.max(-104.0)]
    });
    let mean = moment / mass;
    // The most typical token ranks first; what was filtered out stays so.
    let closeness = |&scaled: &f32| match scaled {
        f32::NEG_INFINITY => f32::NEG_INFINITY,
        scaled => -((f64::from(scaled) - mean).abs() as f32),
    };
    let typicality =
        Typicality { scaled, closeness: scaled.iter().map(closeness).collect(), mass, target: share * mass };
    let head = top_k(&typicality.closeness, HEAD);
    let ends_in_head = head.len() < HEAD;
    let walked = typicality.walk(head.into_iter());
    if walked.len() < HEAD || ends_in_head {
        return walked;
    }
    match typicality.last() {
        Some(last) => typicality.until(last),
        None => typicality.walk(Ranking::new(&typicality.closeness)),
    }
}

struct Typicality<'a> {
    scaled: &'a [f32],
    /// The negated distance of each token's surprise from the entropy.
    closeness: Vec<f32>,
    /// The weight of all tokens.
    mass: f64,
    /// The weight that those which are kept reach.
    target: f64,
}

impl Typicality<'_> {
    fn weight(&self, token: TokenId) -> f64 {
        math::exp(self.scaled[token as usize]).into()
    }

    /// The first of `ranked` that reach the target.
    fn walk(&self, ranked: impl Iterator<Item = TokenId>) -> Vec<TokenId> {
        let mut before = 0.0;
        let keep = |&token: &TokenId| {
            let keep = before < self.target;
            before += self.weight(token);
            keep
        };
        ranked.take_while(keep).collect()
    }

    /// The token with which the most typical ones reach the target; `None` if that depends on rounding.
    fn last(&self) -> Option<Place> {
        // A sum of n terms of one sign has a relative error of at most n / 2^53, in any order.
        let slack = 8.0 * self.scaled.len() as f64 * self.mass / (1u64 << 53) as f64;
        let bins = self.bins();
        let mut masses = vec![0.0; BINS];
        for (&bin, &scaled) in bins.iter().zip(self.scaled) {
            masses[usize::from(bin)] += f64::from(math::exp(scaled));
        }
        let mut mass = 0.0;
        let bin = masses.iter().position(|&own| {
            let after = mass + own;
            let is_reached = after > self.target;
            mass = if is_reached { mass } else { after };
            is_reached
        })?;
        if mass > self.target - slack {
            return None;
        }
        let own = (0..).zip(&bins).filter(|&(_, &other)| usize::from(other) == bin);
        let mut places: Vec<Place> = own.map(|(token, _)| self.place(token)).collect();
        places.sort_unstable();
        for place in places {
            mass += self.weight(place.token());
            if mass > self.target + slack {
                return Some(place);
            }
            if mass > self.target - slack {
                return None;
            }
        }
        None
    }

    /// The bin of each token, the most typical first.
    fn bins(&self) -> Vec<u16> {
        let distances = self.closeness.iter().zip(self.scaled).map(|(&closeness, &scaled)| {
            // What weighs nothing may be infinitely far.
            if scaled < -104.0 { 0.0 } else { f64::from(math::exp(scaled)) * -f64::from(closeness) }
        });
        let mean = distances.sum::<f64>() / self.mass;
        // Most of the mass lies within four times the mean distance. All tokens beyond share the last bin.
        let scale = (BINS as f64 / (4.0 * mean + 1e-3)) as f32;
        // Rising with the distance, so that the order of the bins is that of the walk.
        let bin = |&closeness: &f32| {
            let depth = -closeness * scale;
            if depth < (BINS - 1) as f32 { depth as u16 } else { (BINS - 1) as u16 }
        };
        self.closeness.iter().map(bin).collect()
    }

    /// The tokens up to `last`.
    fn until(&self, last: Place) -> Vec<TokenId> {
        let all = 0..self.scaled.len() as TokenId;
        all.filter(|&token| self.closeness[token as usize] > f32::NEG_INFINITY && self.place(token) <= last)
            .collect()
    }

    fn place(&self, token: TokenId) -> Place {
        Place::new(self.closeness[token as usize], token)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lm::test_logits::{gaussian, logits_with_ties};

    /// By the definition: a walk along all tokens.
    fn walked(scaled: &[f32], share: f64) -> Vec<TokenId> {
        let mass = reduce::sum(scaled, math::exp);
        let moment = reduce::sum(scaled, |scaled| math::exp(scaled) * scaled.max(-104.0));
        let mean = moment / mass;
        let mut tokens: Vec<TokenId> = (0..scaled.len() as TokenId).collect();
        tokens.retain(|&token| scaled[token as usize] > f32::NEG_INFINITY);
        let distance = |&token: &TokenId| (f64::from(scaled[token as usize]) - mean).abs() as f32;
        tokens.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        let mut before = 0.0;
        let last = tokens.iter().position(|&token| {
            let is_over = before >= share * mass;
            before += f64::from(math::exp(scaled[token as usize]));
            is_over
        });
        tokens.truncate(last.unwrap_or(tokens.len()));
        tokens.sort_unstable();
        tokens
    }

    fn kept(scaled: &[f32], share: f64) -> Vec<TokenId> {
        let mut kept = typical(scaled, share);
        kept.sort_unstable();
        kept
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_a_walk_along_all_tokens_keeps(
            logits in prop_oneof![
                logits_with_ties(1..2500),
                (any::<u64>(), 100..4000usize, 0.0..4.0f32).prop_map(|(seed, len, scale)| gaussian(seed, len, scale)),
            ],
            share in prop_oneof![0.0..1.0f64, Just(0.9), Just(1e-300)],
        ) {
            let max = reduce::max(&logits);
            prop_assume!(max > f32::NEG_INFINITY);
            let scaled: Vec<f32> = logits.iter().map(|logit| logit - max).collect();
            prop_assert_eq!(kept(&scaled, share), walked(&scaled, share));
        }
    }

    #[test]
    fn bins_decide_over_a_flat_distribution() {
        let logits = gaussian(5, 50_000, 1.0);
        let max = reduce::max(&logits);
        let scaled: Vec<f32> = logits.iter().map(|logit| logit - max).collect();
        let expected = walked(&scaled, 0.9);
        assert!(expected.len() > 10_000);
        assert_eq!(kept(&scaled, 0.9), expected);
        // All alike: the lowest ids, in one bin.
        let flat = vec![0.0; 3000];
        assert_eq!(kept(&flat, 0.3333), (0..1000).collect::<Vec<_>>());
    }
}
