//! Glue: what keeps positions, rows and features apart is followed, and what mixes them is not lowered.

use super::{HIDDEN, Lowered, Model, VOCAB, headless, int, int_list, ints, network, says};

/// `headless("LSTM")` with `glue` between `Y` and `h`, `[positions, features]`.
fn between(glue: impl FnOnce(&mut Model)) -> Model {
    let mut model = headless("LSTM", &[]);
    glue(&mut model);
    model.node("MatMul", "h decoder -> y", &[]).output("y");
    model
}

#[test]
fn glue_of_exporters_is_followed() {
    for (name, model) in [
        (
            "[-1, H]",
            between(|model| {
                model.constant("shape", ints(&[2], &[-1, HIDDEN])).node("Reshape", "Y shape -> h", &[]);
            }),
        ),
        (
            "batch first",
            between(|model| {
                model.node("Transpose", "Y -> turned", &[int_list("perm", &[2, 0, 1, 3])]);
                model.constant("shape", ints(&[3], &[0, 0, -1])).node("Reshape", "turned shape -> h", &[]);
            }),
        ),
        (
            "by the shape of the ids",
            between(|model| {
                model.node("Shape", "x -> tb", &[]).constant("width", ints(&[1], &[HIDDEN]));
                model.node("Concat", "tb width -> shape", &[int("axis", 0)]).node(
                    "Reshape",
                    "Y shape -> h",
                    &[],
                );
            }),
        ),
        (
            "the last position",
            between(|model| {
                model.constant("last", ints(&[], &[-1])).node("Gather", "Y last -> one", &[]);
                model.node("Squeeze", "one -> h", &[int_list("axes", &[0])]);
            }),
        ),
        (
            "the last position by its number",
            between(|model| {
                model
                    .node("Shape", "x -> tb", &[])
                    .constant("zero", ints(&[], &[0]))
                    .constant("one", ints(&[], &[1]));
                model.node("Gather", "tb zero -> t", &[]).node("Sub", "t one -> last", &[]);
                model.node("Gather", "Y last -> at", &[]).node(
                    "Squeeze",
                    "at -> h",
                    &[int_list("axes", &[0])],
                );
            }),
        ),
        (
            "the last state",
            between(|model| {
                model.node("Squeeze", "Y_h -> h", &[int_list("axes", &[0])]);
            }),
        ),
    ] {
        let lowered = model.lowered();
        assert!(lowered.is_ok(), "{name}: {:?}", lowered.err());
    }
}

#[test]
fn glue_that_mixes_is_named() {
    for (part, model) in [
        (
            "reshapes across",
            between(|model| {
                model.node("Shape", "x -> tb", &[]).constant("width", ints(&[1], &[HIDDEN]));
                model.constant("swap", ints(&[2], &[1, 0])).node("Gather", "tb swap -> bt", &[]);
                model.node("Concat", "bt width -> shape", &[int("axis", 0)]).node(
                    "Reshape",
                    "Y shape -> h",
                    &[],
                );
            }),
        ),
        (
            "features of one position",
            between(|model| {
                model.constant("shape", ints(&[2], &[HIDDEN, -1])).node("Reshape", "Y shape -> turned", &[]);
                model.node("Transpose", "turned -> h", &[]);
            }),
        ),
        (
            "a part of axis 0",
            between(|model| {
                model.constant("middle", ints(&[], &[2])).node("Gather", "Y middle -> one", &[]);
                model.node("Squeeze", "one -> h", &[int_list("axes", &[0])]);
            }),
        ),
        (
            "step is not 1",
            between(|model| {
                model.constant("from", ints(&[1], &[-1])).constant("to", ints(&[1], &[i64::MIN]));
                model.constant("axis", ints(&[1], &[0])).constant("back", ints(&[1], &[-1]));
                model.node("Slice", "Y from to axis back -> turned", &[]);
                model.node("Squeeze", "turned -> h", &[int_list("axes", &[1])]);
            }),
        ),
        (
            "drops values",
            between(|model| {
                model
                    .node("Squeeze", "Y -> s", &[int_list("axes", &[1])])
                    .constant("training", ints(&[], &[1]));
                model.node("Dropout", "s - training -> h", &[]);
            }),
        ),
        (
            "no part of a known network",
            between(|model| {
                model.node("Squeeze", "Y -> s", &[int_list("axes", &[1])]).node("Tanh", "s -> h", &[]);
            }),
        ),
    ] {
        says(model.lowered(), &["node `", part]);
    }
}

