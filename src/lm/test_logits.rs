//! Rows of logits for tests: realistic ones, and awkward ones.

use std::ops::Range;

use proptest::prelude::*;

/// Nearly Gaussian logits (the sum of twelve uniform numbers) with standard deviation `scale`.
pub(crate) fn gaussian(seed: u64, vocab_size: usize, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..vocab_size).map(|_| ((0..12).map(|_| uniform()).sum::<f32>() - 6.0) * scale).collect()
}

/// Rows of a length in `lens`: of a handful of values with many ties, or of any finite values; some tokens ruled out.
pub(crate) fn logits_with_ties(lens: Range<usize>) -> impl Strategy<Value = Vec<f32>> {
    let few = prop::sample::select(vec![-0.0f32, 0.0, 1.0, -1.0, 2.5, -1e30, 1e30, f32::NEG_INFINITY]);
    let any = prop_oneof![20 => -20.0f32..20.0, 1 => prop::num::f32::NORMAL, 1 => Just(f32::NEG_INFINITY)];
    prop_oneof![prop::collection::vec(few, lens.clone()), prop::collection::vec(any, lens)]
}
