//! Memory that an engine thread keeps for its runs, so that a step allocates little.

use crate::kernels::prefer_large_pages;

/// A growing arena of `f32`, and the maximum size of a tile of logits.
pub struct Scratch {
    arena: Vec<f32>,
    /// Maximum bytes of logits that exist at once. A run computes its logits in tiles of at most this size, or of one row if a row is
    /// larger.
    pub logits_bytes_max: usize,
}

impl Scratch {
    /// An empty arena. `logits_bytes_max` bounds a tile of logits, in bytes.
    pub fn new(logits_bytes_max: usize) -> Self {
        Self { arena: Vec::new(), logits_bytes_max }
    }

    /// Disjoint slices of the given lengths, each aligned to 64 bytes. They hold whatever earlier runs have left.
    pub fn carve<const N: usize>(&mut self, lens: [usize; N]) -> [&mut [f32]; N] {
        const LINE: usize = 64 / size_of::<f32>();
        let total: usize = lens.iter().map(|len| len.next_multiple_of(LINE)).sum::<usize>() + LINE;
        if self.arena.len() < total {
            // What earlier runs have left is not copied.
            self.arena = Vec::new();
            self.arena.reserve_exact(total);
            prefer_large_pages(self.arena.spare_capacity_mut());
            self.arena.resize(total, 0.0);
        }
        let offset = self.arena.as_ptr().align_offset(64);
        let mut rest = &mut self.arena[offset..];
        lens.map(|len| {
            let (slice, tail) = std::mem::take(&mut rest).split_at_mut(len.next_multiple_of(LINE));
            rest = tail;
            &mut slice[..len]
        })
    }

    /// How many rows of `vocab_size` logits fit into one tile; at least one.
    pub fn tile_rows(&self, vocab_size: usize) -> usize {
        (self.logits_bytes_max / (vocab_size * size_of::<f32>()).max(1)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_disjoint_aligned_and_of_the_length_asked_for() {
        let mut scratch = Scratch::new(0);
        let [a, b, c] = scratch.carve([3, 0, 70]);
        assert_eq!((a.len(), b.len(), c.len()), (3, 0, 70));
        a.fill(1.0);
        c.fill(2.0);
        assert_eq!(a, [1.0; 3]);
        assert_eq!((a.as_ptr() as usize % 64, c.as_ptr() as usize % 64), (0, 0));
    }

    #[test]
    fn a_tile_holds_at_least_one_row() {
        assert_eq!(Scratch::new(0).tile_rows(250_000), 1);
        assert_eq!(Scratch::new(1 << 20).tile_rows(1024), 256);
    }
}
