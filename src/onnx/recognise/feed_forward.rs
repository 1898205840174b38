//! Networks without recurrence: the last N tokens, through affine layers, to the logits.

use std::sync::Arc;

use super::Found;
use super::axes::Along;
use super::dense::Dense;
use super::value::{Content, Flow, Value};
use crate::onnx::graph::Port;
use crate::onnx::understanding::PortUse;

impl Found<'_> {
    /// The feed-forward network that the graph is: all outputs have its logits, or what softmax makes of them, or at least the output
    /// `logits` has that is named.
    pub(in crate::onnx) fn feed_forward(&self, logits: Option<&str>) -> Option<Arc<Dense>> {
        let outputs = self.graph.outputs.iter();
        let outputs = outputs.filter(|output| logits.is_none_or(|name| output.name == name));
        let found = outputs.map(|output| self.dense_output(output)).collect::<Option<Vec<_>>>();
        found?.into_iter().next()
    }

    fn dense_output(&self, output: &Port) -> Option<Arc<Dense>> {
        match &self.values[output.name.as_str()] {
            Value::Flow(Flow { content: Content::Dense(dense), .. }) => {
                dense.layers.last().is_some_and(|layer| layer.activation.is_none()).then(|| dense.clone())
            }
            _ => None,
        }
    }

    /// Whether a feed-forward network reads a window along this axis.
    pub(super) fn is_window(&self, along: Along) -> bool {
        let dense = self.feed_forward(None);
        dense.and_then(|dense| dense.window).is_some_and(|window| window.along == along)
    }

    /// What each output of a feed-forward network is taken for.
    pub(in crate::onnx) fn dense_outputs_used(&self) -> Vec<PortUse> {
        let role = |index: usize| {
            let dense = self.dense_output(&self.graph.outputs[index]);
            dense.map_or_else(|| "not used".to_owned(), |dense| dense.scores.name().to_owned())
        };
        PortUse::of_each(&self.graph.outputs, role)
    }
}
