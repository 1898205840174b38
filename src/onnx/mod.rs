//! ONNX files: read, checked, lowered to the native engine or run as they are.
//!
//! One order: white list, lower, tract. A file with a recurrent node that some run-time would compute wrongly is refused
//! before anything runs it. Most exports are the same network behind different glue: they become a
//! [`Rnn`](crate::rnn::Rnn), whatever they do with the state. What is left, and is safe, runs with tract.

mod allow;
mod describe;
mod external;
mod fold;
mod graph;
mod interface;
mod lower;
mod names;
mod order;
mod outer;
mod plan;
mod port;
mod reader;
mod reading;
mod recognise;
mod runtime;
mod scale;
mod stateful;
mod tensor;
mod understanding;
mod windowed;
mod wire;

use std::path::Path;
use std::sync::Arc;

pub use outer::{Examined, Hints, Loaded, load};
pub use port::{Dim, Element, Port};
pub use understanding::{Layer, Network, PortUse, Understanding};

use crate::error::Result;
use crate::kernels::Kernel;
use crate::lm::Model;
use crate::rnn::Rnn;
use lower::Lowered;

/// Understands as much as it can of the ONNX file `path`, also of a graph that cannot be served.
///
/// # Errors
/// `Load` when the file is no graph.
pub fn examine(path: &Path, hints: &Hints, kernel: Kernel) -> Result<Examined> {
    let graph = reader::read_graph(path)?;
    let mut understanding = Understanding::of(&graph, hints);
    let found = match allow::check(&graph).and_then(|()| recognise::recognise(&graph)) {
        Ok(found) => found,
        Err(error) => return Ok(Examined { model: Err(error), understanding }),
    };
    let lowered = found.network(hints.logits.as_deref()).and_then(|network| lower::lower(&network, hints));
    match lowered {
        Ok(lowered) => {
            (understanding.inputs, understanding.outputs) = (found.inputs(), found.outputs_used());
            // The weights are in memory once from here on, before the engine packs them.
            drop(found);
            drop(graph);
            Ok(native(lowered, understanding, kernel))
        }
        Err(why) => {
            drop(found);
            let understanding = Understanding { not_lowered: Some(why), ..understanding };
            Ok(runtime::examine(path, (&graph, hints), understanding))
        }
    }
}

fn native(lowered: Lowered, mut understanding: Understanding, kernel: Kernel) -> Examined {
    let Lowered { architecture, weights } = lowered;
    let tie_weights = weights.output.is_none();
    let rnn = Rnn::new(&architecture, weights, kernel);
    understanding.network = Some(Network { architecture, tie_weights });
    Examined { model: rnn.map(|rnn| Arc::new(rnn) as Arc<dyn Model>), understanding }
}

#[cfg(test)]
mod tests;
