//! Operators that move elements about: what they do to the axes of what they move.

use std::collections::BTreeSet;

use super::axes::{self, Along, Axis, Part, Size, Wanted};
use super::value::{Carried, Content, Flow, Form, MovedInput, Position, Sizes, Value, Vector, exact_below};
use super::{Found, Known};
use crate::onnx::fold::{Why, axis_of, cast, flatten_axis, permutation, rank_with, target_type};
use crate::onnx::graph::Element;

impl Found<'_> {
    /// An operator that moves its input.
    pub(super) fn glue(&mut self, known: &Known<'_>) -> Result<Vec<Value>, Why> {
        let op = known.node.op.as_str();
        if op == "Concat" {
            return Ok(vec![self.concat(known)?]);
        }
        let parts = if op == "Split" { known.node.outputs.len() } else { 1 };
        if let ("Split", Value::Flow(flow)) = (op, known.value(0)?)
            && let Some(each) = self.each_of(known, flow)?
        {
            return Ok(each);
        }
        let moved = match known.value(0)? {
            Value::Flow(flow) => self.glue_of_flow(known, flow)?,
            value @ (Value::State(_) | Value::Final(_)) => {
                moves_elements(known)?;
                value.clone()
            }
            other => {
                return Err(format!("it is of {}, which is no part of a known network", other.describe()));
            }
        };
        Ok(vec![moved; parts])
    }

    fn glue_of_flow(&mut self, known: &Known<'_>, flow: &Flow) -> Result<Value, Why> {
        let moved = match known.node.op.as_str() {
            "Identity" => Ok(flow.clone()),
            "Dropout" => inference(known).map(|()| flow.clone()),
            "Cast" => cast_flow(flow, target_type(known.node)?),
            "Squeeze" => squeeze(known, flow),
            "Unsqueeze" => unsqueeze(known, flow),
            "Transpose" => transpose(known, flow),
            "Reshape" => reshape(known, flow),
            "Flatten" => flatten(known, flow),
            "Expand" | "Tile" => same_size(known, flow),
            "Gather" => self.gather(known, flow),
            "Slice" => self.slice(known, flow),
            "Split" if known.node.outputs.len() == 1 => Ok(flow.clone()),
            "Split" if matches!(flow.content, Content::Input(_)) => Err("it splits an input".into()),
            _ => {
                return Err(format!(
                    "it is of {}, which is no part of a known network",
                    flow.content.describe()
                ));
            }
        };
        match (moved, &flow.content) {
            (Ok(flow), _) => Ok(Value::Flow(flow)),
            // Which elements of a state these are does not matter: the engine keeps its own.
            (Err(_), Content::Input(MovedInput { index, form: Form::Raw | Form::Part(_), .. })) => {
                moves_elements(known)?;
                Ok(Value::State([*index].into()))
            }
            (Err(why), _) => Err(why),
        }
    }

    /// `Concat` of states, or of one tensor alone.
    fn concat(&self, known: &Known<'_>) -> Result<Value, Why> {
        let inputs: Vec<&Value> = known.inputs.iter().flatten().collect();
        if let [only] = inputs.as_slice() {
            return Ok((*only).clone());
        }
        let described = || {
            let names: Vec<String> = inputs.iter().map(|value| value.describe()).collect();
            format!("it joins {}", names.join(" and "))
        };
        let states: Option<Vec<BTreeSet<usize>>> = inputs.iter().map(|value| as_state(value)).collect();
        if let Some(states) = states {
            return joined(states).map(Value::State);
        }
        let finals: Option<Vec<BTreeSet<Carried>>> =
            inputs.iter().map(|value| self.as_final(value)).collect();
        joined(finals.ok_or_else(described)?).map(Value::Final)
    }

    /// The states that `value` has after the last position.
    pub(super) fn as_final(&self, value: &Value) -> Option<BTreeSet<Carried>> {
        match value {
            Value::Final(carried) => Some(carried.clone()),
            Value::Flow(Flow { content: Content::Hidden(layer), position, .. }) => {
                let is_last = *position == Position::Last || self.time == Some(None);
                is_last.then(|| [Carried { layer: *layer, vector: Vector::H }].into())
            }
            _ => None,
        }
    }
}

