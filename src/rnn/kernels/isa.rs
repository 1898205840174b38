//! One source, compiled for several instruction sets.
//!
//! A [`Task`] is plain Rust, all of it `#[inline(always)]`, so that each entry point below compiles its own copy with
//! the instructions that it may use, and the compiler turns the loops into vector code. There are no intrinsics
//! to keep in step: the copies agree because they are one source.

use super::Kernel;
use super::product::{Tile, tile};

/// Work that is compiled once for each instruction set. `run` and all it calls must be `#[inline(always)]`.
pub trait Task {
    /// What it computes.
    type Output;

    /// Does the work.
    fn run<I: Isa>(self) -> Self::Output;
}

/// What differs between instruction sets: the multiply-add, and the tile that fits into the registers.
pub trait Isa {
    /// Rows of activations in a full tile.
    const ROWS: usize;

    /// `x * weight + sum`, rounded once where the processor can.
    fn mul_add(x: f32, weight: f32, sum: f32) -> f32;

    /// Computes a tile of at most [`Self::ROWS`] rows by one panel.
    fn tile(tile: &mut Tile<'_>);
}

impl Kernel {
    /// Does `task` with this kernel's instructions.
    pub fn run<T: Task>(self, task: T) -> T::Output {
        #[cfg(target_arch = "x86_64")]
        {
            if self != Kernel::Portable {
                assert!(self.is_supported(), "kernel `{}` on a processor without it is a bug", self.name());
            }
            match self {
                // SAFETY: the processor was seen, one line up, to have the instructions.
                Kernel::Avx512 => return unsafe { run_avx512(task) },
                // SAFETY: as above.
                Kernel::Avx2 => return unsafe { run_avx2(task) },
                Kernel::Portable => {}
            }
        }
        task.run::<Portable>()
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn run_avx512<T: Task>(task: T) -> T::Output {
    task.run::<Avx512>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<T: Task>(task: T) -> T::Output {
    task.run::<Avx2>()
}

/// 32 registers of 16 values: 24 sums, 4 weights.
#[cfg(target_arch = "x86_64")]
struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Isa for Avx512 {
    const ROWS: usize = 6;

    #[inline(always)]
    fn mul_add(x: f32, weight: f32, sum: f32) -> f32 {
        x.mul_add(weight, sum)
    }

    #[inline(always)]
    fn tile(t: &mut Tile<'_>) {
        match t.rows {
            1 => tile::<Self, 1, 64>(t, 0),
            2 => tile::<Self, 2, 64>(t, 0),
            3 => tile::<Self, 3, 64>(t, 0),
            4 => tile::<Self, 4, 64>(t, 0),
            5 => tile::<Self, 5, 64>(t, 0),
            _ => tile::<Self, 6, 64>(t, 0),
        }
    }
}

/// 16 registers of 8 values: 12 sums, 4 weights.
#[cfg(target_arch = "x86_64")]
struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Isa for Avx2 {
    const ROWS: usize = 3;

    #[inline(always)]
    fn mul_add(x: f32, weight: f32, sum: f32) -> f32 {
        x.mul_add(weight, sum)
    }

    #[inline(always)]
    fn tile(t: &mut Tile<'_>) {
        match t.rows {
            1 => tile::<Self, 1, 64>(t, 0),
            2 => {
                tile::<Self, 2, 32>(t, 0);
                tile::<Self, 2, 32>(t, 32);
            }
            _ => {
                tile::<Self, 3, 32>(t, 0);
                tile::<Self, 3, 32>(t, 32);
            }
        }
    }
}

/// Any processor: 16 registers of 4 values are the least that is expected.
struct Portable;

impl Isa for Portable {
    const ROWS: usize = 3;

    #[inline(always)]
    fn mul_add(x: f32, weight: f32, sum: f32) -> f32 {
        // Without the instruction, `mul_add` would be a call into the C library for every product.
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            x.mul_add(weight, sum)
        } else {
            x * weight + sum
        }
    }

    #[inline(always)]
    fn tile(t: &mut Tile<'_>) {
        for column in [0, 16, 32, 48] {
            match t.rows {
                1 => tile::<Self, 1, 16>(t, column),
                2 => tile::<Self, 2, 16>(t, column),
                _ => tile::<Self, 3, 16>(t, column),
            }
        }
    }
}
