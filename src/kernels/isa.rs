//! The differences between instruction sets, so that each loop is written once.
//!
//! All of a [`Task`] is `#[inline(always)]`; each entry point below compiles its own copy of it with the instructions that it
//! may use. The compiler turns loops over single values into vector code. The product's tile is written in vectors:
//! a tile that the compiler vectorises itself may spill its sums from registers, and was up to twenty times slower.

use half::{bf16, f16};

use super::Kernel;
use super::element::Element;
use super::product::{Tile, tile};

/// Work that is compiled once for each instruction set. `run` and everything it calls must be `#[inline(always)]`.
pub(crate) trait Task {
    /// What it computes.
    type Output;

    /// Does the work with the instructions of `isa`.
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

/// An instruction set that this processor has; a value of such a type proves it.
pub(crate) trait Isa: Copy {
    /// A register of [`Self::LANES`] values.
    type Vector: Copy;
    /// Values in a register.
    const LANES: usize;
    /// Rows of activations in a full tile of the product.
    const ROWS: usize;

    /// The same value in every lane.
    fn splat(self, value: f32) -> Self::Vector;
    /// The first values of a slice.
    fn load(self, values: &[f32]) -> Self::Vector;
    /// The first values of a slice, widened; they must be finite.
    fn load_f16(self, values: &[f16]) -> Self::Vector;
    /// The first values of a slice, widened.
    fn load_bf16(self, values: &[bf16]) -> Self::Vector;
    /// Writes the first values of a slice.
    fn store(self, vector: Self::Vector, values: &mut [f32]);
    /// `x * weight + sum`, rounded once where the processor can.
    fn mul_add(self, x: Self::Vector, weight: Self::Vector, sum: Self::Vector) -> Self::Vector;
    /// Computes a tile of at most [`Self::ROWS`] rows.
    fn tile<T: Element>(self, tile: &mut Tile<'_, T>);
}

impl Kernel {
    /// Does `task` with this kernel's instructions.
    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        #[cfg(target_arch = "x86_64")]
        {
            use super::x86::{Avx2, Avx512};
            if self != Kernel::Portable {
                assert!(
                    self.is_supported(),
                    "kernel `{}` runs on a processor without it: a bug",
                    self.name()
                );
            }
            match self {
                // SAFETY: the assertion above has checked that the processor has AVX-512F.
                Kernel::Avx512 => return unsafe { run_avx512(task, Avx512::assume()) },
                // SAFETY: the assertion above has checked that the processor has AVX2, FMA and F16C.
                Kernel::Avx2 => return unsafe { run_avx2(task, Avx2::assume()) },
                Kernel::Portable => {}
            }
        }
        task.run(Portable)
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn run_avx512<T: Task>(task: T, isa: super::x86::Avx512) -> T::Output {
    task.run(isa)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn run_avx2<T: Task>(task: T, isa: super::x86::Avx2) -> T::Output {
    task.run(isa)
}

/// Any processor. A vector is four registers of 4 values. Processors have at least 16 registers, and the compiler keeps the
/// sums of a full tile in 12 of them.
#[derive(Clone, Copy)]
struct Portable;

impl Isa for Portable {
    type Vector = [f32; 16];
    const LANES: usize = 16;
    const ROWS: usize = 3;

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 16] {
        [value; 16]
    }

    #[inline(always)]
    fn load(self, values: &[f32]) -> [f32; 16] {
        *values.first_chunk().expect("a register's worth of values")
    }

    #[inline(always)]
    fn load_f16(self, values: &[f16]) -> [f32; 16] {
        let values: &[f16; 16] = values.first_chunk().expect("a register's worth of values");
        std::array::from_fn(|lane| values[lane].widen())
    }

    #[inline(always)]
    fn load_bf16(self, values: &[bf16]) -> [f32; 16] {
        let values: &[bf16; 16] = values.first_chunk().expect("a register's worth of values");
        std::array::from_fn(|lane| values[lane].widen())
    }

    #[inline(always)]
    fn store(self, vector: [f32; 16], values: &mut [f32]) {
        values[..16].copy_from_slice(&vector);
    }

    #[inline(always)]
    fn mul_add(self, x: [f32; 16], weight: [f32; 16], sum: [f32; 16]) -> [f32; 16] {
        // Without the instruction, `f32::mul_add` would be a call into the C library for every product.
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            std::array::from_fn(|lane| x[lane].mul_add(weight[lane], sum[lane]))
        } else {
            std::array::from_fn(|lane| x[lane] * weight[lane] + sum[lane])
        }
    }

    #[inline(always)]
    fn tile<T: Element>(self, t: &mut Tile<'_, T>) {
        for column in (0..64).step_by(16) {
            match t.rows {
                1 => tile::<Self, T, 1, 1>(self, t, column),
                2 => tile::<Self, T, 2, 1>(self, t, column),
                _ => tile::<Self, T, 3, 1>(self, t, column),
            }
        }
    }
}
