//! What to do about a graph that is refused, by the habits of the exporters.

use super::allow::Recurrent;
use super::graph::Graph;

/// What its owner can do, where the exporter is known for such graphs.
pub(super) fn advice(graph: &Graph) -> Option<&'static str> {
    let count = |ops: &[&str]| graph.nodes.iter().filter(|node| ops.contains(&node.op.as_str())).count();
    let has_layers = graph.nodes.iter().any(|node| Recurrent::of(node).is_some());
    if count(&["Loop", "Scan"]) > 0 {
        return Some(
            "if it was exported from Keras, give the `.keras` or `.h5` file to `training/convert.py`, which reads the weights themselves",
        );
    }
    if graph.nodes.iter().any(|node| node.domain == "com.microsoft") {
        return Some(
            "ONNX Runtime's optimiser has written operators of its own into the file: give the file that it was made from, or save it with `ORT_ENABLE_BASIC`",
        );
    }
    let is_unrolled = !has_layers && count(&["Tanh", "Relu"]) > 1 && count(&["MatMul", "Gemm"]) > 2;
    (is_unrolled && graph.producer.eq_ignore_ascii_case("pytorch")).then_some(
        "PyTorch's newer exporter unrolls `nn.RNN` for one length: export the model with `dynamo=False`",
    )
}
