//! What one core reaches in simple loops: bytes read from memory, multiply-adds of `f32`, alone and with their loads, and multiply-adds of bytes.

use std::hint::black_box;
use std::time::Duration;

use serde_json::{Value, json};

use crate::runs::{percentile, times};

/// Independent chains, so that the latency of an instruction does not matter.
const CHAINS: usize = 12;
/// Instructions of each chain in one measured run.
const ROUNDS: usize = 100_000;
/// More than any cache.
const READ_BYTES: usize = 512 << 20;

/// Rates of a second. A peak is taken from the fastest tenth of the runs: what the machine can do, not what it did between interrupts.
pub(crate) fn measure(time: Duration) -> Value {
    json!({
        "read_bytes_per_second": read(time),
        "fma_flops": peak(time, fma()),
        "tile_flops": tile().map(|tile| peak(time, tile)),
        "int8_ops": int8().map(|int8| peak(time, int8)),
        "features": rnnlm_server::kernels::Kernel::cpu_features(),
    })
}

fn read(time: Duration) -> f64 {
    // Ones, because zeros might be one page that is mapped everywhere.
    let values = vec![1u64; READ_BYTES / size_of::<u64>()];
    let times = times(time, || {
        black_box(sum(black_box(&values)));
    });
    READ_BYTES as f64 / (percentile(&times, 50) / 1e6)
}

fn sum(values: &[u64]) -> [u64; 16] {
    let (chunks, _) = values.as_chunks::<16>();
    let mut sums = [0u64; 16];
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*value);
        }
    }
    sums
}

/// A loop of [`ROUNDS`] rounds over [`CHAINS`] chains.
struct Loop {
    run: fn(),
    /// Operations of an instruction, or of the instructions that stand for it: a multiplication and an addition in each lane.
    ops: usize,
}

fn peak(time: Duration, work: Loop) -> f64 {
    let times = times(time, work.run);
    (ROUNDS * CHAINS * work.ops) as f64 / (percentile(&times, 10) / 1e6)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::{CHAINS, ROUNDS};

    /// Rows of activations that share the weights of a tile.
    const TILE_ROWS: usize = 6;

    /// Weights of `COLUMNS` columns and activations of [`TILE_ROWS`] rows, small enough for the nearest cache.
    #[repr(C, align(64))]
    struct Tile<const DEPTH: usize, const COLUMNS: usize> {
        weights: [[f32; COLUMNS]; DEPTH],
        activations: [[f32; DEPTH]; TILE_ROWS],
    }

    impl<const DEPTH: usize, const COLUMNS: usize> Tile<DEPTH, COLUMNS> {
        const SAMPLE: Self =
            Self { weights: [[0.5; COLUMNS]; DEPTH], activations: [[0.5; DEPTH]; TILE_ROWS] };
        /// How often the tile is multiplied in one run.
        const TIMES: usize = ROUNDS * CHAINS / (DEPTH * TILE_ROWS);
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn tile_avx512() {
        const VECTORS: usize = 4;
        type Full = Tile<50, { VECTORS * 16 }>;
        let tile = Full::SAMPLE;
        let mut sums = [[_mm512_setzero_ps(); VECTORS]; TILE_ROWS];
        for _ in 0..Full::TIMES / VECTORS {
            let tile = black_box(&tile);
            for (k, weights) in tile.weights.iter().enumerate() {
                let (weights, _) = weights.as_chunks::<16>();
                for (sums, row) in sums.iter_mut().zip(&tile.activations) {
                    let x = _mm512_set1_ps(row[k]);
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        // SAFETY: the array is as long as the register.
                        let weights = unsafe { _mm512_loadu_ps(weights.as_ptr()) };
                        *sum = _mm512_fmadd_ps(x, weights, *sum);
                    }
                }
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn tile_avx2() {
        const VECTORS: usize = 2;
        type Half = Tile<100, { VECTORS * 8 }>;
        let tile = Half::SAMPLE;
        let mut sums = [[_mm256_setzero_ps(); VECTORS]; TILE_ROWS];
        for _ in 0..Half::TIMES / VECTORS {
            let tile = black_box(&tile);
            for (k, weights) in tile.weights.iter().enumerate() {
                let (weights, _) = weights.as_chunks::<8>();
                for (sums, row) in sums.iter_mut().zip(&tile.activations) {
                    let x = _mm256_set1_ps(row[k]);
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        // SAFETY: the array is as long as the register.
                        let weights = unsafe { _mm256_loadu_ps(weights.as_ptr()) };
                        *sum = _mm256_fmadd_ps(x, weights, *sum);
                    }
                }
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn fma_avx512() {
        let [x, y] = [black_box(_mm512_set1_ps(0.5)), black_box(_mm512_set1_ps(1.0))];
        let mut sums = [y; CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, x, y);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn fma_avx2() {
        let [x, y] = [black_box(_mm256_set1_ps(0.5)), black_box(_mm256_set1_ps(1.0))];
        let mut sums = [y; CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, x, y);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn int8_vnni() {
        let [x, y] = [black_box(_mm512_set1_epi8(3)), black_box(_mm512_set1_epi8(5))];
        let mut sums = [_mm512_setzero_si512(); CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, x, y);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn int8_avx2() {
        let [x, y] = [black_box(_mm256_set1_epi8(3)), black_box(_mm256_set1_epi8(5))];
        let mut sums = [_mm256_setzero_si256(); CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                // Sums of the loop before must not be known, or the products would leave the loop.
                let pairs = _mm256_maddubs_epi16(black_box(x), y);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            }
        }
        black_box(sums);
    }
}

#[cfg(target_arch = "x86_64")]
fn fma() -> Loop {
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        Loop { run: || unsafe { x86::fma_avx512() }, ops: 2 * 16 }
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA.
        Loop { run: || unsafe { x86::fma_avx2() }, ops: 2 * 8 }
    } else {
        portable()
    }
}

/// The peak with loads: the inner loop of a product, whose weights and activations lie in the nearest cache.
#[cfg(target_arch = "x86_64")]
fn tile() -> Option<Loop> {
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        Some(Loop { run: || unsafe { x86::tile_avx512() }, ops: 2 * 16 })
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA.
        Some(Loop { run: || unsafe { x86::tile_avx2() }, ops: 2 * 8 })
    } else {
        None
    }
}

#[cfg(target_arch = "x86_64")]
fn int8() -> Option<Loop> {
    let has_vnni = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni");
    if has_vnni {
        // SAFETY: the processor has these instructions.
        Some(Loop { run: || unsafe { x86::int8_vnni() }, ops: 2 * 64 })
    } else if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        Some(Loop { run: || unsafe { x86::int8_avx2() }, ops: 2 * 32 })
    } else {
        None
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn fma() -> Loop {
    portable()
}

#[cfg(not(target_arch = "x86_64"))]
fn tile() -> Option<Loop> {
    None
}

#[cfg(not(target_arch = "x86_64"))]
fn int8() -> Option<Loop> {
    None
}

/// Four lanes that the compiler may put into one register.
fn portable() -> Loop {
    fn run() {
        let [x, y] = black_box([0.5f32, 1.0]);
        let mut sums = [[y; 4]; CHAINS];
        for _ in 0..ROUNDS {
            sums.iter_mut().flatten().for_each(|sum| *sum = *sum * x + y);
        }
        black_box(sums);
    }
    Loop { run, ops: 2 * 4 }
}