#[test]
fn softmax_is_over_the_vocabulary_or_not_known() {
    let with = |op: &str, attributes: &[_], opset: i64| {
        let mut model = network("RNN", &[]);
        model.0.opset_import[0].version = opset;
        model.graph().output.clear();
        model.node(op, "y -> p", attributes).output("p");
        model.lowered()
    };
    assert!(with("Softmax", &[int("axis", -1)], 11).is_ok());
    assert!(with("LogSoftmax", &[int("axis", 2)], 12).is_ok());
    assert!(with("LogSoftmax", &[], 13).is_ok());
    // Before opset 13 the default is axis 1 and all after it.
    says(with("Softmax", &[], 11), &["`p`", "axis 1"]);
    says(with("Softmax", &[int("axis", 0)], 13), &["`p`", "axis 0"]);
    assert!(with("Mul", &[], 13).is_err());
}

#[test]
fn constant_factors_become_weights() {
    let mut model = network("RNN", &[]);
    model.graph().output.clear();
    model.constant("temperature", super::floats(&[], &[0.5]));
    model.node("Div", "y temperature -> z", &[]).output("z");
    assert_eq!(model.lowered().unwrap().weights.output.unwrap().widened()[..2], [800.0, 814.0]);
    model.graph().initializer.last_mut().unwrap().float_data = vec![0.0];
    says(model.lowered(), &["node `z`", "factor is 0"]);
}

#[test]
fn layers_start_from_zeros_or_from_inputs() {
    let with = |build: fn(&mut Model)| {
        let mut model = network("GRU", &[]);
        let layer = model.graph().node.iter_mut().find(|node| node.name == "layer").unwrap();
        layer.input.extend(["".into(), "start".into()]);
        build(&mut model);
        model.lowered()
    };
    // As many zeros as there are rows.
    assert!(
        with(|model| {
            model.node("Shape", "x -> tb", &[]).constant("b", ints(&[1], &[1])).node(
                "Gather",
                "tb b -> rows",
                &[],
            );
            model.constant("one", ints(&[1], &[1])).constant("width", ints(&[1], &[HIDDEN]));
            model.node("Concat", "one rows width -> shape", &[int("axis", 0)]);
            model.node("ConstantOfShape", "shape -> start", &[]);
        })
        .is_ok()
    );
    // The second of two stacked states.
    assert!(
        with(|model| {
            model.input("state", (1, &[2, 0, HIDDEN])).constant("second", ints(&[1], &[1]));
            model.node("Gather", "state second -> start", &[]);
        })
        .is_ok()
    );
    // What the module has learned.
    let learned = with(|model| {
        model.constant("start", super::counted(&[1, 1, HIDDEN], 1));
    });
    let h0 = learned.unwrap().weights.layers.remove(0).h0.unwrap().widened();
    assert_eq!(h0, (1..=HIDDEN).map(|value| value as f32).collect::<Vec<_>>());
    says(
        with(|model| {
            model.constant("start", super::counted(&[1, 2, HIDDEN], 1));
        }),
        &["node `layer`", "starts each row from another vector"],
    );
    says(
        with(|model| {
            model.constant("start", super::counted(&[1, 1, HIDDEN + 1], 1));
        }),
        &["node `layer`", "expected floats [.., "],
    );
    // A state that its exporter has taken for integers is one when it is zeros, and the engine keeps its own after that.
    let whole = with(|model| {
        model.input("state", (1, &[1, 0, HIDDEN])).node("Cast", "state -> whole", &[int("to", 7)]);
        model.node("Cast", "whole -> start", &[int("to", 1)]);
    });
    assert!(whole.is_ok());
    says(
        with(|model| {
            model.input("state", (1, &[1, 0, HIDDEN])).node("Tanh", "state -> start", &[]);
        }),
        &["node `start`", "no part of a known network"],
    );
}

