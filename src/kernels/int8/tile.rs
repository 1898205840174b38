//! A few rows times a panel: exact integer sums over the whole depth, then one scaling.

use super::isa::Integers;
use crate::kernels::packed::{Line, PANEL};
use crate::kernels::prefetch::Prefetch;
use crate::kernels::product::Start;
use crate::kernels::steps::{Multiply, Steps};

/// A few rows times a panel.
pub(in crate::kernels) struct Tile<'a> {
    pub(super) rows: usize,
    /// The rows' quantised activations, `[rows, words]`.
    pub(super) words: &'a [[u8; 4]],
    /// The rows' units.
    pub(super) units: &'a [f32],
    /// The panel, `[words]`.
    pub(super) lines: &'a [Line<[i8; 4]>],
    /// What the integer sums start from, `[PANEL]`.
    pub(super) sums: &'a [i32; PANEL],
    /// The columns' scales, `[PANEL]`.
    pub(super) scales: &'a [f32],
    /// What the scaled sums are added to.
    pub(super) start: Start<'a>,
    pub(super) c: &'a mut [f32],
    pub(super) c_stride: usize,
    pub(super) prefetch: Prefetch,
}

/// Multiplies `ROWS` rows by the `VECTORS` registers of columns of the panel from `column` on, with all sums in registers.
#[inline(always)]
pub(super) fn tile<I: Integers, const ROWS: usize, const VECTORS: usize>(
    isa: I,
    t: &mut Tile<'_>,
    column: usize,
) {
    let depth = t.lines.len();
    // All slices have one known length, so the inner loop checks one bound for all.
    let rows: [&[[u8; 4]]; ROWS] = std::array::from_fn(|r| &t.words[r * depth..][..depth]);
    let mut start = [isa.splat([0; 4]); VECTORS];
    for (v, start) in start.iter_mut().enumerate() {
        *start = isa.load(&t.sums[column + v * I::LANES..]);
    }
    let mut sums = [start; ROWS];
    Steps { lines: t.lines, rows, column, prefetch: t.prefetch }.add(Bytes(isa), &mut sums);
    let width = VECTORS * I::LANES;
    let scales = &t.scales[column..][..width];
    for (r, vectors) in sums.into_iter().enumerate() {
        let mut sums = [0; PANEL];
        for (v, vector) in vectors.into_iter().enumerate() {
            isa.store(vector, &mut sums[v * I::LANES..]);
        }
        let unit = t.units[r];
        let c = &mut t.c[r * t.c_stride + column..][..width];
        // In registers and not in `c`, which would be written twice.
        let mut values = [0.0; PANEL];
        values[..width].copy_from_slice(match t.start {
            Start::Bias(bias) => &bias[column..][..width],
            Start::Resume => c,
        });
        for ((value, &sum), &scale) in values[..width].iter_mut().zip(&sums[..width]).zip(scales) {
            *value += sum as f32 * (unit * scale);
        }
        c.copy_from_slice(&values[..width]);
    }
}

/// Multiplies words of four activations by words of four weights, and adds each four products up.
#[derive(Clone, Copy)]
struct Bytes<I>(I);

impl<I: Integers> Multiply for Bytes<I> {
    type Weight = [i8; 4];
    type Activation = [u8; 4];
    type Vector = I::Vector;
    const LANES: usize = I::LANES;

    #[inline(always)]
    fn weights(self, weights: &[[i8; 4]]) -> I::Vector {
        self.0.weights(weights)
    }

    #[inline(always)]
    fn splat(self, activation: [u8; 4]) -> I::Vector {
        self.0.splat(activation)
    }

    #[inline(always)]
    fn multiply_add<const ROWS: usize>(self, x: I::Vector, weights: I::Vector, sum: I::Vector) -> I::Vector {
        self.0.dot::<ROWS>(x, weights, sum)
    }
}
