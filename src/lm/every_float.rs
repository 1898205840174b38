//! Runs [`math`]'s functions on every `f32`, with every kernel. It takes minutes, so it is ignored by default:
//!
//!     cargo test --release --lib -- --ignored --nocapture every_float

use super::math;
use crate::kernels::{Isa, Kernel, Task};

/// Inputs that are computed at a time: an eighth of what fits the second-level cache.
const CHUNK: usize = 1 << 15;

/// Applies `function` to the `f32`s whose bits are `first`, `first + 1`, ...
struct Apply<'a, F> {
    function: F,
    first: u32,
    results: &'a mut [f32],
}

impl<F: Fn(f32) -> f32> Task for Apply<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        for (index, result) in self.results.iter_mut().enumerate() {
            *result = (self.function)(f32::from_bits(self.first.wrapping_add(index as u32)));
        }
    }
}

/// Calls `visit` with the first input's bits and the results of each chunk of inputs, in ascending order of their bits.
fn for_each_chunk<F: Fn(f32) -> f32 + Copy>(kernel: Kernel, function: F, mut visit: impl FnMut(u32, &[f32])) {
    let mut results = vec![0.0; CHUNK];
    for first in (0..=u32::MAX).step_by(CHUNK) {
        kernel.run(Apply { function, first, results: &mut results });
        visit(first, &results);
    }
}

/// A 64-bit FNV-1a hash over the bits of all results. Every NaN counts as the same one.
fn hash<F: Fn(f32) -> f32 + Copy>(kernel: Kernel, function: F) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for_each_chunk(kernel, function, |_, results| {
        for result in results {
            let bits = if result.is_nan() { f32::NAN.to_bits() } else { result.to_bits() };
            hash = (hash ^ u64::from(bits)).wrapping_mul(0x100_0000_01b3);
        }
    });
    format!("{hash:016x}")
}

/// The largest error against `truth` over all finite inputs from `least` up, in units in the last place of the true value.
fn largest_error<F: Fn(f32) -> f32 + Copy>(function: F, truth: fn(f64) -> f64, least: f32) -> f64 {
    let kernel = Kernel::supported().next().expect("a kernel for every processor");
    let mut largest = 0.0;
    for_each_chunk(kernel, function, |first, results| {
        for (index, &result) in results.iter().enumerate() {
            let x = f32::from_bits(first + index as u32);
            if x.is_finite() && x >= least {
                let error = math::error_ulp(result, truth(f64::from(x)));
                assert!(!error.is_nan(), "{x:e} gives {result}");
                largest = f64::max(largest, error);
            }
        }
    });
    largest
}

/// The hash on every kernel must be `expected`.
fn check_hash<F: Fn(f32) -> f32 + Copy>(function: F, expected: &str) {
    for kernel in Kernel::supported() {
        assert_eq!(hash(kernel, function), expected, "{}", kernel.name());
    }
}

#[test]
#[ignore = "takes minutes"]
fn exp_on_every_float() {
    check_hash(math::exp, "dd38c97a29b93010");
    let error = largest_error(math::exp, libm::exp, f32::MIN);
    println!("exp: at most {error:.3} ulp");
    assert!(error < 0.9905);
}

#[test]
#[ignore = "takes minutes"]
fn tanh_on_every_float() {
    check_hash(math::tanh, "cf29c5adf8797ce5");
    let error = largest_error(math::tanh, libm::tanh, f32::MIN);
    println!("tanh: at most {error:.3} ulp");
    assert!(error < 2.4195);
}

#[test]
#[ignore = "takes minutes"]
fn sigmoid_on_every_float() {
    check_hash(math::sigmoid, "964a7171410b6bfc");
    let error = largest_error(math::sigmoid, |x| 1.0 / (1.0 + libm::exp(-x)), -88.0);
    println!("sigmoid: at most {error:.3} ulp from -88 up");
    assert!(error < 2.4815);
}
