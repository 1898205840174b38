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
#[cfg(feature = "tract")]
mod names;
mod native;
mod port;
mod recognise;
mod scores;
mod tensor;
#[cfg_attr(not(feature = "tract"), path = "tract/without.rs")]
mod tract;
mod trial;
mod understanding;

use std::path::Path;

pub use hints::{Hints, WindowHint};
pub use loaded::{Examined, Loaded, load};
pub use port::{Dim, Element, Port};
pub use trial::try_file;
pub use understanding::{GraphLayer, GraphNetwork, PortUse, Understanding};

use crate::error::Result;
use crate::probe::{Loading, Probe};
use graph::Graph;

/// A graph that is not lowered.
#[cfg_attr(not(feature = "tract"), expect(dead_code, reason = "only the runtime looks at it"))]
struct Candidate<'a> {
    /// The file that it was read from.
    path: &'a Path,
    graph: &'a Graph,
    /// What the manifest says of it.
    hints: &'a Hints,
    /// What tries it first.
    probe: Option<&'a Probe>,
}

/// Understands as much as it can of the ONNX file `path`, also of a graph that cannot be served.
///
/// # Errors
/// `Load` when the file does not hold a graph.
pub fn examine(path: &Path, hints: &Hints, loading: &Loading) -> Result<Examined> {
    let graph = file::read_graph(path)?;
    let mut understanding = Understanding::of(&graph, hints);
    let found = match allow::check(&graph).and_then(|()| recognise::recognise(&graph)) {
        Ok(found) => found,
        Err(error) => return Ok(Examined { model: Err(error), understanding }),
    };
    let lowered = found.network(hints.logits.as_deref()).and_then(|network| lower::lower(&network, hints));
    match lowered {
        Ok(lowered) => {
            let reading =
                found.check_hints(hints).and_then(|()| native::Reading::choose(lowered.usage, hints));
            let window = reading.as_ref().ok().and_then(|reading| reading.window);
            understanding.inputs = found.inputs(window.map(|window| window.len));
            understanding.outputs = found.outputs_used();
            let tie_weights = lowered.weights.output.is_none();
            understanding.network =
                Some(GraphNetwork { architecture: lowered.architecture.clone(), tie_weights });
            understanding.interface = lowered.usage.likely_window().map(Hints::windowed);
            // The weights are in memory once from here on, before the engine packs them.
            drop(found);
            drop(graph);
            let model = reading.and_then(|reading| {
                understanding.warnings.extend(reading.warning.clone());
                reading.model(lowered, loading.native)
            });
            Ok(Examined { model, understanding })
        }
        Err(why) => {
            drop(found);
            let understanding = Understanding { not_lowered: Some(why), ..understanding };
            let candidate = Candidate { path, graph: &graph, hints, probe: loading.probe.as_ref() };
            Ok(tract::examine(&candidate, understanding))
        }
    }
}

#[cfg(test)]
mod tests;
