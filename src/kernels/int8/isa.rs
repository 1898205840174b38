//! Integer products on the instruction sets, as [`Isa`](crate::kernels::Isa) has float ones.
//!
//! They are a trait of their own because their choice differs: AVX-512 multiplies bytes only with its extension VNNI, and
//! a processor that lacks it runs these loops with AVX2.

use super::tile::{Tile, tile};
use crate::kernels::Kernel;

/// Work on integers that is compiled once for each instruction set. `run` and everything it calls must be `#[inline(always)]`.
pub(in crate::kernels) trait Task {
    /// Does the work with the instructions of `isa`.
    fn run<I: Integers>(self, isa: I);
}

/// Instructions on bytes that this processor has; a value of such a type proves it.
pub(in crate::kernels) trait Integers: Copy {
    /// A register of [`Self::LANES`] `i32`, or of four times as many bytes.
    type Vector: Copy;
    /// Output columns in a register.
    const LANES: usize;
    /// Rows of activations in a full tile.
    const ROWS: usize;
    /// What quantised activations are stored with: 128 where the instruction takes them unsigned. Sums then start from that
    /// many times the sum of the column's weights less.
    const OFFSET: u8;

    /// The first sums of a slice.
    fn load(self, sums: &[i32]) -> Self::Vector;
    /// Writes sums to the beginning of a slice.
    fn store(self, sums: Self::Vector, to: &mut [i32]);
    /// The first weights of a slice, four for each column.
    fn weights(self, weights: &[[i8; 4]]) -> Self::Vector;
    /// The same four activations for every column.
    fn splat(self, activations: [u8; 4]) -> Self::Vector;
    /// `sum` plus the four products of each lane, exact but for wrapping around, in a tile of so many rows.
    fn dot<const ROWS: usize>(
        self,
        x: Self::Vector,
        weights: Self::Vector,
        sum: Self::Vector,
    ) -> Self::Vector;
    /// Computes a tile of at most [`Self::ROWS`] rows.
    fn tile(self, tile: &mut Tile<'_>);
}

impl Kernel {
    /// Does `task` with this kernel's instructions on integers.
    pub(in crate::kernels) fn run_integers<T: Task>(self, task: T) {
        #[cfg(target_arch = "x86_64")]
        {
            use super::x86::{Avx2, Vnni};
            if self == Kernel::Avx512 && Vnni::is_supported() {
                // SAFETY: the processor was found to have AVX-512 F, BW and VNNI.
                return unsafe { run_vnni(task, Vnni::assume()) };
            }
            if self != Kernel::Portable {
                // Every processor with AVX-512 has AVX2.
                assert!(
                    Avx2::is_supported(),
                    "kernel `{}` runs on a processor without AVX2: a bug",
                    self.name()
                );
                // SAFETY: the assertion above has checked that the processor has AVX2.
                return unsafe { run_avx2(task, Avx2::assume()) };
            }
        }
        task.run(Portable);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn run_vnni<T: Task>(task: T, isa: super::x86::Vnni) {
    task.run(isa);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn run_avx2<T: Task>(task: T, isa: super::x86::Avx2) {
    task.run(isa);
}

/// Any processor.
#[derive(Clone, Copy)]
struct Portable;

impl Integers for Portable {
    /// Four bytes, or their sum, in each lane.
    type Vector = [i32; 8];
    const LANES: usize = 8;
    const ROWS: usize = 2;
    const OFFSET: u8 = 0;

    #[inline(always)]
    fn load(self, sums: &[i32]) -> [i32; 8] {
        *sums.first_chunk().expect("a register's worth of sums")
    }

    #[inline(always)]
    fn store(self, sums: [i32; 8], to: &mut [i32]) {
        to[..8].copy_from_slice(&sums);
    }

    #[inline(always)]
    fn weights(self, weights: &[[i8; 4]]) -> [i32; 8] {
        let weights: &[[i8; 4]; 8] = weights.first_chunk().expect("a register's worth of weights");
        weights.map(|four| i32::from_le_bytes(four.map(i8::cast_unsigned)))
    }

    #[inline(always)]
    fn splat(self, activations: [u8; 4]) -> [i32; 8] {
        [i32::from_le_bytes(activations); 8]
    }

    #[inline(always)]
    fn dot<const ROWS: usize>(self, x: [i32; 8], weights: [i32; 8], sum: [i32; 8]) -> [i32; 8] {
        // Shifted up and down again, each byte becomes a signed integer.
        let byte = |word: i32, index: u32| (word << (24 - 8 * index)) >> 24;
        std::array::from_fn(|lane| {
            let product = |index| byte(x[lane], index).wrapping_mul(byte(weights[lane], index));
            (0..4).fold(sum[lane], |sum, index| sum.wrapping_add(product(index)))
        })
    }

    #[inline(always)]
    fn tile(self, t: &mut Tile<'_>) {
        for column in (0..64).step_by(8) {
            match t.rows {
                1 => tile::<Self, 1, 1>(self, t, column),
                _ => tile::<Self, 2, 1>(self, t, column),
            }
        }
    }
}
