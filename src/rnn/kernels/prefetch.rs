//! Asking for the weights before they are needed.

use std::ops::Range;

use super::packed::{Line, Packed};

/// Fetches a share of the next panel while the present one is in use.
///
/// The processor's own prefetcher follows one stream and starts late at each panel when many tiles go over a panel in between.
#[derive(Clone, Copy)]
pub struct Prefetch {
    next: *const u8,
    cache_lines: usize,
}

const CACHE_LINE: usize = 64;

impl Prefetch {
    /// The share of the panel after `panel` that falls to the first of the remaining `tiles`.
    #[inline(always)]
    pub fn next_panel(w: &Packed, panel: usize, tiles: Range<usize>) -> Self {
        let lines_per_depth = size_of::<Line>() / CACHE_LINE;
        // At four tiles and more each fetches a quarter; fewer share the panel.
        let cache_lines =
            if tiles.start >= lines_per_depth { 0 } else { lines_per_depth.div_ceil(tiles.end) };
        let start = w.panel(panel).as_ptr_range().end.cast::<u8>();
        Self { next: start.wrapping_add(tiles.start * cache_lines * w.depth() * CACHE_LINE), cache_lines }
    }

    /// Fetches what falls to step `k` of the depth.
    #[inline(always)]
    pub fn line(&self, k: usize) {
        #[cfg(target_arch = "x86_64")]
        for line in 0..self.cache_lines {
            use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            let address = self.next.wrapping_add((k * self.cache_lines + line) * CACHE_LINE);
            // SAFETY: SSE is in the baseline of x86-64, and a prefetch of any address is without effect on memory.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) };
        }
    }
}