/// All members of `sets`, as many as layers carry.
fn joined<T: Ord>(sets: Vec<BTreeSet<T>>) -> Result<BTreeSet<T>, Why> {
    const MEMBERS_MAX: usize = 256;

    let joined: BTreeSet<T> = sets.into_iter().flatten().collect();
    match joined.len() {
        0..=MEMBERS_MAX => Ok(joined),
        found => Err(format!("it joins {found} states, expected at most {MEMBERS_MAX}")),
    }
}

/// The inputs that `value` is made of, if it may be a state on its way in.
pub(super) fn as_state(value: &Value) -> Option<BTreeSet<usize>> {
    match value {
        Value::Zeros(_) => Some(BTreeSet::new()),
        Value::State(inputs) => Some(inputs.clone()),
        Value::Flow(Flow {
            content: Content::Input(MovedInput { index, form: Form::Raw | Form::Part(_), .. }),
            ..
        }) => Some([*index].into()),
        _ => None,
    }
}

/// Checks that an operator moves the elements of its first input and changes none.
fn moves_elements(known: &Known<'_>) -> Result<(), Why> {
    match known.node.op.as_str() {
        "Identity" | "Squeeze" | "Unsqueeze" | "Transpose" | "Reshape" | "Flatten" | "Slice" | "Split"
        | "Expand" | "Gather" => Ok(()),
        // Zeros, where the engine starts, are zeros in every type.
        "Cast" => target_type(known.node).map(|_| ()),
        _ => Err("it is of a state, which a known network only moves".into()),
    }
}

pub(super) fn same(a: &Size, b: &Size) -> bool {
    match (a.number(), b.number()) {
        (Some(a), Some(b)) => a == b,
        (None, None) => a == b,
        _ => false,
    }
}

/// Checks that a `Dropout` drops nothing.
fn inference(known: &Known<'_>) -> Result<(), Why> {
    match known.optional(2) {
        Some(training) if !training.is_zeros() => Err("it drops values, as in training".into()),
        _ => Ok(()),
    }
}

fn cast_flow(flow: &Flow, to: Element) -> Result<Flow, Why> {
    let refused = || format!("it casts {} to {to}", flow.content.describe());
    let content = match &flow.content {
        // 0 and 1 are numbers of every type.
        Content::Input(MovedInput { form: Form::Truth(_), .. }) => flow.content.clone(),
        Content::Input(input) => {
            Content::Input(MovedInput { exact_below: input.exact_below.min(exact_below(to)), ..*input })
        }
        Content::Row(table) if table.as_ints().is_some() => Content::Row(cast(table, to)?.into()),
        Content::OneHot => Content::OneHot,
        content if to.is_float() => content.clone(),
        _ => return Err(refused()),
    };
    Ok(Flow { content, ..flow.clone() })
}

/// The axes that an operator names; before opset 13 as an attribute.
pub(super) fn named_axes(known: &Known<'_>) -> Result<Option<Vec<i64>>, Why> {
    match known.optional(1) {
        None => known.node.ints("axes"),
        Some(Value::Constant(axes)) => {
            Ok(Some(axes.as_list().ok_or("`axes` is no list of integers")?.to_vec()))
        }
        Some(_) => Err("`axes` is not constant".into()),
    }
}

