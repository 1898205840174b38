//! Draws and nuclei equal those of a full sort.

use proptest::prelude::*;

use super::*;
use crate::lm::test_logits::{gaussian, logits_with_ties};
use crate::sampling::FilterSpec;

fn filters(spec: FilterSpec) -> Filters {
    Filters::new(spec).unwrap()
}

fn kept(spec: FilterSpec, logits: &[f32]) -> Vec<TokenId> {
    match Filtered::new(&filters(spec), logits).unwrap().support {
        Support::All => top_k(logits, logits.len()),
        Support::Until(cut) => {
            let mut tokens = top_k(logits, logits.len());
            tokens.truncate(tokens.iter().position(|&token| token == cut.last.token).unwrap() + 1);
            tokens
        }
        Support::Ranked(tokens) => tokens,
        Support::Scattered(alone) => top_k(&alone, alone.len()),
    }
}

proptest! {
    #[test]
    fn a_draw_equals_one_from_a_full_sort(
        logits in logits_with_ties(1..2500),
        temperature in prop_oneof![Just(1.0), 0.01..100.0f64],
        us in prop::collection::vec(prop_oneof![0.0..1.0f64, Just(0.0), Just(1.0f64.next_down())], 8),
    ) {
        prop_assume!(logits.iter().any(|&logit| logit > f32::NEG_INFINITY));
        let spec = FilterSpec { temperature, ..Default::default() };
        let filtered = Filtered::new(&filters(spec), &logits).unwrap();
        let sorted = top_k(&logits, logits.len());
        let mass = filtered.softmax.mass(&logits);
        let weight = |token| filtered.softmax.weight(&logits, token);
        for u in us {
            let drawn = first_above(u * mass, sorted.iter().copied(), weight).token;
            prop_assert_eq!(filtered.quantile(&logits, u), drawn);
        }
    }

    /// Flat logits, of which a nucleus is most of the vocabulary.
    #[test]
    fn a_draw_from_a_wide_nucleus_equals_one_from_a_full_sort(
        seed: u64,
        vocab_size in 200..3000usize,
        scale in 0.0..2.0f32,
        top_p in 0.3..0.999f64,
        us in prop::collection::vec(prop_oneof![0.0..1.0f64, Just(0.0), Just(1.0f64.next_down())], 8),
    ) {
        let logits = gaussian(seed, vocab_size, scale);
        let spec = FilterSpec { top_p, ..Default::default() };
        let filtered = Filtered::new(&filters(spec.clone()), &logits).unwrap();
        let softmax = filtered.softmax;
        let weight = |token| softmax.weight(&logits, token);
        let thresholds = Thresholds::new(&filters(spec), softmax.mass(&logits));
        let nucleus = thresholds.truncate(top_k(&logits, vocab_size).into_iter(), weight);
        let mass: f64 = nucleus.iter().copied().map(weight).sum();
        for u in us {
            let drawn = first_above(u * mass, nucleus.iter().copied(), weight).token;
            prop_assert_eq!(filtered.quantile(&logits, u), drawn);
        }
        let mut written = logits.clone();
        filtered.write(&mut written);
        let mut kept = nucleus;
        kept.sort_unstable();
        let shown = (0..vocab_size as TokenId).filter(|&token| written[token as usize] > f32::NEG_INFINITY);
        prop_assert_eq!(kept, shown.collect::<Vec<_>>());
    }

    /// Flat logits, of which the typical tokens are many.
    #[test]
    fn a_draw_from_many_typical_tokens_equals_one_from_a_full_sort(
        seed: u64,
        vocab_size in 300..3000usize,
        scale in 0.0..2.0f32,
        typical_p in 0.3..0.999f64,
        us in prop::collection::vec(prop_oneof![0.0..1.0f64, Just(0.0), Just(1.0f64.next_down())], 8),
    ) {
        let logits = gaussian(seed, vocab_size, scale);
        let spec = FilterSpec { typical_p, ..Default::default() };
        let filtered = Filtered::new(&filters(spec.clone()), &logits).unwrap();
        let kept = kept(spec, &logits);
        for u in us {
            prop_assert_eq!(filtered.quantile(&logits, u), filtered.quantile_of(&kept, &logits, u));
        }
        let mut written = logits.clone();
        filtered.write(&mut written);
        let mut expected = vec![f32::NEG_INFINITY; vocab_size];
        kept.iter().for_each(|&token| expected[token as usize] = filtered.softmax.scaled(logits[token as usize]));
        prop_assert_eq!(written, expected);
    }

    /// A draw close to where one token ends and the next begins is the same, whether it was located or walked to.
    #[test]
    fn a_draw_near_the_end_of_a_typical_token_equals_one_from_a_full_sort(
        seed: u64,
        vocab_size in 600..1500usize,
        scale in 0.0..1.0f32,
        places in prop::collection::vec(any::<prop::sample::Index>(), 4),
    ) {
        let logits = gaussian(seed, vocab_size, scale);
        let spec = FilterSpec { typical_p: 0.95, ..Default::default() };
        let filtered = Filtered::new(&filters(spec.clone()), &logits).unwrap();
        prop_assert!(matches!(filtered.support, Support::Scattered(_)));
        let kept = kept(spec, &logits);
        let weights = kept.iter().map(|&token| filtered.softmax.weight(&logits, token));
        let mut ends: Vec<f64> = weights.scan(0.0, |sum, weight| { *sum += weight; Some(*sum) }).collect();
        let mass = ends.pop().unwrap();
        for place in places.iter().map(|place| place.index(ends.len())) {
            let u = ends[place] / mass;
            for near in [3e-11, 1e-10, 1e-9, 1e-8] {
                prop_assert_eq!(filtered.quantile(&logits, u * (1.0 - near)), kept[place]);
                prop_assert_eq!(filtered.quantile(&logits, u * (1.0 + near)), kept[place + 1]);
            }
        }
    }

    /// `top_p` and `min_p` walk the ranking lazily without `top_k`, and a sorted list with it.
    #[test]
    fn thresholds_keep_the_same_tokens_of_a_lazy_ranking_and_of_a_sorted_list(
        logits in logits_with_ties(1..2500),
        temperature in 0.1..10.0f64,
        top_p in 0.01..0.999f64,
        min_p in prop_oneof![Just(0.0), 0.0..0.2f64],
    ) {
        prop_assume!(logits.iter().any(|&logit| logit > f32::NEG_INFINITY));
        let spec = FilterSpec { temperature, top_p, min_p, ..Default::default() };
        let lazy = kept(spec.clone(), &logits);
        let listed = kept(FilterSpec { top_k: Some(logits.len()), ..spec }, &logits);
        // The two sum the mass in different orders, so they may differ by a token where the sum meets the threshold.
        let common = lazy.len().min(listed.len());
        prop_assert_eq!(&lazy[..common], &listed[..common]);
        if lazy.len() != listed.len() {
            let softmax = Softmax { max: reduce::max(&logits), temperature: temperature as f32 };
            let mass: f64 = lazy[..common].iter().map(|&token| softmax.weight(&logits, token)).sum();
            prop_assert!((mass / softmax.mass(&logits) - top_p).abs() < 1e-6);
        }
    }
}

