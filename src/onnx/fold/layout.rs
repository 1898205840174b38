//! Operators that move elements and change none.

use super::view::View;
use super::{Constants, Why, axis_of};
use crate::onnx::graph::{Attribute, Node};
use crate::onnx::tensor::{Data, Dequantised, Tensor};

/// `Shape`, of all dimensions or those from `start` to `end`.
pub(super) fn shape(from: &Constants<'_>) -> Result<Tensor, Why> {
    let shape = &from.tensor(0)?.shape;
    let range = shape_range(from.node, shape.len())?;
    Ok(Tensor::vector(shape[range].iter().map(|&size| size as i64).collect()))
}

/// The dimensions that a `Shape` of a tensor of `rank` dimensions tells.
pub(in crate::onnx) fn shape_range(node: &Node, rank: usize) -> Result<std::ops::Range<usize>, Why> {
    let clamp = |value: i64| {
        let counted = if value < 0 { value + rank as i64 } else { value };
        counted.clamp(0, rank as i64) as usize
    };
    let start = clamp(node.int("start")?.unwrap_or(0));
    let end = clamp(node.int("end")?.unwrap_or(rank as i64));
    Ok(start..end.max(start))
}

/// `Slice`, whose bounds were attributes before opset 10.
pub(super) fn slice(from: &Constants<'_>, opset: i64) -> Result<View, Why> {
    let tensor = from.tensor(0)?;
    let mut view = View::all(&tensor.shape);
    let as_input = |index: usize| if opset < 10 { usize::MAX } else { index };
    let starts = from.ints(as_input(1), "starts")?.ok_or("`starts` is missing")?;
    let ends = from.ints(as_input(2), "ends")?.ok_or("`ends` is missing")?;
    let axes = from.ints(as_input(3), "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = from.ints(as_input(4), "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err("`starts`, `ends`, `axes` and `steps` differ in length".into());
    }
    let mut cut = vec![false; tensor.shape.len()];
    for (((start, end), axis), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
        let axis = axis_of(axis, tensor.shape.len())?;
        if std::mem::replace(&mut cut[axis], true) {
            return Err(format!("axis {axis} is cut twice"));
        }
        cut_axis(&mut view, axis, [start, end, step])?;
    }
    Ok(view)
}

/// Cuts one axis as Python's slices do.
fn cut_axis(view: &mut View, axis: usize, [start, end, step]: [i64; 3]) -> Result<(), Why> {
    let size = view.shape[axis] as i64;
    let counted = |value: i64| if value < 0 { value.saturating_add(size) } else { value };
    let (start, end) = match step {
        0 => return Err("a step is 0".into()),
        1.. => (counted(start).clamp(0, size), counted(end).clamp(0, size)),
        _ => (counted(start).clamp(-1, size - 1), counted(end).clamp(-1, size - 1)),
    };
    let distance = if step > 0 { end - start } else { start - end };
    let len = if distance <= 0 { 0 } else { 1 + (distance as u64 - 1) / step.unsigned_abs() };
    view.shape[axis] = len as usize;
    if len > 0 {
        view.offset = (view.offset as isize + view.strides[axis] * start as isize) as usize;
        // With one element left the stride is never taken, and it may be anything a file says.
        view.strides[axis] = if len == 1 { 0 } else { view.strides[axis] * step as isize };
    }
    Ok(())
}

/// `Transpose`; without `perm` dimensions are reversed.
pub(super) fn transpose(from: &Constants<'_>) -> Result<View, Why> {
    let View { shape, strides, offset } = View::all(&from.tensor(0)?.shape);
    let order = permutation(from.node, shape.len())?;
    Ok(View {
        shape: order.iter().map(|&axis| shape[axis]).collect(),
        strides: order.iter().map(|&axis| strides[axis]).collect(),
        offset,
    })
}

/// The order of a `Transpose` of `rank` dimensions.
pub(in crate::onnx) fn permutation(node: &Node, rank: usize) -> Result<Vec<usize>, Why> {
    let Some(order) = node.ints("perm")? else { return Ok((0..rank).rev().collect()) };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank as i64) {
        return Err(format!("`perm` is {order:?}, expected an order of {rank} dimensions"));
    }
    Ok(order.into_iter().map(|axis| axis as usize).collect())
}

/// `Expand`, which may grow both ways.
pub(super) fn expand(from: &Constants<'_>) -> Result<View, Why> {
    let tensor = from.tensor(0)?;
    let wanted = sizes(from.tensor(1)?)?;
    let target = super::view::common_shape(&tensor.shape, &wanted);
    let view = target.and_then(|target| View::broadcast(&tensor.shape, &target));
    view.ok_or_else(|| format!("{:?} does not expand to {wanted:?}", tensor.shape))
}

