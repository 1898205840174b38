//! How token ids are fed into a graph that is run as it is: one at a time with a state, or the last few at once.

use super::batch::{Batch, Fed};
use crate::error::{Error, Result};
use crate::onnx::graph::{Dim, Element, Port};
use crate::onnx::names::is_batch;
use crate::onnx::{Candidate, Hints, WindowHint};

/// How token ids are fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Feeding {
    /// One at a time, the state carried.
    Steps(Length),
    /// The last `len` at once, along the dimension `axis` of the input.
    Window { axis: usize, len: usize },
}

/// How many ids a graph with a state takes at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Length {
    One,
    /// So many, along the dimension `axis`.
    Fixed {
        axis: usize,
        len: usize,
    },
    /// Any number, along one of these dimensions, the likeliest first.
    Free {
        axes: Vec<usize>,
    },
}

/// Bounds the window of a graph: its ids are a session's state.
const WINDOW_MAX: usize = 1 << 16;

impl Feeding {
    /// For a graph that is `fed` in this way, with a `batch` of several rows if the file fixes one.
    ///
    /// # Errors
    /// `Load` when the ids cannot be fed, or the manifest asks for what the graph cannot do.
    pub(super) fn choose(candidate: &Candidate<'_>, fed: Fed<'_>, batch: Option<&Batch>) -> Result<Self> {
        let Candidate { graph, hints, ref facts, .. } = *candidate;
        let Fed { tokens, states } = fed;
        let port = &graph.inputs[tokens];
        let port = &batch.map_or_else(|| port.clone(), |batch| batch.row_of(port, tokens));
        if states.is_empty() {
            return Self::window(port, hints);
        }
        if let Some(WindowHint::Len(len)) = hints.window {
            return Err(Error::load(format!(
                "`onnx.window` is {len}, but the graph takes its state as an input; a window is for a graph without a state"
            )));
        }
        let shape = shape(port)?;
        if let Some((axis, len)) = fixed(port, shape)? {
            return Ok(Feeding::Steps(Length::Fixed { axis, len }));
        }
        let is_in_a_state = |name: &String| {
            let shapes = states.iter().filter_map(|&state| graph.inputs[state].shape.as_ref());
            shapes.flatten().any(|dim| matches!(dim, Dim::Symbol(other) if other == name))
        };
        // States have rows and no positions.
        let is_rows = |dim: &Dim| matches!(dim, Dim::Symbol(name) if is_batch(name) || is_in_a_state(name));
        let axes: Vec<usize> = match facts.time_axis.filter(|_| facts.tokens == Some(tokens)) {
            Some(axis) if shape.get(axis) != Some(&Dim::Fixed(1)) => vec![axis],
            Some(_) => Vec::new(),
            None => {
                let axes = 0..shape.len();
                // Exporters that name no dimension put the rows first.
                axes.rev().filter(|&axis| shape[axis] != Dim::Fixed(1) && !is_rows(&shape[axis])).collect()
            }
        };
        Ok(Feeding::Steps(if axes.is_empty() { Length::One } else { Length::Free { axes } }))
    }

    /// For a graph without a state and with the input `port` for ids.
    fn window(port: &Port, hints: &Hints) -> Result<Self> {
        let shape = shape(port)?;
        let window = match hints.window {
            None => None,
            Some(WindowHint::Len(len)) => Some(len),
            Some(WindowHint::Unlimited) => {
                return Err(Error::load(
                    "`onnx.window` is \"none\", but the graph has no state that could be carried from token to token; expected a number of ids",
                ));
            }
        };
        let (axis, len) = match (fixed(port, shape)?, window) {
            (Some((axis, size)), None) => (axis, size),
            (Some((axis, size)), Some(window)) if size == window => (axis, size),
            (Some((_, size)), Some(window)) => {
                return Err(Error::load(format!(
                    "`onnx.window` is {window}, but the file fixes `{port}` to {size} ids"
                )));
            }
            (None, window) => free_window(port, shape, window)?,
        };
        match (1..=WINDOW_MAX).contains(&len) {
            true => Ok(Feeding::Window { axis, len }),
            false => Err(Error::load(format!("a window of {len} ids, expected 1 to {WINDOW_MAX}"))),
        }
    }
}

