//! The types that float weights are held in. They are widened to `f32` register by register, inside the product.
//!
//! Widening is exact, so a product over 16-bit weights has the bits of one over the same numbers in `f32`, at half the
//! bytes. The alternative, to widen at load, makes memory traffic the limit of a step with few rows.

use half::{bf16, f16};

use super::isa::Isa;
use super::packed::{Line, Lines};

/// A float type of weights.
pub(crate) trait Element: Copy + Default {
    /// The first weights of a slice, widened, as many as a register holds.
    fn load<I: Isa>(isa: I, weights: &[Self]) -> I::Vector;

    /// The value as `f32`.
    fn widen(self) -> f32;

    /// Lines of this type among those of all types.
    fn lines(lines: Vec<Line<Self>>) -> Lines;
}

impl Element for f32 {
    #[inline(always)]
    fn load<I: Isa>(isa: I, weights: &[f32]) -> I::Vector {
        isa.load(weights)
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    fn lines(lines: Vec<Line<f32>>) -> Lines {
        Lines::F32(lines)
    }
}

impl Element for f16 {
    #[inline(always)]
    fn load<I: Isa>(isa: I, weights: &[f16]) -> I::Vector {
        isa.load_f16(weights)
    }

    /// Without a branch, so that a loop over many becomes vector code. Exact for finite values: shifted to the place of an
    /// `f32`'s exponent, the half's exponent is 112 too small, and a subnormal half is a subnormal `f32`.
    #[inline(always)]
    fn widen(self) -> f32 {
        const TWO_POW_112: f32 = f32::from_bits((112 + 127) << 23);

        let bits = u32::from(self.to_bits());
        let magnitude = f32::from_bits((bits & 0x7fff) << 13) * TWO_POW_112;
        f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
    }

    fn lines(lines: Vec<Line<f16>>) -> Lines {
        Lines::F16(lines)
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn load<I: Isa>(isa: I, weights: &[bf16]) -> I::Vector {
        isa.load_bf16(weights)
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    fn lines(lines: Vec<Line<bf16>>) -> Lines {
        Lines::Bf16(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Kernel, Task};

    /// Loads all weights, and stores them as `f32`.
    struct WidenAll<'a, T>(&'a [T]);

    impl<T: Element> Task for WidenAll<'_, T> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<I: Isa>(self, isa: I) -> Vec<f32> {
            let mut widened = vec![0.0; self.0.len()];
            for (weights, widened) in self.0.chunks(I::LANES).zip(widened.chunks_mut(I::LANES)) {
                isa.store(T::load(isa, weights), widened);
            }
            widened
        }
    }

    #[test]
    fn every_finite_half_and_bfloat_is_widened_exactly_on_every_kernel() {
        // There are 63,488 finite halves and 65,280 finite bfloats: whole registers on every kernel.
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|half| half.is_finite()).collect();
        let bfloats: Vec<bf16> =
            (0..=u16::MAX).map(bf16::from_bits).filter(|value| value.is_finite()).collect();
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        for kernel in Kernel::supported() {
            let expected = halves.iter().map(|half| half.to_f32()).collect();
            assert_eq!(bits(kernel.run(WidenAll(&halves))), bits(expected), "{}", kernel.name());
            let expected = bfloats.iter().map(|value| value.to_f32()).collect();
            assert_eq!(bits(kernel.run(WidenAll(&bfloats))), bits(expected), "{}", kernel.name());
        }
        assert!(halves.iter().all(|half| half.widen().to_bits() == half.to_f32().to_bits()));
        assert!(bfloats.iter().all(|value| value.widen().to_bits() == value.to_f32().to_bits()));
    }
}
