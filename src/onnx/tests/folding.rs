//! Operators over constants, and the room that they may take.

use crate::onnx::file::schema as pb;

use super::{Model, floats, int, int_list};
use crate::onnx::fold::{self, Constants, Folder};
use crate::onnx::graph::{Graph, Node};
use crate::onnx::tensor::Tensor;
use std::sync::Arc;

/// What `op` makes of `inputs`, as its first output.
pub(super) fn fold(
    op: &str,
    inputs: Vec<Tensor>,
    attributes: &[pb::AttributeProto],
) -> Result<Tensor, String> {
    folded(op, inputs, attributes).map(|outputs| (*outputs[0]).clone())
}

fn folded(
    op: &str,
    inputs: Vec<Tensor>,
    attributes: &[pb::AttributeProto],
) -> Result<Vec<Arc<Tensor>>, String> {
    let mut model = Model::new(13);
    let names: Vec<String> = (0..inputs.len()).map(|index| format!("i{index}")).collect();
    for name in &names {
        model.constant(name, floats(&[], &[0.0]));
    }
    model.node(op, &format!("{} -> a b", names.join(" ")), attributes);
    let node: Node = model.read().expect("a graph").nodes.remove(0);
    let inputs = inputs.into_iter().map(|tensor| Some(Arc::new(tensor))).collect();
    Folder::new(13, 0).fold(&Constants { node: &node, inputs })
}

/// `[2, 3]`, counted from 0.
fn grid() -> Tensor {
    Tensor::floats(vec![2, 3], (0..6).map(|value| value as f32).collect())
}

fn vector(values: &[i64]) -> Tensor {
    Tensor::vector(values.to_vec())
}

#[track_caller]
fn makes(tensor: Result<Tensor, String>, shape: &[usize], values: &[f32]) {
    let tensor = tensor.unwrap();
    assert_eq!((tensor.shape.as_slice(), tensor.as_floats().unwrap()), (shape, values));
}

#[test]
fn elements_are_moved() {
    makes(fold("Transpose", vec![grid()], &[]), &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    let bounds = [vector(&[1]), vector(&[i64::MAX]), vector(&[-1])];
    makes(fold("Slice", [vec![grid()], bounds.into()].concat(), &[]), &[2, 2], &[1.0, 2.0, 4.0, 5.0]);
    let back = [vector(&[-1]), vector(&[i64::MIN]), vector(&[1]), vector(&[-2])];
    makes(fold("Slice", [vec![grid()], back.into()].concat(), &[]), &[2, 2], &[2.0, 0.0, 5.0, 3.0]);
    makes(fold("Gather", vec![grid(), vector(&[-1])], &[int("axis", 1)]), &[2, 1], &[2.0, 5.0]);
    makes(
        fold("Concat", vec![grid(), grid()], &[int("axis", 1)]),
        &[2, 6],
        &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 3.0, 4.0, 5.0],
    );
    let row = Tensor::floats(vec![1, 2], vec![1.0, 2.0]);
    makes(fold("Expand", vec![row, vector(&[2, 1])], &[]), &[2, 2], &[1.0, 2.0, 1.0, 2.0]);
    makes(fold("Reshape", vec![grid(), vector(&[0, -1, 1])], &[]), &[2, 3, 1], grid().as_floats().unwrap());
    makes(fold("Unsqueeze", vec![grid(), vector(&[-1, 0])], &[]), &[1, 2, 3, 1], grid().as_floats().unwrap());
    let parts = folded("Split", vec![grid(), vector(&[1, 2])], &[int("axis", 1)]).unwrap();
    assert_eq!(parts[1].as_floats().unwrap(), [1.0, 2.0, 4.0, 5.0]);
}

#[test]
fn numbers_are_computed_in_their_type() {
    let half =
        |value: f32| Tensor { element: crate::onnx::Element::F16, ..Tensor::floats(vec![], vec![value]) };
    // 2049 is no f16.
    makes(fold("Add", vec![half(2048.0), half(1.0)], &[]), &[], &[2048.0]);
    let sum = fold("Mul", vec![vector(&[2, 3]), vector(&[4])], &[]).unwrap();
    assert_eq!(sum.as_ints().unwrap(), [8, 12]);
    assert!(fold("Mul", vec![vector(&[i64::MAX]), vector(&[2])], &[]).is_err());
    assert!(fold("Div", vec![vector(&[1]), vector(&[0])], &[]).is_err());
    let quantised = Tensor::ints(vec![2, 2], vec![10, 20, 30, 40]);
    let scales = Tensor::floats(vec![2], vec![0.5, 2.0]);
    makes(
        fold("DequantizeLinear", vec![quantised, scales, vector(&[10, 20])], &[]),
        &[2, 2],
        &[0.0, 0.0, 10.0, 40.0],
    );
}

