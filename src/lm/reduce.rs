//! Reductions over a row of logits, in one fixed order: the same bits on every instruction set.
//!
//! Floating-point addition is not associative, so the order is part of the contract: value `i` goes to lane `i % 16`; in each block of
//! 256 values a lane sums its 16 in f32, and the sums of the blocks in f64; at the end the lanes are added pairwise. The lanes let the
//! compiler turn the loop into vector code; the short f32 sums keep the sum over 250,000 words as exact as that over one.

use crate::kernels::{Isa, Kernel, Task};

/// The largest of `values`, which must not hold NaN; `-inf` if there are none.
pub(crate) fn max(values: &[f32]) -> f32 {
    Kernel::current().run(Max(values))
}

/// The largest value of each block of [`block`]; `-inf` for a block without values.
pub(crate) fn block_maxima(values: &[f32], width: usize) -> Vec<f32> {
    let mut maxima = vec![[0.0; LANES]; values.len().div_ceil(width * LANES)];
    Kernel::current().run(BlockMaxima { values, width, maxima: &mut maxima });
    maxima.into_flattened()
}

/// The indices of the values in a block of at most `width`: every 16th of a part of the row, so that 16 maxima are found side by side.
pub(crate) fn block(values: &[f32], width: usize, index: usize) -> impl Iterator<Item = usize> {
    let part = width * LANES;
    let begin = index / LANES * part;
    (begin + index % LANES..values.len().min(begin + part)).step_by(LANES)
}

/// The sum of `term` over `values`. For terms of one sign, the relative error that the summation adds is below 1e-6 at worst (15
/// additions in f32); over many terms the rounding errors largely cancel.
pub(crate) fn sum(values: &[f32], term: impl Fn(f32) -> f32) -> f64 {
    let [sum] = sums(values, |value| [term(value)]);
    sum
}

/// Several sums over `values` in one pass, each as [`sum`] adds it up.
pub(crate) fn sums<const N: usize>(values: &[f32], terms: impl Fn(f32) -> [f32; N]) -> [f64; N] {
    Kernel::current().run(Sums { values, terms })
}

/// How many of `values` are counted.
pub(crate) fn count(values: &[f32], is_counted: impl Fn(f32) -> bool) -> usize {
    Kernel::current().run(Count { values, is_counted })
}

/// The inner product of two vectors of one length, summed in f64.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    Kernel::current().run(Dot { a, b })
}

struct Count<'a, IsCounted> {
    values: &'a [f32],
    is_counted: IsCounted,
}

impl<IsCounted: Fn(f32) -> bool> Task for Count<'_, IsCounted> {
    type Output = usize;

    /// Counters of 32 bits, which a block cannot overflow, fill a vector; `Iterator::count` has wider ones and checks each addition.
    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) -> usize {
        let mut count = 0;
        for block in self.values.chunks(1 << 16) {
            let mut in_block = 0u32;
            for &value in block {
                in_block = in_block.wrapping_add(u32::from((self.is_counted)(value)));
            }
            count += in_block as usize;
        }
        count
    }
}

struct Dot<'a> {
    a: &'a [f32],
    b: &'a [f32],
}

impl Task for Dot<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) -> f64 {
        let (a, a_rest) = self.a.as_chunks::<LANES>();
        let (b, b_rest) = self.b.as_chunks::<LANES>();
        let mut lanes = [0.0f64; LANES];
        for (a, b) in a.iter().zip(b) {
            for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                *lane += f64::from(a) * f64::from(b);
            }
        }
        for (lane, (&a, &b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
            *lane += f64::from(a) * f64::from(b);
        }
        tree(lanes, |a, b| a + b)
    }
}

struct Max<'a>(&'a [f32]);

impl Task for Max<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) -> f32 {
        tree(maxima_of_lanes(self.0), larger)
    }
}

struct BlockMaxima<'a> {
    values: &'a [f32],
    width: usize,
    /// Those of 16 blocks for each part, written.
    maxima: &'a mut [[f32; LANES]],
}

impl Task for BlockMaxima<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        for (part, maxima) in self.values.chunks(self.width * LANES).zip(self.maxima) {
            *maxima = maxima_of_lanes(part);
        }
    }
}

struct Sums<'a, Terms> {
    values: &'a [f32],
    terms: Terms,
}

impl<const N: usize, Terms: Fn(f32) -> [f32; N]> Task for Sums<'_, Terms> {
    type Output = [f64; N];

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) -> [f64; N] {
        sums_of_lanes(self.values, self.terms)
    }
}

/// [`sum`], within a task.
#[inline(always)]
pub(crate) fn sum_of_lanes(values: &[f32], term: impl Fn(f32) -> f32) -> f64 {
    let [sum] = sums_of_lanes(values, |value| [term(value)]);
    sum
}

