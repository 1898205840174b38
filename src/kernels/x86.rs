//! The vector instructions of x86-64.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::element::Element;
use super::isa::Isa;
use super::product::{Tile, tile};

/// AVX-512F: 32 registers, of which a full tile takes 24 for sums and 4 for weights.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The processor must have AVX-512F.
    pub(crate) unsafe fn assume() -> Self {
        Self(())
    }
}

impl Isa for Avx512 {
    type Vector = __m512;
    const LANES: usize = 16;
    const ROWS: usize = 6;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, values: &[f32]) -> __m512 {
        let values: &[f32; 16] = values.first_chunk().expect("a register's worth of values");
        // SAFETY: `self` proves that the processor has the instruction, and the array is as long as the register.
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn load_f16(self, values: &[f16]) -> __m512 {
        let values: &[f16; 16] = values.first_chunk().expect("a register's worth of values");
        // SAFETY: `self` proves that the processor has the instructions, and the array is as long as the half register.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(values.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_bf16(self, values: &[bf16]) -> __m512 {
        let values: &[bf16; 16] = values.first_chunk().expect("a register's worth of values");
        // SAFETY: `self` proves that the processor has the instructions, and the array is as long as the half register.
        unsafe {
            let narrow = _mm256_loadu_si256(values.as_ptr().cast());
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(narrow)))
        }
    }

    #[inline(always)]
    fn store(self, vector: __m512, values: &mut [f32]) {
        let values: &mut [f32; 16] = values.first_chunk_mut().expect("room for a register");
        // SAFETY: `self` proves that the processor has the instruction, and the array is as long as the register.
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn mul_add(self, x: __m512, weight: __m512, sum: __m512) -> __m512 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm512_fmadd_ps(x, weight, sum) }
    }

    #[inline(always)]
    fn tile<T: Element>(self, t: &mut Tile<'_, T>) {
        match t.rows {
            1 => tile::<Self, T, 1, 4>(self, t, 0),
            2 => tile::<Self, T, 2, 4>(self, t, 0),
            3 => tile::<Self, T, 3, 4>(self, t, 0),
            4 => tile::<Self, T, 4, 4>(self, t, 0),
            5 => tile::<Self, T, 5, 4>(self, t, 0),
            _ => tile::<Self, T, 6, 4>(self, t, 0),
        }
    }
}

/// AVX2 with FMA and F16C: 16 registers, of which a full tile takes 12 for sums.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The processor must have AVX2, FMA and F16C.
    pub(crate) unsafe fn assume() -> Self {
        Self(())
    }
}

impl Isa for Avx2 {
    type Vector = __m256;
    const LANES: usize = 8;
    const ROWS: usize = 6;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, values: &[f32]) -> __m256 {
        let values: &[f32; 8] = values.first_chunk().expect("a register's worth of values");
        // SAFETY: `self` proves that the processor has the instruction, and the array is as long as the register.
        unsafe { _mm256_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn load_f16(self, values: &[f16]) -> __m256 {
        let values: &[f16; 8] = values.first_chunk().expect("a register's worth of values");
        // SAFETY: `self` proves that the processor has the instructions, and the array is as long as the half register.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(values.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_bf16(self, values: &[bf16]) -> __m256 {
        let values: &[bf16; 8] = values.first_chunk().expect("a register's worth of values");
        // SAFETY: `self` proves that the processor has the instructions, and the array is as long as the half register.
        unsafe {
            let narrow = _mm_loadu_si128(values.as_ptr().cast());
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(narrow)))
        }
    }

    #[inline(always)]
    fn store(self, vector: __m256, values: &mut [f32]) {
        let values: &mut [f32; 8] = values.first_chunk_mut().expect("room for a register");
        // SAFETY: `self` proves that the processor has the instruction, and the array is as long as the register.
        unsafe { _mm256_storeu_ps(values.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn mul_add(self, x: __m256, weight: __m256, sum: __m256) -> __m256 {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { _mm256_fmadd_ps(x, weight, sum) }
    }

    #[inline(always)]
    fn tile<T: Element>(self, t: &mut Tile<'_, T>) {
        match t.rows {
            1 => tile::<Self, T, 1, 8>(self, t, 0),
            2 => (0..64).step_by(32).for_each(|column| tile::<Self, T, 2, 4>(self, t, column)),
            3 => (0..64).step_by(16).for_each(|column| tile::<Self, T, 3, 2>(self, t, column)),
            4 => (0..64).step_by(16).for_each(|column| tile::<Self, T, 4, 2>(self, t, column)),
            5 => (0..64).step_by(16).for_each(|column| tile::<Self, T, 5, 2>(self, t, column)),
            _ => (0..64).step_by(16).for_each(|column| tile::<Self, T, 6, 2>(self, t, column)),
        }
    }
}
