//! Small graphs that are made to end the process, to keep it busy or to fill its memory: each is refused, or not lowered.

use super::folding::fold;
use super::{
    EMBEDDING, F32, HIDDEN, I64, Model, VOCAB, counted, floats, headless, int, int_list, ints, nested, node,
    pb, says,
};
use crate::onnx::lower::Lowered;
use crate::onnx::tensor::Tensor;

/// As many columns as a matrix without elements may have.
const WIDE: usize = 1 << 40;

#[test]
fn a_scan_without_inputs_is_no_layer() {
    let mut model = Model::new(11);
    model.node("Scan", "-> y", &[nested("body", Vec::new()), int("num_scan_inputs", 1)]).output("y");
    says(model.lowered(), &["node `y` (Scan)", "has no inputs"]);
}

/// A slice that begins at the largest integer ends at none.
fn sliced(build: fn(&mut Model)) -> Result<Lowered, String> {
    let mut model = headless("RNN", &[]);
    model.constant("last", ints(&[1], &[i64::MAX]));
    build(&mut model);
    model.node("MatMul", "h decoder -> y", &[]).output("y");
    model.lowered()
}

#[test]
fn a_slice_beyond_the_end_takes_no_part() {
    let outcome = sliced(|model| {
        model.constant("axis", ints(&[1], &[3])).node("Slice", "Y last last axis -> h", &[]);
    });
    says(outcome, &["node `h` (Slice)", "a part of axis 3"]);
}

#[test]
fn a_slice_beyond_the_end_takes_no_state() {
    let outcome = sliced(|model| {
        model.constant("axis", ints(&[1], &[0])).node("Concat", "Y_h Y_h -> all", &[int("axis", 0)]);
        model.node("Slice", "all last last axis -> h", &[]);
    });
    says(outcome, &["node `y` (MatMul)", "a state"]);
}

#[test]
fn an_embedding_has_features() {
    let mut embedded = one_hot(VOCAB);
    embedded.constant("none", floats(&[VOCAB, 0], &[])).constant("one", floats(&[], &[1.0]));
    embedded.node("MatMul", "hot none -> e", &[]).node("Add", "e one -> y", &[]).output("y");
    says(embedded.lowered(), &["node `e` (MatMul)", "its matrix is f32 [7, 0]"]);
}

#[test]
fn an_output_layer_has_rows_and_columns() {
    let projected = |sizes: [&[i64]; 2]| {
        let mut model = headless("RNN", &[]);
        model.constant("a", floats(sizes[0], &[])).constant("b", floats(sizes[1], &[]));
        model.node("MatMul", "Y a -> none", &[]).node("MatMul", "none b -> y", &[]).output("y");
        model.lowered()
    };
    says(projected([&[HIDDEN, 0], &[0, VOCAB]]), &["node `none` (MatMul)", "its matrix is f32 [2, 0]"]);
    says(projected([&[HIDDEN, 0], &[0, WIDE as i64]]), &["node `none` (MatMul)", "its matrix is f32 [2, 0]"]);
}

#[test]
fn a_layer_has_units() {
    let mut model = Model::new(13);
    model.input("x", (I64, &[0, 0])).constant("encoder", counted(&[VOCAB, 3], 0));
    model.constant("W", floats(&[1, 0, 3], &[])).constant("R", floats(&[1, 0, 0], &[]));
    model.node("Gather", "encoder x -> e", &[]).node("RNN", "e W R -> Y", &[]).output("Y");
    says(model.lowered(), &["node `Y`", "its layer has no units"]);
}

/// A layer whose first state `start` is made of a constant `wide`, one for each row.
fn started(build: fn(&mut Model)) -> Result<Lowered, String> {
    let mut model = headless("RNN", &[]);
    model.graph().node.last_mut().unwrap().input.extend([String::new(), "start".into()]);
    model.node("Shape", "x -> tb", &[]).constant("b", ints(&[1], &[1])).node("Gather", "tb b -> rows", &[]);
    model.constant("ones", ints(&[1], &[1])).constant("width", ints(&[1], &[HIDDEN]));
    model.node("Concat", "ones rows width -> shape", &[int("axis", 0)]);
    model.constant("learned", counted(&[1, 1, HIDDEN], 1)).node("Expand", "learned shape -> wide", &[]);
    build(&mut model);
    model.node("Squeeze", "Y -> h", &[int_list("axes", &[1])]);
    model.node("MatMul", "h decoder -> y", &[]).output("y");
    model.lowered()
}