#[inline(always)]
fn sums_of_lanes<const N: usize>(values: &[f32], terms: impl Fn(f32) -> [f32; N]) -> [f64; N] {
    let mut sums = [[0.0f64; LANES]; N];
    for block in values.chunks(BLOCK) {
        let (vectors, rest) = block.as_chunks::<LANES>();
        let mut lanes = [[0.0f32; LANES]; N];
        for vector in vectors {
            add(&mut lanes, vector, &terms);
        }
        add(&mut lanes, rest, &terms);
        for (sum, lane) in sums.as_flattened_mut().iter_mut().zip(lanes.as_flattened()) {
            *sum += f64::from(*lane);
        }
    }
    sums.map(|lanes| tree(lanes, |a, b| a + b))
}

/// Adds the terms of each of `values`, at most as many as there are lanes, to its lane of each sum.
#[inline(always)]
fn add<const N: usize>(lanes: &mut [[f32; LANES]; N], values: &[f32], terms: &impl Fn(f32) -> [f32; N]) {
    for (lane, &value) in (0..LANES).zip(values) {
        for (lanes, term) in lanes.iter_mut().zip(terms(value)) {
            lanes[lane] += term;
        }
    }
}

const LANES: usize = 16;
const BLOCK: usize = 16 * LANES;

/// The largest value of each lane.
#[inline(always)]
fn maxima_of_lanes(values: &[f32]) -> [f32; LANES] {
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
    lanes
}

/// One instruction; `f32::max`, which must look for NaN, is three.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Joins lane `i` with lane `i + 8`, then with `i + 4`, `i + 2` and `i + 1`.
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
    fn every_value_is_in_one_block_of_which_the_maximum_is_the_largest() {
        for (len, width) in [(1, 16), (15, 16), (256, 16), (257, 16), (1000, 16), (5000, 64), (10_007, 256)] {
            let values = gaussian(len as u64, len, 3.0);
            let maxima = block_maxima(&values, width);
            let mut seen = vec![0; len];
            for (index, &max) in maxima.iter().enumerate() {
                let own: Vec<usize> = block(&values, width, index).collect();
                assert!(own.len() <= width, "{} values in block {index}", own.len());
                own.iter().for_each(|&at| seen[at] += 1);
                let largest = own.iter().map(|&at| values[at]).fold(f32::NEG_INFINITY, larger);
                assert_eq!(max, largest, "block {index} of {len} values");
            }
            assert_eq!(seen, vec![1; len], "blocks of {width} of {len} values");
        }
    }

    #[test]
    fn every_value_is_summed_once() {
        assert_eq!(sum(&[], |x| x), 0.0);
        for len in [1, 15, 16, 17, 255, 256, 257, 1000, 5000] {
            let values: Vec<f32> = (1..=len).map(|i| i as f32).collect();
            assert_eq!(sum(&values, |x| 2.0 * x), f64::from(len * (len + 1)), "{len}");
            let [twice, ones] = sums(&values, |x| [2.0 * x, 1.0]);
            assert_eq!((twice, ones), (f64::from(len * (len + 1)), f64::from(len)), "{len}");
        }
    }

    /// The order that the head comment promises, one addition after the other.
    fn scalar_sum(values: &[f32], term: fn(f32) -> f32) -> f64 {
        let mut sums = [0.0f64; 16];
        for block in values.chunks(256) {
            let mut lanes = [0.0f32; 16];
            block.iter().enumerate().for_each(|(i, &value)| lanes[i % 16] += term(value));
            (0..16).for_each(|i| sums[i] += f64::from(lanes[i]));
        }
        let mut lanes = sums.to_vec();
        while lanes.len() > 1 {
            let upper = lanes.split_off(lanes.len() / 2);
            lanes.iter_mut().zip(upper).for_each(|(lane, other)| *lane += other);
        }
        lanes[0]
    }

    #[test]
    fn the_bits_are_the_same_on_every_kernel() {
        for len in [1, 16, 100, 256, 300, 5000, 10_007] {
            let logits = gaussian(len as u64, len, 3.0);
            let expected_sum = scalar_sum(&logits, math::exp);
            let expected_max = logits.iter().copied().fold(f32::NEG_INFINITY, larger);
            for kernel in Kernel::supported() {
                let found =
                    kernel.run(Sums { values: &logits, terms: |logit: f32| [-logit, math::exp(logit)] })[1];
                assert_eq!(found.to_bits(), expected_sum.to_bits(), "{len} values on {}", kernel.name());
                assert_eq!(kernel.run(Max(&logits)), expected_max, "{len} values on {}", kernel.name());
                let counted = kernel.run(Count { values: &logits, is_counted: |logit: f32| logit > 1.0 });
                let expected = logits.iter().filter(|&&logit| logit > 1.0).count();
                assert_eq!(counted, expected, "{len} values on {}", kernel.name());
            }
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
