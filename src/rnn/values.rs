//! The numbers of one tensor, in the type that their file stores them in.

use std::ops::Range;

use half::{bf16, f16};

use crate::kernels::{Element, Int8Block, Packed, quantise};
use crate::lm::{Dtype, WeightsType};

/// The values of a tensor, row-major, as stored. Widening them to `f32` is exact.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// IEEE single precision.
    F32(Vec<f32>),
    /// IEEE half precision.
    F16(Vec<f16>),
    /// bfloat16.
    Bf16(Vec<bf16>),
    /// int8, with a scale for each row.
    Int8(Int8Values),
}

/// A matrix in int8: each row is integers in `-127..=127` times the row's scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Int8Values {
    values: Vec<i8>,
    scales: Vec<f32>,
}

impl Values {
    /// `values` in the type `stored` where it holds each of them exactly; otherwise as they are.
    ///
    /// For readers that compute on widened numbers: what they left alone is stored as it was.
    pub fn narrowed(values: Vec<f32>, stored: Dtype) -> Self {
        let is_exact =
            |narrow: fn(f32) -> f32| values.iter().all(|&value| narrow(value).to_bits() == value.to_bits());
        match stored {
            Dtype::F16 if is_exact(|value| f16::from_f32(value).to_f32()) => {
                Self::F16(values.into_iter().map(f16::from_f32).collect())
            }
            Dtype::Bf16 if is_exact(|value| bf16::from_f32(value).to_f32()) => {
                Self::Bf16(values.into_iter().map(bf16::from_f32).collect())
            }
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 | Dtype::Int8 => Self::F32(values),
        }
    }

    /// `values` in int8 where each is exactly an integer in `-127..=127` times the scale of its row; `scales` has one for each row.
    pub fn int8(values: &[f32], scales: &[f32]) -> Option<Self> {
        let width = values.len() / scales.len().max(1);
        let rows = values.chunks_exact(width.max(1)).zip(scales);
        let integers = rows.flat_map(|(row, &scale)| row.iter().map(move |&value| integer(value, scale)));
        let integers: Vec<i8> = integers.collect::<Option<_>>()?;
        let is_whole = !values.is_empty() && integers.len() == values.len();
        is_whole.then(|| Self::Int8(Int8Values { values: integers, scales: scales.to_vec() }))
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::Bf16(values) => values.len(),
            Self::Int8(matrix) => matrix.values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::F16(_) => Dtype::F16,
            Self::Bf16(_) => Dtype::Bf16,
            Self::Int8(_) => Dtype::Int8,
        }
    }

    /// All values as `f32`.
    pub fn widened(self) -> Vec<f32> {
        match self {
            Self::F32(values) => values,
            Self::F16(values) => values.into_iter().map(f16::to_f32).collect(),
            Self::Bf16(values) => values.into_iter().map(bf16::to_f32).collect(),
            Self::Int8(matrix) => {
                let mut values = vec![0.0; matrix.values.len()];
                matrix.copy_rows(0, &mut values);
                values
            }
        }
    }

    /// These values, rows of `width`, in the type `to`. What is beyond the range of `bf16` becomes its largest value.
    pub(super) fn converted(self, width: usize, to: WeightsType) -> Self {
        match (to, self) {
            (WeightsType::AsStored, values)
            | (WeightsType::F32, values @ Self::F32(_))
            | (WeightsType::Bf16, values @ Self::Bf16(_))
            | (WeightsType::Int8, values @ Self::Int8(_)) => values,
            (WeightsType::F32, values) => Self::F32(values.widened()),
            (WeightsType::Bf16, values) => {
                let round = |value| bf16::from_f32(value).clamp(bf16::MIN, bf16::MAX);
                Self::Bf16(values.widened().into_iter().map(round).collect())
            }
            (WeightsType::Int8, values) => Self::Int8(Int8Values::quantised(width, &values.widened())),
        }
    }

    /// The value at `index`, as `f32`.
    pub fn get(&self, index: usize) -> f32 {
        match self {
            Self::F32(values) => values[index],
            Self::F16(values) => values[index].to_f32(),
            Self::Bf16(values) => values[index].to_f32(),
            Self::Int8(matrix) => matrix.get(index),
        }
    }

    /// The index of the first value that is NaN or infinite.
    pub(super) fn first_not_finite(&self) -> Option<usize> {
        match self {
            Self::F32(values) => values.iter().position(|value| !value.is_finite()),
            Self::F16(values) => values.iter().position(|value| !value.is_finite()),
            Self::Bf16(values) => values.iter().position(|value| !value.is_finite()),
            Self::Int8(matrix) => {
                let row = matrix.scales.iter().position(|scale| !scale.is_finite());
                row.map(|row| row * matrix.width())
            }
        }
    }

    /// Writes row `row` of a matrix to `copy`, as `f32`.
    pub(super) fn copy_row(&self, row: usize, copy: &mut [f32]) {
        let range = row * copy.len()..(row + 1) * copy.len();
        match self {
            Self::F32(values) => copy.copy_from_slice(&values[range]),
            Self::F16(values) => widen(&values[range], copy),
            Self::Bf16(values) => widen(&values[range], copy),
            Self::Int8(matrix) => matrix.copy_rows(row, copy),
        }
    }

    /// Rows that have a scale; `None` for floats.
    pub(super) fn scaled_rows(&self) -> Option<usize> {
        match self {
            Self::F32(_) | Self::F16(_) | Self::Bf16(_) => None,
            Self::Int8(matrix) => Some(matrix.scales.len()),
        }
    }

    /// Packs a matrix `[columns, depth]`: each of `blocks`, a range of columns, begins at a panel of its own.
    pub(super) fn pack(&self, depth: usize, blocks: &[Range<usize>]) -> Packed {
        match self {
            Self::F32(values) => Packed::new(depth, &cut(values, depth, blocks)),
            Self::F16(values) => Packed::new(depth, &cut(values, depth, blocks)),
            Self::Bf16(values) => Packed::new(depth, &cut(values, depth, blocks)),
            Self::Int8(matrix) => matrix.pack(depth, blocks),
        }
    }
}

