//! ONNX files: read, checked, and lowered to the native engine or run by tract.
//!
//! One order: allowlist, lowering, tract. A file with a recurrent node that a runtime would compute wrongly is refused
//! before anything runs it. Most exports are the same network behind different glue: they become an
//! [`Rnn`](crate::rnn::Rnn), whatever they do with the state. What is left, and is safe, runs with tract, one token at a time;
//! the feature `tract` decides whether that is part of the program.

mod advice;
mod allow;
mod describe;
mod feed_forward;
mod file;
mod finite;
mod fold;
mod fused;
mod given;
mod graph;
mod hints;
mod loaded;
mod lower;
mod names;
mod native;
mod port;
mod recognise;
mod scores;
mod stored;
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
pub use understanding::{
    GraphFeedForward, GraphHidden, GraphLayer, GraphNetwork, PortUse, QuantisedMatrix, Reads, Understanding,
};

use crate::error::{Error, Result};
use crate::probe::{Loading, Probe};
use graph::Graph;

/// A graph that is not lowered.
#[cfg_attr(not(feature = "tract"), expect(dead_code, reason = "only the runtime looks at it"))]
struct Candidate<'a> {
    /// The file that it was read from.
    path: &'a Path,
    /// With standard operators in the place of fused ones, and its constants computed.
    graph: &'a Graph,
    /// The same as the file has it.
    file: &'a Graph,
    /// What the manifest says of it.
    hints: &'a Hints,
    /// How its token ids come in.
    facts: recognise::Facts,
    /// What tries it first.
    probe: Option<&'a Probe>,
}

/// Understands as much as it can of the ONNX file `path`, also of a graph that cannot be served.
///
/// # Errors
/// `Load` when the file does not hold a graph.
pub fn examine(path: &Path, hints: &Hints, loading: &Loading) -> Result<Examined> {
    let mut graph = file::read_graph(path, loading.weights_bytes_max)?;
    match given::take(&mut graph, hints) {
        Err(error) => Ok(Examined { model: Err(error), understanding: Understanding::of(&graph, hints) }),
        Ok(given) => {
            let mut examined = examine_graph(path, graph, hints, loading)?;
            examined.understanding.inputs.extend(given);
            Ok(examined)
        }
    }
}

/// The same for a graph whose inputs are those that change.
fn examine_graph(path: &Path, graph: Graph, hints: &Hints, loading: &Loading) -> Result<Examined> {
    let mut understanding = Understanding::of(&graph, hints);
    let found = match allow::check(&graph).and_then(|()| recognise::recognise(&graph)) {
        Ok(found) => found,
        Err(error) => return Ok(Examined { model: Err(error), understanding }),
    };
    let facts = found.facts();
    understanding.has_activation_scales = found.has_activation_scales();
    let logits = found.logits(hints.logits.as_deref());
    if let Ok(logits) = &logits
        && let Err(error) = facts.check_sizes(logits.vocab_size(), &logits.output)
    {
        return Ok(Examined { model: Err(error), understanding });
    }
    let lowered = logits
        .as_ref()
        .map_err(fold::Why::clone)
        .and_then(|logits| lower::lower(&found.network(logits)?, hints));
    match lowered {
        Ok(lowered) => {
            let declared = found.check_declared();
            let reading =
                found.check_hints(hints).and_then(|()| native::Reading::choose(lowered.usage, hints));
            let window = reading.as_ref().ok().and_then(|reading| reading.window);
            understanding.inputs = found.inputs(window.map(|window| window.len));
            understanding.outputs = found.outputs_used();
            understanding.layers.clone_from(&lowered.layers);
            understanding.quantised.clone_from(&lowered.quantised);
            understanding.warnings.extend(logits.into_iter().filter_map(|logits| logits.warning));
            understanding.network = Some(lowered.described());
            understanding.interface = lowered.usage.likely_window().map(Hints::windowed);
            understanding.warnings.extend(found.turned_warning());
            understanding.reads = reading.as_ref().ok().map(|reading| reading.reads);
            let finite = finite::check_finite(&graph);
            // The weights are in memory once from here on, before the engine packs them.
            drop(found);
            drop(graph);
            let model = declared.and(reading).and_then(|reading| {
                understanding.warnings.extend(reading.warning.clone());
                // The engine has names of its own for the weights.
                reading.model(lowered, loading.native).map_err(|error| finite.err().unwrap_or(error))
            });
            Ok(Examined { model, understanding })
        }
        Err(why) => {
            if let Some(network) = found.feed_forward(hints.logits.as_deref()) {
                let given =
                    feed_forward::Given { found: &found, graph: &graph, hints, options: loading.native };
                return Ok(feed_forward::examine(&network, &given, understanding));
            }
            drop(logits);
            drop(found);
            let understanding = Understanding { not_lowered: Some(why), ..understanding };
            let probe = loading.probe.as_ref();
            let plain = fold::folded(fused::expanded(graph.clone()));
            let candidate = Candidate { path, graph: &plain, file: &graph, hints, facts, probe };
            Ok(as_it_is(&candidate, understanding))
        }
    }
}

/// A graph that is not lowered, run by tract or refused with advice.
fn as_it_is(candidate: &Candidate<'_>, understanding: Understanding) -> Examined {
    let examined = tract::examine(candidate, understanding);
    let advised = |error: Error| match advice::advice(candidate.graph) {
        // A child process that tried the graph has said it already.
        Some(advice) if !error.message.ends_with(advice) => {
            Error::load(format!("{}; {advice}", error.message))
        }
        Some(_) | None => error,
    };
    Examined { model: examined.model.map_err(advised), ..examined }
}

#[cfg(test)]
mod tests;
