//! A weight matrix laid out for the kernels, once, at load.

use half::{bf16, f16};

use super::element::Element;
use super::int8::{Int8Block, Int8Lines, Int8Product};
use super::pages::prefer_large_pages;

/// Output columns of a panel.
pub(crate) const PANEL: usize = 64;

/// The weights by which one input value is multiplied in one panel.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line<T>(pub(crate) [T; PANEL]);

/// A matrix `[columns, depth]`, as PyTorch stores it, cut into panels of [`PANEL`] output columns: panel after panel,
/// `depth` lines each.
///
/// Products with any number of rows read the same copy from front to back. The columns come in blocks, each padded with
/// zeros to whole panels, so that a product can write one block without touching its neighbour.
pub(crate) struct Packed {
    lines: Lines,
    depth: usize,
    panels: usize,
}

/// The lines of all panels, in the type that the weights are held in.
pub(crate) enum Lines {
    F32(Vec<Line<f32>>),
    F16(Vec<Line<f16>>),
    Bf16(Vec<Line<bf16>>),
    Int8(Int8Lines),
}

impl Packed {
    /// Packs row-major blocks `[columns of the block, depth]`, each of which begins at a panel of its own.
    pub(crate) fn new<T: Element>(depth: usize, blocks: &[&[T]]) -> Self {
        let panels = blocks.iter().map(|block| (block.len() / depth).div_ceil(PANEL)).sum();
        let mut lines = lines_of(panels * depth, T::default());
        let mut first = 0;
        for block in blocks {
            for (column, weights) in block.chunks_exact(depth).enumerate() {
                let panel = &mut lines[(first + column / PANEL) * depth..][..depth];
                for (line, &weight) in panel.iter_mut().zip(weights) {
                    line.0[column % PANEL] = weight;
                }
            }
            first += (block.len() / depth).div_ceil(PANEL);
        }
        Self { lines: T::lines(lines), depth, panels }
    }

    /// Packs blocks of int8 weights, each of which begins at a panel of its own.
    pub(crate) fn int8(depth: usize, blocks: &[Int8Block<'_>]) -> Self {
        let panels = blocks.iter().map(|block| block.scales.len().div_ceil(PANEL)).sum();
        Self { lines: Lines::Int8(Int8Lines::new(depth, blocks)), depth, panels }
    }

    /// Values of one row of activations.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Output columns, padding included.
    pub(crate) fn columns(&self) -> usize {
        self.panels * PANEL
    }

    /// Values of working memory that a product takes for each row of activations.
    pub(crate) fn room(&self) -> usize {
        match &self.lines {
            Lines::F32(_) | Lines::F16(_) | Lines::Bf16(_) => 0,
            Lines::Int8(lines) => Int8Product::room(lines),
        }
    }

    /// The lines of all panels, `[panels, depth]`.
    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Writes the weights of output column `column` of the first block, `[depth]`: the row that was packed there.
    pub(crate) fn copy_column(&self, column: usize, weights: &mut [f32]) {
        match &self.lines {
            Lines::F32(lines) => self.widen_column(lines, column, weights),
            Lines::F16(lines) => self.widen_column(lines, column, weights),
            Lines::Bf16(lines) => self.widen_column(lines, column, weights),
            Lines::Int8(lines) => lines.copy_column(column, weights),
        }
    }

    fn widen_column<T: Element>(&self, lines: &[Line<T>], column: usize, weights: &mut [f32]) {
        let panel = &lines[column / PANEL * self.depth..][..self.depth];
        for (weight, line) in weights.iter_mut().zip(panel) {
            *weight = line.0[column % PANEL].widen();
        }
    }
}

/// `count` lines of one value.
pub(super) fn lines_of<T: Copy>(count: usize, value: T) -> Vec<Line<T>> {
    let mut lines = Vec::with_capacity(count);
    prefer_large_pages(lines.spare_capacity_mut());
    lines.resize(count, Line([value; PANEL]));
    lines
}

/// Lays out `blocks` of one value for each column as [`Packed`] does its columns: each padded with zeros to whole panels.
pub(crate) fn pad_columns(blocks: &[&[f32]]) -> Vec<f32> {
    let mut padded = Vec::new();
    for block in blocks {
        padded.extend_from_slice(block);
        padded.resize(padded.len().next_multiple_of(PANEL), 0.0);
    }
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_begins_at_a_panel_and_is_padded_with_zeros() {
        let depth = 3;
        let first: Vec<f32> = (0..70 * depth).map(|x| x as f32 + 1.0).collect();
        let second: Vec<f32> = (0..2 * depth).map(|x| -(x as f32) - 1.0).collect();
        let packed = Packed::new(depth, &[&first[..], &second]);

        assert_eq!((packed.columns(), packed.depth()), (192, 3));
        let Lines::F32(lines) = packed.lines() else { panic!("lines that are not f32") };
        let panel = |index: usize| &lines[index * depth..][..depth];
        assert_eq!(panel(1)[2].0[5], first[69 * depth + 2]);
        assert_eq!(panel(1)[2].0[6], 0.0);
        assert_eq!(panel(2)[1].0[1], second[depth + 1]);
        assert_eq!(panel(0).as_ptr() as usize % 64, 0);
    }

    #[test]
    fn a_column_is_copied_out_as_it_was_packed() {
        let depth = 3;
        let values: Vec<f32> = (0..70 * depth).map(|x| x as f32 + 1.0).collect();
        let halves: Vec<f16> = values.iter().map(|&value| f16::from_f32(value)).collect();
        let bfloats: Vec<bf16> = values.iter().map(|&value| bf16::from_f32(value)).collect();
        let packed = [
            Packed::new(depth, &[&values[..]]),
            Packed::new(depth, &[&halves[..]]),
            Packed::new(depth, &[&bfloats[..]]),
        ];
        for packed in packed {
            let mut column = [0.0; 3];
            packed.copy_column(69, &mut column);
            assert_eq!(column, values[69 * depth..]);
        }
    }
}
