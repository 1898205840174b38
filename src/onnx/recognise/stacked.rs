//! States of several layers in one tensor, from which an output layer reads the last: `h[-1]` in PyTorch.

use super::axes::Size;
use super::value::{Content, Flow, Sizes, Value};
use super::{Found, Known};
use crate::onnx::fold::{Why, axis_of};

impl Found<'_> {
    /// Notes the order of what a `Concat` joins along an axis of size 1 each.
    pub(super) fn note_stack(&mut self, known: &Known<'_>) -> Result<(), Why> {
        let (Some(output), "Concat") = (known.node.outputs.first(), known.node.op.as_str()) else {
            return Ok(());
        };
        let hidden = |value: &Value| match value {
            Value::Flow(flow @ Flow { content: Content::Hidden(_), .. }) => Some(flow.clone()),
            _ => None,
        };
        let Some(flows) = known.inputs.iter().flatten().map(hidden).collect::<Option<Vec<Flow>>>() else {
            return Ok(());
        };
        let Some(first) = flows.first() else { return Ok(()) };
        let axis = axis_of(known.node.int("axis")?.unwrap_or(0), first.axes.len())?;
        if flows.iter().all(|flow| flow.axes == first.axes && flow.axes[axis].is_empty()) {
            self.stacks.insert(output.clone(), Stack { flows, axis });
        }
        Ok(())
    }

    /// One of several joined states, by a `Gather` or a `Slice` to one of them; `None` for any other node.
    pub(super) fn unstacked(&self, known: &Known<'_>) -> Result<Option<Value>, Why> {
        let Some(stack) = known.node.input(0).and_then(|name| self.stacks.get(name)) else { return Ok(None) };
        let rank = stack.flows[0].axes.len();
        let number = |index: usize| match known.optional(index).and_then(Value::as_sizes) {
            Some(Sizes::One(size)) => size.as_ref().and_then(Size::number),
            Some(Sizes::List(list)) if list.len() == 1 => list[0].as_ref().and_then(Size::number),
            _ => None,
        };
        let (index, axis, keeps_axis) = match known.node.op.as_str() {
            "Gather" => {
                let is_list = matches!(known.optional(1).and_then(Value::as_sizes), Some(Sizes::List(_)));
                (number(1), Some(known.node.int("axis")?.unwrap_or(0)), is_list)
            }
            "Slice" if self.graph.opset >= 10 => {
                let is_one = match (number(1), number(2), known.optional(4).map(|_| number(4))) {
                    (Some(-1), Some(end), None | Some(Some(1))) => end >= i64::from(i32::MAX) - 1,
                    (Some(start), Some(end), None | Some(Some(1))) => start.checked_add(1) == Some(end),
                    _ => false,
                };
                (number(1).filter(|_| is_one), number(3), true)
            }
            _ => return Ok(None),
        };
        let (Some(index), Some(axis)) = (index, axis) else { return Ok(None) };
        if axis_of(axis, rank)? != stack.axis {
            return Ok(None);
        }
        let mut flow = stack.flows[axis_of(index, stack.flows.len())?].clone();
        if !keeps_axis {
            flow.axes.remove(stack.axis);
        }
        Ok(Some(Value::Flow(flow)))
    }
}

/// States joined along an axis.
pub(super) struct Stack {
    flows: Vec<Flow>,
    axis: usize,
}
