//! From ONNX's weights to PyTorch's: gate orders, biases, ties and types.

use crate::onnx::file::schema as pb;

use super::{
    EMBEDDING, HIDDEN, I64, Model, VOCAB, counted, floats, headless, int, int_list, ints, network, says,
    texts,
};
use crate::lm::{Cell, Dtype};
use crate::rnn::GruForm;

/// The rows of a matrix `[gates * HIDDEN, width]` that was counted from `first` on, by gate.
fn gates(order: &[usize], width: i64, first: usize) -> Vec<f32> {
    let len = (HIDDEN * width) as usize;
    order
        .iter()
        .flat_map(|gate| (first + gate * len)..(first + (gate + 1) * len))
        .map(|value| value as f32)
        .collect()
}

#[test]
fn gates_come_out_in_the_order_of_pytorch() {
    // ONNX: i o f c; z r h. PyTorch: i f g o; r z n.
    for (op, order) in [("RNN", &[0][..]), ("GRU", &[1, 0, 2]), ("LSTM", &[0, 2, 3, 1])] {
        let lowered = network(op, &[]).lowered().unwrap();
        let layer = &lowered.weights.layers[0];
        assert_eq!(layer.w_ih, gates(order, EMBEDDING, 100).into(), "{op}");
        assert_eq!(layer.w_hh, gates(order, HIDDEN, 200).into(), "{op}");
        assert_eq!(layer.b_ih, Some(gates(order, 1, 300).into()), "{op}");
        let second_half = 300 + order.len() * HIDDEN as usize;
        assert_eq!(layer.b_hh, Some(gates(order, 1, second_half).into()), "{op}");
    }
}

#[test]
fn the_output_layer_is_transposed_and_its_bias_kept() {
    let lowered = network("RNN", &[]).lowered().unwrap();
    let output = lowered.weights.output.unwrap().widened();
    // [HIDDEN, VOCAB] counted from 400: the first token's weights are a column.
    assert_eq!(output[..2], [400.0, 407.0]);
    assert_eq!(lowered.weights.output_bias, None);
    assert_eq!((lowered.architecture.vocab_size, lowered.architecture.hidden_sizes), (7, vec![2]));

    let mut model = headless("RNN", &[]);
    model.constant("shape", ints(&[2], &[-1, HIDDEN])).constant("bias", counted(&[VOCAB], 500));
    model.constant("rows", counted(&[VOCAB, HIDDEN], 400)).node("Reshape", "Y shape -> h", &[]);
    let half = super::float("alpha", 0.5);
    model.node("Gemm", "h rows bias -> y", &[int("transB", 1), half, super::float("beta", 2.0)]).output("y");
    let weights = model.lowered().unwrap().weights;
    assert_eq!(weights.output.unwrap().widened()[..3], [200.0, 200.5, 201.0]);
    assert_eq!(weights.output_bias.unwrap().widened()[..2], [1000.0, 1002.0]);
}

#[test]
fn cells_and_forms() {
    for (name, cell) in [("Tanh", Cell::RnnTanh), ("ReLU", Cell::RnnRelu), ("SIGMOID", Cell::RnnSigmoid)] {
        let lowered = network("RNN", &[texts("activations", &[name])]).lowered().unwrap();
        assert_eq!(lowered.architecture.cell, cell);
    }
    for (attributes, form) in
        [(vec![], GruForm::ResetBefore), (vec![int("linear_before_reset", 1)], GruForm::ResetAfter)]
    {
        assert_eq!(network("GRU", &attributes).lowered().unwrap().architecture.gru_form, form);
    }
}

/// A layer on top of `headless(below)`.
fn two_layers(below: &str, above: &str, attributes: &[pb::AttributeProto]) -> Model {
    let mut model = headless(below, &[int("linear_before_reset", 1)][..usize::from(below == "GRU")]);
    let rows = if above == "GRU" { 3 } else { 4 } * HIDDEN;
    model.constant("W1", counted(&[1, rows, HIDDEN], 0)).constant("R1", counted(&[1, rows, HIDDEN], 0));
    model.node("Squeeze", "Y -> h0", &[int_list("axes", &[1])]);
    model.node(above, "h0 W1 R1 -> Y1", attributes).node("Squeeze", "Y1 -> h", &[int_list("axes", &[1])]);
    model.node("MatMul", "h decoder -> y", &[]).output("y");
    model
}

#[test]
fn layers_agree_on_cell_and_form() {
    let lowered = two_layers("LSTM", "LSTM", &[]).lowered().unwrap();
    assert_eq!(lowered.architecture.hidden_sizes, [2, 2]);
    assert!(lowered.weights.layers[1].b_ih.is_none());
    says(two_layers("LSTM", "GRU", &[]).lowered(), &["`layer`", "`Y1`", "one cell"]);
    says(two_layers("GRU", "GRU", &[]).lowered(), &["`layer`", "`Y1`", "`linear_before_reset`"]);
    assert!(two_layers("GRU", "GRU", &[int("linear_before_reset", 1)]).lowered().is_ok());
}

