//! Every kernel against a scalar integer reference, bit for bit, on values chosen to break it.

use proptest::prelude::*;

use super::packed::{DEPTH_MAX, Int8Block, Int8Lines};
use super::quantise::quantise;
use crate::kernels::{Kernel, Packed, Product, Rows, RowsMut, Start, pad_columns};

/// A product, row-major throughout.
#[derive(Clone, Debug)]
struct Case {
    depth: usize,
    /// `[rows, depth]`.
    activations: Vec<f32>,
    /// `[columns, depth]`.
    weights: Vec<i8>,
    /// `[columns]`.
    scales: Vec<f32>,
    /// `[columns]`.
    bias: Vec<f32>,
}

impl Case {
    /// What `kernel` computes, `[rows, columns]`: once from the bias, and once more onto that.
    fn found(&self, kernel: Kernel) -> Vec<f32> {
        let w = Packed::int8(self.depth, &[Int8Block { values: &self.weights, scales: &self.scales }]);
        let bias = pad_columns(&[&self.bias]);
        let count = self.activations.len() / self.depth;
        let columns = w.columns();
        // What working memory holds beforehand must not matter.
        let mut room = vec![f32::from_bits(0x8080_8080); count * w.room()];
        let mut c = vec![f32::NAN; count * columns];
        for start in [Start::Bias(&bias), Start::Resume] {
            let product = Product {
                a: Rows { values: &self.activations, stride: self.depth, count },
                w: &w,
                start,
                c: RowsMut { values: &mut c, stride: columns, count },
                room: &mut room,
            };
            product.run(kernel);
        }
        c.chunks(columns).flat_map(|row| &row[..self.bias.len()]).copied().collect()
    }

    fn expected(&self) -> Vec<f32> {
        let mut expected = Vec::new();
        for row in self.activations.chunks(self.depth) {
            let Quantised { unit, integers } = Quantised::of(row);
            for (column, weights) in self.weights.chunks(self.depth).enumerate() {
                let sum: i64 = integers.iter().zip(weights).map(|(&x, &weight)| x * i64::from(weight)).sum();
                let scaled = sum as f32 * (unit * self.scales[column]);
                expected.push(self.bias[column] + scaled + scaled);
            }
        }
        expected
    }

    fn check(&self) {
        let expected = self.expected();
        for kernel in Kernel::supported() {
            for (index, (found, &expected)) in self.found(kernel).into_iter().zip(&expected).enumerate() {
                let is_same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
                assert!(is_same, "{}: {found} at {index}, expected {expected}", kernel.name());
            }
        }
    }
}

/// A row of activations by the definition.
struct Quantised {
    unit: f32,
    integers: Vec<i64>,
}

impl Quantised {
    fn of(values: &[f32]) -> Self {
        let zeros = vec![0; values.len()];
        if values.iter().any(|value| !value.is_finite()) {
            return Self { unit: f32::NAN, integers: zeros };
        }
        let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        if largest < libm::ldexpf(1.0, -100) {
            return Self { unit: 0.0, integers: zeros };
        }
        let per_unit = 127.0 / largest;
        let integers = values.iter().map(|&value| (value * per_unit).round_ties_even() as i64).collect();
        Self { unit: largest / 127.0, integers }
    }
}

const DEPTH: usize = 650;
const COLUMNS: usize = 70;

/// The same activation and the same weight everywhere.
fn constant(rows: usize, activation: f32, weight: i8) -> Case {
    Case {
        depth: DEPTH,
        activations: vec![activation; rows * DEPTH],
        weights: vec![weight; COLUMNS * DEPTH],
        scales: vec![0.01; COLUMNS],
        bias: vec![0.5; COLUMNS],
    }
}

#[test]
fn the_largest_integers_of_either_sign_are_summed_exactly() {
    for activation in [1.0, -1.0, f32::MAX, f32::MIN] {
        for weight in [127, -127] {
            constant(7, activation, weight).check();
        }
        let integer = 127 * activation.signum() as i64;
        assert_eq!(Quantised::of(&[activation]).integers, [integer]);
    }
}

#[test]
fn a_row_of_zeros_adds_nothing() {
    let case = constant(3, 0.0, 127);
    case.check();
    assert_eq!(case.found(Kernel::Portable), vec![0.5; 3 * COLUMNS]);
}

#[test]
fn a_number_that_is_not_finite_spoils_its_row_and_no_other() {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut case = constant(9, 1.0, -127);
        case.activations[4 * DEPTH + DEPTH - 1] = wrong;
        case.check();
        for kernel in Kernel::supported() {
            for (row, outputs) in case.found(kernel).chunks(COLUMNS).enumerate() {
                assert!(outputs.iter().all(|output| output.is_nan() == (row == 4)), "{}", kernel.name());
            }
        }
    }
}

#[test]
fn subnormal_magnitudes_and_scales_give_the_same_on_every_kernel() {
    for magnitude in
        [f32::from_bits(1), f32::MIN_POSITIVE, libm::ldexpf(1.0, -101), libm::ldexpf(1.0, -100), 1e-20]
    {
        let mut case = constant(2, magnitude, 100);
        case.scales = (0..COLUMNS as u32).map(f32::from_bits).collect();
        case.bias = vec![0.0; COLUMNS];
        case.check();
    }
}

#[test]
fn the_deepest_product_does_not_overflow() {
    for weight in [127, -127] {
        let case = Case {
            depth: DEPTH_MAX,
            activations: vec![1.0; DEPTH_MAX],
            weights: vec![weight; DEPTH_MAX],
            scales: vec![1.0],
            bias: vec![0.0],
        };
        case.check();
    }
}

#[test]
fn quantising_rounds_to_the_nearest_and_ties_to_even() {
    let mut quantised = [0; 5];
    let unit = quantise(&[127.0, 0.5, 1.5, -2.5, -126.6], &mut quantised);
    assert_eq!((unit, quantised), (1.0, [127, 0, 2, -2, -127]));
}

#[test]
fn a_column_is_copied_out_as_the_numbers_it_stands_for() {
    let values: Vec<i8> = (0..70 * 6).map(|index| (index % 255 - 127) as i8).collect();
    let scales: Vec<f32> = (0..70u8).map(f32::from).collect();
    let lines = Int8Lines::new(6, &[Int8Block { values: &values, scales: &scales }]);
    let mut column = [0.0; 6];
    lines.copy_column(69, &mut column);
    let expected: Vec<f32> = values[69 * 6..].iter().map(|&value| f32::from(value) * 69.0).collect();
    assert_eq!(column[..], expected);
}

/// Sizes around those of words, registers and panels.
fn cases() -> impl Strategy<Value = Case> {
    (1usize..20, 1usize..140, 1usize..140).prop_flat_map(|(rows, depth, columns)| {
        let extreme = prop::sample::select(vec![0.0f32, -0.0, 1.0, -1.0, 127.0, 0.5, 1e30, -1e-30]);
        let activation = prop_oneof![4 => -3.0f32..3.0, 1 => extreme];
        let activations = prop::collection::vec(activation, rows * depth);
        let weights = prop::collection::vec(-127i8..=127, columns * depth);
        let scales = prop::collection::vec(0.0f32..0.1, columns);
        let bias = prop::collection::vec(-1.0f32..1.0, columns);
        (activations, weights, scales, bias).prop_map(move |(activations, weights, scales, bias)| Case {
            depth,
            activations,
            weights,
            scales,
            bias,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_kernel_equals_the_scalar_integers_bit_for_bit(case in cases()) {
        case.check();
    }
}