/// The shape after a `Squeeze`, whose axes were an attribute before opset 13.
pub(super) fn squeeze(from: &Constants<'_>) -> Result<Vec<usize>, Why> {
    let shape = &from.tensor(0)?.shape;
    let Some(axes) = from.ints(1, "axes")? else {
        return Ok(shape.iter().copied().filter(|&size| size != 1).collect());
    };
    let axes = axes.into_iter().map(|axis| axis_of(axis, shape.len())).collect::<Result<Vec<_>, _>>()?;
    if let Some(axis) = axes.iter().find(|&&axis| shape[axis] != 1) {
        return Err(format!("axis {axis} of {shape:?} is squeezed"));
    }
    let kept = shape.iter().enumerate().filter(|(axis, _)| !axes.contains(axis));
    Ok(kept.map(|(_, &size)| size).collect())
}

/// The shape after an `Unsqueeze`.
pub(super) fn unsqueeze(from: &Constants<'_>) -> Result<Vec<usize>, Why> {
    let shape = &from.tensor(0)?.shape;
    let axes = from.ints(1, "axes")?.ok_or("`axes` is missing")?;
    let rank = super::rank_with(shape.len(), axes.len())?;
    let axes = axes.into_iter().map(|axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut old = shape.iter();
    let new = (0..rank).map(|axis| if axes.contains(&axis) { Some(1) } else { old.next().copied() });
    let new: Option<Vec<usize>> = new.collect();
    new.filter(|_| old.next().is_none()).ok_or_else(|| "`axes` has one axis twice".into())
}

/// The shape after a `Reshape`, with 0 for a size that stays and -1 for the rest.
pub(super) fn reshape(from: &Constants<'_>) -> Result<Vec<usize>, Why> {
    let tensor = from.tensor(0)?;
    let wanted = from.ints(1, "shape")?.ok_or("`shape` is missing")?;
    let zero_stays = from.node.int("allowzero")?.unwrap_or(0) == 0;
    let refused = || format!("{:?} does not reshape to {wanted:?}", tensor.shape);
    let mut shape = Vec::new();
    for (axis, &size) in wanted.iter().enumerate() {
        shape.push(match size {
            0 if zero_stays => *tensor.shape.get(axis).ok_or_else(refused)?,
            -1 => 1,
            size => usize::try_from(size).map_err(|_| refused())?,
        });
    }
    if let Some(axis) = wanted.iter().position(|&size| size == -1) {
        let known = super::product(&shape)?.max(1);
        shape[axis] = tensor.len() / known;
    }
    let is_one_rest = wanted.iter().filter(|&&size| size == -1).count() <= 1;
    if is_one_rest && super::product(&shape)? == tensor.len() { Ok(shape) } else { Err(refused()) }
}

/// The two dimensions after a `Flatten`.
pub(super) fn flatten(from: &Constants<'_>) -> Result<Vec<usize>, Why> {
    let shape = &from.tensor(0)?.shape;
    let axis = flatten_axis(from.node, shape.len())?;
    Ok(vec![shape[..axis].iter().product(), shape[axis..].iter().product()])
}

/// Where a `Flatten` of `rank` dimensions cuts, from 0 to `rank` itself.
pub(in crate::onnx) fn flatten_axis(node: &Node, rank: usize) -> Result<usize, Why> {
    let axis = node.int("axis")?.unwrap_or(1);
    if axis == rank as i64 { Ok(rank) } else { axis_of(axis, rank) }
}

/// The parts of a `Split`, equal ones where no sizes are given.
pub(super) fn split(from: &Constants<'_>) -> Result<Vec<View>, Why> {
    let shape = &from.tensor(0)?.shape;
    let axis = axis_of(from.node.int("axis")?.unwrap_or(0), shape.len())?;
    let parts = from.node.outputs.len().max(1) as i64;
    let size = shape[axis] as i64;
    let equal = || {
        let part = (size + parts - 1) / parts;
        (0..parts).map(|index| (size - index * part).clamp(0, part)).collect()
    };
    let sizes: Vec<i64> = from.ints(1, "split")?.unwrap_or_else(equal);
    let whole = sizes.iter().try_fold(0i64, |sum, &part| (part >= 0).then(|| sum.checked_add(part))?);
    if whole != Some(size) {
        return Err(format!("{size} elements are split into {sizes:?}"));
    }
    let mut start = 0;
    let views = sizes.into_iter().map(|len| {
        let mut view = View::all(shape);
        view.offset = start as usize * view.strides[axis] as usize;
        view.shape[axis] = len as usize;
        start += len;
        view
    });
    Ok(views.collect())
}

/// `Concat` along `axis`.
pub(super) fn concat(from: &Constants<'_>) -> Result<Tensor, Why> {
    let first = from.tensor(0)?;
    let axis = axis_of(from.node.int("axis")?.unwrap_or(1), first.shape.len())?;
    let outer: usize = first.shape[..axis].iter().product();
    let mut parts = Vec::new();
    for index in 0..from.inputs.len() {
        let part = from.tensor(index)?;
        let fits = part.shape.len() == first.shape.len()
            && part.element == first.element
            && (0..first.shape.len()).all(|at| at == axis || part.shape[at] == first.shape[at]);
        if !fits {
            return Err(format!("{:?} and {:?} are joined", first.shape, part.shape));
        }
        parts.push(part);
    }
    let mut shape = first.shape.clone();
    let size = parts.iter().try_fold(0usize, |sum, part| sum.checked_add(part.shape[axis]));
    shape[axis] = size.ok_or("its result is larger than any machine's memory")?;
    super::product(&shape)?;
    let same_stored = parts.iter().all(|part| part.stored == first.stored);
    let stored = if same_stored { first.stored } else { first.element };
    let data = match &first.data {
        Data::Floats(_) | Data::Dequantised(_) => joined_floats(&parts, outer),
        Data::Ints(_) => Data::Ints(joined(&parts, outer, Tensor::as_ints)),
        Data::Unread => return Err(format!("{} is joined", first.element)),
    };
    Ok(Tensor { shape, element: first.element, stored, data })
}

/// Floats of each part in turn, with scales where all have them.
pub(in crate::onnx) fn joined_floats(parts: &[&Tensor], outer: usize) -> Data {
    fn scales(tensor: &Tensor) -> Option<&[f32]> {
        Some(&tensor.as_dequantised()?.scales)
    }
    let values = joined(parts, outer, Tensor::as_floats);
    let bits = |tensor: &&Tensor| tensor.as_dequantised().map(|dequantised| dequantised.bits);
    let first = parts.first().and_then(bits);
    match first.filter(|_| parts.iter().all(|part| bits(part) == first)) {
        Some(bits) => {
            let scales = joined(parts, outer, scales);
            Data::Dequantised(Dequantised { values, scales, bits })
        }
        None => Data::Floats(values),
    }
}

/// Blocks of each part in turn, `outer` times.
fn joined<T: Copy>(parts: &[&Tensor], outer: usize, values: impl Fn(&Tensor) -> Option<&[T]>) -> Vec<T> {
    let mut joined = Vec::new();
    // A part without elements may stand beside any number of blocks.
    let parts = parts.iter().filter_map(|part| values(part)).filter(|values| !values.is_empty());
    let parts: Vec<&[T]> = parts.collect();
    let outer = if parts.is_empty() { 0 } else { outer };
    for block in 0..outer {
        for values in &parts {
            let len = values.len() / outer;
            joined.extend_from_slice(&values[block * len..][..len]);
        }
    }
    joined
}

/// The shape after a `Gather`.
pub(super) fn gathered(from: &Constants<'_>) -> Result<Vec<usize>, Why> {
    let tensor = from.tensor(0)?;
    let indices = from.tensor(1)?;
    let axis = axis_of(from.node.int("axis")?.unwrap_or(0), tensor.shape.len())?;
    Ok([&tensor.shape[..axis], &indices.shape, &tensor.shape[axis + 1..]].concat())
}

/// `Gather`: the slices along `axis` that the indices name.
pub(super) fn gather(from: &Constants<'_>) -> Result<Tensor, Why> {
    let tensor = from.tensor(0)?;
    let indices = from.tensor(1)?;
    let shape = gathered(from)?;
    if shape.contains(&0) {
        // Its other sizes may be anything.
        return Ok(Tensor { shape, data: tensor.data.at(std::iter::empty()), ..*tensor });
    }
    let axis = axis_of(from.node.int("axis")?.unwrap_or(0), tensor.shape.len())?;
    let size = tensor.shape[axis];
    let picked = indices.as_ints().ok_or("its indices are no integers")?.iter();
    let picked = picked.map(|&index| axis_of(index, size)).collect::<Result<Vec<usize>, Why>>()?;
    let outer: usize = tensor.shape[..axis].iter().product();
    let inner: usize = tensor.shape[axis + 1..].iter().product();
    let at = (0..outer)
        .flat_map(|block| picked.iter().map(move |&index| (block * size + index) * inner))
        .flat_map(|start| start..start + inner);
    Ok(Tensor { shape, data: tensor.data.at(at), ..*tensor })
}

/// A tensor of sizes as a shape.
pub(super) fn sizes(tensor: &Tensor) -> Result<Vec<usize>, Why> {
    let ints =
        tensor.as_list().filter(|_| tensor.shape.len() <= 1).ok_or("a shape is no list of integers")?;
    let size = |&size: &i64| usize::try_from(size).map_err(|_| format!("a shape has the size {size}"));
    ints.iter().map(size).collect()
}

/// `ConstantOfShape`: zeros, or the one number of `value`.
pub(super) fn filled(node: &Node, shape: Vec<usize>) -> Result<Tensor, Why> {
    let len = shape.iter().product();
    match node.attribute("value") {
        None => Ok(Tensor::floats(shape, vec![0.0; len])),
        Some(Attribute::Tensor(value)) if value.len() == 1 => match &value.data {
            Data::Unread => Err(format!("its value is of {}", value.element)),
            data => Ok(Tensor { shape, data: data.at(std::iter::repeat_n(0, len)), ..**value }),
        },
        Some(other) => Err(format!("its value is {other}, expected one number")),
    }
}
