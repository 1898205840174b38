//! Reductions over a row of logits, in one fixed order: the same bits on every instruction set.
//!
//! Floating-point addition is not associative, so the order is part of the contract: value `i` goes to lane `i % 16`; in each block of
//! 256 values a lane sums its 16 in f32, and the sums of the blocks in f64; at the end the lanes are added pairwise. The lanes are
//! what lets a loop become vector code, compiled here for each instruction set and chosen at run time; the short f32 sums are what
//! keeps 250,000 words as exact as one.

use multiversion::multiversion;

/// The largest of `values`, which hold no NaN; `-inf` when there is none.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub(crate) fn max(values: &[f32]) -> f32 {
    max_of_lanes(values)
}

/// The largest of each `width` of `values`, the last of which may be fewer.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub(crate) fn block_maxima(values: &[f32], width: usize) -> Vec<f32> {
    values.chunks(width).map(max_of_lanes).collect()
}

/// The sum of `term` over `values`. Its own relative error, for terms of one sign, is below 1e-6 at worst (15 additions in f32);
/// where many terms count, their roundings cancel to far less.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub(crate) fn sum<Term: Fn(f32) -> f32>(values: &[f32], term: Term) -> f64 {
    let mut sums = [0.0f64; LANES];
    for block in values.chunks(BLOCK) {
        let (vectors, rest) = block.as_chunks::<LANES>();
        let mut lanes = [0.0f32; LANES];
        for vector in vectors {
            for (lane, &value) in lanes.iter_mut().zip(vector) {
                *lane += term(value);
            }
        }
        for (lane, &value) in lanes.iter_mut().zip(rest) {
            *lane += term(value);
        }
        for (sum, lane) in sums.iter_mut().zip(lanes) {
            *sum += f64::from(lane);
        }
    }
    tree(sums, |a, b| a + b)
}

const LANES: usize = 16;
const BLOCK: usize = 16 * LANES;

#[inline(always)]
fn max_of_lanes(values: &[f32]) -> f32 {
    let (vectors, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for vector in vectors {
        for (lane, &value) in lanes.iter_mut().zip(vector) {
            *lane = larger(*lane, value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, value);
    }
    tree(lanes, larger)
}

/// One instruction where `f32::max`, which must look for NaN, is three.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Joins lane `i` with lane `i + 8`, then `i + 4`, 2 and 1 further.
#[inline(always)]
fn tree<T: Copy>(mut lanes: [T; LANES], join: impl Fn(T, T) -> T) -> T {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = join(lanes[i], lanes[i + half]);
        }
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lm::math;
    use crate::lm::test_logits::gaussian;

    #[test]
    fn the_largest_is_found_wherever_it_stands() {
        assert_eq!(max(&[]), f32::NEG_INFINITY);
        for len in [1, 15, 16, 17, 64, 100] {
            for at in 0..len {
                let values: Vec<f32> =
                    (0..len).map(|i| if i == at { -1.0 } else { -2.0 - i as f32 }).collect();
                assert_eq!(max(&values), -1.0, "{at} of {len}");
            }
        }
    }

    #[test]
    fn every_value_is_summed_once() {
        assert_eq!(sum(&[], |x| x), 0.0);
        for len in [1, 15, 16, 17, 255, 256, 257, 1000, 5000] {
            let values: Vec<f32> = (1..=len).map(|i| i as f32).collect();
            assert_eq!(sum(&values, |x| 2.0 * x), f64::from(len * (len + 1)), "{len}");
        }
    }

    /// The order that the head of this file promises, one addition after the other.
    #[test]
    fn the_order_is_the_same_on_every_instruction_set() {
        for len in [1, 16, 100, 256, 300, 5000, 10_007] {
            let logits = gaussian(len as u64, len, 3.0);
            let mut sums = [0.0f64; 16];
            for block in logits.chunks(256) {
                let mut lanes = [0.0f32; 16];
                block.iter().enumerate().for_each(|(i, &logit)| lanes[i % 16] += math::exp(logit));
                (0..16).for_each(|i| sums[i] += f64::from(lanes[i]));
            }
            let mut lanes = sums.to_vec();
            while lanes.len() > 1 {
                let upper = lanes.split_off(lanes.len() / 2);
                lanes.iter_mut().zip(upper).for_each(|(lane, other)| *lane += other);
            }
            assert_eq!(sum(&logits, math::exp).to_bits(), lanes[0].to_bits(), "{len} values");
        }
    }

    #[test]
    fn many_small_terms_are_not_lost_beside_a_large_one() {
        let mut values = vec![1e-6f32; 250_000];
        values[0] = 1e3;
        let exact = 1e3 + 249_999.0 * f64::from(1e-6f32);
        // A single f32 accumulator would still stand at 1000.
        assert!((sum(&values, |x| x) / exact - 1.0).abs() < 1e-6);
    }
}
