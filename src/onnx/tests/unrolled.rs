//! Steps that a graph writes out: what looks like one and is none.

use super::{EMBEDDING, F32, HIDDEN, I64, Model, VOCAB, counted, says};

/// `tanh(embedded W + h R)` of all ids that `x` has, its shape and that of `h` with 0 for sizes that callers choose.
fn step(x: &[i64], h: &[i64]) -> Model {
    let mut model = Model::new(13);
    model
        .input("x", (I64, x))
        .input("h", (F32, h))
        .constant("encoder", counted(&[VOCAB, EMBEDDING], 0))
        .constant("W", counted(&[EMBEDDING, HIDDEN], 100))
        .constant("R", counted(&[HIDDEN, HIDDEN], 200))
        .constant("decoder", counted(&[HIDDEN, VOCAB], 400))
        .node("Gather", "encoder x -> embedded", &[])
        .node("MatMul", "embedded W -> read", &[])
        .node("MatMul", "h R -> kept", &[])
        .node("Add", "read kept -> sum", &[])
        .node("Tanh", "sum -> next", &[])
        .node("MatMul", "next decoder -> y", &[])
        .output("y")
        .output("next");
    model
}

#[test]
fn one_step_of_fixed_sizes_is_a_layer() {
    let lowered = step(&[1, 1], &[1, 1, HIDDEN]).lowered().unwrap();
    assert_eq!(lowered.architecture.hidden_sizes, [HIDDEN as usize]);
    assert!(lowered.usage.keeps_state);
}

/// Each position would start from the same state.
#[test]
fn positions_that_all_start_from_one_state_are_no_step() {
    for (x, h) in [(&[0, 1][..], &[1, 1, HIDDEN][..]), (&[0, 0], &[1, 0, HIDDEN]), (&[7, 1], &[1, 1, HIDDEN])]
    {
        says(step(x, h).lowered(), &["`y`", "may count positions"]);
    }
}

/// Every product might be a layer that the one above reads.
#[test]
fn towers_of_products_are_refused_at_once() {
    for levels in [40, 400] {
        let mut model = step(&[1, 1], &[1, 1, HIDDEN]);
        model.graph().output.clear();
        let mut below = "next".to_owned();
        for level in 0..levels {
            model.node("MatMul", &format!("{below} R -> p{level}"), &[]);
            model.node("Add", &format!("p{level} kept -> s{level}"), &[]);
            model.node("Sigmoid", &format!("s{level} -> a{level}"), &[]);
            model.node("Mul", &format!("a{level} s{level} -> m{level}"), &[]);
            below = format!("m{level}");
        }
        model.node("MatMul", &format!("{below} decoder -> y2"), &[]).output("y2");
        says(model.lowered(), &["node `"]);
    }
}
