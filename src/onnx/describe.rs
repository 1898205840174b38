//! What a graph tells before anything in it is recognised.

use super::allow::Recurrent;
use super::graph::{Graph, Node};
use super::understanding::{GraphLayer, PortUse};
use super::{Hints, Port, Understanding};

impl Understanding {
    /// What the nodes of `graph` say by themselves; the roles of its inputs and outputs are left to whoever finds out.
    pub(super) fn of(graph: &Graph, hints: &Hints) -> Self {
        let unknown = |_| "not understood".to_owned();
        let producer = [graph.producer.as_str(), &graph.producer_version];
        Self {
            producer: producer.join(" ").trim().to_owned(),
            opset: graph.opset,
            inputs: PortUse::of_each(&graph.inputs, unknown),
            outputs: PortUse::of_each(&graph.outputs, unknown),
            layers: graph.nodes.iter().filter_map(|node| layer(graph, node)).collect(),
            warnings: reset_warning(graph, hints).into_iter().collect(),
            external_files: graph.external_files.clone(),
            metadata: graph.metadata.clone().into_iter().collect(),
            ..Self::default()
        }
    }
}

impl PortUse {
    /// Each of `ports` with its role, which `role` tells by its place.
    pub(super) fn of_each(ports: &[Port], role: impl Fn(usize) -> String) -> Vec<Self> {
        let each = ports.iter().enumerate();
        each.map(|(index, port)| Self { port: port.clone(), role: role(index) }).collect()
    }
}

fn layer(graph: &Graph, node: &Node) -> Option<GraphLayer> {
    Recurrent::of(node)?;
    let declared = node.int("hidden_size").ok().flatten().and_then(|size| usize::try_from(size).ok());
    let weights = || graph.constants.get(node.input(2)?)?.shape.last().copied();
    Some(GraphLayer { node: node.name.clone(), op: node.op.clone(), hidden_size: declared.or_else(weights)? })
}

/// PyTorch's exporter of 2025-11 to 2026-06 left `linear_before_reset` out (onnxscript #2674 to #2853): such a file
/// computes another network than was trained, in any runtime, and nothing in the file shows it. A manifest that says how the model was trained settles it.
fn reset_warning(graph: &Graph, hints: &Hints) -> Option<String> {
    if hints.gru_linear_before_reset.is_some() {
        return None;
    }
    let is_before =
        |node: &&Node| node.op == "GRU" && !matches!(node.int("linear_before_reset"), Ok(Some(1)));
    let node =
        graph.nodes.iter().find(is_before).filter(|_| graph.producer.eq_ignore_ascii_case("pytorch"))?;
    Some(format!(
        "node `{}` (GRU) has `linear_before_reset` 0, and PyTorch trains with 1: exporters of 2025-11 to 2026-06 wrote it wrongly; if this is such a file, set `\"architecture\": {{\"gru_linear_before_reset\": true}}` in config.json",
        node.name
    ))
}
