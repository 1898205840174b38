//! Operators that take a part of an axis: one position, one row, or a layer's part of a state.

use super::axes::{Along, Part, Size};
use super::glue::same;
use super::value::{Content, Flow, Form, Position, Sizes, Value};
use super::{Found, Known};
use crate::onnx::fold::{Why, axis_of};

impl Found<'_> {
    /// `Gather` of one position, or of the only row.
    pub(super) fn gather(&mut self, known: &Known<'_>, flow: &Flow) -> Result<Flow, Why> {
        let axis = axis_of(known.node.int("axis")?.unwrap_or(0), flow.axes.len())?;
        let index = known.value(1)?.as_sizes().ok_or("its index is not constant")?;
        let (index, keeps_axis) = match index {
            Sizes::One(Some(index)) => (index, false),
            Sizes::List(list) => match list.as_slice() {
                [Some(index)] => (index.clone(), true),
                _ => return Err("it selects more than one index".into()),
            },
            Sizes::One(None) | Sizes::Repeated(_) => return Err("its index is not constant".into()),
        };
        let end = index.plus(1).filter(|end| end.number() != Some(0));
        let mut selected = self.select(flow, axis, &Range { start: Some(index), end })?;
        if !keeps_axis {
            selected.axes.remove(axis);
        }
        Ok(selected)
    }

    /// `Slice` to one position, to the only row, or of everything.
    pub(super) fn slice(&mut self, known: &Known<'_>, flow: &Flow) -> Result<Flow, Why> {
        let list = |index: usize, name: &str| -> Result<Option<Vec<Option<Size>>>, Why> {
            let value = if self.graph.opset < 10 { None } else { known.optional(index) };
            match value {
                Some(value) => {
                    let sizes = value.as_sizes().and_then(Sizes::into_list);
                    sizes.map(Some).ok_or_else(|| format!("`{name}` is not constant"))
                }
                None => {
                    let ints = known.node.ints(name)?;
                    Ok(ints.map(|ints| ints.into_iter().map(|int| Some(Size::fixed(int))).collect()))
                }
            }
        };
        let starts = list(1, "starts")?.ok_or("`starts` is missing")?;
        let ends = list(2, "ends")?.ok_or("`ends` is missing")?;
        let all = (0..starts.len() as i64).map(|axis| Some(Size::fixed(axis))).collect();
        let axes = list(3, "axes")?.unwrap_or(all);
        let steps = list(4, "steps")?.unwrap_or_else(|| vec![Some(Size::fixed(1)); starts.len()]);
        if steps.iter().any(|step| step.as_ref().and_then(Size::number) != Some(1)) {
            return Err("its step is not 1".into());
        }
        if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
            return Err("`starts`, `ends`, `axes` and `steps` differ in length".into());
        }
        let mut sliced = flow.clone();
        for ((start, end), axis) in starts.into_iter().zip(ends).zip(axes) {
            let axis = axis.as_ref().and_then(Size::number).ok_or("`axes` is not constant")?;
            let axis = axis_of(axis, flow.axes.len())?;
            sliced = self.select(&sliced, axis, &Range { start, end })?;
        }
        Ok(sliced)
    }

    /// `range` of an axis: all of it, the first or the last position, or a single row.
    fn select(&mut self, flow: &Flow, axis: usize, range: &Range) -> Result<Flow, Why> {
        let parts = &flow.axes[axis];
        let size = Size::of(parts);
        if range.is_all(&size) {
            return Ok(flow.clone());
        }
        let refused = || format!("it takes a part of axis {axis} of {}", flow.content.describe());
        if let Some(selected) = self.select_one(flow, axis, range) {
            return Ok(selected);
        }
        let is_after_recurrence =
            matches!(flow.content, Content::Hidden(_) | Content::Normed(_) | Content::Output(..));
        let &[Part { along: along @ Along::Input { .. }, .. }] = parts.as_slice() else {
            return Err(refused());
        };
        if !is_after_recurrence || flow.position != Position::All {
            return Err(refused());
        }
        let is_time = self.time == Some(Some(along));
        let position = match (range.is_first(), range.is_last(&size)) {
            (true, _) if is_time => Position::First,
            (_, true) if is_time => Position::Last,
            (false, false) => return Err(refused()),
            // A row of a batch; the engine runs each row as if it were that one.
            _ => flow.position,
        };
        let mut selected = Flow { position, ..flow.clone() };
        selected.axes[axis] = Vec::new();
        Ok(selected)
    }

    /// One position of those that a graph writes out, or one layer's part of a state; `None` where `range` is neither.
    fn select_one(&mut self, flow: &Flow, axis: usize, range: &Range) -> Option<Flow> {
        let &[part @ Part { size: Some(size), .. }] = flow.axes[axis].as_slice() else { return None };
        let index = range.only(size)?;
        if flow.position != Position::All {
            return None;
        }
        let mut selected = flow.clone();
        selected.axes[axis] = Vec::new();
        match &mut selected.content {
            Content::Input(input) if self.graph.inputs[input.index].element.is_float() => {
                (input.form == Form::Raw).then(|| input.form = Form::Part(index))?;
                return Some(selected);
            }
            Content::Hidden(_) | Content::Normed(_) | Content::Output(..)
                if !self.is_unrolled_along(part) =>
            {
                return None;
            }
            _ if !self.unroll(part) => return None,
            _ => selected.position = Position::At(index),
        }
        Some(selected)
    }

    /// A `Split` into single positions, or into the layers' parts of a state; `None` for another.
    pub(super) fn each_of(&mut self, known: &Known<'_>, flow: &Flow) -> Result<Option<Vec<Value>>, Why> {
        let axis = axis_of(known.node.int("axis")?.unwrap_or(0), flow.axes.len())?;
        let count = known.node.outputs.len();
        if count < 2 || Size::of(&flow.axes[axis]).number() != Some(count as i64) {
            return Ok(None);
        }
        let sizes = match known.optional(1) {
            Some(value) => value.as_sizes().and_then(Sizes::into_list).ok_or("its sizes are not constant")?,
            None => {
                let ints = known.node.ints("split")?.unwrap_or_else(|| vec![1; count]);
                ints.into_iter().map(|int| Some(Size::fixed(int))).collect()
            }
        };
        if sizes.iter().any(|size| size.as_ref().and_then(Size::number) != Some(1)) {
            return Ok(None);
        }
        let each = (0..count as i64).map(|index| {
            let range = Range { start: Some(Size::fixed(index)), end: Some(Size::fixed(index + 1)) };
            self.select_one(flow, axis, &range).map(Value::Flow)
        });
        Ok(each.collect())
    }
}

