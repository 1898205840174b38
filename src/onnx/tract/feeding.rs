//! How token ids are fed into a graph that is run as it is: one at a time with a state, or the last few at once.

use crate::error::{Error, Result};
use crate::onnx::graph::{Dim, Element, Port};
use crate::onnx::names::is_batch;
use crate::onnx::{Hints, WindowHint};

/// How token ids are fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feeding {
    /// One at a time, the state carried; `fixed` is the number that the file asks for where it is not free.
    Steps { fixed: Option<usize> },
    /// The last `len` at once, along the dimension `axis` of the input.
    Window { axis: usize, len: usize },
}

/// Bounds the window of a graph: its ids are a session's state.
const WINDOW_MAX: usize = 1 << 16;

impl Feeding {
    /// For a graph with a state and the input `port` for ids.
    pub(super) fn steps(port: &Port, hints: &Hints) -> Result<Self> {
        let fixed = fixed(port, shape(port)?)?.map(|(_, size)| size);
        match hints.window {
            None | Some(WindowHint::Unlimited) => Ok(Feeding::Steps { fixed }),
            Some(WindowHint::Len(len)) => Err(Error::load(format!(
                "`onnx.window` is {len}, but the graph takes its state as an input; a window is for a graph without a state"
            ))),
        }
    }

    /// For a graph without a state and with the input `port` for ids.
    pub(super) fn window(port: &Port, hints: &Hints) -> Result<Self> {
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
        _ => Err(Error::load(format!("the input `{port}` takes a fixed batch, expected one sequence"))),
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
            (&[Dim::Fixed(3), Dim::Fixed(5)], None, "a fixed batch"),
            (&[named("T")], Some(WINDOW_MAX + 1), "expected 1 to"),
        ] {
            let message = window(shape, given).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}
