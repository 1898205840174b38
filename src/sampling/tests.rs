//! Filters and draws together: compared with a naive reference, with their probabilities, and over a whole generation.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::lm::fake::Fake;
use crate::lm::test_logits::gaussian;
use crate::lm::{Distribution, Logits, Model, Row, Scratch, State, TokenId};

fn filtering(spec: FilterSpec) -> Filtering {
    Filtering::new(Filters::new(spec).unwrap(), &SEEN)
}

/// What penalties count.
const SEEN: [TokenId; 6] = [3, 1, 3, 30, 7, 3];

/// The filters as their papers define them, in f64: the probabilities `[vocab_size]`, renormalised after each filter.
fn naive(spec: &FilterSpec, logits: &[f32]) -> Vec<f64> {
    let mut logits: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
    spec.biases.iter().for_each(|bias| logits[bias.token as usize] += bias.amount);
    let Penalties { repetition, presence, frequency } = spec.penalties;
    for token in BTreeSet::from(SEEN) {
        let logit = &mut logits[token as usize];
        *logit = if *logit > 0.0 { *logit / repetition } else { *logit * repetition };
        *logit -= presence;
    }
    SEEN.iter().for_each(|&token| logits[token as usize] -= frequency);
    spec.ruled_out.iter().for_each(|&token| logits[token as usize] = f64::NEG_INFINITY);
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let probs: Vec<f64> = logits.iter().map(|logit| libm::exp((logit - max) / spec.temperature)).collect();
    let mut order: Vec<usize> = (0..probs.len()).filter(|&id| probs[id] > 0.0).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));

    order.truncate(spec.top_k.unwrap_or(usize::MAX));
    let mass: f64 = order.iter().map(|&id| probs[id]).sum();
    let mut sum = 0.0;
    let fewest = order.iter().position(|&id| {
        sum += probs[id] / mass;
        sum >= spec.top_p && spec.top_p < 1.0
    });
    order.truncate(fewest.map_or(usize::MAX, |last| last + 1));
    let best = probs[order[0]];
    order.retain(|&id| probs[id] >= spec.min_p * best);
    if spec.typical_p < 1.0 {
        let mass: f64 = order.iter().map(|&id| probs[id]).sum();
        let surprise = |id: usize| -libm::log(probs[id] / mass);
        let entropy: f64 = order.iter().map(|&id| probs[id] / mass * surprise(id)).sum();
        order.sort_by(|&a, &b| (surprise(a) - entropy).abs().total_cmp(&(surprise(b) - entropy).abs()));
        let mut sum = 0.0;
        let last = order.iter().position(|&id| {
            sum += probs[id] / mass;
            sum >= spec.typical_p
        });
        order.truncate(last.map_or(usize::MAX, |last| last + 1));
    }

    let mass: f64 = order.iter().map(|&id| probs[id]).sum();
    let mut kept = vec![0.0; probs.len()];
    order.iter().for_each(|&id| kept[id] = probs[id] / mass);
    kept
}

prop_compose! {
    fn specs()(
        ruled_out in prop::collection::vec(0..40u32, 0..5),
        temperature in 0.2..5.0f64,
        top_k in prop::option::of(1..60usize),
        top_p in prop_oneof![Just(1.0), 0.05..0.99f64],
        min_p in prop_oneof![Just(0.0), 0.0..0.3f64],
        typical_p in prop_oneof![Just(1.0), 0.05..0.99f64],
        biases in prop::collection::btree_map(0..40u32, -5.0..5.0f64, 0..4),
        penalties in (prop_oneof![Just(1.0), 0.5..2.0f64], -1.0..1.0f64, -1.0..1.0f64),
    ) -> FilterSpec {
        let (repetition, presence, frequency) = penalties;
        FilterSpec {
            ruled_out: ruled_out.into(),
            biases: biases.into_iter().map(|(token, amount)| Bias { token, amount }).collect(),
            penalties: Penalties { repetition, presence, frequency },
            temperature,
            top_k,
            top_p,
            min_p,
            typical_p,
        }
    }
}

proptest! {
    #[test]
    fn filters_equal_a_naive_reference(seed: u64, vocab_size in 40..300usize, spec in specs()) {
        let logits = gaussian(seed, vocab_size, 2.0);
        let expected = naive(&spec, &logits);
        let mut filtered = logits.clone();
        let filtering = filtering(spec);
        let distribution = filtering.apply(&mut filtered).unwrap();
        for (token, &prob) in expected.iter().enumerate() {
            let found = libm::exp(distribution.logprob(token as TokenId));
            prop_assert!((found - prob).abs() < 2e-6, "token {}: found {}, expected {}", token, found, prob);
            prop_assert_eq!(found > 0.0, prob > 0.0);
        }
    }
}

/// Pearson's chi-square test of 100,000 draws against the probabilities of the filtered distribution.
fn assert_draws_follow(spec: FilterSpec, seed: u64) {
    const DRAWS: u64 = 100_000;
    let logits = gaussian(seed, 500, 2.5);
    let filtering = filtering(spec);
    let mut filtered = logits.clone();
    let distribution = filtering.apply(&mut filtered).unwrap();

    let mut counts = vec![0u32; logits.len()];
    let sampler = Sampler::Multinomial { seed, choice: 0 };
    let mut row = logits.clone();
    for position in 0..DRAWS {
        row.copy_from_slice(&logits);
        counts[sampler.draw(&filtering, &mut row, position).unwrap().token as usize] += 1;
    }

    // Tokens expected fewer than 20 times share one bin.
    let mut chi_square = 0.0;
    let mut bins = 0.0;
    let mut rare_expected = 0.0;
    let mut rare_found = 0.0;
    for (token, count) in counts.into_iter().enumerate() {
        let expected = libm::exp(distribution.logprob(token as TokenId)) * DRAWS as f64;
        let found = f64::from(count);
        assert!(expected > 0.0 || found == 0.0, "token {token} was drawn although it is filtered out");
        if expected < 20.0 {
            rare_expected += expected;
            rare_found += found;
        } else {
            chi_square += (found - expected) * (found - expected) / expected;
            bins += 1.0;
        }
    }
    if rare_expected > 0.0 {
        chi_square += (rare_found - rare_expected) * (rare_found - rare_expected) / rare_expected;
        bins += 1.0;
    }
    // Within four standard deviations of the mean of the chi-square distribution.
    let mean = bins - 1.0;
    let deviation = libm::sqrt(2.0 * mean);
    assert!((chi_square - mean).abs() < 4.0 * deviation, "{chi_square} for {bins} bins");
}

