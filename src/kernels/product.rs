//! Activations times packed weights: a run spends nearly all its time here.
//!
//! Every output is one chain of multiply-adds in order of depth, starting from the bias or from the sum that is there
//! already, whatever the number of rows and the shape of the tile. So a row's numbers do not depend on its neighbours,
//! and a chain that is interrupted and resumed gives the same bits as one that is not.

use std::marker::PhantomData;

use super::Kernel;
use super::element::Element;
use super::int8::Int8Product;
use super::isa::{Isa, Task};
use super::matrix::{Rows, RowsMut};
use super::packed::{Line, Lines, PANEL, Packed};
use super::prefetch::Prefetch;
use super::steps::{Multiply, Steps};

/// `c[i, j] = start[i, j] + sum over k of a[i, k] * w[k, j]`, `c` being `[a.count, w.columns()]`.
pub(crate) struct Product<'a> {
    /// Activations, `[rows, depth]`.
    pub(crate) a: Rows<'a>,
    /// Weights.
    pub(crate) w: &'a Packed,
    /// What every sum starts from.
    pub(crate) start: Start<'a>,
    /// The sums. Padding columns are written too.
    pub(crate) c: RowsMut<'a>,
    /// Working memory: at least [`Packed::room`] values for each row.
    pub(crate) room: &'a mut [f32],
}

/// What a sum starts from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// A value for each column, `[columns]`, padding included.
    Bias(&'a [f32]),
    /// The sum that `c` holds.
    Resume,
}

impl Product<'_> {
    /// Computes the product with the instructions of `kernel`.
    pub(crate) fn run(self, kernel: Kernel) {
        match self.w.lines() {
            Lines::F32(lines) => kernel.run(FloatProduct { lines, product: self }),
            Lines::F16(lines) => kernel.run(FloatProduct { lines, product: self }),
            Lines::Bf16(lines) => kernel.run(FloatProduct { lines, product: self }),
            Lines::Int8(lines) => kernel.run_integers(Int8Product { lines, product: self }),
        }
    }
}

/// A product over weights of a float type.
struct FloatProduct<'a, T> {
    lines: &'a [Line<T>],
    product: Product<'a>,
}

/// Most lines that one tile goes through before the next tile does: 32 KiB of `f32`. Longer slabs load and store the sums more rarely, and
/// find less of themselves in the nearest cache.
const SLAB_MAX: usize = 128;

/// A part of a panel's depth.
struct Slab<'a, T> {
    /// The lines of all panels.
    matrix: &'a [Line<T>],
    lines: &'a [Line<T>],
    panel: usize,
    /// The index of the input value by which the first line is multiplied.
    depth: usize,
}

impl<T: Element> Task for FloatProduct<'_, T> {
    type Output = ();

    /// Goes through the panels, through each panel slab by slab, and for each slab through all rows: weights are fetched
    /// from memory once, and from the nearest cache for every tile except the first.
    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let depth = self.product.w.depth();
        // A single tile uses the weights once: without slabs it keeps its sums in registers.
        let slabs = if self.product.a.count > I::ROWS { depth.div_ceil(SLAB_MAX) } else { 1 };
        // Balanced: a short one at the end would be little more than loads and stores of sums.
        let slab_len = depth.div_ceil(slabs);
        for (panel, lines) in self.lines.chunks_exact(depth).enumerate() {
            for (index, lines) in lines.chunks(slab_len).enumerate() {
                self.product.slab(isa, &Slab { matrix: self.lines, lines, panel, depth: index * slab_len });
            }
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn slab<I: Isa, T: Element>(&mut self, isa: I, slab: &Slab<'_, T>) {
        let tiles = self.a.count.div_ceil(I::ROWS);
        let column = slab.panel * PANEL;
        let mut first = 0;
        for index in 0..tiles {
            // Balanced: eight rows are 4 + 4, not 6 + 2.
            let rows = (self.a.count - first).div_ceil(tiles - index);
            isa.tile(&mut Tile {
                rows,
                a: &self.a.values[first * self.a.stride + slab.depth..],
                a_stride: self.a.stride,
                lines: slab.lines,
                start: match self.start {
                    Start::Bias(bias) if slab.depth == 0 => Start::Bias(&bias[column..][..PANEL]),
                    _ => Start::Resume,
                },
                c: &mut self.c.values[first * self.c.stride + column..],
                c_stride: self.c.stride,
                prefetch: Prefetch::new(slab.matrix, slab.lines, index..tiles),
            });
            first += rows;
        }
    }
}

/// A few rows times a slab.
pub(crate) struct Tile<'a, T> {
    pub(crate) rows: usize,
    a: &'a [f32],
    a_stride: usize,
    lines: &'a [Line<T>],
    start: Start<'a>,
    c: &'a mut [f32],
    c_stride: usize,
    prefetch: Prefetch,
}

