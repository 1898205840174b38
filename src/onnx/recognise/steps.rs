//! Operators of a step that a graph writes out, on terms.

use std::sync::Arc;

use super::Known;
use super::axes::{Along, Axis, Part};
use super::block::Block;
use super::term::{self, Function, Joint, Kind, Term};
use super::tokens::along_features;
use super::value::{Content, Flow, Value};
use crate::onnx::fold::{Why, axis_of};
use crate::onnx::lower::same_bits;
use crate::onnx::tensor::Tensor;

/// What a node makes of terms; `None` for a node that has none as input, or only moves them.
pub(super) fn step(known: &Known<'_>) -> Result<Option<Vec<Value>>, Why> {
    let is_term = |value: &Value| matches!(value, Value::Flow(Flow { content: Content::Cell(_), .. }));
    if !known.inputs.iter().flatten().any(is_term) {
        return Ok(None);
    }
    let one = |flow: Flow| Some(vec![Value::Flow(flow)]);
    Ok(match known.node.op.as_str() {
        "MatMul" => one(product(known)?),
        "Gemm" => one(gemm(known)?),
        "Add" | "Sub" | "Mul" | "Div" => one(elementwise(known)?),
        "Sigmoid" => one(activated(known, Function::Sigmoid)?),
        "Tanh" => one(activated(known, Function::Tanh)?),
        "Relu" => one(activated(known, Function::Relu)?),
        "HardSigmoid" => one(hard_sigmoid(known)?),
        "Clip" => one(clipped(known)?),
        "Split" => Some(split(known)?),
        "Slice" => one(slice(known)?),
        "Concat" => one(joined(known)?),
        _ => None,
    })
}

/// A flow of terms, taken apart.
struct Terms<'v> {
    flow: &'v Flow,
    term: &'v Arc<Term>,
    /// Number of features.
    width: usize,
}

impl<'v> Terms<'v> {
    fn of(value: &'v Value) -> Result<Self, Why> {
        match value {
            Value::Flow(flow @ Flow { content: Content::Cell(term), axes, .. }) => match axes
                .last()
                .map(Vec::as_slice)
            {
                Some(&[Part { along: Along::Features, size: Some(width) }]) => Ok(Self { flow, term, width }),
                _ => Err("the last axis is not that of the features".into()),
            },
            other => Err(format!("it computes with {}, which no known cell does", other.describe())),
        }
    }

    fn with(&self, term: Arc<Term>) -> Flow {
        Flow { content: Content::Cell(term), ..self.flow.clone() }
    }
}

fn product(known: &Known<'_>) -> Result<Flow, Why> {
    let left = Terms::of(known.value(0)?)?;
    let Value::Constant(weights) = known.value(1)? else {
        return Err(format!("it multiplies by {}, expected a constant", known.value(1)?.describe()));
    };
    times(&left, &Block::in_out(weights)?)
}

fn times(left: &Terms<'_>, weights: &Block) -> Result<Flow, Why> {
    let [rows, columns] = weights.sizes();
    if rows != left.width {
        return Err(format!("its matrix is [{rows}, {columns}], expected [{}, out]", left.width));
    }
    let mut flow = left.with(term::product(left.term, weights)?);
    flow.axes.pop();
    flow.axes.push(vec![along_features(columns)]);
    Ok(flow)
}

/// `Gemm` with any addend.
fn gemm(known: &Known<'_>) -> Result<Flow, Why> {
    let node = known.node;
    let left = Terms::of(known.value(0)?)?;
    let Value::Constant(weights) = known.value(1)? else {
        return Err(format!("it multiplies by {}, expected a constant", known.value(1)?.describe()));
    };
    let is_one = |name: &str| Ok::<_, Why>(node.float(name)?.unwrap_or(1.0) == 1.0);
    if node.int("transA")?.unwrap_or(0) != 0
        || !is_one("alpha")?
        || !is_one("beta")?
        || left.flow.axes.len() != 2
    {
        return Err("it scales or transposes a vector of a cell".into());
    }
    let weights = match node.int("transB")?.unwrap_or(0) {
        0 => Block::in_out(weights)?,
        _ => Block::out_in(weights)?,
    };
    let product = times(&left, &weights)?;
    match known.optional(2) {
        None => Ok(product),
        Some(addend) => added(&Value::Flow(product), addend),
    }
}

