//! The allowlist of recurrent nodes.

use crate::onnx::file::schema as pb;

use super::{Model, float, floats, int, ints, nested, network, node, says, text, texts};

#[test]
fn what_no_run_time_here_computes_is_refused_with_its_name() {
    let lists = pb::AttributeProto { floats: vec![0.1], ..float("activation_alpha", 0.0) };
    let alpha = pb::AttributeProto { r#type: 6, ..lists };
    for (op, attribute, name) in vec![
        ("LSTM", float("clip", 3.0), "clip"),
        ("GRU", float("clip", 0.0), "clip"),
        ("LSTM", int("input_forget", 1), "input_forget"),
        ("RNN", text("direction", "reverse"), "direction"),
        ("LSTM", text("direction", "bidirectional"), "direction"),
        ("RNN", texts("activations", &["Softsign"]), "activations"),
        ("RNN", texts("activations", &["Tanh", "Tanh"]), "activations"),
        ("GRU", texts("activations", &["Sigmoid", "Relu"]), "activations"),
        ("LSTM", texts("activations", &["Tanh"]), "activations"),
        ("RNN", alpha, "activation_alpha"),
        ("LSTM", int("layout", 2), "layout"),
        ("GRU", int("linear_before_reset", 2), "linear_before_reset"),
        ("LSTM", int("linear_before_reset", 1), "linear_before_reset"),
        ("LSTM", int("of_tomorrow", 1), "of_tomorrow"),
        ("LSTM", text("input_forget", "0"), "input_forget"),
    ] {
        says(network(op, &[attribute]).lowered(), &["node `layer`", &format!("`{name}`"), "expected"]);
    }
}

#[test]
fn what_asks_for_the_default_is_allowed_in_any_case() {
    for (op, attributes) in [
        ("RNN", vec![texts("activations", &["TANH"])]),
        ("RNN", vec![texts("activations", &["relu"]), text("direction", "forward")]),
        ("GRU", vec![texts("activations", &["sigmoid", "tanh"]), int("linear_before_reset", 1)]),
        ("LSTM", vec![texts("activations", &[]), int("input_forget", 0), int("hidden_size", 2)]),
    ] {
        assert!(network(op, &attributes).lowered().is_ok(), "{op} {attributes:?}");
    }
}

#[test]
fn a_recurrent_node_inside_another_is_looked_at_too() {
    let inner = node("LSTM", "embedded W R B -> Z", &[float("clip", 1.0)]);
    let mut model = network("LSTM", &[]);
    model.node("If", "condition -> z", &[nested("then_branch", vec![inner])]);
    model.constant("condition", ints(&[], &[1]));
    says(model.lowered(), &["node `Z`", "`clip`"]);

    let lengths = node("GRU", "embedded W R B lengths -> Z", &[]);
    let deep = node("If", "condition -> z", &[nested("else_branch", vec![lengths])]);
    let mut model = network("LSTM", &[]);
    model
        .node("Loop", "condition -> z", &[nested("body", vec![deep])])
        .constant("condition", ints(&[], &[1]));
    says(model.lowered(), &["node `Z`", "`sequence_lens`"]);
}

#[test]
fn functions_and_operators_that_share_a_name_are_refused() {
    let mut model = network("LSTM", &[]);
    let function = pb::FunctionProto { name: "Twice".into(), ..Default::default() };
    model.0.functions.push(function);
    model.node("Twice", "y -> twice", &[]);
    says(model.lowered(), &["node `twice`", "inline_local_functions"]);

    let mut model = network("LSTM", &[]);
    for node in &mut model.graph().node {
        if node.op_type == "LSTM" {
            node.domain = "com.example".into();
        }
    }
    says(model.lowered(), &["node `layer`", "com.example"]);
}

#[test]
fn inputs_that_change_the_recurrence_are_refused() {
    let with_inputs = |inputs: &[&str]| {
        let mut model = network("LSTM", &[]);
        model.constant("P", floats(&[1, 6], &[0.0; 6]));
        let layer = model.graph().node.iter_mut().find(|node| node.name == "layer").expect("the layer");
        layer.input.extend(inputs.iter().map(|&name| name.to_owned()));
        model
    };
    says(with_inputs(&["", "", "", "P"]).lowered(), &["node `layer`", "peephole"]);
    let lengths = |model: &mut Model, lengths: &[i64]| {
        model.constant("lengths", ints(&[lengths.len() as i64], lengths));
        model.lowered()
    };
    says(lengths(&mut with_inputs(&["lengths"]), &[5, 5]), &["node `layer`", "`sequence_lens` is [5, 5]"]);
    let mut frozen = with_inputs(&["lengths"]);
    frozen.graph().input.clear();
    frozen.input("x", (super::I64, &[5, 2]));
    assert!(lengths(&mut frozen.clone(), &[5, 5]).is_ok());
    says(lengths(&mut frozen, &[5, 4]), &["node `layer`", "`sequence_lens` is [5, 4]"]);
    // As many as there are positions, for each of the rows that there are.
    let mut dynamic = with_inputs(&["lengths"]);
    dynamic.constant("zero", ints(&[1], &[0])).constant("one", ints(&[1], &[1]));
    dynamic.node("Shape", "x -> shape", &[]).node("Gather", "shape zero -> t", &[]);
    dynamic.node("Gather", "shape one -> b", &[]).node("Expand", "t b -> lengths", &[]);
    assert!(dynamic.lowered().is_ok());
    dynamic.graph().node.last_mut().expect("the expand").input = vec!["b".into(), "t".into()];
    says(dynamic.lowered(), &["node `layer`", "`sequence_lens`"]);
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    says(
        network("LSTM", &[int("hidden_size", 3)]).lowered(),
        &["node `layer`", "`W` is [1, 8, 3], expected [1, 12, 3]"],
    );
    let mut model = network("GRU", &[]);
    model.graph().initializer.retain(|tensor| tensor.name != "W");
    model.constant("W", super::counted(&[1, 6, 4], 0));
    says(model.lowered(), &["node `layer`", "`W` is [1, 6, 4], expected [1, 6, 3]"]);
}
