//! A part of a constant matrix. Slicing one copies nothing, as the step of an unrolled cell is sliced once for each position.

use std::ops::Range;
use std::sync::Arc;

use crate::onnx::fold::Why;
use crate::onnx::tensor::Tensor;

/// `[rows, columns]` of a matrix `[in, out]`.
#[derive(Clone, Debug)]
pub(super) struct Block {
    of: Arc<Tensor>,
    /// Whether `of` is stored as `[out, in]`.
    is_turned: bool,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Block {
    /// All of a matrix `[in, out]`.
    pub(super) fn in_out(of: &Arc<Tensor>) -> Result<Self, Why> {
        let [rows, columns] = sizes_of(of)?;
        Ok(Self { of: of.clone(), is_turned: false, rows: 0..rows, columns: 0..columns })
    }

    /// All of a matrix `[out, in]`.
    pub(super) fn out_in(of: &Arc<Tensor>) -> Result<Self, Why> {
        let [columns, rows] = sizes_of(of)?;
        Ok(Self { of: of.clone(), is_turned: true, rows: 0..rows, columns: 0..columns })
    }

    /// `[in, out]`.
    pub(super) fn sizes(&self) -> [usize; 2] {
        [self.rows.len(), self.columns.len()]
    }

    /// The rows `range` of it.
    pub(super) fn rows(&self, range: &Range<usize>) -> Result<Self, Why> {
        let rows = part(&self.rows, range);
        let rows = rows.ok_or("its matrix has other rows than its input has features")?;
        Ok(Self { rows, ..self.clone() })
    }

    /// The columns `range` of it.
    pub(super) fn columns(&self, range: &Range<usize>) -> Result<Self, Why> {
        let columns = part(&self.columns, range).ok_or("it takes columns that are not there")?;
        Ok(Self { columns, ..self.clone() })
    }

    /// `[out, in]`.
    pub(super) fn turned(&self) -> Arc<Tensor> {
        if self.is_turned && self.sizes() == [self.of.shape[1], self.of.shape[0]] {
            return self.of.clone();
        }
        let at = self.columns.clone().flat_map(|column| self.rows.clone().map(move |row| [row, column]));
        let shape = vec![self.columns.len(), self.rows.len()];
        Arc::new(Tensor { shape, data: self.of.data.at(at.map(|at| self.place(at))), ..*self.of })
    }

    /// Whether both have the same numbers.
    pub(super) fn same(&self, other: &Self) -> bool {
        if self.sizes() != other.sizes() {
            return false;
        }
        let is_one = Arc::ptr_eq(&self.of, &other.of) && self.is_turned == other.is_turned;
        if is_one && self.rows == other.rows && self.columns == other.columns {
            return true;
        }
        let [rows, columns] = self.sizes();
        let at = |block: &Self, row: usize, column: usize| {
            block.value([block.rows.start + row, block.columns.start + column]).to_bits()
        };
        (0..rows).all(|row| (0..columns).all(|column| at(self, row, column) == at(other, row, column)))
    }

    /// The number at a row and a column of the whole matrix.
    fn value(&self, at: [usize; 2]) -> f32 {
        self.of.as_floats().unwrap_or_default()[self.place(at)]
    }

    /// Where it is in the matrix as it is stored.
    fn place(&self, [row, column]: [usize; 2]) -> usize {
        match self.is_turned {
            false => row * self.of.shape[1] + column,
            true => column * self.of.shape[1] + row,
        }
    }
}

/// The numbers at `inner`, counted from the start of `outer`.
fn part(outer: &Range<usize>, inner: &Range<usize>) -> Option<Range<usize>> {
    (inner.start <= inner.end && inner.end <= outer.len())
        .then(|| outer.start + inner.start..outer.start + inner.end)
}

/// The sizes of a matrix of floats, neither of them 0: no layer has vectors without a feature, and what is computed of rows and columns
/// counts on one.
pub(super) fn sizes_of(weights: &Tensor) -> Result<[usize; 2], Why> {
    match *weights.shape.as_slice() {
        [rows, columns] if weights.as_floats().is_some_and(|values| !values.is_empty()) => {
            Ok([rows, columns])
        }
        _ => Err(format!("its matrix is {} {:?}, expected floats [in, out]", weights.element, weights.shape)),
    }
}