fn elementwise(known: &Known<'_>) -> Result<Flow, Why> {
    let a = known.value(0)?;
    let b = known.value(1)?;
    match (known.node.op.as_str(), a, b) {
        ("Add", Value::Constant(_), _) => added(b, a),
        ("Add", ..) => added(a, b),
        ("Mul", Value::Constant(_), _) => scaled(b, number(a)?),
        ("Mul", _, Value::Constant(_)) => scaled(a, number(b)?),
        ("Mul", ..) => {
            let [a, b] = [Terms::of(a)?, Terms::of(b)?];
            combined(&a, &b, term::times(a.term, b.term)?)
        }
        ("Div", _, Value::Constant(_)) => scaled(a, 1.0 / number(b)?),
        ("Sub", Value::Flow(_), Value::Flow(_)) => {
            let [a, b] = [Terms::of(a)?, Terms::of(b)?];
            combined(&a, &b, term::sum(a.term, &term::scaled(b.term, -1.0, 0.0)?)?)
        }
        ("Sub", Value::Constant(constant), _) if is_all(constant, 1.0) => {
            let of = Terms::of(b)?;
            Ok(of.with(Term::new(Kind::Complement(of.term.clone()))?))
        }
        (op, ..) => Err(format!("no known cell has a `{op}` of {} and {}", a.describe(), b.describe())),
    }
}

/// A sum of terms, or of a term and a constant: a bias, or one number for all features.
fn added(a: &Value, b: &Value) -> Result<Flow, Why> {
    let left = Terms::of(a)?;
    let Value::Constant(constant) = b else {
        let right = Terms::of(b)?;
        let sum = term::sum(left.term, right.term)?;
        return Ok(Flow { axes: shared_axes(&left, &right)?, ..left.with(sum) });
    };
    let refused = || format!("it adds {} {:?}, expected a bias", constant.element, constant.shape);
    let values = constant.as_floats().ok_or_else(refused)?;
    if let &[shift] = values
        && left.width != 1
    {
        return Ok(left.with(term::scaled(left.term, 1.0, shift)?));
    }
    // A bias may stand there once for each row.
    let row = values.get(..left.width).filter(|_| constant.shape.last() == Some(&left.width));
    let row = row.filter(|row| values.chunks_exact(left.width.max(1)).all(|other| same_bits(row, other)));
    let biased = left.with(term::biased(left.term, row.ok_or_else(refused)?.to_vec())?);
    let added = constant.shape.len().saturating_sub(left.flow.axes.len());
    let axes = [vec![Axis::new(); added], biased.axes.clone()].concat();
    Ok(Flow { axes, ..biased })
}

fn scaled(value: &Value, factor: f32) -> Result<Flow, Why> {
    let of = Terms::of(value)?;
    if !factor.is_normal() {
        return Err(format!("its factor is {factor}"));
    }
    Ok(of.with(term::scaled(of.term, factor, 0.0)?))
}

/// The one number of a constant.
fn number(value: &Value) -> Result<f32, Why> {
    let number = match value {
        Value::Constant(constant) => {
            constant.as_floats().filter(|values| values.len() == 1).map(|values| values[0])
        }
        _ => None,
    };
    number.ok_or_else(|| format!("it is by {}, expected one float", value.describe()))
}

fn is_all(constant: &Tensor, number: f32) -> bool {
    constant
        .as_floats()
        .is_some_and(|values| !values.is_empty() && values.iter().all(|&value| value == number))
}

fn combined(a: &Terms<'_>, b: &Terms<'_>, term: Arc<Term>) -> Result<Flow, Why> {
    Ok(Flow { axes: shared_axes(a, b)?, ..a.with(term) })
}

/// The axes of an operator on two terms with the same features.
fn shared_axes(a: &Terms<'_>, b: &Terms<'_>) -> Result<Vec<Axis>, Why> {
    match a.width == b.width {
        true => broadcast(&a.flow.axes, &b.flow.axes),
        false => Err(format!("its inputs have {} and {} features", a.width, b.width)),
    }
}

/// The axes of an operator on two inputs. An axis of size 1 stands for every row: a step is followed as for one row alone.
fn broadcast(a: &[Axis], b: &[Axis]) -> Result<Vec<Axis>, Why> {
    let rank = a.len().max(b.len());
    let at = |axes: &[Axis], axis: usize| {
        (axis + axes.len()).checked_sub(rank).map_or(Axis::new(), |axis| axes[axis].clone())
    };
    let axis = |axis: usize| match (at(a, axis), at(b, axis)) {
        (a, b) if a == b => Ok(a),
        (a, b) if a.is_empty() => Ok(b),
        (a, b) if b.is_empty() => Ok(a),
        _ => Err(String::from("it mixes positions, rows or features")),
    };
    (0..rank).map(axis).collect()
}

fn activated(known: &Known<'_>, function: Function) -> Result<Flow, Why> {
    let of = Terms::of(known.value(0)?)?;
    Ok(of.with(term::activated(function, of.term)?))
}

fn hard_sigmoid(known: &Known<'_>) -> Result<Flow, Why> {
    let slope = known.node.float("alpha")?.unwrap_or(0.2);
    match known.node.float("beta")?.unwrap_or(0.5) {
        0.5 => activated(known, Function::HardSigmoid { slope }),
        beta => Err(format!("attribute `beta` is {beta}, expected 0.5")),
    }
}