#[test]
fn equal_weights_are_tied() {
    let mut model = headless("RNN", &[]);
    model.graph().initializer.retain(|tensor| !matches!(tensor.name.as_str(), "W" | "encoder"));
    model.constant("encoder", counted(&[VOCAB, HIDDEN], 0)).constant("W", counted(&[1, HIDDEN, HIDDEN], 0));
    model.node("Transpose", "encoder -> turned", &[]).node("Squeeze", "Y -> h", &[int_list("axes", &[1])]);
    model.node("MatMul", "h turned -> y", &[]).output("y");
    let lowered = model.lowered().unwrap();
    assert!(lowered.weights.output.is_none());
    assert_eq!([0, 1, 2].map(|index| lowered.weights.embedding.get(index)), [0.0, 1.0, 2.0]);
}

#[test]
fn half_precision_is_widened_and_told() {
    let half = |name: &str, shape: &[i64], data_type: i32| {
        let len = shape.iter().product::<i64>() as usize;
        let bits = (0..len).map(|value| match data_type {
            10 => half::f16::from_f32(value as f32).to_bits(),
            _ => half::bf16::from_f32(value as f32).to_bits(),
        });
        let raw_data = bits.flat_map(u16::to_le_bytes).collect();
        pb::TensorProto { name: name.into(), data_type, dims: shape.to_vec(), raw_data, ..Default::default() }
    };
    for (number, dtype) in [(10, Dtype::F16), (16, Dtype::Bf16)] {
        let mut model = network("RNN", &[]);
        let shapes: Vec<(String, Vec<i64>)> = model
            .graph()
            .initializer
            .iter()
            .map(|tensor| (tensor.name.clone(), tensor.dims.clone()))
            .collect();
        model.graph().initializer.clear();
        for (name, shape) in &shapes {
            model.constant(&format!("{name}_half"), half("", shape, number));
            model.node("Cast", &format!("{name}_half -> {name}"), &[int("to", 1)]);
        }
        let lowered = model.lowered().unwrap();
        assert_eq!(lowered.weights.dtype(), dtype);
        assert_eq!(lowered.weights.embedding.get(20), 20.0);
    }
    assert_eq!(network("RNN", &[]).lowered().unwrap().weights.dtype(), Dtype::F32);
}

#[test]
fn one_hot_inputs_are_an_identity_table() {
    let mut model = Model::new(13);
    model.input("x", (I64, &[0, 0])).constant("depth", ints(&[], &[VOCAB]));
    model.constant("values", floats(&[2], &[0.0, 1.0])).constant("W", counted(&[1, HIDDEN, VOCAB], 0));
    model.constant("R", counted(&[1, HIDDEN, HIDDEN], 0)).constant("decoder", counted(&[HIDDEN, VOCAB], 0));
    model.node("OneHot", "x depth values -> hot", &[]).node("RNN", "hot W R -> Y", &[]);
    model.constant("one", ints(&[1], &[1])).node("Squeeze", "Y one -> h", &[]);
    model.node("MatMul", "h decoder -> y", &[]).output("y");
    let lowered = model.lowered().unwrap();
    assert_eq!(lowered.architecture.embedding_size, VOCAB as usize);
    let table = lowered.weights.embedding.widened();
    let rows: Vec<&[f32]> = table.chunks(VOCAB as usize).collect();
    assert!(rows.iter().enumerate().all(|(at, row)| row.iter().sum::<f32>() == 1.0 && row[at] == 1.0));

    model.graph().initializer.iter_mut().find(|tensor| tensor.name == "values").unwrap().float_data =
        vec![0.1, 0.9];
    says(model.lowered(), &["`hot`", "not 0 and 1"]);
}

/// An output that no node reads has no name, and so has an input that is absent: the one must not be taken for the other.
#[test]
fn an_absent_input_is_not_an_unread_output() {
    let mut model = headless("GRU", &[]);
    model.graph().node.last_mut().expect("the layer").output[1].clear();
    model.node("Squeeze", "Y -> x1", &[int_list("axes", &[1])]);
    model.constant("W1", counted(&[1, 3 * HIDDEN, HIDDEN], 600));
    model.node("GRU", "x1 W1 R - - - -> Y1", &[]);
    model
        .node("Squeeze", "Y1 -> h", &[int_list("axes", &[1])])
        .node("MatMul", "h decoder -> y", &[])
        .output("y");
    assert_eq!(model.lowered().unwrap().architecture.hidden_sizes, [2, 2]);
}
