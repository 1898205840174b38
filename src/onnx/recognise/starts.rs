//! Vectors that layers start from: zeros, an input of the graph, or constants of the file that were learned with the rest.
//!
//! A module that learns its first state repeats it for as many rows as there are (`Expand`, `Tile`), so the tensor has a size that only callers
//! know.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::axes::Size;
use super::glue::{as_state, named_axes};
use super::value::{Carried, Sizes, Value};
use super::{Found, Known, Start};
use crate::onnx::fold::{Constants, Why, axis_of, permutation, rank_with};
use crate::onnx::tensor::Tensor;

/// A constant that is repeated along an axis of which it has one.
#[derive(Clone, Debug)]
pub(super) struct Repeated {
    pub(super) of: Arc<Tensor>,
    axis: usize,
}

impl Found<'_> {
    /// A vector of a layer, `width` wide: `None` where it starts from zeros or from what callers feed, which is noted.
    ///
    /// # Errors
    /// When it starts from anything else.
    pub(super) fn start(
        &mut self,
        value: Option<&Value>,
        carried: Carried,
        width: usize,
    ) -> Result<Option<Vec<f32>>, Why> {
        let Some(value) = value.filter(|value| !value.is_zeros()) else { return Ok(None) };
        if let Value::Constant(tensor) | Value::Repeated(Repeated { of: tensor, .. }) = value {
            self.folder.room(tensor.len())?;
            return common_row(tensor, width).map(Some);
        }
        let refused = || format!("it starts from {}, expected constants or an input", value.describe());
        let inputs = as_state(value).ok_or_else(refused)?;
        self.starts.extend(inputs.into_iter().map(|input| Start { input, carried }));
        Ok(None)
    }

    /// `Expand` or `Tile` of a constant to a size that callers choose, and what moves such a tensor; `None` for any other node.
    pub(super) fn repeated(&mut self, known: &Known<'_>) -> Result<Option<Vec<Value>>, Why> {
        if !known.node.is_standard() {
            return Ok(None);
        }
        match known.optional(0) {
            Some(Value::Constant(tensor))
                if tensor.as_floats().is_some() && matches!(known.node.op.as_str(), "Expand" | "Tile") =>
            {
                repeat(known, tensor).map(|repeated| Some(vec![Value::Repeated(repeated)]))
            }
            Some(Value::Repeated(repeated)) => self.moved(known, &repeated.clone()).map(Some),
            _ => Ok(None),
        }
    }

    /// An operator on a repeated constant that leaves the repeated axis alone.
    fn moved(&mut self, known: &Known<'_>, repeated: &Repeated) -> Result<Vec<Value>, Why> {
        let node = known.node;
        let &Repeated { ref of, axis } = repeated;
        let rank = of.shape.len();
        let refused = || format!("it changes a constant along axis {axis}, whose size callers choose");
        if ["Expand", "Tile"].contains(&node.op.as_str()) {
            // Once more to the size that it has, or along its other axes by 1.
            let again = repeat(known, of)?;
            return match again.axis == axis && again.of.shape.len() == rank {
                true => Ok(vec![Value::Repeated(again)]),
                false => Err(refused()),
            };
        }
        let axis = moved_axis(known, repeated)?.ok_or_else(refused)?;
        let constant = |(index, value): (usize, &Option<Value>)| match value {
            _ if index == 0 => Ok(Some(of.clone())),
            None => Ok(None),
            Some(Value::Constant(tensor)) => Ok(Some(tensor.clone())),
            // Of a `Concat`, whose inputs are all repeated along one axis.
            Some(Value::Repeated(Repeated { of, .. })) => Ok(Some(of.clone())),
            Some(other) => Err(format!("input {index} is {}, expected a constant", other.describe())),
        };
        let inputs = known.inputs.iter().enumerate().map(constant).collect::<Result<Vec<_>, Why>>()?;
        let folded = self.folder.fold(&Constants { node, inputs })?;
        Ok(folded.into_iter().map(|of| Value::Repeated(Repeated { of, axis })).collect())
    }
}

