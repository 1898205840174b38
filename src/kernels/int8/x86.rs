//! The byte instructions of x86-64.

use std::arch::x86_64::*;

use super::isa::Integers;
use super::tile::{Tile, tile};

/// AVX-512 with VNNI: one instruction multiplies 64 unsigned bytes by signed ones and adds up four by four.
#[derive(Clone, Copy)]
pub(super) struct Vnni(());

impl Vnni {
    /// Whether the processor has it.
    pub(super) fn is_supported() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni")
    }

    /// # Safety
    /// [`Self::is_supported`] must be true.
    pub(super) unsafe fn assume() -> Self {
        Self(())
    }
}

impl Integers for Vnni {
    type Vector = __m512i;
    const LANES: usize = 16;
    const ROWS: usize = 6;
    const OFFSET: u8 = 128;

    #[inline(always)]
    fn load(self, sums: &[i32]) -> __m512i {
        let sums: &[i32; 16] = sums.first_chunk().expect("a register's worth of sums");
        // SAFETY: `self` proves that the processor has the instruction, and the array is as long as the register.
        unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, sums: __m512i, to: &mut [i32]) {
        let to: &mut [i32; 16] = to.first_chunk_mut().expect("room for a register");
        // SAFETY: `self` proves that the processor has the instruction, and the array is as long as the register.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), sums) }
    }

    #[inline(always)]
    fn weights(self, weights: &[[i8; 4]]) -> __m512i {
        let weights: &[[i8; 4]; 16] = weights.first_chunk().expect("a register's worth of weights");
        // SAFETY: `self` proves that the processor has the instruction, and the array is as long as the register.
        unsafe { _mm512_loadu_si512(weights.as_ptr().cast()) }
    }

    #[inline(always)]
    fn splat(self, activations: [u8; 4]) -> __m512i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_set1_epi32(i32::from_le_bytes(activations)) }
    }

    #[inline(always)]
    fn dot<const ROWS: usize>(self, x: __m512i, weights: __m512i, sum: __m512i) -> __m512i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_dpbusd_epi32(sum, x, weights) }
    }

    #[inline(always)]
    fn tile(self, t: &mut Tile<'_>) {
        match t.rows {
            1 => tile::<Self, 1, 4>(self, t, 0),
            2 => tile::<Self, 2, 4>(self, t, 0),
            3 => tile::<Self, 3, 4>(self, t, 0),
            4 => tile::<Self, 4, 4>(self, t, 0),
            5 => tile::<Self, 5, 4>(self, t, 0),
            _ => tile::<Self, 6, 4>(self, t, 0),
        }
    }
}

/// AVX2: products of bytes are added in pairs in 16 bits, which 127 * 127 twice does not exceed.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// Whether the processor has it.
    pub(super) fn is_supported() -> bool {
        is_x86_feature_detected!("avx2")
    }

    /// # Safety
    /// [`Self::is_supported`] must be true.
    pub(super) unsafe fn assume() -> Self {
        Self(())
    }
}

impl Integers for Avx2 {
    type Vector = __m256i;
    const LANES: usize = 8;
    const ROWS: usize = 4;
    const OFFSET: u8 = 0;

    #[inline(always)]
    fn load(self, sums: &[i32]) -> __m256i {
        let sums: &[i32; 8] = sums.first_chunk().expect("a register's worth of sums");
        // SAFETY: `self` proves that the processor has the instruction, and the array is as long as the register.
        unsafe { _mm256_loadu_si256(sums.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, sums: __m256i, to: &mut [i32]) {
        let to: &mut [i32; 8] = to.first_chunk_mut().expect("room for a register");
        // SAFETY: `self` proves that the processor has the instruction, and the array is as long as the register.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), sums) }
    }

    #[inline(always)]
    fn weights(self, weights: &[[i8; 4]]) -> __m256i {
        let weights: &[[i8; 4]; 8] = weights.first_chunk().expect("a register's worth of weights");
        // SAFETY: `self` proves that the processor has the instruction, and the array is as long as the register.
        unsafe { _mm256_loadu_si256(weights.as_ptr().cast()) }
    }

    #[inline(always)]
    fn splat(self, activations: [u8; 4]) -> __m256i {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_set1_epi32(i32::from_le_bytes(activations)) }
    }

    #[inline(always)]
    fn dot<const ROWS: usize>(self, x: __m256i, weights: __m256i, sum: __m256i) -> __m256i {
        // The instruction takes one factor unsigned, and the other has its sign. The magnitude is that of the factor with fewer registers.
        // SAFETY: `self` proves that the processor has the instructions.
        unsafe {
            let pairs = if ROWS < Self::ROWS {
                _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(weights, x))
            } else {
                _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights))
            };
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    fn tile(self, t: &mut Tile<'_>) {
        // As many columns at once as there are registers: few rows wait for the weights, and this is one stream of them, or two.
        match t.rows {
            1 => tile::<Self, 1, 8>(self, t, 0),
            2 => {
                for column in [0, 32] {
                    tile::<Self, 2, 4>(self, t, column);
                }
            }
            3 => {
                for column in [0, 32] {
                    tile::<Self, 3, 4>(self, t, column);
                }
            }
            _ => {
                for column in [0, 16, 32, 48] {
                    tile::<Self, 4, 2>(self, t, column);
                }
            }
        }
    }
}
