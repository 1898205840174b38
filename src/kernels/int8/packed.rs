//! int8 weights laid out for the kernels.

use crate::kernels::packed::{Line, PANEL, lines_of};

/// The deepest product whose sums fit into `i32`.
pub(crate) const DEPTH_MAX: usize = i32::MAX as usize / (127 * 127);

/// A block of columns, quantised.
#[derive(Clone, Copy)]
pub(crate) struct Int8Block<'a> {
    /// `[columns, depth]`, in `-127..=127`.
    pub(crate) values: &'a [i8],
    /// What 1 stands for in each column.
    pub(crate) scales: &'a [f32],
}

/// The lines of all panels. A line holds four consecutive weights of each column, which a processor multiplies at once.
pub(crate) struct Int8Lines {
    /// `[panels, words]`: the depth in words of four, padded with zeros.
    pub(super) lines: Vec<Line<[i8; 4]>>,
    /// The words of a column.
    pub(super) words: usize,
    /// One for each column, padding included.
    pub(super) scales: Vec<f32>,
    /// The sum of each column's weights.
    pub(super) column_sums: Vec<i32>,
}

impl Int8Lines {
    /// Packs blocks of columns, each of which begins at a panel of its own.
    pub(crate) fn new(depth: usize, blocks: &[Int8Block<'_>]) -> Self {
        assert!(depth <= DEPTH_MAX, "an int8 matrix of depth {depth}, expected at most {DEPTH_MAX}: a bug");
        let words = depth.div_ceil(4);
        let panels: usize = blocks.iter().map(|block| block.scales.len().div_ceil(PANEL)).sum();
        let mut packed = Self {
            lines: lines_of(panels * words, [0; 4]),
            words,
            scales: vec![0.0; panels * PANEL],
            column_sums: vec![0; panels * PANEL],
        };
        let mut first = 0;
        for block in blocks {
            for (column, weights) in block.values.chunks_exact(depth).enumerate() {
                packed.put(first + column, weights);
                packed.scales[first + column] = block.scales[column];
            }
            first += block.scales.len().next_multiple_of(PANEL);
        }
        packed
    }

    fn put(&mut self, column: usize, weights: &[i8]) {
        self.column_sums[column] = weights.iter().map(|&weight| i32::from(weight)).sum();
        let panel = &mut self.lines[column / PANEL * self.words..][..self.words];
        for (line, four) in panel.iter_mut().zip(weights.chunks(4)) {
            line.0[column % PANEL][..four.len()].copy_from_slice(four);
        }
    }

    /// The lines of a panel, and what 1 stands for in each of its columns.
    pub(in crate::kernels) fn panel(&self, panel: usize) -> (&[Line<[i8; 4]>], &[f32]) {
        let lines = &self.lines[panel * self.words..][..self.words];
        (lines, &self.scales[panel * PANEL..][..PANEL])
    }

    /// Writes the numbers that the weights of `column` stand for.
    pub(crate) fn copy_column(&self, column: usize, weights: &mut [f32]) {
        let scale = self.scales[column];
        let panel = &self.lines[column / PANEL * self.words..][..self.words];
        for (weights, line) in weights.chunks_mut(4).zip(panel) {
            for (weight, &quantised) in weights.iter_mut().zip(&line.0[column % PANEL]) {
                *weight = f32::from(quantised) * scale;
            }
        }
    }
}
