//! Activations times packed weights: nearly all the time of a run is spent here.
//!
//! Every output is one chain of multiply-adds over ascending depth, started by the bias or by what is there already,
//! whatever the number of rows and the shape of the tile. So a row's numbers do not depend on its neighbours,
//! and a chain that is interrupted and resumed gives the same bits as one that is not.

use super::isa::{Isa, Task};
use super::matrix::{Rows, RowsMut};
use super::packed::{Line, PANEL, Packed};
use super::prefetch::Prefetch;

/// `c[i, j] = start[i, j] + sum over k of a[i, k] * w[k, j]`, `c` being `[a.count, w.columns()]`.
pub struct Product<'a> {
    /// Activations, `[rows, depth]`.
    pub a: Rows<'a>,
    /// Weights.
    pub w: &'a Packed,
    /// What every sum starts from.
    pub start: Start<'a>,
    /// The sums. Padding columns are written too.
    pub c: RowsMut<'a>,
}

/// What a sum starts from.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    /// A value for each column, `[columns]`, padding included.
    Bias(&'a [f32]),
    /// The sum that `c` holds.
    Resume,
}

impl Task for Product<'_> {
    type Output = ();

    /// Panel after panel, and for each one all rows, so that a panel is fetched from memory once.
    #[inline(always)]
    fn run<I: Isa>(mut self) {
        let rows = self.a.count;
        let tiles = rows.div_ceil(I::ROWS);
        for panel in 0..self.w.panels() {
            let mut first = 0;
            for index in 0..tiles {
                // Balanced: eight rows are 4 + 4 and not 6 + 2.
                let count = (rows - first).div_ceil(tiles - index);
                let prefetch = Prefetch::next_panel(self.w, panel, index..tiles);
                I::tile(&mut self.tile(panel, first, count, prefetch));
                first += count;
            }
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn tile(&mut self, panel: usize, first: usize, rows: usize, prefetch: Prefetch) -> Tile<'_> {
        let column = panel * PANEL;
        Tile {
            rows,
            a: &self.a.values[first * self.a.stride..],
            a_stride: self.a.stride,
            panel: self.w.panel(panel),
            start: match self.start {
                Start::Bias(bias) => Start::Bias(&bias[column..][..PANEL]),
                Start::Resume => Start::Resume,
            },
            c: &mut self.c.values[first * self.c.stride + column..],
            c_stride: self.c.stride,
            prefetch,
        }
    }
}

/// A few rows by one panel.
pub struct Tile<'a> {
    pub rows: usize,
    a: &'a [f32],
    a_stride: usize,
    panel: &'a [Line],
    start: Start<'a>,
    c: &'a mut [f32],
    c_stride: usize,
    prefetch: Prefetch,
}

/// `ROWS` rows by `COLUMNS` columns of the panel, from `column` on, with all sums in registers.
#[inline(always)]
pub fn tile<I: Isa, const ROWS: usize, const COLUMNS: usize>(t: &mut Tile<'_>, column: usize) {
    let depth = t.panel.len();
    // Slices of one known length: the inner loop has no bounds to check.
    let rows: [&[f32]; ROWS] = std::array::from_fn(|r| &t.a[r * t.a_stride..][..depth]);
    let mut sums = [[0.0; COLUMNS]; ROWS];
    for (r, sums) in sums.iter_mut().enumerate() {
        sums.copy_from_slice(match t.start {
            Start::Bias(bias) => &bias[column..][..COLUMNS],
            Start::Resume => &t.c[r * t.c_stride + column..][..COLUMNS],
        });
    }
    for (k, line) in t.panel.iter().enumerate() {
        t.prefetch.line(k);
        let weights: &[f32; COLUMNS] = line.0[column..].first_chunk().expect("a tile within its panel");
        for r in 0..ROWS {
            let x = rows[r][k];
            for j in 0..COLUMNS {
                sums[r][j] = I::mul_add(x, weights[j], sums[r][j]);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        t.c[r * t.c_stride + column..][..COLUMNS].copy_from_slice(sums);
    }
}
