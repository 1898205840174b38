//! A batch of several rows that a file fixes. A session is one row: it stands in the first place, and its copies in the others.

use crate::error::{Error, Result};
use crate::onnx::graph::{Dim, Port};
use crate::onnx::names::is_batch;
use crate::onnx::{Candidate, WindowHint};

/// Where the rows of a fixed batch lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// How many rows there are.
    pub(super) rows: usize,
    /// The dimension along the rows, of each input, in the graph's order.
    pub(super) axes: Vec<usize>,
}

/// The most rows: each is computed for every token, though only one is asked for.
const ROWS_MAX: usize = 4096;

/// The inputs of a graph by what they are for.
#[derive(Clone, Copy)]
pub(super) struct Fed<'a> {
    pub(super) tokens: usize,
    pub(super) states: &'a [usize],
}

/// A dimension with the size that the file fixes it to.
#[derive(Clone, Copy)]
struct Fixed {
    axis: usize,
    size: usize,
}

impl Batch {
    /// The batch that the file fixes; `None` where it fixes none, or one of a single row.
    ///
    /// # Errors
    /// `Load` when the ids have such a batch, and a state has no rows, or when the rows are too many.
    pub(super) fn of(candidate: &Candidate<'_>, fed: Fed<'_>) -> Result<Option<Self>> {
        let inputs = &candidate.graph.inputs;
        let port = &inputs[fed.tokens];
        let Some(Fixed { axis, size: rows }) = along_ids(candidate, fed) else { return Ok(None) };
        if rows > ROWS_MAX {
            return Err(Error::load(format!(
                "the file fixes the batch of `{port}` to {rows} sequences; the maximum is {ROWS_MAX}"
            )));
        }
        let mut axes = vec![axis; inputs.len()];
        for &state in fed.states {
            axes[state] = along_state(&inputs[state], rows).ok_or_else(|| {
                Error::load(format!(
                    "the file fixes the batch of `{port}` to {rows} sequences, and its state `{}` has no dimension of that size",
                    inputs[state]
                ))
            })?;
        }
        Ok(Some(Self { rows, axes }))
    }

    /// What `port`, input `index`, would be for a batch of one row.
    pub(super) fn row_of(&self, port: &Port, index: usize) -> Port {
        let mut row = port.clone();
        if let Some(size) = row.shape.as_mut().and_then(|shape| shape.get_mut(self.axes[index])) {
            *size = Dim::Fixed(1);
        }
        row
    }
}

/// The dimension of the ids that is the batch's.
fn along_ids(candidate: &Candidate<'_>, Fed { tokens, states }: Fed<'_>) -> Option<Fixed> {
    let Candidate { graph, hints, ref facts, .. } = *candidate;
    let shape = graph.inputs[tokens].shape.as_deref()?;
    let fixed = shape.iter().enumerate().filter_map(|(axis, dim)| match dim {
        Dim::Fixed(size) if *size != 1 => Some(Fixed { axis, size: *size }),
        _ => None,
    });
    let mut fixed = fixed.collect::<Vec<_>>().into_iter();
    if let Some(time) = facts.time_axis.filter(|_| facts.tokens == Some(tokens)) {
        return fixed.find(|fixed| fixed.axis != time);
    }
    if !states.is_empty() {
        let is_in_all = |fixed: &Fixed| {
            states.iter().all(|&state| leading(&graph.inputs[state]).contains(&Dim::Fixed(fixed.size)))
        };
        return fixed.find(is_in_all);
    }
    let may_have = |len: usize, dim: &Dim| match dim {
        Dim::Fixed(size) => *size == len,
        Dim::Symbol(name) => !is_batch(name),
        Dim::Unknown => false,
    };
    let has_window_beside =
        |axis: usize, len: usize| shape.iter().enumerate().any(|(at, dim)| at != axis && may_have(len, dim));
    match hints.window {
        // What is not the window is the batch.
        Some(WindowHint::Len(len)) => {
            fixed.find(|fixed| fixed.size != len && has_window_beside(fixed.axis, len))
        }
        // Exporters put the batch first.
        _ if fixed.len() > 1 => fixed.next(),
        _ => None,
    }
}

/// The dimension along the rows of a state: layers may precede it, and features follow.
fn along_state(port: &Port, rows: usize) -> Option<usize> {
    let leading = leading(port);
    let free: Vec<usize> =
        (0..leading.len()).filter(|&axis| !matches!(leading[axis], Dim::Fixed(_))).collect();
    let only_free = if let [axis] = free[..] { Some(axis) } else { None };
    leading.iter().rposition(|dim| *dim == Dim::Fixed(rows)).or(only_free)
}

/// The dimensions of a state before its features.
fn leading(port: &Port) -> &[Dim] {
    port.shape.as_deref().and_then(|shape| shape.split_last()).map_or(&[], |(_, leading)| leading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::graph::Element;

    #[test]
    fn the_rows_of_a_state_are_the_last_dimension_of_their_number_before_its_features() {
        let named = |name: &str| Dim::Symbol(name.into());
        for (shape, rows, expected) in [
            (vec![Dim::Fixed(1), Dim::Fixed(32), Dim::Fixed(5)], 32, Some(1)),
            (vec![Dim::Fixed(2), Dim::Fixed(2), Dim::Fixed(5)], 2, Some(1)),
            (vec![Dim::Fixed(32), Dim::Fixed(2), Dim::Fixed(5)], 32, Some(0)),
            (vec![Dim::Fixed(32), Dim::Fixed(32)], 32, Some(0)),
            (vec![Dim::Fixed(1), named("B"), Dim::Fixed(5)], 32, Some(1)),
            (vec![named("L"), named("B"), Dim::Fixed(5)], 32, None),
            (vec![Dim::Fixed(1), Dim::Fixed(1), Dim::Fixed(32)], 32, None),
            (vec![Dim::Fixed(32)], 32, None),
        ] {
            let port = Port { name: "h".into(), element: Element::F32, shape: Some(shape) };
            assert_eq!(along_state(&port, rows), expected, "{port}");
        }
    }
}