/// `Clip`, whose bounds were attributes before opset 11.
fn clipped(known: &Known<'_>) -> Result<Flow, Why> {
    let of = Terms::of(known.value(0)?)?;
    let bound = |index: usize, name: &str| match known.optional(index) {
        Some(value) => number(value),
        None => known.node.float(name)?.ok_or_else(|| format!("`{name}` is missing")),
    };
    Ok(of.with(term::clipped(of.term, bound(1, "min")?, bound(2, "max")?)?))
}

/// `Split` of the features; without sizes in equal parts.
fn split(known: &Known<'_>) -> Result<Vec<Value>, Why> {
    let of = Terms::of(known.value(0)?)?;
    check_features(&of, known.node.int("axis")?.unwrap_or(0))?;
    let parts = known.node.outputs.len().max(1);
    let given = match known.optional(1) {
        Some(Value::Constant(sizes)) => {
            Some(sizes.as_list().ok_or("its sizes are no list of integers")?.to_vec())
        }
        Some(_) => return Err("its sizes are not constant".into()),
        None => known.node.ints("split")?,
    };
    let sizes = match given {
        Some(sizes) => sizes.into_iter().map(|size| usize::try_from(size).ok()).collect::<Option<Vec<_>>>(),
        None => of.width.is_multiple_of(parts).then(|| vec![of.width / parts; parts]),
    };
    let sizes = sizes
        .filter(|sizes| sizes.iter().try_fold(0usize, |all, &size| all.checked_add(size)) == Some(of.width));
    let sizes = sizes.ok_or_else(|| format!("its parts are not {} features together", of.width))?;
    let mut start = 0;
    let part = |width: usize| {
        let range = start..start + width;
        start += width;
        features(&of, range).map(Value::Flow)
    };
    sizes.into_iter().map(part).collect()
}

/// `Slice` of the features, with step 1.
fn slice(known: &Known<'_>) -> Result<Flow, Why> {
    let of = Terms::of(known.value(0)?)?;
    let list = |index: usize, name: &str| match known.optional(index) {
        Some(Value::Constant(tensor)) => Ok(tensor.as_list().map(<[i64]>::to_vec)),
        Some(_) => Err(format!("`{name}` is not constant")),
        None => known.node.ints(name),
    };
    let starts = list(1, "starts")?.ok_or("`starts` is missing")?;
    let ends = list(2, "ends")?.ok_or("`ends` is missing")?;
    let axes = list(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.iter().any(|&step| step != 1) {
        return Err("its bounds are none of a part of the features".into());
    }
    let last = of.flow.axes.len() - 1;
    let mut range = 0..of.width;
    for ((start, end), axis) in starts.into_iter().zip(ends).zip(axes) {
        let axis = axis_of(axis, last + 1)?;
        let size = match &of.flow.axes[axis] {
            _ if axis == last => of.width as i64,
            rows if rows.is_empty() => 1,
            _ => i64::from(i32::MAX),
        };
        let counted = |value: i64| if value < 0 { value.saturating_add(size) } else { value }.clamp(0, size);
        let part = counted(start)..counted(end);
        if axis == last {
            range = part.start as usize..part.end as usize;
        } else if part != (0..size) {
            return Err("it takes a part of the rows".into());
        }
    }
    if range.is_empty() {
        return Err("it takes no features".into());
    }
    features(&of, range)
}

fn features(of: &Terms<'_>, range: std::ops::Range<usize>) -> Result<Flow, Why> {
    if range == (0..of.width) {
        return Ok(of.flow.clone());
    }
    let mut flow = of.with(term::slice(of.term, &range)?);
    flow.axes.pop();
    flow.axes.push(vec![along_features(range.len())]);
    Ok(flow)
}

fn check_features(of: &Terms<'_>, axis: i64) -> Result<(), Why> {
    let rank = of.flow.axes.len();
    match axis_of(axis, rank)? + 1 == rank {
        true => Ok(()),
        false => Err("it divides rows, expected features".into()),
    }
}

/// `Concat` of vectors side by side.
fn joined(known: &Known<'_>) -> Result<Flow, Why> {
    let axis = known.node.int("axis")?.unwrap_or(1);
    let terms = known.inputs.iter().flatten().map(Terms::of).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = terms.first() else { return Err("it joins nothing".into()) };
    let position = first.flow.position;
    let mut axes = first.flow.axes.clone();
    for terms in &terms {
        check_features(terms, axis)?;
        axes = broadcast(&axes, &terms.flow.axes)?;
    }
    let joints = terms.iter().map(|terms| Joint { term: terms.term.clone(), width: terms.width });
    let width = terms.iter().try_fold(0usize, |sum, terms| sum.checked_add(terms.width));
    let width = width.ok_or("it joins more features than there can be")?;
    axes.pop();
    axes.push(vec![along_features(width)]);
    let term = Term::new(Kind::Joined(joints.collect()))?;
    Ok(Flow { axes, content: Content::Cell(term), position })
}
