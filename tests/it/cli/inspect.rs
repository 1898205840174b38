//! What `inspect` says of graphs that are more than a stack of layers, and of what stands around it.

use serde_json::json;

use super::folders::Folders;
use crate::harness::onnx_files;

/// A folder with the file `name` of `tests/onnx/files` as `model.onnx`, and a vocabulary of eleven words.
fn folder_of(name: &str) -> Folders {
    let folders = Folders::new();
    folders.file("graph/model.onnx", std::fs::read(onnx_files().join(name)).unwrap());
    let words: Vec<String> =
        ["<pad>", "<eos>"].map(String::from).into_iter().chain((0..9).map(|k| format!("word{k}"))).collect();
    folders.file("graph/vocab.txt", words.join("\n"));
    folders
}

/// Fails unless `inspect` prints each of `parts` of a file that is served.
#[track_caller]
fn prints(name: &str, parts: &[&str]) {
    let page = folder_of(name).run(["inspect", "graph/model.onnx"]).succeeded();
    for part in parts {
        assert!(page.contains(part), "{name}: `{part}` is missing from\n{page}");
    }
}

/// Fails unless a file is refused with each of `parts`, on the page or in the error.
#[track_caller]
fn refuses(name: &str, parts: &[&str]) {
    let ended = folder_of(name).run(["inspect", "graph/model.onnx"]);
    let page = ended.stdout.clone() + &ended.failed(1);
    for part in parts {
        assert!(page.contains(part), "{name}: `{part}` is missing from\n{page}");
    }
}

#[test]
fn the_window_of_a_graph_with_a_fixed_batch_is_drafted() {
    prints(
        "padded/keras-lstm-10-b32.onnx",
        &[
            "it keeps no state and reads the last 10 tokens at every position",
            "the last 10 token ids",
            "\"window\": 10",
            "\"pad\": \"<pad>\"",
        ],
    );
}

#[test]
fn a_layer_of_a_loop_is_named_by_its_loop() {
    prints(
        "loops/lstm-loop.onnx",
        &[
            "a network with 1 lstm layer and 11 tokens, run by the native engine",
            "layer         Loop, 5 units, node loop0",
        ],
    );
    prints(
        "loops/gru-scan.onnx",
        &["layer         Scan, 5 units, node scan0", "reset         after the product"],
    );
}

#[test]
fn a_loop_that_is_no_layer_is_refused_with_advice() {
    refuses(
        "loops/lstm-loop-early.onnx",
        &["node `loop0` (Loop)", "give the `.keras` or `.h5` file to `training/convert.py`"],
    );
}

#[cfg(feature = "tract")]
#[test]
fn an_input_without_a_value_is_drafted_and_one_with_a_value_is_said() {
    let folders = folder_of("given/lstm-keep-prob.onnx");
    let ended = folders.run(["inspect", "graph/model.onnx"]);
    assert!(ended.stdout.contains("\"keep_prob\": null"), "{ended:?}");
    assert!(ended.failed(1).contains("`onnx.inputs`"));
    assert_eq!(
        folders.run(["inspect", "graph/model.onnx", "--write-manifest"]).code,
        Some(1),
        "no value yet"
    );
    let written = std::fs::read_to_string(folders.path().join("graph/config.json")).unwrap();
    folders.file("graph/config.json", written.replace("null", "1"));
    let page = folders.run(["inspect", "graph"]).succeeded();
    assert!(page.contains("keep_prob: f32[]: always 1, as config.json says"), "{page}");
}

#[test]
fn integers_with_scales_are_kept_for_each_matrix_that_the_engine_has_the_like_of() {
    let folders = folder_of("scales/lstm-qdq-per-channel.onnx");
    let report = folders.run(["inspect", "graph/model.onnx", "--json"]).json();
    let quantised = report["onnx"]["quantised"].as_array().unwrap();
    let kept: Vec<_> = quantised.iter().filter(|matrix| matrix["dequantised"].is_null()).collect();
    assert_eq!(kept, [&json!({"matrix": "decoder.weight", "dequantised": null})], "{report}");
    assert_eq!(report["onnx"]["activation_scales_unused"], true);
}

#[test]
fn tokens_that_the_output_bias_rules_out_are_counted() {
    for name in ["lstm-ruled-out", "gru-ruled-out-by-a-mask"] {
        prints(
            &format!("layers/{name}.onnx"),
            &["ruled out     tokens whose bias is negative infinity, and which never come: 2"],
        );
    }
    let page = folder_of("by_hand/lstm-1-layout0-tb.onnx").run(["inspect", "graph/model.onnx"]).succeeded();
    assert!(!page.contains("ruled out"), "{page}");
    refuses("layers/lstm-bias-nan.onnx", &["tensor `bias` has the value NaN"]);
}

#[test]
fn normalisations_are_listed_for_each_layer_and_the_output() {
    prints("extended/torchscript-lstm-layer-norms.onnx", &["norms         none, layer, layer"]);
    prints("extended/lstm-layer-norm-squares-max.onnx", &["norms         none, layer"]);
    prints("extended/torchscript-gru-mixed-norms.onnx", &["norms         none, layer, scale"]);
}

#[test]
fn a_start_that_the_file_holds_is_said() {
    prints(
        "extended/torchscript-gru-start-each-tb.onnx",
        &[
            "starts from   a state that the file holds",
            "warning       the graph has no input and output for the state",
        ],
    );
}

#[cfg(feature = "tract")]
#[test]
fn a_batch_that_the_file_fixes_is_said_and_what_it_costs() {
    prints(
        "batches/lstm-residual-b32.onnx",
        &["token ids, one at a time, of one sequence of 32", "run by        tract"],
    );
    let page = folder_of("batches/lstm-residual-b32.onnx").run(["inspect", "graph/model.onnx"]).succeeded();
    assert!(!page.contains("warning"), "{page}");
    prints(
        "batches/lstm-residual-b4-reshaped.onnx",
        &[
            "of one sequence of 4",
            "warning       the file fixes the batch to 4 sequences",
            "each token is computed 4 times",
        ],
    );
    refuses("batches/lstm-rows-mixed-b4.onnx", &["node `mean_of_rows` (ReduceMean) mixes them"]);
}

#[cfg(feature = "tract")]
#[test]
fn an_operator_of_the_optimiser_without_a_standard_form_is_refused_with_advice() {
    refuses(
        "fused/lstm-fused-matmul-of-two.onnx",
        &["node `scores` is of the operator `com.microsoft.FusedMatMul`", "save it with `ORT_ENABLE_BASIC`"],
    );
    prints("fused/lstm-blocks-optimised-basic.onnx", &["run by        tract"]);
}
