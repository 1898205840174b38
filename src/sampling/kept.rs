//! What the filters keep of one row of logits, and the inverse of its cumulative distribution.
//!
//! Tokens are ordered by the model's logit, the largest first, equal ones by id. Temperature never changes that order and every
//! filter keeps a front part of it, so what is kept is a number of tokens, and only those that matter are ever sorted.
//! All sums run in that order in f64 (over the whole vocabulary: in the order of `lm::reduce`), so equal logits give equal draws.

use super::{Filters, NothingLeft};
use crate::lm::top_k::{Ranking, top_k};
use crate::lm::{TokenId, math, reduce};

/// The tokens kept, and how much each weighs.
pub(super) struct Kept {
    scale: Scale,
    tokens: Tokens,
}

enum Tokens {
    /// All that are not ruled out.
    All,
    /// These, most likely first; at least one.
    First(Vec<TokenId>),
}

impl Kept {
    /// Applies the filters after the first to `logits`, in which tokens ruled out are `-inf`.
    pub(super) fn new(filters: &Filters, logits: &[f32]) -> Result<Self, NothingLeft> {
        let max = reduce::max(logits);
        if max == f32::NEG_INFINITY {
            return Err(NothingLeft);
        }
        let scale = Scale { max, temperature: filters.temperature };
        let tokens = match (filters.top_k, filters.top_p, filters.min_p) {
            (None, None, 0.0) => Tokens::All,
            (Some(k), None, 0.0) => Tokens::First(top_k(logits, k)),
            (Some(k), ..) => {
                let first = top_k(logits, k);
                let mass = first.iter().map(|&token| scale.weight(logits, token)).sum();
                let cut = Cut::new(filters, mass);
                Tokens::First(cut.of(first.into_iter(), |token| scale.weight(logits, token)))
            }
            (None, ..) => {
                let cut = Cut::new(filters, scale.mass(logits));
                Tokens::First(cut.of(Ranking::new(logits), |token| scale.weight(logits, token)))
            }
        };
        Ok(Self { scale, tokens })
    }

    /// The token at which the cumulative distribution first exceeds `u`, in `[0, 1)`. `logits` are those of [`Self::new`].
    pub(super) fn quantile(&self, logits: &[f32], u: f64) -> TokenId {
        let weight = |token| self.scale.weight(logits, token);
        match &self.tokens {
            Tokens::All => first_above(u * self.scale.mass(logits), Ranking::new(logits), weight),
            Tokens::First(tokens) => {
                let mass: f64 = tokens.iter().map(|&token| weight(token)).sum();
                first_above(u * mass, tokens.iter().copied(), weight)
            }
        }
    }

    /// Overwrites the `logits` of [`Self::new`]: divided by the temperature and the largest 0, or `-inf` for a token not kept.
    pub(super) fn write(&self, logits: &mut [f32]) {
        match &self.tokens {
            Tokens::All => logits.iter_mut().for_each(|logit| *logit = self.scale.apply(*logit)),
            Tokens::First(tokens) => {
                let kept: Vec<f32> =
                    tokens.iter().map(|&token| self.scale.apply(logits[token as usize])).collect();
                logits.fill(f32::NEG_INFINITY);
                for (&token, logit) in tokens.iter().zip(kept) {
                    logits[token as usize] = logit;
                }
            }
        }
    }
}

/// The token at which the running sum of weights exceeds `target`. Should roundings leave the whole sum at or below it: the last token that weighs anything.
fn first_above(
    target: f64,
    ranked: impl Iterator<Item = TokenId>,
    weight: impl Fn(TokenId) -> f64,
) -> TokenId {
    let mut reached = 0.0;
    let mut drawn = 0;
    for token in ranked {
        let weight = weight(token);
        if weight == 0.0 {
            break; // And so are all that follow.
        }
        reached += weight;
        drawn = token;
        if reached > target {
            break;
        }
    }
    drawn
}

/// Where `top_p` and `min_p` end the order.
struct Cut {
    mass_max: f64,
    weight_min: f64,
}

impl Cut {
    /// For tokens that weigh `mass` together, the most likely of them 1.
    fn new(filters: &Filters, mass: f64) -> Self {
        Self {
            mass_max: filters.top_p.map_or(f64::INFINITY, |share| share * mass),
            weight_min: filters.min_p,
        }
    }

    fn of(&self, ranked: impl Iterator<Item = TokenId>, weight: impl Fn(TokenId) -> f64) -> Vec<TokenId> {
        let mut before = 0.0;
        let keep = |&token: &TokenId| {
            let weight = weight(token);
            let keep = before < self.mass_max && weight >= self.weight_min;
            before += weight;
            keep
        };
        ranked.take_while(keep).collect()
    }
}

/// How a logit is weighed: the largest becomes 0 and weighs 1, so that nothing overflows at any temperature.
#[derive(Clone, Copy)]
struct Scale {
    max: f32,
    temperature: f32,
}

impl Scale {
    #[inline(always)]
    fn apply(&self, logit: f32) -> f32 {
        (logit - self.max) / self.temperature
    }

    fn weight(&self, logits: &[f32], token: TokenId) -> f64 {
        f64::from(math::exp(self.apply(logits[token as usize])))
    }

