//! ONNX files: read, checked, and lowered to the native engine or run by tract.
//!
//! One order: allowlist, lowering, tract. A file with a recurrent node that a runtime would compute wrongly is refused
//! before anything runs it. Most exports are the same network behind different glue: they become an
//! [`Rnn`](crate::rnn::Rnn), whatever they do with the state. What is left, and is safe, runs with tract, one token at a time;
//! the feature `tract` decides whether that is part of the program.

mod allow;
mod describe;
mod file;
mod fold;
mod graph;
mod hints;
mod loaded;
mod lower;
mod port;
mod recognise;
mod scores;
mod tensor;
#[cfg_attr(not(feature = "tract"), path = "tract/without.rs")]
mod tract;
mod understanding;

use std::path::Path;
use std::sync::Arc;

pub use hints::Hints;
pub use loaded::{Examined, Loaded, load};
pub use port::{Dim, Element, Port};
pub use understanding::{GraphLayer, GraphNetwork, PortUse, Understanding};

use crate::error::Result;
use crate::lm::{LoadOptions, Model};
use crate::rnn::Rnn;
use graph::Graph;
use lower::Lowered;

/// A graph that is not lowered.
#[cfg_attr(not(feature = "tract"), expect(dead_code, reason = "only the runtime looks at it"))]
struct Candidate<'a> {
    /// The file that it was read from.
    path: &'a Path,
    graph: &'a Graph,
    /// What the manifest says of it.
    hints: &'a Hints,
}

/// Understands as much as it can of the ONNX file `path`, also of a graph that cannot be served.
///
/// # Errors
/// `Load` when the file does not hold a graph.
pub fn examine(path: &Path, hints: &Hints, options: LoadOptions) -> Result<Examined> {
    let graph = file::read_graph(path)?;
    let mut understanding = Understanding::of(&graph, hints);
    let found = match allow::check(&graph).and_then(|()| recognise::recognise(&graph)) {
        Ok(found) => found,
        Err(error) => return Ok(Examined { model: Err(error), understanding }),
    };
    let lowered = found.network(hints.logits.as_deref()).and_then(|network| lower::lower(&network, hints));
    match lowered {
        Ok(lowered) => {
            understanding.inputs = found.inputs();
            understanding.outputs = found.outputs_used();
            // The weights are in memory once from here on, before the engine packs them.
            drop(found);
            drop(graph);
            Ok(native(lowered, understanding, options))
        }
        Err(why) => {
            drop(found);
            let understanding = Understanding { not_lowered: Some(why), ..understanding };
            Ok(tract::examine(&Candidate { path, graph: &graph, hints }, understanding))
        }
    }
}

fn native(lowered: Lowered, mut understanding: Understanding, options: LoadOptions) -> Examined {
    let Lowered { architecture, weights } = lowered;
    let tie_weights = weights.output.is_none();
    let rnn = Rnn::new(&architecture, weights, options);
    understanding.network = Some(GraphNetwork { architecture, tie_weights });
    Examined { model: rnn.map(|rnn| Arc::new(rnn) as Arc<dyn Model>), understanding }
}

#[cfg(test)]
mod tests;
