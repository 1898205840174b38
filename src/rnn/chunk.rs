//! Which rows read a token at which time step, when rows of different lengths are read in lock-step.

use std::ops::Range;

/// A range of time steps that a run takes through all layers at once.
///
/// Rows are in order of decreasing length, so that those that still have a token always come first. Vectors are laid
/// out in blocks, one for each time step: block 0 holds each row as it stands before the chunk, block `s + 1` the rows that read a
/// token in step `s`. The blocks of a buffer are contiguous, so one product covers all tokens of all rows, and a step
/// finds its predecessor in the block before its own.
pub(super) struct Chunk {
    start: usize,
    /// Where each block ends.
    ends: Vec<usize>,
}

impl Chunk {
    /// The chunk that begins at time step `start`: at most `tokens_max` tokens, but at least one step (none when no row is
    /// that long). `lens` are the rows' lengths, in decreasing order.
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

    /// Rows in block 0.
    pub(super) fn rows(&self) -> usize {
        self.ends[0]
    }

    /// Tokens that the chunk reads.
    pub(super) fn tokens(&self) -> usize {
        self.ends[self.steps()] - self.rows()
    }

    /// The vectors of block `index` among those of all blocks.
    pub(super) fn block(&self, index: usize) -> Range<usize> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        start..self.ends[index]
    }

    /// The last vector of each row.
    pub(super) fn last_vectors(&self) -> impl Iterator<Item = LastVector> + '_ {
        (0..self.ends.len()).flat_map(|index| {
            let block = self.block(index);
            let reading_on = if index < self.steps() { self.block(index + 1).len() } else { 0 };
            (reading_on..block.len()).map(move |row| LastVector { row, vector: block.start + row })
        })
    }
}

/// Where a row stands after the chunk.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LastVector {
    pub(super) row: usize,
    /// Its index among the vectors of all blocks.
    pub(super) vector: usize,
}

/// How many of the first rows still have a token at time step `step`.
fn active(lens: &[usize], step: usize) -> usize {
    lens.partition_point(|&len| len > step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_vector((row, vector): (usize, usize)) -> LastVector {
        LastVector { row, vector }
    }

    #[test]
    fn active_rows_are_a_prefix_and_blocks_have_no_gap() {
        let chunk = Chunk::plan(&[4, 2, 2, 0], 0, 100);
        let blocks: Vec<_> = (0..=chunk.steps()).map(|index| chunk.block(index)).collect();
        assert_eq!(blocks, [0..4, 4..7, 7..10, 10..11, 11..12]);
        assert_eq!((chunk.rows(), chunk.steps(), chunk.tokens()), (4, 4, 8));
        let mut last: Vec<_> = chunk.last_vectors().collect();
        last.sort_unstable();
        assert_eq!(last, [(0, 11), (1, 8), (2, 9), (3, 3)].map(last_vector));
    }

    #[test]
    fn a_chunk_stops_at_its_bound_but_takes_at_least_one_step() {
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
        assert_eq!(chunk.last_vectors().collect::<Vec<_>>(), [(0, 0), (1, 1)].map(last_vector));
    }
}