/// The ends of a selection, counted from the end when negative; `None` for one that is not known or open.
struct Range {
    start: Option<Size>,
    end: Option<Size>,
}

impl Range {
    fn is_all(&self, size: &Size) -> bool {
        let start = self.start.as_ref().and_then(Size::number);
        let end = &self.end;
        let is_single = size.number() == Some(1);
        // An open end is that of an index of -1.
        let is_open = is_single && start == Some(-1) && end.is_none();
        is_open || ((start == Some(0) || (is_single && start == Some(-1))) && reaches(end.as_ref(), size))
    }

    /// The one index of `size` that it selects.
    fn only(&self, size: usize) -> Option<usize> {
        let size = size as i64;
        let counted = |index: i64| if index < 0 { index + size } else { index };
        let start = counted(self.start.as_ref().and_then(Size::number)?);
        let end = match &self.end {
            // An open end is that of an index of -1.
            None => size,
            Some(end) => counted(end.number()?).min(size),
        };
        (0 <= start && start.checked_add(1) == Some(end)).then_some(start as usize)
    }

    fn is_first(&self) -> bool {
        let number = |size: &Option<Size>| size.as_ref().and_then(Size::number);
        number(&self.start) == Some(0) && number(&self.end) == Some(1)
    }

    fn is_last(&self, size: &Size) -> bool {
        let Some(start) = &self.start else { return false };
        let is_last = start.number() == Some(-1) || size.plus(-1).is_some_and(|last| same(&last, start));
        // An open end is that of an index of -1.
        is_last && self.end.as_ref().is_none_or(|end| reaches(Some(end), size))
    }
}

/// Whether an end is the axis' own, or beyond it.
fn reaches(end: Option<&Size>, size: &Size) -> bool {
    // Exporters write the largest integer of 32 or 64 bits for "to the end".
    const OPEN: i64 = i32::MAX as i64 - 1;

    end.is_some_and(|end| {
        same(end, size) || end.number().is_some_and(|end| end >= size.number().unwrap_or(OPEN))
    })
}