impl Int8Values {
    /// Quantises rows of `width` finite values, each row by its largest magnitude.
    fn quantised(width: usize, values: &[f32]) -> Self {
        let mut quantised = vec![0; values.len()];
        let rows = values.chunks_exact(width).zip(quantised.chunks_exact_mut(width));
        let scales = rows.map(|(row, quantised)| quantise(row, quantised)).collect();
        Self { values: quantised, scales }
    }

    fn width(&self) -> usize {
        self.values.len() / self.scales.len()
    }

    fn get(&self, index: usize) -> f32 {
        f32::from(self.values[index]) * self.scales[index / self.width()]
    }

    /// Writes as many rows as `copy` has room for, from row `first` on.
    fn copy_rows(&self, first: usize, copy: &mut [f32]) {
        let width = self.width();
        let rows = self.values[first * width..].chunks_exact(width).zip(&self.scales[first..]);
        for (copy, (row, &scale)) in copy.chunks_exact_mut(width).zip(rows) {
            copy.iter_mut().zip(row).for_each(|(copy, &value)| *copy = f32::from(value) * scale);
        }
    }

    fn pack(&self, depth: usize, blocks: &[Range<usize>]) -> Packed {
        let values = cut(&self.values, depth, blocks);
        let block =
            |(values, block): (_, &Range<usize>)| Int8Block { values, scales: &self.scales[block.clone()] };
        Packed::int8(depth, &values.into_iter().zip(blocks).map(block).collect::<Vec<_>>())
    }
}

/// The integer in `-127..=127` that `value` is `scale` times of, exactly.
fn integer(value: f32, scale: f32) -> Option<i8> {
    let nearest = if value == 0.0 { 0.0 } else { (value / scale).round() };
    let is_exact = nearest.abs() <= 127.0 && nearest * scale == value;
    is_exact.then_some(nearest as i8)
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self::F32(values)
    }
}

/// The rows of `blocks` of a matrix whose rows are `width` values.
fn cut<'a, T>(values: &'a [T], width: usize, blocks: &[Range<usize>]) -> Vec<&'a [T]> {
    blocks.iter().map(|block| &values[block.start * width..block.end * width]).collect()
}

