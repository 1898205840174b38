//! The runtime for graphs that are safe but are not a known network: from a graph to a model that tract runs.

mod batch;
mod cells;
mod feeding;
mod fixed_batch;
mod guard;
mod head;
mod interface;
mod named;
mod opening;
mod positions;
mod probe;
mod program;
mod proto;
mod rows;
mod safety;
mod scores;
mod search;
mod sizes;
mod stateful;
mod stems;
mod tokens;
mod trace;
mod weights;
mod windowed;

use std::sync::Arc;

use super::finite::check_finite;
use super::scores::Scores;
use super::{Candidate, Examined, Hints, Port, Understanding};
use crate::error::Error;
use crate::lm::Model;
use interface::Interface;
use opening::Opening;
use program::operators;
use safety::check_safe;

/// Operators whose output has the elements of their first input, in another place or of another type.
const GLUE: [&str; 8] =
    ["Identity", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten", "Slice", "Cast"];

/// A graph that runs.
struct Running {
    model: Arc<dyn Model>,
    /// What its logits output holds.
    scores: Scores,
    /// What its owner should know.
    warnings: Vec<String>,
}

/// Makes what it can of a graph whose recurrent nodes are all on the allowlist; `understanding` says why it was not lowered.
pub(super) fn examine(candidate: &Candidate<'_>, mut understanding: Understanding) -> Examined {
    let Candidate { graph, file, hints, .. } = *candidate;
    let safe = check_safe(graph, &operators()).and_then(|()| check_finite(file));
    let interface = safe.and_then(|()| {
        // What is not detected, the manifest can say.
        understanding.interface = Some(Hints { inputs: open_inputs(candidate), ..Hints::default() });
        Interface::detect(candidate)
    });
    let running = interface.and_then(|interface| {
        understanding.inputs = interface.inputs(graph);
        understanding.interface = Some(interface.hints(graph));
        understanding.reads = interface.reads();
        understanding.warnings.extend(interface.warnings.clone());
        let running = Opening { candidate, interface: &interface, batch: None }.run();
        let scores = running.as_ref().map_or(Scores::Logits, |running| running.scores);
        understanding.outputs = interface.outputs(graph, scores);
        running
    });
    let model = running.and_then(|running| match hints.gru_linear_before_reset {
        None => {
            understanding.warnings.extend(running.warnings);
            Ok(running.model)
        }
        Some(_) => Err(Error::load(
            "the manifest sets `gru_linear_before_reset`, which only a graph that is a known network can follow; this one is run as it is",
        )),
    });
    let model = model.map_err(|error| error.within(understanding.cannot_run()));
    Examined { model, understanding }
}

/// Inputs that may be fed with one value, which the manifest has to say: those that are neither the token ids nor large enough for a
/// state.
fn open_inputs(candidate: &Candidate<'_>) -> Vec<(String, serde_json::Value)> {
    let Candidate { graph, ref facts, .. } = *candidate;
    let is_open = |port: &Port| {
        let shape = port.shape.as_deref();
        shape.is_some_and(|shape| shape.len() < 2) || !port.element.is_float()
    };
    let others =
        graph.inputs.iter().enumerate().filter(|&(index, port)| facts.tokens != Some(index) && is_open(port));
    others
        .filter(|_| facts.tokens.is_some())
        .map(|(_, port)| (port.name.clone(), serde_json::Value::Null))
        .collect()
}

#[cfg(test)]
mod tests;
