//! A tensor seen through strides: what slices, transposes and broadcasts have in common.

use crate::onnx::tensor::{Data, Dequantised, Tensor};

/// A selection of a tensor's elements, in an order of its own.
pub(super) struct View {
    pub(super) shape: Vec<usize>,
    /// Elements between neighbours along each dimension; 0 repeats, negative reverses.
    pub(super) strides: Vec<isize>,
    /// The first element.
    pub(super) offset: usize,
}

impl View {
    /// All of a tensor of this shape.
    pub(super) fn all(shape: &[usize]) -> Self {
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis] as isize;
        }
        Self { shape: shape.to_vec(), strides, offset: 0 }
    }

    /// The tensor of `shape` broadcast to `target`; `None` where the shapes do not allow it.
    pub(super) fn broadcast(shape: &[usize], target: &[usize]) -> Option<Self> {
        let own = Self::all(shape);
        let added = target.len().checked_sub(shape.len())?;
        let mut strides = vec![0; added];
        for (axis, &size) in shape.iter().enumerate() {
            strides.push(match (size, target[added + axis]) {
                (size, wanted) if size == wanted => own.strides[axis],
                (1, _) => 0,
                _ => return None,
            });
        }
        Some(Self { shape: target.to_vec(), strides, offset: 0 })
    }

    /// Number of elements.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The elements of `values` in the view's order.
    pub(super) fn take<T: Copy>(&self, values: &[T]) -> Vec<T> {
        let len = self.len();
        let mut taken = Vec::with_capacity(len);
        let mut index = vec![0usize; self.shape.len()];
        let mut at = self.offset as isize;
        while taken.len() < len {
            taken.push(values[at as usize]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at += self.strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                at -= self.strides[axis] * self.shape[axis] as isize;
                index[axis] = 0;
            }
        }
        taken
    }

    /// The same for a whole tensor.
    pub(super) fn of(self, tensor: &Tensor) -> Tensor {
        let data = match &tensor.data {
            Data::Floats(values) => Data::Floats(self.take(values)),
            Data::Dequantised(Dequantised { values, scales, bits }) => Data::Dequantised(Dequantised {
                values: self.take(values),
                scales: self.take(scales),
                bits: *bits,
            }),
            Data::Ints(values) => Data::Ints(self.take(values)),
            Data::Unread => Data::Unread,
        };
        Tensor { shape: self.shape, data, ..*tensor }
    }
}

/// The shape that both broadcast to; `None` where there is none.
pub(super) fn common_shape(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(axis) => shape[axis],
        None => 1,
    };
    let sizes = (0..rank).map(|axis| match (size(a, axis), size(b, axis)) {
        (a, b) if a == b => Some(a),
        (1, size) | (size, 1) => Some(size),
        _ => None,
    });
    sizes.collect()
}
