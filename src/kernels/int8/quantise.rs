//! From floats to integers with a scale.

use super::isa::{Integers, Task};
use crate::kernels::Rows;

/// How a sequence of values is quantised: `value = integer * unit`, `integer` in `-127..=127`.
#[derive(Clone, Copy)]
struct Scale {
    /// `largest magnitude / 127`; NaN where a value is not finite, so that whatever is computed with it shows it.
    unit: f32,
    /// `127 / largest magnitude`.
    per_unit: f32,
}

impl Scale {
    /// Below this magnitude all values count as zero. Both `unit` and `per_unit` are normal numbers above it.
    const MAGNITUDE_MIN: f32 = f32::from_bits((127 - 100) << 23);

    #[inline(always)]
    fn of(values: &[f32]) -> Self {
        // Bits of magnitudes are in the order of the magnitudes, with NaN above infinity; unlike a maximum of floats, one of
        // integers may be computed in any order, which makes the loop vector code.
        let bits = values.iter().fold(0, |largest: u32, value| largest.max(value.abs().to_bits()));
        let largest = f32::from_bits(bits);
        if !largest.is_finite() {
            return Self { unit: f32::NAN, per_unit: 0.0 };
        }
        if largest < Self::MAGNITUDE_MIN {
            return Self { unit: 0.0, per_unit: 0.0 };
        }
        Self { unit: largest / 127.0, per_unit: 127.0 / largest }
    }

    /// The nearest integer, ties to even.
    #[inline(always)]
    fn quantise(self, value: f32) -> i8 {
        /// Numbers near this one have an ulp of 1: adding it rounds to the nearest integer, which ends up in the low bits.
        const ROUND: f32 = 12_582_912.0;

        (value * self.per_unit + ROUND).to_bits() as i8
    }
}

/// Quantises `values`, and returns their unit.
pub(crate) fn quantise(values: &[f32], quantised: &mut [i8]) -> f32 {
    let scale = Scale::of(values);
    for (quantised, &value) in quantised.iter_mut().zip(values) {
        *quantised = scale.quantise(value);
    }
    scale.unit
}

/// Quantises activations, each row by its own scale.
pub(super) struct QuantiseRows<'a> {
    /// `[rows, depth]`.
    pub(super) a: Rows<'a>,
    pub(super) depth: usize,
    /// One for each row, written.
    pub(super) units: &'a mut [f32],
    /// `[rows, depth rounded up to words]`, written, with [`Integers::OFFSET`] added. The bytes after a row's values meet
    /// weights that are zero, and are left as they are.
    pub(super) quantised: &'a mut [u8],
}

impl Task for QuantiseRows<'_> {
    #[inline(always)]
    fn run<I: Integers>(self, _isa: I) {
        let width = self.depth.next_multiple_of(4);
        let rows = self.units.iter_mut().zip(self.quantised.chunks_exact_mut(width));
        for (row, (unit, quantised)) in rows.enumerate() {
            let values = self.a.row(row, self.depth);
            let scale = Scale::of(values);
            *unit = scale.unit;
            for (quantised, &value) in quantised.iter_mut().zip(values) {
                *quantised = scale.quantise(value).cast_unsigned().wrapping_add(I::OFFSET);
            }
        }
    }
}