/// Multiplies `ROWS` rows by the `VECTORS` registers of columns of the slab from `column` on, with all sums in registers.
#[inline(always)]
pub(crate) fn tile<I: Isa, T: Element, const ROWS: usize, const VECTORS: usize>(
    isa: I,
    t: &mut Tile<'_, T>,
    column: usize,
) {
    let depth = t.lines.len();
    // All slices have one known length, so the inner loop checks one bound for all.
    let rows: [&[f32]; ROWS] = std::array::from_fn(|r| &t.a[r * t.a_stride..][..depth]);
    let mut sums = [[isa.splat(0.0); VECTORS]; ROWS];
    for (r, sums) in sums.iter_mut().enumerate() {
        let start = match t.start {
            Start::Bias(bias) => &bias[column..][..VECTORS * I::LANES],
            Start::Resume => &t.c[r * t.c_stride + column..][..VECTORS * I::LANES],
        };
        *sums = load(isa, start);
    }
    let with = Floats(isa, PhantomData::<T>);
    Steps { lines: t.lines, rows, column, prefetch: t.prefetch }.add(with, &mut sums);
    for (r, sums) in sums.into_iter().enumerate() {
        let c = &mut t.c[r * t.c_stride + column..][..VECTORS * I::LANES];
        for (v, sum) in sums.into_iter().enumerate() {
            isa.store(sum, &mut c[v * I::LANES..]);
        }
    }
}

/// Multiplies `f32` by weights of a float type.
#[derive(Clone, Copy)]
struct Floats<I, T>(I, PhantomData<T>);

impl<I: Isa, T: Element> Multiply for Floats<I, T> {
    type Weight = T;
    type Activation = f32;
    type Vector = I::Vector;
    const LANES: usize = I::LANES;

    #[inline(always)]
    fn weights(self, weights: &[T]) -> I::Vector {
        T::load(self.0, weights)
    }

    #[inline(always)]
    fn splat(self, activation: f32) -> I::Vector {
        self.0.splat(activation)
    }

    #[inline(always)]
    fn multiply_add<const ROWS: usize>(self, x: I::Vector, weights: I::Vector, sum: I::Vector) -> I::Vector {
        self.0.mul_add(x, weights, sum)
    }
}

/// Loads the first `VECTORS` registers of `values`. A loop, since a closure is a function of its own that is compiled without
/// the instruction set.
#[inline(always)]
fn load<I: Isa, const VECTORS: usize>(isa: I, values: &[f32]) -> [I::Vector; VECTORS] {
    let mut vectors = [isa.splat(0.0); VECTORS];
    for (v, vector) in vectors.iter_mut().enumerate() {
        *vector = isa.load(&values[v * I::LANES..]);
    }
    vectors
}

#[cfg(test)]
mod tests {
    use super::super::packed::pad_columns;
    use super::super::prefetch::STREAM_MIN;
    use super::*;

    /// Numbers between -1 and 1 without a pattern.
    fn numbers(seed: u32, count: usize) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn every_sum_is_one_chain_whatever_the_depth_and_the_number_of_rows() {
        const COLUMNS: usize = PANEL + 6;
        let depths = [1, 63, 100, SLAB_MAX, SLAB_MAX + 1, 2 * SLAB_MAX - 1, 3 * SLAB_MAX + 2];
        let shapes = depths.into_iter().flat_map(|depth| [1, 6, 7, 20].map(|count| (depth, count)));
        // As deep as a matrix that a single tile streams from memory.
        let streamed = STREAM_MIN / size_of::<[Line<f32>; 2]>();
        for (depth, count) in shapes.chain([(streamed, 1), (streamed, 6)]) {
            let a = numbers(1, count * depth);
            let weights = numbers(2, COLUMNS * depth);
            let bias = numbers(3, COLUMNS);
            let w = Packed::new(depth, &[&weights[..]]);
            for kernel in Kernel::supported() {
                let mut c = vec![f32::NAN; count * w.columns()];
                for start in [Start::Bias(&pad_columns(&[&bias])), Start::Resume] {
                    let a = Rows { values: &a, stride: depth, count };
                    let c = RowsMut { values: &mut c, stride: w.columns(), count };
                    Product { a, w: &w, start, c, room: &mut [] }.run(kernel);
                }
                let step = |sum: f32, (&x, &weight): (&f32, &f32)| match kernel.numerics() {
                    "fma" => x.mul_add(weight, sum),
                    _ => x * weight + sum,
                };
                for (row, found) in c.chunks_exact(w.columns()).enumerate() {
                    for (column, weights) in weights.chunks_exact(depth).enumerate() {
                        let chain = |start| a[row * depth..].iter().zip(weights).fold(start, step);
                        let expected = chain(chain(bias[column]));
                        let case =
                            format!("{}: {count} rows, depth {depth}, [{row}, {column}]", kernel.name());
                        assert_eq!(found[column].to_bits(), expected.to_bits(), "{case}");
                    }
                }
            }
        }
    }
}
