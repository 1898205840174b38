//! What is advised about graphs that are refused.

use super::*;
use crate::onnx::advice::advice;

#[test]
fn exporters_are_known_by_their_graphs() {
    let advised = |model: &Model| advice(&model.read().unwrap()).unwrap_or_default();
    let mut keras = Model::new(17);
    keras.input("x", (I64, &[0, 0])).node("Loop", "x -> y", &[nested("body", Vec::new())]).output("y");
    assert!(advised(&keras).contains("`training/convert.py`"));

    let mut unrolled = Model::new(17);
    unrolled.input("x", (F32, &[0, 2])).constant("w", counted(&[2, 2], 0));
    unrolled.node("MatMul", "x w -> a", &[]).node("Tanh", "a -> b", &[]);
    unrolled.node("MatMul", "b w -> c", &[]).node("Tanh", "c -> d", &[]);
    unrolled.node("MatMul", "d w -> y", &[]).output("y");
    assert_eq!(advised(&unrolled), "", "of an unknown exporter");
    unrolled.0.producer_name = "pytorch".into();
    assert!(advised(&unrolled).contains("`dynamo=False`"));

    let mut optimised = Model::new(17);
    optimised.input("x", (F32, &[0, 2])).constant("bias", counted(&[2], 0));
    optimised.node("BiasGelu", "x bias -> y", &[]).output("y");
    optimised.graph().node[0].domain = "com.microsoft".into();
    assert!(advised(&optimised).contains("`ORT_ENABLE_BASIC`"));

    let mut lstm = network("LSTM", &[]);
    lstm.0.producer_name = "pytorch".into();
    assert_eq!(advised(&lstm), "");
}
