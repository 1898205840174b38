//! Fetching weights before they are needed.

use std::ops::Range;

use super::packed::Line;

/// Fetches a share of the lines after a slab while many tiles use the slab.
///
/// Only then: a single tile reads all weights in one stream, which the processor's own prefetcher follows better (measured: up to
/// twice as fast, from 26 MB on); many tiles read one slab repeatedly, and the stream stops in between.
#[derive(Clone, Copy)]
pub(crate) struct Prefetch {
    next: *const u8,
    /// Cache lines that each step of the depth fetches: 0, 1 or 2.
    pub(super) lines: usize,
}

const CACHE_LINE: usize = 64;

impl Prefetch {
    /// The share of the lines after `slab`, as many as it has itself, that the first of the remaining `tiles` fetches.
    #[inline(always)]
    pub(crate) fn after<T>(slab: &[Line<T>], tiles: Range<usize>) -> Self {
        let per_line = size_of::<Line<T>>() / CACHE_LINE;
        // A line of weights is several cache lines: so many tiles fetch one of them each, fewer fetch two.
        let lines = if tiles.end < per_line { 2 } else { 1 };
        let is_done = tiles.end == 1 || tiles.start * lines >= per_line;
        let lines = if is_done { 0 } else { lines };
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
