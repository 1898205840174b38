//! The shapes that a file declares for its inputs and outputs, against those that its layers have.
//!
//! An exporter that drops a part of a layer, such as a projection of its state, leaves the shapes behind that the whole layer had.

use std::collections::BTreeSet;

use super::Found;
use super::axes::Along;
use super::network::names;
use super::value::{Carried, Content, Flow, Value};
use crate::error::{Error, Result};
use crate::onnx::graph::{Dim, Port};

impl Found<'_> {
    /// Checks what the file declares of states and logits.
    ///
    /// # Errors
    /// `Load` naming the input or output whose shape its layers contradict.
    pub(in crate::onnx) fn check_declared(&self) -> Result<()> {
        let started = self.started();
        for (&input, carried) in &started {
            self.check_state(&self.graph.inputs[input], carried)?;
        }
        self.graph.outputs.iter().try_for_each(|output| {
            self.check_state(output, &self.carried_by(output))?;
            self.check_logits(output)
        })
    }

    /// Checks that `port` can have the vectors `carried`.
    fn check_state(&self, port: &Port, carried: &BTreeSet<Carried>) -> Result<()> {
        let Some(shape) = port.shape.as_deref().filter(|_| !carried.is_empty()) else { return Ok(()) };
        let sizes = carried.iter().map(|carried| self.layers[carried.layer].size_of(carried.vector));
        let sizes: Vec<usize> = sizes.collect();
        if can_hold(shape, &sizes) {
            return Ok(());
        }
        let sizes: BTreeSet<String> = sizes.iter().map(ToString::to_string).collect();
        let sizes: Vec<String> = sizes.into_iter().collect();
        Err(Error::load(format!(
            "the file declares `{port}`, which is state {}, of {} units in the graph; export the model again: the exporter has dropped a part of it",
            names(carried),
            sizes.join(" and ")
        )))
    }

    fn check_logits(&self, port: &Port) -> Result<()> {
        let Value::Flow(Flow { axes, content: Content::Output(..), .. }) = self.value(port) else {
            return Ok(());
        };
        let Some(shape) = port.shape.as_deref().filter(|shape| shape.len() == axes.len()) else {
            return Ok(());
        };
        let differs = axes.iter().zip(shape).find_map(|(axis, dim)| match (axis.as_slice(), dim) {
            ([part], Dim::Fixed(_)) if part.along == Along::Features => {
                part.size.filter(|&size| Dim::Fixed(size) != *dim)
            }
            _ => None,
        });
        match differs {
            None => Ok(()),
            Some(size) => Err(Error::load(format!(
                "the file declares `{port}`, and its output layer has {size} tokens; export the model again"
            ))),
        }
    }
}

/// Whether a tensor of `shape` can hold a vector of each of `sizes` for some number of sequences.
fn can_hold(shape: &[Dim], sizes: &[usize]) -> bool {
    let fixed = shape.iter().filter_map(|dim| match dim {
        Dim::Fixed(size) => Some(*size),
        Dim::Symbol(_) | Dim::Unknown => None,
    });
    let free = shape.iter().filter(|dim| !matches!(dim, Dim::Fixed(_))).count();
    let elements = fixed.fold(1usize, usize::saturating_mul);
    let total: usize = sizes.iter().sum();
    let divides = |part: usize, whole: usize| whole.is_multiple_of(part.max(1));
    let fits = match (free, shape.last()) {
        (0, _) => divides(total, elements),
        // The free one is the number of sequences.
        (1, Some(Dim::Fixed(_))) => elements == total,
        _ => divides(elements, total),
    };
    let is_whole =
        |width: usize| width == 1 || width == total || sizes.iter().any(|&size| divides(size, width));
    fits && !matches!(shape.last(), Some(&Dim::Fixed(width)) if !is_whole(width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_holds_whole_vectors() {
        let free = || Dim::Symbol("B".into());
        let fixed = Dim::Fixed;
        for (shape, sizes) in [
            (vec![fixed(1), free(), fixed(5)], &[5][..]),
            (vec![fixed(2), fixed(3), fixed(5)], &[5, 5]),
            (vec![free(), fixed(10)], &[5, 5]),
            (vec![free(), fixed(5)], &[5]),
            (vec![fixed(2), fixed(1), free(), fixed(5)], &[5, 5]),
            (vec![fixed(1), free(), Dim::Unknown], &[5]),
            (vec![free(), fixed(8)], &[3, 5]),
        ] {
            assert!(can_hold(&shape, sizes), "{shape:?} {sizes:?}");
        }
        for (shape, sizes) in [
            (vec![fixed(1), free(), fixed(3)], &[5][..]),
            (vec![fixed(1), fixed(5), fixed(3)], &[5]),
            (vec![fixed(2), free(), fixed(5)], &[5]),
            (vec![fixed(1), free(), fixed(10)], &[5]),
            (vec![fixed(1), fixed(1), fixed(4)], &[5]),
        ] {
            assert!(!can_hold(&shape, sizes), "{shape:?} {sizes:?}");
        }
    }
}
