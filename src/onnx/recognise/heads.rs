//! Which output has the logits of a network, where several could.

use std::sync::Arc;

use super::Found;
use super::value::{Content, Flow, Head, Value};
use crate::onnx::fold::Why;
use crate::onnx::graph::Port;
use crate::onnx::names::logits_rank;

/// An output that an affine layer over some classes makes, with or without a softmax.
struct Candidate<'f> {
    port: &'f Port,
    head: &'f Arc<Head>,
}

/// The output that was taken for the logits.
pub(in crate::onnx) struct Chosen {
    /// Its name.
    pub(in crate::onnx) output: String,
    pub(super) head: Arc<Head>,
    /// What its owner should know.
    pub(in crate::onnx) warning: Option<String>,
}

impl Chosen {
    /// How many tokens it scores.
    pub(in crate::onnx) fn vocab_size(&self) -> usize {
        self.head.weights.shape[0]
    }
}

impl Found<'_> {
    /// The output `logits` where the manifest names it. Otherwise those are candidates that have the embedding's number of tokens, if
    /// there are any; the name decides between them, and then the order.
    ///
    /// # Errors
    /// The node or output that is not understood.
    pub(in crate::onnx) fn logits(&self, logits: Option<&str>) -> Result<Chosen, Why> {
        let outputs = &self.graph.outputs;
        if let Some(name) = logits.filter(|&name| !outputs.iter().any(|output| output.name == name)) {
            return Err(format!("there is no output `{name}`"));
        }
        let allowed = || outputs.iter().filter(|output| logits.is_none_or(|name| output.name == name));
        let candidates: Vec<Candidate<'_>> = allowed().filter_map(|port| self.candidate(port)).collect();
        let is_misfit = |candidate: &Candidate<'_>| {
            let entries = self.tables.first().map(|table| table.entries);
            entries.is_some_and(|entries| entries != candidate.head.weights.shape[0])
        };
        let likelihood =
            |candidate: &&Candidate<'_>| (is_misfit(candidate), logits_rank(&candidate.port.name));
        let chosen = candidates.iter().min_by_key(likelihood).ok_or_else(|| self.no_logits(allowed()))?;
        Ok(Chosen {
            output: chosen.port.name.clone(),
            head: chosen.head.clone(),
            warning: other_head(&candidates, chosen),
        })
    }

    fn candidate<'f>(&'f self, port: &'f Port) -> Option<Candidate<'f>> {
        match self.value(port) {
            Value::Flow(Flow { content: Content::Output(head, _), .. }) => Some(Candidate { port, head }),
            _ => None,
        }
    }

    /// Why none of `outputs` has logits.
    fn no_logits<'f>(&self, outputs: impl Iterator<Item = &'f Port> + Clone) -> Why {
        let unknown = outputs.clone().find_map(|output| match self.value(output) {
            Value::Unknown(why) => Some(why.to_string()),
            _ => None,
        });
        unknown.unwrap_or_else(|| {
            let found =
                outputs.map(|output| format!("`{}` is {}", output.name, self.value(output).describe()));
            format!("no output has logits: {}", found.collect::<Vec<_>>().join(", "))
        })
    }
}

/// The warning about an output with another head than that of `chosen`, which could have been meant.
fn other_head(candidates: &[Candidate<'_>], chosen: &Candidate<'_>) -> Option<String> {
    let other = candidates.iter().find(|other| !Arc::ptr_eq(other.head, chosen.head))?;
    Some(format!(
        "both `{}` and `{}` could be the logits; `{}` is used; `\"onnx\": {{\"logits\": ...}}` in config.json names the one that is meant",
        chosen.port.name, other.port.name, chosen.port.name
    ))
}