#[test]
fn what_is_wrong_is_an_error() {
    for (op, inputs, attributes) in [
        ("Reshape", vec![grid(), vector(&[4, -1])], vec![]),
        ("Reshape", vec![grid(), vector(&[-1, -1])], vec![]),
        ("Reshape", vec![grid(), vector(&[-2, 3])], vec![]),
        ("Squeeze", vec![grid(), vector(&[0])], vec![]),
        ("Unsqueeze", vec![grid(), vector(&[0, 0])], vec![]),
        ("Transpose", vec![grid()], vec![int_list("perm", &[0, 0])]),
        ("Gather", vec![grid(), vector(&[2])], vec![]),
        ("Concat", vec![grid(), vector(&[1])], vec![int("axis", 0)]),
        ("Split", vec![grid(), vector(&[1, -1, 2])], vec![int("axis", 0)]),
        ("Slice", vec![grid(), vector(&[0]), vector(&[1]), vector(&[0]), vector(&[0])], vec![]),
        ("Expand", vec![grid(), vector(&[3, 3])], vec![]),
        ("Range", vec![vector(&[0]), vector(&[i64::MAX]), vector(&[1])], vec![]),
        ("Cast", vec![vector(&[300])], vec![int("to", 2)]),
        ("Reshape", vec![grid()], vec![]),
    ] {
        assert!(fold(op, inputs, &attributes).is_err(), "{op}");
    }
}

#[test]
fn room_is_bounded_before_it_is_taken() {
    let huge = vector(&[1 << 40, 1 << 40]);
    assert!(fold("ConstantOfShape", vec![huge.clone()], &[]).is_err());
    assert!(fold("Expand", vec![Tensor::floats(vec![1], vec![1.0]), huge], &[]).is_err());
    assert!(fold("ConstantOfShape", vec![vector(&[0, i64::MAX, i64::MAX])], &[]).is_err());
    assert!(fold("ConstantOfShape", vec![vector(&[1 << 23])], &[]).is_err());
}

/// The operators that are left of a graph whose constants are computed, and the names of the constants that are left.
fn left(graph: Graph) -> [Vec<String>; 2] {
    let Graph { nodes, constants, .. } = fold::folded(graph);
    [nodes.into_iter().map(|node| node.op).collect(), constants.into_keys().collect()]
}

#[test]
fn what_only_constants_go_into_is_computed_and_what_nothing_reads_is_left_out() {
    let mut model = Model::new(13);
    model.input("x", (super::F32, &[0, 2])).constant("w", super::counted(&[2, 3], 0));
    model.constant("unread", super::counted(&[3], 0));
    model.node("Transpose", "w -> turned", &[]).node("Mul", "turned turned -> squared", &[]);
    model.node("Constant", "-> two", &[super::float("value_float", 2.0)]).node(
        "Mul",
        "squared two -> twice",
        &[],
    );
    model.node("Gemm", "x twice -> h", &[int("transB", 1)]).node("Add", "h two -> y", &[]).output("y");
    let graph = model.read().unwrap();
    let twice = fold::folded(graph.clone()).constants["twice"].clone();
    assert_eq!(twice.as_floats(), Some(&[0.0, 18.0, 2.0, 32.0, 8.0, 50.0][..]));
    let [operators, constants] = left(graph);
    assert_eq!(
        (operators, constants),
        (vec!["Gemm".into(), "Add".into()], vec!["twice".into(), "two".into()])
    );
}

#[test]
fn a_constant_part_stays_where_it_leaves_the_graph_or_its_numbers_could_be_others() {
    const F64: i32 = 11;

    let ops = |model: &Model| left(model.read().unwrap())[0].clone();
    let mut model = Model::new(13);
    model.constant("w", super::counted(&[2, 3], 0)).node("Transpose", "w -> y", &[]).output("y");
    assert_eq!(ops(&model), ["Transpose"], "an output");
    let mut model = Model::new(13);
    model.input("x", (super::F32, &[3])).constant("w", super::counted(&[3], 0));
    model.node("Cast", "w -> wide", &[int("to", i64::from(F64))]).node("Mul", "wide wide -> squared", &[]);
    model.node("Cast", "squared -> back", &[int("to", 1)]).node("Add", "x back -> y", &[]).output("y");
    assert_eq!(ops(&model), ["Cast", "Mul", "Cast", "Add"], "doubles are rounded here");
    let mut model = Model::new(13);
    model.input("x", (super::F32, &[0])).constant("w", super::counted(&[3], 0));
    model.node("Exp", "w -> e", &[]).node("Neg", "e -> n", &[]).node("Add", "x n -> y", &[]).output("y");
    assert_eq!(ops(&model), ["Exp", "Neg", "Add"], "an operator that is not computed here");
    let mut model = Model::new(13);
    let inner = super::node("Add", "turned turned -> z", &[]);
    model.input("c", (9, &[])).constant("w", super::counted(&[2, 3], 0)).node(
        "Transpose",
        "w -> turned",
        &[],
    );
    model.node("If", "c -> y", &[super::nested("then_branch", vec![inner])]).output("y");
    assert_eq!(ops(&model), ["Transpose", "If"], "read within a nested graph");
}

#[test]
fn constants_that_grow_beyond_the_file_are_left_to_its_runtime_which_bounds_them_too() {
    let mut model = Model::new(13);
    model.input("x", (super::F32, &[0])).constant("shape", super::ints(&[1], &[1 << 23]));
    model.constant("one", super::ints(&[1], &[1]));
    model.node("ConstantOfShape", "shape -> huge", &[]).node("Mul", "one one -> small", &[]);
    model.node("Gather", "huge small -> part", &[]).node("Add", "x part -> y", &[]).output("y");
    assert_eq!(left(model.read().unwrap())[0], ["ConstantOfShape", "Gather", "Add"]);
}