#[test]
fn an_axis_that_is_named_twice_is_dropped_once() {
    let lowered = started(|model| {
        model.node("Squeeze", "wide -> start", &[int_list("axes", &[0, 0])]);
    });
    let h0 = lowered.unwrap().weights.layers.remove(0).h0.unwrap().widened();
    assert_eq!(h0, [1.0, 2.0]);
}

#[test]
fn dimensions_are_counted_before_they_are_looked_at() {
    let outcome = started(|model| {
        model.constant("axes", ints(&[1 << 12], &vec![0; 1 << 12]));
        model.node("Unsqueeze", "wide axes -> start", &[]);
    });
    says(outcome, &["node `start` (Unsqueeze)", "4099 dimensions, expected at most 16"]);
    let axes = Tensor::vector(vec![0; 1 << 12]);
    let grid = Tensor::floats(vec![2, 3], vec![0.0; 6]);
    let message = fold("Unsqueeze", vec![grid, axes], &[]).unwrap_err();
    assert!(message.contains("it makes 4098 dimensions"), "{message}");
}

/// `f32` of a shape without elements.
fn empty(shape: [usize; 2]) -> Tensor {
    Tensor::floats(shape.to_vec(), Vec::new())
}

#[test]
fn a_size_beside_a_size_of_0_is_bounded() {
    let joined = fold("Concat", vec![empty([0, WIDE]), empty([0, WIDE])], &[int("axis", 1)]);
    assert!(joined.unwrap_err().contains("larger than any machine's memory"));
}

#[test]
fn blocks_without_elements_are_not_joined_one_by_one() {
    let joined = fold("Concat", vec![empty([WIDE, 0]), empty([WIDE, 0])], &[int("axis", 1)]).unwrap();
    assert_eq!((joined.shape.as_slice(), joined.len()), (&[WIDE, 0][..], 0));
}

#[test]
fn blocks_without_elements_are_not_gathered_one_by_one() {
    let none = Tensor::vector(Vec::new());
    let gathered = fold("Gather", vec![empty([WIDE, 0]), none], &[int("axis", 1)]).unwrap();
    assert_eq!((gathered.shape.as_slice(), gathered.len()), (&[WIDE, 0][..], 0));
}

/// Each node would copy it.
#[test]
fn a_list_of_axes_is_short() {
    let many = Tensor::vector(vec![0; 1 << 13]);
    let message = fold("Unsqueeze", vec![empty([1, 0]), many], &[]).unwrap_err();
    assert_eq!(message, "input 1 is no list of integers");
}

/// A size of an input times itself, forty times over.
#[test]
fn a_size_is_of_no_more_axes_than_a_tensor_has() {
    let mut model = Model::new(13);
    model.input("x", (I64, &[0, 0])).constant("zero", ints(&[], &[0]));
    model.node("Shape", "x -> shape", &[]).node("Gather", "shape zero -> s0", &[]);
    for k in 0..40 {
        model.node("Mul", &format!("s{k} s{k} -> s{}", k + 1), &[]);
    }
    model.output("s40");
    says(model.lowered(), &["no output has logits"]);
}

/// One-hot vectors are as long as a file claims.
#[test]
fn no_number_is_repeated_for_features_that_a_file_claims() {
    let mut model = one_hot(WIDE as i64);
    model.constant("two", floats(&[], &[2.0])).node("Mul", "hot two -> y", &[]).output("y");
    says(model.lowered(), &["node `y` (Mul)", "expected a scale"]);
}

/// And so are the states of loops.
#[test]
fn features_side_by_side_are_no_more_than_there_can_be() {
    let joined = stepping(i64::MAX, vec![node("Concat", "h h h -> next", &[int("axis", 1)])]);
    says(joined.lowered(), &["joins more features than there can be"]);
}