#[test]
fn the_loosest_value_of_a_filter_keeps_all_tokens_and_the_tightest_keeps_one() {
    let logits = gaussian(3, 20_000, 3.0);
    let all = top_k(&logits, logits.len());
    assert_eq!(kept(FilterSpec::default(), &logits), all);
    assert_eq!(kept(FilterSpec { top_k: Some(20_000), top_p: 1.0, ..Default::default() }, &logits), all);
    assert_eq!(kept(FilterSpec { top_p: 1e-300, ..Default::default() }, &logits), all[..1]);
    assert_eq!(kept(FilterSpec { min_p: 1.0, ..Default::default() }, &logits), all[..1]);
    assert_eq!(kept(FilterSpec { top_k: Some(1), ..Default::default() }, &logits), all[..1]);
}

#[test]
fn each_filter_sees_only_the_tokens_that_earlier_filters_kept() {
    // Probabilities 0.4, 0.3, 0.2, 0.1.
    let logits = [0.4f32, 0.3, 0.2, 0.1].map(libm::logf);
    let spec = FilterSpec::default;
    assert_eq!(kept(FilterSpec { top_p: 0.65, ..spec() }, &logits), [0, 1]);
    // Of the two tokens that top_k keeps, the first has probability 4/7.
    assert_eq!(kept(FilterSpec { top_k: Some(2), top_p: 0.5, ..spec() }, &logits), [0]);
    // At temperature 1/2 the first token has probability 16/30.
    assert_eq!(kept(FilterSpec { temperature: 0.5, top_p: 0.5, ..spec() }, &logits), [0]);
    // At temperature 1/2 the second token is 9/16 as likely as the first, instead of 3/4.
    assert_eq!(kept(FilterSpec { temperature: 0.5, min_p: 0.6, ..spec() }, &logits), [0]);
    assert_eq!(kept(FilterSpec { min_p: 0.6, ..spec() }, &logits), [0, 1]);
}

#[test]
fn draws_from_extreme_logits_and_temperatures_are_correct() {
    let logits = [-1e30, 1e30, f32::MAX, f32::MIN, f32::MAX];
    for temperature in [0.0, 1e-45, 1e-30, 1.0, 100.0] {
        let spec = FilterSpec { temperature, ..Default::default() };
        let filtered = Filtered::new(&filters(spec), &logits).unwrap();
        assert_eq!(filtered.quantile(&logits, 0.0), 2);
        // Tokens 2 and 4 tie. Greedy takes the lower id; at any other temperature both have probability 1/2.
        let last = if temperature == 0.0 { 2 } else { 4 };
        assert_eq!(filtered.quantile(&logits, 1.0f64.next_down()), last);
    }
}
