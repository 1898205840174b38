//! The rows of a batch, as a program takes them: one stands in the first place, and others stand beside it.

use std::iter::{once, repeat_n};

use tract_onnx::prelude::*;

use crate::error::{Error, Result};

/// Where the rows of a tensor are, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    axis: usize,
    count: usize,
    /// The shape to see the tensor in, where its rows and its positions are one dimension.
    seen_as: Option<Vec<usize>>,
}

impl Rows {
    /// `count` rows along the dimension `axis`.
    pub(super) fn along(axis: usize, count: usize) -> Self {
        Self { axis, count, seen_as: None }
    }

    /// Those of the logits `[.., V]` of shape `found` that ids of shape `ids`, with rows along `axis`, give.
    ///
    /// # Errors
    /// `Load` when the logits have no such rows.
    pub(super) fn of_logits(found: &[usize], ids: &[usize], axis: usize) -> Result<Self> {
        let count = ids[axis];
        let leading = found.split_last().map_or(&[][..], |(_, leading)| leading);
        let of_count: Vec<usize> = (0..leading.len()).filter(|&at| leading[at] == count).collect();
        match of_count[..] {
            // Positions and rows may be as many.
            [_, _, ..] if leading.get(axis) == Some(&count) => Ok(Self::along(axis, count)),
            [first, ..] => Ok(Self::along(first, count)),
            [] if leading == [ids.iter().product::<usize>()] => {
                let seen_as = ids.iter().chain(found.last()).copied().collect();
                Ok(Self { axis, count, seen_as: Some(seen_as) })
            }
            [] => Err(Error::load(format!(
                "the logits have the shape {found:?}, expected the {count} sequences of the file's batch; where the file fixes two sizes of the ids, `onnx.window` says which one counts ids"
            ))),
        }
    }

    /// The shape of a tensor with all rows, where `row` is that of one.
    pub(super) fn shape(&self, row: &[usize]) -> Vec<usize> {
        row.iter()
            .enumerate()
            .map(|(axis, &size)| if axis == self.axis { self.count } else { size })
            .collect()
    }

    /// The shape of one row of a tensor of shape `found`.
    pub(super) fn shape_of_row(&self, found: &[usize]) -> Vec<usize> {
        let mut shape = self.seen_as.as_deref().unwrap_or(found).to_vec();
        shape[self.axis] = 1;
        shape
    }

    /// `first`, and `other` in every further place.
    pub(super) fn joined(&self, first: &Tensor, other: &Tensor) -> TractResult<Tensor> {
        let each: Vec<&Tensor> = once(first).chain(repeat_n(other, self.count - 1)).collect();
        Tensor::stack_tensors(self.axis, &each)
    }

    /// The row in the first place.
    pub(super) fn first_of(&self, value: &Tensor) -> TractResult<Tensor> {
        match &self.seen_as {
            Some(shape) => value.clone().into_shape(shape)?.slice(self.axis, 0, 1),
            None => value.slice(self.axis, 0, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_logits_lie_as_those_of_the_ids_do() {
        for (found, ids, axis, row) in [
            (&[4, 3, 11][..], &[4, 3][..], 1, &[4, 1, 11][..]),
            (&[3, 4, 11], &[3, 4], 0, &[1, 4, 11]),
            (&[3, 3, 11], &[3, 3], 0, &[1, 3, 11]),
            (&[3, 3, 11], &[3, 3], 1, &[3, 1, 11]),
            (&[3, 11], &[3, 4], 0, &[1, 11]),
            (&[3, 11], &[3], 0, &[1, 11]),
            (&[12, 11], &[4, 3], 1, &[4, 1, 11]),
            (&[3, 11, 3], &[3, 1], 0, &[1, 11, 3]),
        ] {
            assert_eq!(
                Rows::of_logits(found, ids, axis).unwrap().shape_of_row(found),
                row,
                "{found:?} of {ids:?}"
            );
        }
        for found in [&[11][..], &[1, 11], &[5, 11, 3], &[]] {
            assert!(Rows::of_logits(found, &[4, 3], 1).is_err(), "{found:?}");
        }
    }

    #[test]
    fn the_first_row_comes_back_whatever_stands_beside_it() {
        let of = |values: &[f32], shape: &[usize]| Tensor::from_shape(shape, values).unwrap();
        let row = of(&[1.0, 2.0], &[1, 1, 2]);
        let rows = Rows::along(1, 3);
        let joined = rows.joined(&row, &of(&[7.0, 8.0], &[1, 1, 2])).unwrap();
        assert_eq!(joined.shape(), rows.shape(row.shape()));
        assert_eq!(rows.first_of(&joined).unwrap(), row);
        let merged = joined.into_shape(&[3, 2]).unwrap();
        let seen = Rows::of_logits(merged.shape(), &[1, 3], 1).unwrap();
        assert_eq!(seen.first_of(&merged).unwrap().shape(), [1, 2]);
    }
}