/// Each adds thousands of dimensions to those of the one before.
#[test]
fn zeros_have_no_more_dimensions_than_a_tensor_has() {
    let mut model = Model::new(13);
    model.input("x", (I64, &[0, 0])).constant("axes", ints(&[1 << 12], &vec![0; 1 << 12]));
    model.constant("W", counted(&[HIDDEN, HIDDEN], 0));
    model.node("Shape", "x -> shape", &[]).node("ConstantOfShape", "shape -> z0", &[]);
    model.node("Unsqueeze", "z0 axes -> z1", &[]).node("Unsqueeze", "z1 axes -> z2", &[]);
    model.node("MatMul", "z2 W -> y", &[]).output("y");
    says(model.lowered(), &["node `y` (MatMul)", "multiplies zeros"]);
}

#[test]
fn what_is_known_of_outputs_takes_no_more_memory_than_weights() {
    const UNITS: i64 = 512;

    let mut model = Model::new(13);
    model.input("x", (I64, &[0, 0])).constant("encoder", counted(&[VOCAB, 1], 0));
    model.constant("W", counted(&[1, UNITS, 1], 0)).constant("R", counted(&[1, UNITS, UNITS], 0));
    model.node("Gather", "encoder x -> e", &[]).node("RNN", "e W R -> Y", &[]);
    model.constant("two", floats(&[], &[2.0]));
    // Each is a normalisation of its own.
    for k in 0..5000 {
        model.node("Mul", &format!("Y two -> n{k}"), &[]);
    }
    model.output("n4999");
    says(model.lowered(), &["node `n4999` (Mul)", "grows beyond what weights need"]);
}

/// Each node asks whether it is zeros, which are a state that begins.
#[test]
fn a_constant_is_not_looked_through_by_any_number_of_nodes() {
    let mut model = Model::new(13);
    model.input("x", (I64, &[0, 0])).constant("zeros", floats(&[1 << 20], &vec![0.0; 1 << 20]));
    for k in 0..200 {
        model.node("Gather", &format!("zeros x -> z{k}"), &[]);
    }
    model.output("z199");
    says(model.lowered(), &["node `z199` (Gather)", "grows beyond what weights need"]);
}

/// A slice copies the biases of all sums in it.
#[test]
fn biases_in_a_step_are_counted() {
    const WIDTH: i64 = 1 << 20;

    let mut nodes = vec![node("MatMul", "h W -> p", &[]), node("Add", "p b -> s0", &[])];
    nodes.extend((0..6).map(|k| node("Add", &format!("s{k} s{k} -> s{}", k + 1), &[])));
    nodes.push(node("Identity", "s6 -> next", &[]));
    let mut model = stepping(HIDDEN, nodes);
    model.constant("W", counted(&[HIDDEN, WIDTH], 0)).constant("b", counted(&[WIDTH], 0));
    says(model.lowered(), &["its step is larger than that of any known cell"]);
}

/// `x -> OneHot -> hot`, of so many tokens.
fn one_hot(vocab: i64) -> Model {
    let mut model = Model::new(13);
    model.input("x", (I64, &[0, 0])).constant("depth", ints(&[], &[vocab]));
    model.constant("values", floats(&[2], &[0.0, 1.0])).node("OneHot", "x depth values -> hot", &[]);
    model
}

/// A loop over embeddings whose step of `nodes` makes `next` of `h` `[1, width]`.
fn stepping(width: i64, nodes: Vec<pb::NodeProto>) -> Model {
    let mut body = Model::new(13);
    body.input("h", (F32, &[1, width])).input("read", (F32, &[1, EMBEDDING])).output("next");
    let body = pb::GraphProto { node: nodes, ..body.0.graph.unwrap() };
    let body = pb::AttributeProto { g: Some(Box::new(body)), ..nested("body", Vec::new()) };
    let mut model = Model::new(13);
    model.input("x", (I64, &[0, 0])).constant("encoder", counted(&[VOCAB, EMBEDDING], 0));
    model.constant("start", counted(&[1, HIDDEN], 1)).node("Gather", "encoder x -> e", &[]);
    model.node("Scan", "start e -> y", &[body, int("num_scan_inputs", 1)]).output("y");
    model
}