#[test]
fn draws_without_filters_follow_the_models_probabilities() {
    assert_draws_follow(FilterSpec::default(), 1);
}

#[test]
fn draws_follow_the_filtered_probabilities() {
    let ruled_out = || (0..500).step_by(3).collect();
    assert_draws_follow(FilterSpec { ruled_out: ruled_out(), temperature: 1.7, ..Default::default() }, 2);
    assert_draws_follow(FilterSpec { ruled_out: ruled_out(), top_k: Some(40), ..Default::default() }, 3);
    assert_draws_follow(FilterSpec { temperature: 0.7, top_p: 0.9, min_p: 0.01, ..Default::default() }, 4);
    assert_draws_follow(FilterSpec { typical_p: 0.4, ..Default::default() }, 5);
    let biases = (0..500).step_by(7).map(|token| Bias { token, amount: 1.5 }).collect();
    let penalties = Penalties { repetition: 1.3, presence: 0.5, frequency: -0.25 };
    assert_draws_follow(FilterSpec { biases, penalties, typical_p: 0.9, ..Default::default() }, 6);
}

#[test]
fn greedy_breaks_ties_by_the_lower_id() {
    let greedy = |logits: &mut [f32], spec| Sampler::Greedy.draw(&filtering(spec), logits, 0);
    let spec = FilterSpec::default;
    assert_eq!(greedy(&mut [1.0, 2.0, 2.0], spec()).unwrap().token, 1);
    assert_eq!(greedy(&mut [-0.0, 0.0, -1.0], spec()).unwrap().token, 0);
    assert_eq!(greedy(&mut vec![7.0; 5000], spec()).unwrap().token, 0);
    assert_eq!(
        greedy(&mut [1e30, 1e30, -1e30], FilterSpec { ruled_out: [0].into(), ..spec() }).unwrap().token,
        1
    );
    assert_eq!(greedy(&mut [1.0], FilterSpec { ruled_out: [0].into(), ..spec() }), Err(NothingLeft));
}

#[test]
fn temperature_zero_is_greedy() {
    let spec = FilterSpec {
        temperature: 0.0,
        ruled_out: [9].into(),
        typical_p: 0.1,
        top_p: 0.5,
        ..Default::default()
    };
    let filtering = filtering(spec);
    for seed in 0..50 {
        let logits = gaussian(seed, 300, 0.1);
        let draw = |sampler: Sampler| sampler.draw(&filtering, &mut logits.clone(), 0).unwrap();
        assert_eq!(draw(Sampler::Greedy), draw(Sampler::Multinomial { seed, choice: 3 }));
    }
}

#[test]
fn the_logprob_is_the_models_before_any_filter() {
    let logits = gaussian(5, 100, 2.0);
    let spec = FilterSpec {
        temperature: 3.0,
        top_k: Some(7),
        ruled_out: [0, 1, 2].into(),
        biases: [Bias { token: 3, amount: 9.0 }].into(),
        penalties: Penalties { frequency: 0.5, ..Penalties::NONE },
        ..Default::default()
    };
    let model = Distribution::new(&logits);
    for position in 0..100 {
        let sampler = Sampler::Multinomial { seed: 8, choice: 0 };
        let drawn = sampler.draw(&filtering(spec.clone()), &mut logits.clone(), position).unwrap();
        assert_eq!(drawn.logprob, model.logprob(drawn.token));
    }
}

/// The fake model and what it has read.
struct Sequence {
    model: Fake,
    state: State,
    position: u64,
}

impl Sequence {
    fn new() -> Self {
        let model = Fake::new(500);
        Self { state: model.start_state(), model, position: 0 }
    }

    /// Draws `count` tokens of choice `choice`, feeding each to the model.
    fn generate(&mut self, count: usize, choice: u32) -> Vec<TokenId> {
        let filtering = filtering(FilterSpec { temperature: 0.8, top_p: 0.95, ..Default::default() });
        let sampler = Sampler::Multinomial { seed: 1234, choice };
        let step = || {
            let mut logits = self.model.logits(&self.state);
            let tokens = [sampler.draw(&filtering, &mut logits, self.position).unwrap().token];
            let mut rows = [Row::new(&mut self.state, &tokens, Logits::None)];
            self.model.run(&mut rows, &mut Scratch::new(0), &mut |_, _, _| {});
            assert_eq!(rows[0].outcome, Ok(()));
            self.position += 1;
            tokens[0]
        };
        std::iter::repeat_with(step).take(count).collect()
    }
}

#[test]
fn sixty_four_tokens_in_one_call_equal_thirty_two_twice() {
    let whole = Sequence::new().generate(64, 0);
    let mut sequence = Sequence::new();
    let first = sequence.generate(32, 0);
    let other = Sequence::new().generate(64, 1); // Draws for another choice, in between, change nothing.
    let second = sequence.generate(32, 0);
    assert_eq!(whole, [first, second].concat());
    assert_ne!(whole, other);
}
