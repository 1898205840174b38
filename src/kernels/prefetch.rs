//! Fetching weights before they are needed.

use std::ops::Range;

use super::packed::Line;

/// What the tiles of a slab fetch while they multiply: many tiles, which use the slab repeatedly, a share each of the lines after it; a single
/// tile, which goes through all weights in one stream, the lines a little way ahead.
#[derive(Clone, Copy)]
pub(crate) struct Prefetch {
    next: *const u8,
    /// Cache lines that each step of the depth fetches: 0, 1, 2 or 4.
    pub(super) lines: usize,
}

const CACHE_LINE: usize = 64;
/// How far ahead a stream fetches: more than memory delivers in the time of its latency.
const AHEAD: usize = 8 << 10;
/// Smaller matrices come from a cache, and the processor's own prefetcher follows them as well. It does not keep up with memory where a line has
/// few bytes or takes many multiplications: one row of 154 MB in bf16 took 0.7 of the time with this, and four rows 0.6.
pub(super) const STREAM_MIN: usize = 8 << 20;

impl Prefetch {
    /// What the first of the remaining `tiles` fetches while it uses `slab`, a part of `matrix`.
    #[inline(always)]
    pub(crate) fn new<T>(matrix: &[Line<T>], slab: &[Line<T>], tiles: Range<usize>) -> Self {
        let per_line = size_of::<Line<T>>() / CACHE_LINE;
        if tiles.end == 1 {
            let lines = if size_of_val(matrix) < STREAM_MIN { 0 } else { per_line };
            return Self { next: slab.as_ptr().cast::<u8>().wrapping_add(AHEAD), lines };
        }
        // A line of weights is several cache lines: so many tiles fetch one of them each, fewer fetch two.
        let lines = if tiles.end < per_line { 2 } else { 1 };
        let lines = if tiles.start * lines < per_line { lines } else { 0 };
        let start = slab.as_ptr_range().end.cast::<u8>();
        Self { next: start.wrapping_add(tiles.start * lines * slab.len() * CACHE_LINE), lines }
    }

    /// Fetches the part that belongs to step `k` of the depth, if [`Self::lines`] is `LINES`. A loop that knows it does nothing else.
    #[inline(always)]
    pub(crate) fn step<const LINES: usize>(&self, k: usize) {
        #[cfg(target_arch = "x86_64")]
        for line in 0..LINES {
            use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            let index = k.wrapping_mul(LINES).wrapping_add(line);
            let address = self.next.wrapping_add(index.wrapping_mul(CACHE_LINE));
            // SAFETY: SSE is in the baseline of x86-64, and prefetching has no effect on memory, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) };
        }
    }
}
