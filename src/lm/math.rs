//! Our own exp, tanh and sigmoid: the same bits on every host and every instruction set.
//!
//! glibc chooses its variant by processor, so its results differ between hosts. These functions use only `*`, `+`, `-`, one
//! `/` and integer operations, each rounded as IEEE 754 specifies. They do not call `mul_add`, because a fused and an unfused product round
//! differently. They have no branches, tables or calls and are `inline(always)`, so a loop over a slice becomes vector
//! code for the instruction set that its function is compiled for.
//!
//! The exponential is Cephes' `expf` (S. Moshier, 1989): Cody and Waite's reduction to `|r| <= ln 2 / 2`, a polynomial of
//! degree 5 for `(e^r - 1 - r) / r^2`, and scaling by a power of two. Two steps differ: rounding adds and
//! subtracts `1.5 * 2^23` (Muller et al., Handbook of Floating-Point Arithmetic, 2nd ed., 2018, ch. 10), and tanh
//! is computed from `e^2x - 1`, which is accurate near zero, rather than from `e^2x`.

/// `e^x`. The largest error over all `f32`, including subnormal results, is 0.990 ulp.
///
/// `-inf` gives 0, overflow gives `inf`, NaN gives NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Beyond these bounds the result is 0 and inf; between them, both factors below are normal numbers.
    let Reduced { n, em1 } = reduce(clamp(x, -104.0, 89.0));
    // 2^n in two steps: n lies in -150..=128, the exponent of a normal number in -126..=127.
    let half = n >> 1;
    (em1 + 1.0) * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// The hyperbolic tangent. The largest error over all `f32` is 2.419 ulp. It is odd, and its magnitude never exceeds 1.
///
/// NaN gives NaN.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    // (e^2x - 1) / (e^2x + 1), where the numerator is computed directly: near zero it is 2x to the last bit, while
    // 1 - 2 / (e^2x + 1) would cancel. From |x| = 9.02 on, the nearest f32 is 1, as it is at the bound, 10.
    let Reduced { n, em1 } = reduce(clamp(2.0 * x.abs(), 0.0, 20.0));
    let scale = power_of_two(n);
    let em1 = em1 * scale + (scale - 1.0);
    (em1 / (em1 + 2.0)).copysign(x)
}

/// The logistic function `1 / (1 + e^-x)`. The largest error over all `f32` from -88 up is 2.481 ulp; below -88 the result is
/// subnormal, and 0 below -88.73.
///
/// NaN gives NaN.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `e^x = 2^n * (1 + em1)`, with `em1` between `1/sqrt(2) - 1` and `sqrt(2) - 1`.
struct Reduced {
    n: i32,
    em1: f32,
}

/// Splits a finite `x`, `|x| <= 104`. NaN gives a NaN `em1` and any `n`.
#[inline(always)]
fn reduce(x: f32) -> Reduced {
    /// Numbers near this one have an ulp of 1: adding it rounds to the nearest integer, which ends up in the low bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 as the sum of two parts. The first has so few bits that `n * LN_2_HIGH` is exact.
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;

    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let em1 = p * (r * r) + r;
    Reduced { n: shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32, em1 }
}

/// `2^n` for `-126 <= n <= 127`, built from its exponent bits.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// Limits `x` to `low..=high`. Unlike with `f32::max` and `min`, NaN stays NaN, and each line is one instruction.
#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// The error of `found`, in units in the last place of the true value.
#[cfg(test)]
pub(super) fn error_ulp(found: f32, true_value: f64) -> f64 {
    let nearest = true_value as f32;
    if found == nearest {
        return 0.0; // Correctly rounded, or both infinite.
    }
    let ulp = f64::from(nearest.abs()) - f64::from(nearest.abs().next_down());
    (f64::from(found) - true_value).abs() / ulp
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every 509th `f32` except NaNs and infinities: 8.4 million values. (509 is prime, so low and high bits both vary.)
    fn grid() -> impl Iterator<Item = f32> {
        (0..=u32::MAX).step_by(509).map(f32::from_bits).filter(|x| x.is_finite())
    }

    /// The largest error of `f` against `truth`, in units in the last place of the true value.
    fn worst_ulp(xs: impl Iterator<Item = f32>, f: fn(f32) -> f32, truth: fn(f64) -> f64) -> f64 {
        let error = |x: f32| error_ulp(f(x), truth(f64::from(x)));
        xs.map(error).inspect(|error| assert!(!error.is_nan())).fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_within_one_ulp() {
        assert!(worst_ulp(grid(), exp, libm::exp) < 1.0);
    }

    #[test]
    fn tanh_is_within_two_and_a_half_ulp() {
        assert!(worst_ulp(grid(), tanh, libm::tanh) < 2.5);
    }

    #[test]
    fn sigmoid_is_within_two_and_a_half_ulp() {
        let truth = |x: f64| 1.0 / (1.0 + libm::exp(-x));
        assert!(worst_ulp(grid().filter(|&x| x >= -87.0), sigmoid, truth) < 2.5);
        assert!(grid().filter(|&x| x < -87.0).all(|x| (0.0..2e-38).contains(&sigmoid(x))));
    }

    #[test]
    fn extreme_arguments_give_the_limits() {
        assert_eq!([f32::INFINITY, 88.73, 1e30].map(exp), [f32::INFINITY; 3]);
        assert_eq!([f32::NEG_INFINITY, -104.0, -1e30].map(exp), [0.0; 3]);
        assert_eq!([0.0, -0.0].map(exp), [1.0; 2]);
        assert_eq!([f32::INFINITY, 1e30, 9.02].map(tanh), [1.0; 3]);
        assert_eq!([f32::NEG_INFINITY, -1e30, -9.02].map(tanh), [-1.0; 3]);
        assert_eq!(tanh(-0.0).to_bits(), (-0.0f32).to_bits());
        assert_eq!(
            [f32::INFINITY, 1e30, 0.0, -1e30, f32::NEG_INFINITY].map(sigmoid),
            [1.0, 1.0, 0.5, 0.0, 0.0]
        );
        assert!([exp, tanh, sigmoid].iter().all(|f| f(f32::NAN).is_nan() && f(-f32::NAN).is_nan()));
    }

    #[test]
    fn tanh_is_odd_and_never_exceeds_one() {
        assert!(grid().all(|x| tanh(-x) == -tanh(x) && tanh(x).abs() <= 1.0));
    }

    /// Holds the promise of equal bits on every host with a hash of all results on the grid, FNV-1a over their bits.
    #[test]
    fn the_bits_are_the_same_everywhere() {
        let hash = |f: fn(f32) -> f32| {
            grid().fold(0xcbf2_9ce4_8422_2325, |hash: u64, x| {
                (hash ^ u64::from(f(x).to_bits())).wrapping_mul(0x100_0000_01b3)
            })
        };
        assert_eq!(
            [exp, tanh, sigmoid].map(|f| format!("{:016x}", hash(f))),
            ["bf8dedd818f9edbf", "bee0f8e13e947016", "28016f12fd7096e2"]
        );
    }
}
