//! Packed weights times a vector from the other side: what a gradient needs.
//!
//! The same copy of the weights serves both directions. A line holds the weights of one input value in one panel, so its products
//! with the panel's share of the gradient belong to one sum. These are summed in 16 lanes and a fixed tree, in plain `*` and `+`,
//! so that the bits are the same on every instruction set.

use super::Kernel;
use super::element::Element;
use super::int8::Int8Lines;
use super::isa::{Isa, Task};
use super::packed::{Line, Lines, PANEL, Packed};

/// `sums[k] += sum over j of g[j] * w[k, j]`. int8 weights count as the numbers that they stand for.
pub(crate) struct TransposedProduct<'a> {
    /// The gradient of each output, `[w.columns()]`, zero in padding columns.
    pub(crate) g: &'a [f32],
    /// Weights.
    pub(crate) w: &'a Packed,
    /// The gradient of each input value, `[w.depth()]`, added to.
    pub(crate) sums: &'a mut [f32],
}

impl TransposedProduct<'_> {
    /// Computes the product with the instructions of `kernel`.
    pub(crate) fn run(self, kernel: Kernel) {
        match self.w.lines() {
            Lines::F32(lines) => kernel.run(FloatProduct { lines, g: self.g, sums: self.sums }),
            Lines::F16(lines) => kernel.run(FloatProduct { lines, g: self.g, sums: self.sums }),
            Lines::Bf16(lines) => kernel.run(FloatProduct { lines, g: self.g, sums: self.sums }),
            Lines::Int8(lines) => kernel.run(Int8Product { lines, g: self.g, sums: self.sums }),
        }
    }
}

struct FloatProduct<'a, T> {
    lines: &'a [Line<T>],
    g: &'a [f32],
    sums: &'a mut [f32],
}

impl<T: Element> Task for FloatProduct<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let (panels, _) = self.g.as_chunks::<PANEL>();
        for (lines, g) in self.lines.chunks_exact(self.sums.len()).zip(panels) {
            for (line, sum) in lines.iter().zip(&mut *self.sums) {
                let mut products = [0.0; PANEL];
                for j in 0..PANEL {
                    products[j] = line.0[j].widen() * g[j];
                }
                *sum += total(&products);
            }
        }
    }
}

struct Int8Product<'a> {
    lines: &'a Int8Lines,
    g: &'a [f32],
    sums: &'a mut [f32],
}

impl Task for Int8Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let (panels, _) = self.g.as_chunks::<PANEL>();
        for (panel, g) in panels.iter().enumerate() {
            let (lines, scales) = self.lines.panel(panel);
            for (line, sums) in lines.iter().zip(self.sums.chunks_mut(4)) {
                for (k, sum) in sums.iter_mut().enumerate() {
                    let mut products = [0.0; PANEL];
                    for j in 0..PANEL {
                        products[j] = f32::from(line.0[j][k]) * scales[j] * g[j];
                    }
                    *sum += total(&products);
                }
            }
        }
    }
}

/// The sum, in 16 lanes and then a tree.
#[inline(always)]
fn total(products: &[f32; PANEL]) -> f32 {
    const LANES: usize = 16;

    let mut lanes = [0.0; LANES];
    for j in 0..LANES {
        let first = products[j] + products[j + LANES];
        lanes[j] = first + (products[j + 2 * LANES] + products[j + 3 * LANES]);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for j in 0..width {
            lanes[j] += lanes[j + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;
    use crate::kernels::{Int8Block, quantise};

    const DEPTH: usize = 37;

    /// Two blocks, of 70 and of 5 columns: the second begins in the third panel.
    const BLOCKS: [usize; 2] = [70, 5];

    fn value(index: usize) -> f32 {
        (index * 2_654_435_761 % 1000) as f32 / 500.0 - 1.0
    }

    /// The product in double precision, over `weight(column, k)`.
    fn expected(weight: impl Fn(usize, usize) -> f32) -> Vec<f64> {
        let columns = BLOCKS[0] + BLOCKS[1];
        let product = |column, k| f64::from(value(7 * column)) * f64::from(weight(column, k));
        (0..DEPTH).map(|k| (0..columns).map(|column| product(column, k)).sum()).collect()
    }

    fn check(packed: &Packed, expected: &[f64]) {
        let mut g = vec![0.0; packed.columns()];
        for column in 0..BLOCKS[0] + BLOCKS[1] {
            let place = if column < BLOCKS[0] { column } else { 2 * PANEL + column - BLOCKS[0] };
            g[place] = value(7 * column);
        }
        let mut bits: Option<Vec<u32>> = None;
        for kernel in Kernel::supported() {
            let mut sums = vec![1.0; DEPTH];
            TransposedProduct { g: &g, w: packed, sums: &mut sums }.run(kernel);
            for (found, expected) in sums.iter().zip(expected) {
                let found = f64::from(*found) - 1.0;
                assert!((found - expected).abs() < 1e-5, "{}: {found}, expected {expected}", kernel.name());
            }
            let found: Vec<u32> = sums.iter().map(|sum| sum.to_bits()).collect();
            assert_eq!(*bits.get_or_insert(found.clone()), found, "{}", kernel.name());
        }
    }

    #[test]
    fn every_type_of_weights_is_multiplied_from_the_other_side_with_the_same_bits_on_every_kernel() {
        let weights: Vec<f32> = (0..(BLOCKS[0] + BLOCKS[1]) * DEPTH).map(value).collect();
        let (first, second) = weights.split_at(BLOCKS[0] * DEPTH);
        check(&Packed::new(DEPTH, &[first, second]), &expected(|column, k| weights[column * DEPTH + k]));

        let halves: Vec<f16> = weights.iter().map(|&weight| f16::from_f32(weight)).collect();
        let (first, second) = halves.split_at(BLOCKS[0] * DEPTH);
        let exact = expected(|column, k| halves[column * DEPTH + k].to_f32());
        check(&Packed::new(DEPTH, &[first, second]), &exact);

        let bfloats: Vec<bf16> = weights.iter().map(|&weight| bf16::from_f32(weight)).collect();
        let (first, second) = bfloats.split_at(BLOCKS[0] * DEPTH);
        let exact = expected(|column, k| bfloats[column * DEPTH + k].to_f32());
        check(&Packed::new(DEPTH, &[first, second]), &exact);
    }

    #[test]
    fn int8_weights_count_as_what_they_stand_for() {
        let weights: Vec<f32> = (0..(BLOCKS[0] + BLOCKS[1]) * DEPTH).map(value).collect();
        let mut values = vec![0; weights.len()];
        let rows = weights.chunks_exact(DEPTH).zip(values.chunks_exact_mut(DEPTH));
        let scales: Vec<f32> = rows.map(|(row, values)| quantise(row, values)).collect();
        let (first, second) = values.split_at(BLOCKS[0] * DEPTH);
        let blocks = [
            Int8Block { values: first, scales: &scales[..BLOCKS[0]] },
            Int8Block { values: second, scales: &scales[BLOCKS[0]..] },
        ];
        let exact = expected(|column, k| f32::from(values[column * DEPTH + k]) * scales[column]);
        check(&Packed::int8(DEPTH, &blocks), &exact);
    }
}