fn shape(port: &Port) -> Result<&[Dim]> {
    if !matches!(port.element, Element::I64 | Element::I32 | Element::F32 | Element::F64) {
        return Err(Error::load(format!(
            "the input `{port}` takes token ids, expected i64, i32, f32 or f64"
        )));
    }
    let none = || Error::load(format!("the input `{}` has no shape, expected one", port.name));
    port.shape.as_deref().ok_or_else(none)
}

/// The dimension that the file fixes to another size than 1, with the size.
fn fixed(port: &Port, shape: &[Dim]) -> Result<Option<(usize, usize)>> {
    let sizes = shape.iter().enumerate().filter_map(|(axis, dim)| match dim {
        Dim::Fixed(size) if *size != 1 => Some((axis, *size)),
        _ => None,
    });
    match sizes.collect::<Vec<_>>()[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(Error::load(format!(
            "the file fixes several dimensions of the token ids `{port}`, expected one number of ids and one batch"
        ))),
    }
}

/// The window of a graph that fixes none: its dimension and its length.
fn free_window(port: &Port, shape: &[Dim], window: Option<usize>) -> Result<(usize, usize)> {
    let is_named_batch = |dim: &Dim| matches!(dim, Dim::Symbol(name) if is_batch(name));
    let free: Vec<usize> = (0..shape.len()).filter(|&axis| shape[axis] != Dim::Fixed(1)).collect();
    let time = free.iter().rfind(|&&axis| !is_named_batch(&shape[axis]));
    // Exporters that name no batch put it first; `N` is a batch to some and a length to others.
    let time = time.or(free.last().filter(|_| free.len() > 1 || window.is_some()));
    match (time, window) {
        (Some(&axis), Some(window)) => Ok((axis, window)),
        // Bigrams: what comes next follows from the last id alone.
        (None, None | Some(1)) => Ok((0, 1)),
        (None, Some(window)) => {
            Err(Error::load(format!("`onnx.window` is {window}, but `{port}` takes one id")))
        }
        (Some(_), None) => Err(Error::load(
            "the graph has no state and reads any number of ids: `onnx.window` in the manifest says how many of the last ones to read at once, `onnx.pad` what stands before the first",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(shape: &[Dim]) -> Port {
        Port { name: "x".into(), element: Element::I64, shape: Some(shape.into()) }
    }

    fn window(shape: &[Dim], window: Option<usize>) -> Result<Feeding, String> {
        let hints = Hints { window: window.map(WindowHint::Len), ..Hints::default() };
        Feeding::window(&port(shape), &hints).map_err(|error| error.message)
    }

    #[test]
    fn a_window_lies_along_the_ids() {
        let named = |name: &str| Dim::Symbol(name.into());
        let along = |axis, len| Ok(Feeding::Window { axis, len });
        assert_eq!(window(&[named("B"), Dim::Fixed(5)], None), along(1, 5));
        assert_eq!(window(&[Dim::Fixed(5), Dim::Unknown], None), along(0, 5));
        assert_eq!(window(&[named("batch"), named("T")], Some(3)), along(1, 3));
        assert_eq!(window(&[named("T"), named("batch")], Some(3)), along(0, 3));
        assert_eq!(window(&[Dim::Unknown, Dim::Unknown], Some(3)), along(1, 3));
        assert_eq!(window(&[named("B"), Dim::Fixed(1)], None), along(0, 1));
        for (shape, given, part) in [
            (&[named("B"), named("T")][..], None, "`onnx.window`"),
            (&[named("B"), named("N")], None, "`onnx.window`"),
            (&[named("B"), Dim::Fixed(5)], Some(4), "to 5 ids"),
            (&[Dim::Fixed(1), Dim::Fixed(1)], Some(4), "takes one id"),
            (&[Dim::Fixed(3), Dim::Fixed(5)], None, "several dimensions"),
            (&[named("T")], Some(WINDOW_MAX + 1), "expected 1 to"),
        ] {
            let message = window(shape, given).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}
