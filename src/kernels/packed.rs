//! A weight matrix laid out for the kernels, once, at load.

/// Output columns of a panel.
pub(crate) const PANEL: usize = 64;

/// The weights by which one input value is multiplied in one panel.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub [f32; PANEL]);

/// A matrix `[columns, depth]`, as PyTorch stores it, cut into panels of [`PANEL`] output columns: panel after panel,
/// `depth` lines each.
///
/// Products with any number of rows read the same copy from front to back. The columns come in blocks, each padded with
/// zeros to whole panels, so that a product can write one block without touching its neighbour.
pub(crate) struct Packed {
    lines: Vec<Line>,
    depth: usize,
    panels: usize,
}

impl Packed {
    /// Packs row-major blocks `[columns of the block, depth]`, each of which begins at a panel of its own. `widen` turns a
    /// stored value into an `f32`.
    pub(crate) fn new<T: Copy>(depth: usize, blocks: &[&[T]], widen: impl Fn(T) -> f32) -> Self {
        let panels = blocks.iter().map(|block| (block.len() / depth).div_ceil(PANEL)).sum();
        let mut lines = vec![Line([0.0; PANEL]); panels * depth];
        let mut first = 0;
        for block in blocks {
            for (column, weights) in block.chunks_exact(depth).enumerate() {
                let panel = &mut lines[(first + column / PANEL) * depth..][..depth];
                for (line, &weight) in panel.iter_mut().zip(weights) {
                    line.0[column % PANEL] = widen(weight);
                }
            }
            first += (block.len() / depth).div_ceil(PANEL);
        }
        Self { lines, depth, panels }
    }

    /// Values of one row of activations.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Number of panels.
    pub(crate) fn panels(&self) -> usize {
        self.panels
    }

    /// Output columns, padding included.
    pub(crate) fn columns(&self) -> usize {
        self.panels * PANEL
    }

    /// A panel, `[depth]` lines.
    #[inline(always)]
    pub(crate) fn panel(&self, index: usize) -> &[Line] {
        &self.lines[index * self.depth..][..self.depth]
    }

    /// Writes the weights of output column `column` of the first block, `[depth]`: the row that was packed there.
    pub(crate) fn copy_column(&self, column: usize, weights: &mut [f32]) {
        for (weight, line) in weights.iter_mut().zip(self.panel(column / PANEL)) {
            *weight = line.0[column % PANEL];
        }
    }
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
        let packed = Packed::new(depth, &[&first[..], &second], |value| value);

        assert_eq!((packed.panels(), packed.columns(), packed.depth()), (3, 192, 3));
        assert_eq!(packed.panel(1)[2].0[5], first[69 * depth + 2]);
        assert_eq!(packed.panel(1)[2].0[6], 0.0);
        assert_eq!(packed.panel(2)[1].0[1], second[depth + 1]);
        assert_eq!(packed.panel(0).as_ptr() as usize % 64, 0);

        let mut column = [0.0; 3];
        packed.copy_column(69, &mut column);
        assert_eq!(column, first[69 * depth..]);
    }
}