fn widen<T: Element>(values: &[T], copy: &mut [f32]) {
    for (copy, &value) in copy.iter_mut().zip(values) {
        *copy = value.widen();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrower_type_is_taken_only_where_it_holds_every_value() {
        let coarse = vec![1.0, -0.0, 0.5, f32::MIN_POSITIVE];
        assert_eq!(Values::narrowed(coarse.clone(), Dtype::Bf16).dtype(), Dtype::Bf16);
        assert_eq!(
            Values::narrowed(coarse.clone(), Dtype::F16).dtype(),
            Dtype::F32,
            "below the range of f16"
        );
        assert_eq!(Values::narrowed(vec![1.0 + 1.0 / 512.0], Dtype::Bf16).dtype(), Dtype::F32);
        assert_eq!(Values::narrowed(vec![1.0 + 1.0 / 512.0], Dtype::F16).dtype(), Dtype::F16);
        assert_eq!(Values::narrowed(coarse.clone(), Dtype::F32), Values::F32(coarse));
    }

    #[test]
    fn rounding_to_bf16_is_to_nearest_and_keeps_numbers_finite() {
        let values = Values::F32(vec![1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, f32::MAX, f32::MIN]);
        let rounded = values.converted(2, WeightsType::Bf16);
        let largest = bf16::MAX.to_f32();
        assert_eq!(rounded.widened(), [1.0, 1.0 + 4.0 / 256.0, largest, -largest], "ties go to even");
        let halves = Values::F16(vec![f16::from_f32(1.0 + 1.0 / 1024.0)]);
        assert_eq!(halves.clone().converted(1, WeightsType::AsStored), halves);
        assert_eq!(halves.clone().converted(1, WeightsType::Bf16), Values::Bf16(vec![bf16::ONE]));
        assert_eq!(halves.converted(1, WeightsType::F32), Values::F32(vec![1.0 + 1.0 / 1024.0]));
    }

    #[test]
    fn rows_are_quantised_by_their_largest_magnitude() {
        let values = Values::F32(vec![1.27, -0.634, 0.0, -2e30, 1e30, 1e28, 0.0, 0.0, 0.0]);
        let Values::Int8(matrix) = values.converted(3, WeightsType::Int8) else { panic!("a matrix in int8") };
        assert_eq!(matrix.values, [127, -63, 0, -127, 64, 1, 0, 0, 0]);
        assert_eq!(matrix.scales, [1.27 / 127.0, 2e30 / 127.0, 0.0]);
        let values = Values::Int8(matrix);
        assert_eq!(values.get(3), -127.0 * (2e30 / 127.0));
        assert_eq!(values.clone().converted(3, WeightsType::AsStored), values);
        let mut row = [0.0; 3];
        values.copy_row(1, &mut row);
        assert_eq!(row[..], values.widened()[3..6]);
    }

    #[test]
    fn integers_are_kept_where_they_give_every_value_exactly() {
        let scales = [0.1, -0.3, 0.0];
        let integers: [i8; 9] = [127, -127, 0, 3, -5, 0, 0, 0, 0];
        let value = |index: usize| f32::from(integers[index]) * scales[index / 3];
        let values: Vec<f32> = (0..9).map(value).collect();
        let Some(Values::Int8(matrix)) = Values::int8(&values, &scales) else { panic!("a matrix in int8") };
        assert_eq!((&matrix.values[..], &matrix.scales[..]), (&integers[..], &scales[..]));
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&Values::Int8(matrix).widened()), bits(&values));

        for wrong in [-128.0 * 0.1, 12.75f32.next_up() * 0.1, f32::NAN, f32::INFINITY] {
            assert_eq!(Values::int8(&[wrong, 0.1], &[0.1]), None, "{wrong}");
        }
        assert_eq!(Values::int8(&[1.0], &[0.0]), None, "of a scale of zero");
        assert_eq!(Values::int8(&[1.0, 2.0, 3.0], &[1.0, 1.0]), None, "rows of one width");
        assert_eq!(Values::int8(&[], &[1.0]), None, "rows without a value");
    }

    #[test]
    fn narrowed_values_are_the_same_numbers() {
        let values = vec![1.0, -0.0, 0.5, 65_504.0];
        for stored in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            let narrowed = Values::narrowed(values.clone(), stored);
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            assert_eq!(bits(narrowed.widened()), bits(values.clone()), "{stored:?}");
        }
    }
}
