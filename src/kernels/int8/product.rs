//! A product over int8 weights: the activations are quantised first, row by row.

use super::isa::{Integers, Task};
use super::packed::Int8Lines;
use super::quantise::QuantiseRows;
use super::tile::Tile;
use crate::kernels::packed::PANEL;
use crate::kernels::prefetch::Prefetch;
use crate::kernels::product::{Product, Start};

/// `c[i, j] = start[i, j] + (sum over k of q[i, k] * w[k, j]) * (unit[i] * scale[j])`, where `q` is the quantised `a`.
pub(in crate::kernels) struct Int8Product<'a> {
    pub(in crate::kernels) product: Product<'a>,
    pub(in crate::kernels) lines: &'a Int8Lines,
}

impl Int8Product<'_> {
    /// Values of working memory for each row of activations of `words` words: a unit, and four integers in the place of each.
    pub(in crate::kernels) fn room(lines: &Int8Lines) -> usize {
        1 + lines.words
    }
}

impl Task for Int8Product<'_> {
    #[inline(always)]
    fn run<I: Integers>(self, isa: I) {
        let Product { a, w, start, c, room } = self.product;
        let (units, words) = room[..a.count * Self::room(self.lines)].split_at_mut(a.count);
        let quantised = as_bytes(words);
        QuantiseRows { a, depth: w.depth(), units, quantised }.run(isa);
        let (words, _) = quantised.as_chunks();
        Panels { lines: self.lines, units, words, start, c: c.values, c_stride: c.stride }.run(isa);
    }
}

/// The product, once the activations are quantised.
struct Panels<'a> {
    lines: &'a Int8Lines,
    units: &'a [f32],
    /// `[rows, words]`.
    words: &'a [[u8; 4]],
    start: Start<'a>,
    c: &'a mut [f32],
    c_stride: usize,
}

impl Task for Panels<'_> {
    /// Goes through the panels, and for each through all rows. Unlike float sums, integer sums are not interrupted: they are
    /// scaled once, and a panel fits into the second-level cache at any depth in use.
    #[inline(always)]
    fn run<I: Integers>(self, isa: I) {
        let Int8Lines { lines: matrix, words, scales, column_sums } = self.lines;
        let count = self.units.len();
        let tiles = count.div_ceil(I::ROWS);
        for (panel, lines) in matrix.chunks_exact(*words).enumerate() {
            let column = panel * PANEL;
            let sums: &[i32; PANEL] =
                column_sums[column..].first_chunk().expect("a panel's worth of columns");
            let sums = sums.map(|sum| sum.wrapping_mul(-i32::from(I::OFFSET)));
            let mut first = 0;
            for index in 0..tiles {
                let rows = (count - first).div_ceil(tiles - index);
                isa.tile(&mut Tile {
                    rows,
                    words: &self.words[first * words..],
                    units: &self.units[first..],
                    lines,
                    sums: &sums,
                    scales: &scales[column..],
                    start: match self.start {
                        Start::Bias(bias) => Start::Bias(&bias[column..]),
                        Start::Resume => Start::Resume,
                    },
                    c: &mut self.c[first * self.c_stride + column..],
                    c_stride: self.c_stride,
                    prefetch: Prefetch::new(matrix, lines, index..tiles),
                });
                first += rows;
            }
        }
    }
}

/// Working memory as bytes.
fn as_bytes(values: &mut [f32]) -> &mut [u8] {
    // SAFETY: a byte has no alignment and no invalid value, and neither have the bytes of an `f32`.
    let (before, bytes, after) = unsafe { values.align_to_mut() };
    assert!(before.is_empty() && after.is_empty(), "an `f32` is four bytes");
    bytes
}
