//! Constants of a graph, widened to two types: floats to `f32`, integers to `i64`.

use super::graph::Element;

/// The most dimensions of a tensor here; language models have four.
pub(super) const RANK_MAX: usize = 16;

/// A constant, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub(super) shape: Vec<usize>,
    /// The type that operators see.
    pub(super) element: Element,
    /// The type in the file, before any cast.
    pub(super) stored: Element,
    pub(super) data: Data,
}

/// The elements of a [`Tensor`], as many as its shape says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    /// F32, and F16 and BF16 exactly; F64 rounded.
    Floats(Vec<f32>),
    /// Floats that integers in the file stand for.
    Dequantised(Dequantised),
    /// Integers of any width, and truth values as 0 and 1.
    Ints(Vec<i64>),
    /// Of a type that no model here needs: strings, complex numbers, fractions of a byte.
    Unread,
}

/// Floats, each an integer times its scale: what the file stores, and what the engine can keep of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dequantised {
    pub(super) values: Vec<f32>,
    /// One for each value, so that whatever moves the values moves their scales with them.
    pub(super) scales: Vec<f32>,
    /// Bits of an integer, 8 or 4.
    pub(super) bits: usize,
}

/// The most integers that an operator reads as a list, for each node anew: axes, bounds, sizes.
const LIST_MAX: usize = 1 << 12;

impl Data {
    /// The elements at these places.
    pub(super) fn at(&self, places: impl Iterator<Item = usize> + Clone) -> Self {
        match self {
            Data::Floats(values) => Data::Floats(places.map(|at| values[at]).collect()),
            Data::Dequantised(Dequantised { values, scales, bits }) => Data::Dequantised(Dequantised {
                values: places.clone().map(|at| values[at]).collect(),
                scales: places.map(|at| scales[at]).collect(),
                bits: *bits,
            }),
            Data::Ints(values) => Data::Ints(places.map(|at| values[at]).collect()),
            Data::Unread => Data::Unread,
        }
    }
}

impl Tensor {
    /// Integers along one dimension, as shapes and axes are.
    pub(super) fn vector(values: Vec<i64>) -> Self {
        Self::ints(vec![values.len()], values)
    }

    /// 64-bit integers.
    pub(super) fn ints(shape: Vec<usize>, values: Vec<i64>) -> Self {
        Self { shape, element: Element::I64, stored: Element::I64, data: Data::Ints(values) }
    }

    /// Single-precision floats.
    pub(super) fn floats(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self { shape, element: Element::F32, stored: Element::F32, data: Data::Floats(values) }
    }

    /// Single-precision floats that integers in the file stand for.
    pub(super) fn dequantised(shape: Vec<usize>, values: Dequantised) -> Self {
        Self { shape, element: Element::F32, stored: Element::F32, data: Data::Dequantised(values) }
    }

    /// Number of elements.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// How many of the first `max` elements come before one that is not 0.
    pub(super) fn leading_zeros(&self, max: usize) -> usize {
        match &self.data {
            Data::Floats(values) | Data::Dequantised(Dequantised { values, .. }) => {
                values.iter().take(max).take_while(|&&value| value == 0.0).count()
            }
            Data::Ints(values) => values.iter().take(max).take_while(|&&value| value == 0).count(),
            Data::Unread => 0,
        }
    }

    /// The elements, if they are floats.
    pub(super) fn as_floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::Floats(values) | Data::Dequantised(Dequantised { values, .. }) => Some(values),
            Data::Ints(_) | Data::Unread => None,
        }
    }

    /// The integers with their scales that the elements stand for, if they do.
    pub(super) fn as_dequantised(&self) -> Option<&Dequantised> {
        match &self.data {
            Data::Dequantised(dequantised) => Some(dequantised),
            Data::Floats(_) | Data::Ints(_) | Data::Unread => None,
        }
    }

    /// The elements, if they are a few integers, as axes, bounds and sizes are.
    pub(super) fn as_list(&self) -> Option<&[i64]> {
        self.as_ints().filter(|ints| ints.len() <= LIST_MAX)
    }

    /// The elements, if they are integers.
    pub(super) fn as_ints(&self) -> Option<&[i64]> {
        match &self.data {
            Data::Ints(values) => Some(values),
            Data::Floats(_) | Data::Dequantised(_) | Data::Unread => None,
        }
    }
}

/// Number of elements; `None` where it, or that of any part of the shape, is more than memory can hold.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    const ELEMENTS_MAX: usize = 1 << 40;

    let part = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size.max(1)));
    part.filter(|&len| len <= ELEMENTS_MAX).map(|len| if shape.contains(&0) { 0 } else { len })
}