/// Where the repeated axis is after an operator that leaves it alone; `None` if the operator does not.
fn moved_axis(known: &Known<'_>, repeated: &Repeated) -> Result<Option<usize>, Why> {
    let node = known.node;
    let &Repeated { ref of, axis } = repeated;
    let rank = of.shape.len();
    let is_apart = |named: &[i64]| -> Result<bool, Why> {
        let axes = named.iter().map(|&named| axis_of(named, rank)).collect::<Result<Vec<_>, _>>()?;
        Ok(!axes.contains(&axis))
    };
    let moved = match node.op.as_str() {
        "Identity" | "Cast" => Some(axis),
        "Transpose" => permutation(node, rank)?.iter().position(|&from| from == axis),
        "Slice" => {
            let axes = match known.optional(3) {
                Some(Value::Constant(axes)) => axes.as_list().map(<[i64]>::to_vec),
                Some(_) => None,
                None => node.ints("axes")?,
            };
            axes.filter(|axes| is_apart(axes).unwrap_or(false)).map(|_| axis)
        }
        "Gather" => {
            let at = node.int("axis")?.unwrap_or(0);
            let is_scalar = matches!(known.value(1)?, Value::Constant(index) if index.shape.is_empty());
            let before = usize::from(is_scalar && axis_of(at, rank)? < axis);
            is_apart(&[at])?.then_some(axis - before)
        }
        "Split" => is_apart(&[node.int("axis")?.unwrap_or(0)])?.then_some(axis),
        "Concat" => {
            let is_like = |value: &Value| matches!(value, Value::Repeated(other) if other.axis == axis && other.of.shape.len() == rank);
            let at = node.int("axis")?.ok_or("attribute `axis` is missing")?;
            (known.inputs.iter().flatten().all(is_like) && is_apart(&[at])?).then_some(axis)
        }
        "Squeeze" => match named_axes(known)? {
            Some(axes) if is_apart(&axes)? => {
                // An axis may be named twice.
                let named = axes.iter().filter_map(|&at| axis_of(at, rank).ok());
                let before: BTreeSet<usize> = named.filter(|&at| at < axis).collect();
                Some(axis - before.len())
            }
            _ => None,
        },
        "Unsqueeze" => {
            let added = named_axes(known)?.ok_or("`axes` is missing")?;
            let rank = rank_with(rank, added.len())?;
            let added = added.into_iter().map(|at| axis_of(at, rank)).collect::<Result<Vec<_>, _>>()?;
            (0..rank).filter(|at| !added.contains(at)).nth(axis)
        }
        _ => return Err("it is of a constant for every row, which a known network only moves".into()),
    };
    Ok(moved)
}

/// `Expand` or `Tile` of `tensor`: its other axes stay as they are.
fn repeat(known: &Known<'_>, tensor: &Arc<Tensor>) -> Result<Repeated, Why> {
    let is_tile = known.node.op == "Tile";
    let sizes = known.value(1)?.as_sizes().and_then(Sizes::into_list);
    let sizes = sizes.ok_or("the size that it repeats a constant to is not known")?;
    let rank = sizes.len().max(tensor.shape.len());
    if is_tile && sizes.len() != tensor.shape.len() {
        return Err(format!("it tiles {} axes by {} numbers", tensor.shape.len(), sizes.len()));
    }
    let mut shape = vec![1; rank - tensor.shape.len()];
    shape.extend(&tensor.shape);
    let wanted = std::iter::repeat_n(Some(Size::fixed(1)), rank - sizes.len()).chain(sizes);
    let is_kept = |(have, wanted): (&usize, Option<Size>)| {
        let number = wanted.as_ref().and_then(Size::number);
        number == Some(1) || (!is_tile && number == Some(*have as i64))
    };
    let changed: Vec<usize> = shape
        .iter()
        .zip(wanted)
        .enumerate()
        .filter(|(_, pair)| !is_kept(pair.clone()))
        .map(|(at, _)| at)
        .collect();
    match changed.as_slice() {
        &[axis] if shape[axis] == 1 => {
            Ok(Repeated { of: Arc::new(Tensor { shape, ..Tensor::clone(tensor) }), axis })
        }
        _ => Err(format!(
            "it repeats a constant {:?} along the axes {changed:?}, expected one of size 1",
            tensor.shape
        )),
    }
}

/// The vector that every row of `tensor` is.
fn common_row(tensor: &Tensor, width: usize) -> Result<Vec<f32>, Why> {
    let values = tensor.as_floats().filter(|_| tensor.shape.last() == Some(&width));
    let refused = || {
        let found = &tensor.shape;
        format!("it starts from {} {found:?}, expected floats [.., {width}]", tensor.element)
    };
    let values = values.ok_or_else(refused)?;
    let mut rows = values.chunks_exact(width.max(1));
    let first = rows.next().ok_or_else(refused)?;
    match rows
        .all(|row| row.iter().map(|value| value.to_bits()).eq(first.iter().map(|value| value.to_bits())))
    {
        true => Ok(first.to_vec()),
        false => Err("it starts each row from another vector, expected one for all".into()),
    }
}
