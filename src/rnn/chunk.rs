//! Which rows are read at which time step, when rows of different lengths are read in lock-step.

use std::ops::Range;

/// A stretch of time steps that a run takes through all layers at once.
///
/// Rows are ordered by falling length, so that those which still have a token are always the first few. Vectors are
/// laid out in blocks, one a time step: block 0 holds each row as it stands before the chunk, block
/// `s + 1` the rows that read a token in step `s`. The blocks of a buffer follow each other without a gap, so one product
/// covers all tokens of all rows, and a step finds its predecessor in the block before its own.
pub(super) struct Chunk {
    start: usize,
    /// Where each block ends.
    ends: Vec<usize>,
}

impl Chunk {
    /// The chunk from time step `start` on, of at most `tokens_max` tokens but one step at the least (none when no row
    /// is that long). `lens` are the rows' lengths, falling.
    pub(super) fn plan(lens: &[usize], start: usize, tokens_max: usize) -> Self {
        let rows = if start == 0 { lens.len() } else { active(lens, start) };
        let mut ends = vec![rows];
        let mut before = rows;
        for step in start.. {
            let active = active(&lens[..before], step);
            let end = ends[ends.len() - 1];
            let is_full = ends.len() > 1 && end - rows + active > tokens_max;
            if active == 0 || is_full {
                break;
            }
            ends.push(end + active);
            before = active;
        }
        Self { start, ends }
    }

    /// Time steps read before the chunk.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// Time steps of the chunk.
    pub(super) fn steps(&self) -> usize {
        self.ends.len() - 1
    }

    /// Rows that the chunk looks at.
    pub(super) fn rows(&self) -> usize {
        self.ends[0]
    }

    /// Tokens that the chunk reads.
    pub(super) fn tokens(&self) -> usize {
        self.ends[self.steps()] - self.rows()
    }

    /// Where the vectors of block `index` lie among those of all blocks.
    pub(super) fn block(&self, index: usize) -> Range<usize> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        start..self.ends[index]
    }

    /// Each row with the place of its last vector among those of all blocks.
    pub(super) fn last_vectors(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.ends.len()).flat_map(|index| {
            let block = self.block(index);
            let reading_on = if index < self.steps() { self.block(index + 1).len() } else { 0 };
            (reading_on..block.len()).map(move |row| (row, block.start + row))
        })
    }
}

/// How many of the first rows still have a token at time step `step`.
fn active(lens: &[usize], step: usize) -> usize {
    lens.partition_point(|&len| len > step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_rows_are_a_prefix_and_blocks_have_no_gap() {
        let chunk = Chunk::plan(&[4, 2, 2, 0], 0, 100);
        let blocks: Vec<_> = (0..=chunk.steps()).map(|index| chunk.block(index)).collect();
        assert_eq!(blocks, [0..4, 4..7, 7..10, 10..11, 11..12]);
        assert_eq!((chunk.rows(), chunk.steps(), chunk.tokens()), (4, 4, 8));
        let mut last: Vec<_> = chunk.last_vectors().collect();
        last.sort_unstable();
        assert_eq!(last, [(0, 11), (1, 8), (2, 9), (3, 3)]);
    }

    #[test]
    fn a_chunk_stops_before_its_bound_and_takes_one_step_at_least() {
        let lens = [5, 5, 3];
        let chunk = Chunk::plan(&lens, 0, 7);
        assert_eq!((chunk.steps(), chunk.tokens()), (2, 6));
        let chunk = Chunk::plan(&lens, 2, 1);
        assert_eq!((chunk.rows(), chunk.steps(), chunk.tokens()), (3, 1, 3));
        let chunk = Chunk::plan(&lens, 3, 7);
        assert_eq!((chunk.rows(), chunk.steps(), chunk.tokens()), (2, 2, 4));
    }

    #[test]
    fn rows_without_a_token_make_a_chunk_without_a_step() {
        let chunk = Chunk::plan(&[0, 0], 0, 7);
        assert_eq!((chunk.rows(), chunk.steps(), chunk.tokens()), (2, 0, 0));
        assert_eq!(chunk.last_vectors().collect::<Vec<_>>(), [(0, 0), (1, 1)]);
    }
}