    /// The weight of the whole vocabulary.
    fn mass(&self, logits: &[f32]) -> f64 {
        reduce::sum(logits, |logit| math::exp(self.apply(logit)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lm::test_logits::{gaussian, logits_with_ties};
    use crate::sampling::FilterSpec;

    fn filters(spec: FilterSpec) -> Filters {
        Filters::new(spec).unwrap()
    }

    fn kept(spec: FilterSpec, logits: &[f32]) -> Vec<TokenId> {
        match Kept::new(&filters(spec), logits).unwrap().tokens {
            Tokens::All => top_k(logits, logits.len()),
            Tokens::First(tokens) => tokens,
        }
    }

    proptest! {
        /// A draw that sorts only what it needs is a draw from the whole vocabulary sorted.
        #[test]
        fn a_draw_equals_one_from_a_full_sort(
            logits in logits_with_ties(1..2500),
            temperature in prop_oneof![Just(1.0), 0.01..100.0f64],
            us in prop::collection::vec(prop_oneof![0.0..1.0f64, Just(0.0), Just(1.0f64.next_down())], 8),
        ) {
            prop_assume!(logits.iter().any(|&logit| logit > f32::NEG_INFINITY));
            let kept = Kept::new(&filters(FilterSpec { temperature, ..Default::default() }), &logits).unwrap();
            let sorted = top_k(&logits, logits.len());
            let mass = kept.scale.mass(&logits);
            let weight = |token| kept.scale.weight(&logits, token);
            for u in us {
                let drawn = first_above(u * mass, sorted.iter().copied(), weight);
                prop_assert_eq!(kept.quantile(&logits, u), drawn);
            }
        }

        /// The cut found lazily from the top is that of a list of everything.
        #[test]
        fn filters_cut_alike_with_and_without_a_list(
            logits in logits_with_ties(1..2500),
            temperature in 0.1..10.0f64,
            top_p in 0.01..0.999f64,
            min_p in prop_oneof![Just(0.0), 0.0..0.2f64],
        ) {
            prop_assume!(logits.iter().any(|&logit| logit > f32::NEG_INFINITY));
            let spec = FilterSpec { temperature, top_p, min_p, ..Default::default() };
            let lazy = kept(spec.clone(), &logits);
            let listed = kept(FilterSpec { top_k: Some(logits.len()), ..spec }, &logits);
            // The mass is summed in another order: one token more or less where the sum meets the bound.
            let common = lazy.len().min(listed.len());
            prop_assert_eq!(&lazy[..common], &listed[..common]);
            if lazy.len() != listed.len() {
                let scale = Scale { max: reduce::max(&logits), temperature: temperature as f32 };
                let mass: f64 = lazy[..common].iter().map(|&token| scale.weight(&logits, token)).sum();
                prop_assert!((mass / scale.mass(&logits) - top_p).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn top_p_of_one_keeps_all_and_a_tiny_one_keeps_one() {
        let logits = gaussian(3, 20_000, 3.0);
        let all = top_k(&logits, logits.len());
        assert_eq!(kept(FilterSpec::default(), &logits), all);
        assert_eq!(kept(FilterSpec { top_k: Some(20_000), top_p: 1.0, ..Default::default() }, &logits), all);
        assert_eq!(kept(FilterSpec { top_p: 1e-300, ..Default::default() }, &logits), all[..1]);
        assert_eq!(kept(FilterSpec { min_p: 1.0, ..Default::default() }, &logits), all[..1]);
        assert_eq!(kept(FilterSpec { top_k: Some(1), ..Default::default() }, &logits), all[..1]);
    }

    #[test]
    fn each_filter_sees_what_those_before_it_left() {
        // Probabilities 0.4, 0.3, 0.2, 0.1.
        let logits = [0.4f32, 0.3, 0.2, 0.1].map(libm::logf);
        let spec = FilterSpec::default;
        assert_eq!(kept(FilterSpec { top_p: 0.65, ..spec() }, &logits), [0, 1]);
        // Of the two that top_k leaves, the first holds 4/7.
        assert_eq!(kept(FilterSpec { top_k: Some(2), top_p: 0.5, ..spec() }, &logits), [0]);
        // At temperature 1/2 the first holds 16/30 of all.
        assert_eq!(kept(FilterSpec { temperature: 0.5, top_p: 0.5, ..spec() }, &logits), [0]);
        // At temperature 1/2 the second is 9/16 as likely as the first, not 3/4.
        assert_eq!(kept(FilterSpec { temperature: 0.5, min_p: 0.6, ..spec() }, &logits), [0]);
        assert_eq!(kept(FilterSpec { min_p: 0.6, ..spec() }, &logits), [0, 1]);
    }

    #[test]
    fn extreme_logits_and_temperatures_stay_numbers() {
        let logits = [-1e30, 1e30, f32::MAX, f32::MIN, f32::MAX];
        for temperature in [0.0, 1e-45, 1e-30, 1.0, 100.0] {
            let kept =
                Kept::new(&filters(FilterSpec { temperature, ..Default::default() }), &logits).unwrap();
            assert_eq!(kept.quantile(&logits, 0.0), 2);
            // Greedy takes the first of the two best; any other temperature shares the mass between them.
            assert_eq!(kept.quantile(&logits, 1.0f64.next_down()), if temperature == 0.0 { 2 } else { 4 });
        }
    }
}