fn squeeze(known: &Known<'_>, flow: &Flow) -> Result<Flow, Why> {
    let rank = flow.axes.len();
    let is_one = |axis: &Axis| Size::of(axis).number() == Some(1);
    let dropped: Vec<usize> = match named_axes(known)? {
        Some(named) => named.into_iter().map(|axis| axis_of(axis, rank)).collect::<Result<_, _>>()?,
        None if flow.axes.iter().all(|axis| Size::of(axis).number().is_some()) => {
            (0..rank).filter(|&axis| is_one(&flow.axes[axis])).collect()
        }
        None => return Err("it drops axes that the graph does not tell".into()),
    };
    // An axis whose size callers choose is dropped by a graph that runs with a size of 1 only.
    let may_be_one = |part: &Part| part.along != Along::Features && part.size.is_none();
    for &axis in &dropped {
        if !flow.axes[axis].iter().all(may_be_one) {
            return Err(format!("it drops axis {axis} of {}", flow.content.describe()));
        }
    }
    let kept = flow.axes.iter().enumerate().filter(|(axis, _)| !dropped.contains(axis));
    Ok(Flow { axes: kept.map(|(_, axis)| axis.clone()).collect(), ..flow.clone() })
}

fn unsqueeze(known: &Known<'_>, flow: &Flow) -> Result<Flow, Why> {
    let named = named_axes(known)?.ok_or("`axes` is missing")?;
    let rank = rank_with(flow.axes.len(), named.len())?;
    let added = named.into_iter().map(|axis| axis_of(axis, rank)).collect::<Result<BTreeSet<_>, _>>()?;
    let mut old = flow.axes.iter().cloned();
    let axes = (0..rank).map(|axis| if added.contains(&axis) { Some(Vec::new()) } else { old.next() });
    let axes = axes.collect::<Option<_>>().ok_or("`axes` has one axis twice")?;
    Ok(Flow { axes, ..flow.clone() })
}

fn transpose(known: &Known<'_>, flow: &Flow) -> Result<Flow, Why> {
    let order = permutation(known.node, flow.axes.len())?;
    Ok(Flow { axes: order.into_iter().map(|axis| flow.axes[axis].clone()).collect(), ..flow.clone() })
}

fn reshape(known: &Known<'_>, flow: &Flow) -> Result<Flow, Why> {
    let zero_stays = known.node.int("allowzero")?.unwrap_or(0) == 0;
    let sizes = match known.optional(1) {
        Some(value) => value.as_sizes().and_then(Sizes::into_list).ok_or("its shape is not known")?,
        None => {
            let ints = known.node.ints("shape")?.ok_or("`shape` is missing")?;
            ints.into_iter().map(|int| Some(Size::fixed(int))).collect()
        }
    };
    let wanted = |size: Option<Size>| match size {
        None => Wanted::Rest,
        Some(size) => match size.number() {
            Some(-1) => Wanted::Rest,
            Some(0) if zero_stays => Wanted::Same,
            Some(number) => Wanted::Size(Size::fixed(number)),
            None => Wanted::Size(size),
        },
    };
    let wanted: Vec<Wanted> = sizes.into_iter().map(wanted).collect();
    Ok(Flow { axes: axes::reshape(&flow.axes, &wanted)?, ..flow.clone() })
}

fn flatten(known: &Known<'_>, flow: &Flow) -> Result<Flow, Why> {
    let (before, after) = flow.axes.split_at(flatten_axis(known.node, flow.axes.len())?);
    Ok(Flow { axes: vec![before.concat(), after.concat()], ..flow.clone() })
}

/// `Expand` to the size that is there, or `Tile` by 1.
fn same_size(known: &Known<'_>, flow: &Flow) -> Result<Flow, Why> {
    let refused = || format!("it repeats {}", flow.content.describe());
    let sizes = known.value(1)?.as_sizes().and_then(Sizes::into_list).ok_or_else(refused)?;
    let is_expand = known.node.op == "Expand";
    let added = if is_expand { sizes.len().saturating_sub(flow.axes.len()) } else { 0 };
    let missing = flow.axes.len().checked_sub(sizes.len() - added).ok_or_else(refused)?;
    let mut axes = vec![Vec::new(); added];
    axes.extend(flow.axes.iter().cloned());
    for (axis, size) in axes.iter().skip(missing).zip(&sizes) {
        let size = size.as_ref().ok_or_else(refused)?;
        let stays = size.number() == Some(1) || (is_expand && same(size, &Size::of(axis)));
        if !stays {
            return Err(refused());
        }
    }
    Ok(Flow { axes, ..flow.clone() })
}
