//! The inner loop of every product: a step for each line of weights, with all sums in registers.

use super::packed::Line;
use super::prefetch::Prefetch;

/// How a step multiplies, with the instructions of one set.
pub(super) trait Multiply: Copy {
    /// What a line holds for each column.
    type Weight;
    /// What a row has for each line.
    type Activation: Copy + Default;
    /// A register of [`Self::LANES`] columns.
    type Vector: Copy;
    /// Columns in a register.
    const LANES: usize;

    /// The first weights of a slice.
    fn weights(self, weights: &[Self::Weight]) -> Self::Vector;
    /// The same activation for every column.
    fn splat(self, activation: Self::Activation) -> Self::Vector;
    /// `x * weights + sum`, in a tile of so many rows.
    fn multiply_add<const ROWS: usize>(
        self,
        x: Self::Vector,
        weights: Self::Vector,
        sum: Self::Vector,
    ) -> Self::Vector;
}

/// The depth of a tile.
pub(super) struct Steps<'a, M: Multiply, const ROWS: usize> {
    pub(super) lines: &'a [Line<M::Weight>],
    /// Each as long as `lines`.
    pub(super) rows: [&'a [M::Activation]; ROWS],
    /// The first of the tile's columns.
    pub(super) column: usize,
    pub(super) prefetch: Prefetch,
}

impl<M: Multiply, const ROWS: usize> Steps<'_, M, ROWS> {
    /// Adds the products of all steps to `sums`.
    #[inline(always)]
    pub(super) fn add<const VECTORS: usize>(&self, with: M, sums: &mut [[M::Vector; VECTORS]; ROWS]) {
        match self.prefetch.lines {
            0 => self.add_fetching::<VECTORS, 0>(with, sums),
            1 => self.add_fetching::<VECTORS, 1>(with, sums),
            2 => self.add_fetching::<VECTORS, 2>(with, sums),
            _ => self.add_fetching::<VECTORS, 4>(with, sums),
        }
    }

    /// The same, fetching `LINES` cache lines in each step. Whatever else this loop did would take the place of multiplications. Loops and
    /// not closures: those are functions of their own that are compiled without the instruction set.
    #[inline(always)]
    fn add_fetching<const VECTORS: usize, const LINES: usize>(
        &self,
        with: M,
        sums: &mut [[M::Vector; VECTORS]; ROWS],
    ) {
        for k in 0..self.lines.len() {
            self.prefetch.step::<LINES>(k);
            let weights = &self.lines[k].0[self.column..][..VECTORS * M::LANES];
            // Zeros that are all overwritten: begun with weights, the loop took three times as long.
            let mut vectors = [with.splat(M::Activation::default()); VECTORS];
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = with.weights(&weights[v * M::LANES..]);
            }
            for (sums, row) in sums.iter_mut().zip(self.rows) {
                let x = with.splat(row[k]);
                for (sum, weights) in sums.iter_mut().zip(vectors) {
                    *sum = with.multiply_add::<ROWS>(x, weights, *sum);
                }
            }
        }
    }
}