#[test]
fn ids_must_come_through_their_casts() {
    let cast_to = |number: i64, vocab: i64| {
        let mut model = Model::new(11);
        model.input("x", (1, &[0, 0])).constant("encoder", super::counted(&[vocab, 1], 0));
        model.node("Cast", "x -> low", &[int("to", number)]).node("Cast", "low -> ids", &[int("to", 7)]);
        model.node("Gather", "encoder ids -> e", &[]).constant("W", super::counted(&[1, HIDDEN, 1], 0));
        model.constant("R", super::counted(&[1, HIDDEN, HIDDEN], 0));
        model.constant("decoder", super::counted(&[HIDDEN, vocab], 0)).node("RNN", "e W R -> Y", &[]);
        model
            .node("Squeeze", "Y -> h", &[int_list("axes", &[1])])
            .node("MatMul", "h decoder -> y", &[])
            .output("y");
        model.lowered()
    };
    assert!(cast_to(6, 300).is_ok());
    assert!(cast_to(10, 300).is_ok());
    says(cast_to(16, 300), &["node `e`", "without all ids below 300"]);
    says(cast_to(2, 300), &["node `e`", "without all ids below 300"]);
    assert!(cast_to(2, 256).is_ok());
}

/// A network of `vocab` tokens whose ids come from `choose`, which has `x`, `negative`, `zero` and `wrapped`.
fn wrapping(vocab: i64, choose: impl FnOnce(&mut Model)) -> Result<Lowered, String> {
    let mut model = network("RNN", &[]);
    model.graph().node[0].input[1] = "ids".into();
    model.graph().initializer.retain(|tensor| !matches!(tensor.name.as_str(), "encoder" | "decoder"));
    model.constant("encoder", super::counted(&[vocab, super::EMBEDDING], 0));
    model.constant("decoder", super::counted(&[HIDDEN, vocab], 0));
    model.constant("zero", ints(&[], &[0])).constant("vocab", ints(&[], &[vocab]));
    model.node("Less", "x zero -> negative", &[]).node("Add", "x vocab -> wrapped", &[]);
    choose(&mut model);
    model.lowered()
}

#[test]
fn ids_that_may_count_from_the_end_are_the_ids() {
    let multiplied = wrapping(VOCAB, |model| {
        model.node("Cast", "negative -> one", &[int("to", 7)]).node("Mul", "one wrapped -> a", &[]);
        model.node("Not", "negative -> positive", &[]).node("Cast", "positive -> other", &[int("to", 7)]);
        model.node("Mul", "x other -> b", &[]).node("Add", "a b -> ids", &[]);
    });
    assert!(multiplied.is_ok(), "{:?}", multiplied.err());
    let chosen = |vocab: i64, names: &str| {
        wrapping(vocab, |model| {
            model.constant("float_zero", super::floats(&[], &[0.0]));
            // A byte is negative from 128 on.
            model.node("Cast", "x -> byte", &[int("to", 3)]).node("Cast", "byte -> low", &[int("to", 1)]);
            model.node("Less", "low float_zero -> byte_negative", &[]).node("Where", names, &[]);
        })
    };
    assert!(chosen(VOCAB, "negative wrapped x -> ids").is_ok());
    assert!(chosen(300, "negative wrapped x -> ids").is_ok());
    assert!(chosen(VOCAB, "byte_negative wrapped x -> ids").is_ok());
    says(chosen(300, "byte_negative wrapped x -> ids"), &["without all ids below 300"]);
    says(chosen(VOCAB, "negative x wrapped -> ids"), &["selects by an input"]);
    for (part, op, names) in [
        ("computes with token ids", "Add", "x wrapped -> ids"),
        ("selects by an input", "Identity", "wrapped -> ids"),
        ("selects by an input", "Less", "x vocab -> ids"),
    ] {
        let computed = wrapping(VOCAB, |model| {
            model.node(op, names, &[]);
        });
        says(computed, &["node `", part]);
    }
}
