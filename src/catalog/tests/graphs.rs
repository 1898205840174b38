//! Folders with an ONNX file: what their manifests may say, and what is wrong with the others.

use super::super::{Manifest, NetworkSpec, inspect, load_folder, weights_bytes};
use super::*;
use crate::error::Result;
use crate::kernels::Kernel;
use crate::lm::{Backend, Logits, Row, Scratch, State};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/onnx/files");

/// The manifest of an ONNX file over eleven words.
fn manifest() -> Value {
    json!({
        "format_version": 1,
        "weights": "model.onnx",
        "tokenizer": {"kind": "whitespace", "file": "vocab.txt", "eos": "<eos>"},
        "initial_tokens": ["<eos>"],
    })
}

/// A folder with the graph `file`, eleven words and `manifest`.
fn folder(file: &str, manifest: &Value) -> TempDir {
    let place = temporary();
    let words: Vec<String> = ["<eos>".to_owned()].into_iter().chain(('a'..='j').map(String::from)).collect();
    std::fs::write(place.path().join("vocab.txt"), words.join("\n")).unwrap();
    std::fs::write(place.path().join("config.json"), manifest.to_string()).unwrap();
    std::fs::copy(Path::new(FILES).join(file), place.path().join("model.onnx")).unwrap();
    place
}

fn loaded(file: &str, change: impl FnOnce(&mut Value)) -> Result<super::super::Served> {
    let mut manifest = manifest();
    change(&mut manifest);
    load_folder(folder(file, &manifest).path(), Kernel::Portable)
}

fn refusal(file: &str, change: impl FnOnce(&mut Value)) -> String {
    loaded(file, change).err().expect("a folder that is wrong").message
}

const LSTM: &str = "by_hand/lstm-1-layout0-tb.onnx";
const GRU: &str = "by_hand/gru-1-layout0-tb.onnx";
const RESIDUAL: &str = "unrecognised/lstm-residual.onnx";
const KERAS: &str = "padded/keras-lstm-10-unsaid.onnx";
const CBOW: &str = "windows/cbow-5.onnx";

#[test]
fn a_manifest_may_leave_all_to_the_graph() {
    let served = loaded(LSTM, |_| ()).unwrap();
    assert_eq!((served.model.info().backend, served.model.info().vocab_size), (Backend::Native, 11));
    assert!(served.understanding.is_some_and(|understanding| understanding.not_lowered.is_none()));
    assert_eq!(loaded(RESIDUAL, |_| ()).unwrap().model.info().backend, Backend::Tract);
    let json = manifest().to_string();
    assert!(matches!(Manifest::parse(json.as_bytes()).unwrap().network, NetworkSpec::Graph(_)));
}

#[test]
fn what_a_manifest_says_of_the_network_must_be_so() {
    let right = json!({"cell": "lstm", "vocab_size": 11, "embedding_size": 4, "hidden_sizes": [5], "tie_weights": false});
    assert!(loaded(LSTM, |manifest| manifest["architecture"] = right).is_ok());
    for (key, value, expected) in [
        ("cell", json!("gru"), "`architecture.cell` is `gru`, expected `lstm`, as in the graph"),
        ("vocab_size", json!(12), "`architecture.vocab_size` is 12, expected 11"),
        ("embedding_size", json!(5), "`architecture.embedding_size` is 5, expected 4"),
        ("hidden_sizes", json!([5, 5]), "`architecture.hidden_sizes` is [5, 5], expected [5]"),
        ("tie_weights", json!(true), "`architecture.tie_weights` is true, expected false"),
        (
            "gru_linear_before_reset",
            json!(true),
            "`architecture.gru_linear_before_reset` was found, but the graph's cell is `lstm`",
        ),
    ] {
        let message = refusal(LSTM, |manifest| manifest["architecture"] = json!({key: value}));
        assert!(message.starts_with(&format!("`model.onnx`: {expected}")), "{message}");
    }
    let message = refusal(RESIDUAL, |manifest| manifest["architecture"] = json!({"cell": "lstm"}));
    assert!(
        message.contains("`architecture.cell` was found, but the graph's network is not recognised"),
        "{message}"
    );
    let message = refusal(RESIDUAL, |manifest| manifest["weights_dtype"] = json!("bf16"));
    assert!(
        message.contains("`weights_dtype` was found, but the graph's network is not recognised"),
        "{message}"
    );
    assert!(loaded(LSTM, |manifest| manifest["weights_dtype"] = json!("bf16")).is_ok());
    let overridden = json!({"gru_linear_before_reset": true});
    let message = refusal(RESIDUAL, |manifest| manifest["architecture"] = overridden);
    assert!(message.contains("the manifest sets `gru_linear_before_reset`"), "{message}");
}

#[test]
fn what_a_manifest_says_of_a_network_without_recurrence_must_be_so() {
    let with = |key: &str, value: Value| {
        let architecture = json!({key: value});
        loaded(CBOW, |manifest| {
            (manifest["onnx"], manifest["architecture"]) = (json!({"pad": "a"}), architecture);
        })
    };
    let network = with("vocab_size", json!(11)).unwrap().understanding.unwrap().feed_forward.clone().unwrap();
    let sizes: Vec<usize> = network.hidden.iter().map(|layer| layer.size).collect();
    for (key, right, wrong) in [
        ("embedding_size", json!(network.embedding_size), json!(network.embedding_size + 1)),
        ("hidden_sizes", json!(sizes), json!([1, 2, 3])),
        ("tie_weights", json!(network.tie_weights), json!(!network.tie_weights)),
    ] {
        assert!(with(key, right.clone()).is_ok(), "{key}");
        let message = with(key, wrong.clone()).err().unwrap().message;
        let expected =
            format!("`model.onnx`: `architecture.{key}` is {wrong}, expected {right}, as in the graph");
        assert_eq!(message.replace(", ", ","), expected.replace(", ", ","));
    }
    let message = with("cell", json!("lstm")).err().unwrap().message;
    assert!(
        message.contains("`architecture.cell` was found, but the graph's network has no recurrent layer"),
        "{message}"
    );
}

#[test]
fn a_window_needs_its_padding() {
    let message = refusal(CBOW, |_| ());
    assert!(message.contains("`onnx.pad` in the manifest names the entry"), "{message}");
    let message = refusal(CBOW, |manifest| manifest["onnx"] = json!({"pad": "<pad>"}));
    assert_eq!(message, "`onnx.pad` is `<pad>`, which the vocabulary does not have");
    let message = refusal(CBOW, |manifest| manifest["onnx"] = json!({"pad": "a", "window": 4}));
    assert!(message.contains("`onnx.window` is 4, but the graph reads 5 token ids at once"), "{message}");

    let served = loaded(CBOW, |manifest| {
        (manifest["onnx"], manifest["initial_tokens"]) = (json!({"pad": "b"}), json!(["a", "c"]));
    });
    let served = served.unwrap();
    assert_eq!(served.start.as_slice(), [2.0, 2.0, 2.0, 1.0, 3.0], "the newest last");
}

#[test]
fn a_lowered_graph_reads_the_window_that_its_manifest_asks_for() {
    let message = refusal(KERAS, |_| ());
    let says = |part: &str| assert!(message.contains(part), "{message}");
    says(r#"`"onnx": {"window": 10, "pad": "<entry>"}`"#);
    says(r#"`"onnx": {"window": "none"}`"#);

    let windowed = loaded(KERAS, |manifest| manifest["onnx"] = json!({"window": 10, "pad": "b"})).unwrap();
    assert_eq!(windowed.model.info().backend, Backend::Native);
    assert_eq!(windowed.start.as_slice(), [2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.0]);
    let carried = loaded(KERAS, |manifest| manifest["onnx"] = json!({"window": "none"})).unwrap();
    assert_eq!(carried.start.as_slice().len(), 10, "h and c of five units");
    assert_ne!(windowed.identity, carried.identity);
    assert!(carried.understanding.is_some_and(|understanding| understanding.warnings.is_empty()));
}

#[test]
fn a_lost_state_is_carried_with_a_warning() {
    const LOST: &str = "by_hand/lstm-state-lost.onnx";
    let warnings = |onnx: Value| {
        let served = loaded(LOST, |manifest| manifest["onnx"] = onnx).unwrap();
        served.understanding.unwrap().warnings.clone()
    };
    assert!(warnings(json!({})).iter().any(|warning| warning.contains("no input and output for the state")));
    assert_eq!(warnings(json!({"window": "none"})), [""; 0], "the manifest has settled it");
}

#[test]
fn keys_that_no_graph_has_are_refused() {
    for (onnx, expected) in [
        (json!({"token": "x"}), "`config.json`: `onnx.token`: unknown field `token`"),
        (json!({"window": 0}), "`config.json`: `onnx.window`: invalid value: integer `0`"),
        (
            json!({"window": "all"}),
            "`config.json`: `onnx.window`: invalid value: string \"all\", expected a number",
        ),
        (json!({"state": ["h"]}), "`config.json`: `onnx.state`: invalid type: sequence"),
        (json!({"state": {"h0_in": "nowhere"}}), "`model.onnx`: the native engine does not run this graph"),
        (json!({"tokens": "ids"}), "`model.onnx`: the native engine does not run this graph"),
    ] {
        let message = refusal(RESIDUAL, |manifest| manifest["onnx"] = onnx.clone());
        assert!(message.starts_with(expected), "{onnx}: {message}");
    }
    let twice = manifest().to_string().replacen('{', r#"{"onnx": {"state": {"a": "b", "a": "c"}}, "#, 1);
    let error = Manifest::parse(twice.as_bytes()).unwrap_err();
    assert_eq!(error.message, "`onnx.state` has the key `a` twice, with `b` and `c`");
}

#[test]
fn the_vocabulary_is_that_of_the_logits() {
    let place = folder(LSTM, &manifest());
    std::fs::write(place.path().join("vocab.txt"), "<eos>\na\n").unwrap();
    let message = load_folder(place.path(), Kernel::Portable).err().unwrap().message;
    assert_eq!(message, "`vocab.txt` has 2 entries, expected 11: the logits of `model.onnx`");
    std::fs::remove_file(place.path().join("vocab.txt")).unwrap();
    let message = load_folder(place.path(), Kernel::Portable).err().unwrap().message;
    assert!(
        message.starts_with("cannot read `vocab.txt`: ") && message.contains("one token a line"),
        "{message}"
    );
}

#[test]
fn the_identity_follows_all_that_decides_the_numbers() {
    let identity = |file: &str, change: fn(&mut Value)| loaded(file, change).unwrap().identity;
    let first = identity(CBOW, |manifest| manifest["onnx"] = json!({"pad": "a"}));
    assert_eq!(identity(CBOW, |manifest| manifest["onnx"] = json!({"pad": "a"})), first);
    assert_ne!(identity(CBOW, |manifest| manifest["onnx"] = json!({"pad": "b"})), first);
    let overridden =
        |manifest: &mut Value| manifest["architecture"] = json!({"gru_linear_before_reset": false});
    assert_ne!(identity(GRU, |_| ()), identity(GRU, overridden));

    let external = |change: &dyn Fn(&mut Vec<u8>)| {
        let place = folder("by_hand/lstm-external.onnx", &manifest());
        let mut weights = std::fs::read(Path::new(FILES).join("by_hand/lstm-external.bin")).unwrap();
        change(&mut weights);
        std::fs::write(place.path().join("lstm-external.bin"), weights).unwrap();
        load_folder(place.path(), Kernel::Portable).unwrap().identity
    };
    assert_ne!(external(&|_| ()), external(&|weights| weights[0] ^= 1));
}

#[test]
fn weights_beside_a_graph_are_counted_before_it_is_loaded() {
    let place = folder(LSTM, &manifest());
    let alone = weights_bytes(place.path()).unwrap();
    assert_eq!(alone as u64, place.path().join("model.onnx").metadata().unwrap().len());
    std::fs::create_dir(place.path().join("data")).unwrap();
    std::fs::create_dir(place.path().join(".git")).unwrap();
    // Of a sparse file, and the same under another name.
    let write = |name: &str, len: u64| {
        std::fs::File::create(place.path().join(name)).unwrap().set_len(len).unwrap();
    };
    write("model.onnx.data", 1 << 40);
    write("data/encoder.weight", 7);
    std::os::unix::fs::symlink("model.onnx.data", place.path().join("link")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", place.path().join("device")).unwrap();
    std::os::unix::fs::symlink("nothing", place.path().join("broken")).unwrap();
    for other in ["other.onnx", "model.safetensors", "README.md", ".git/pack"] {
        write(other, 1000);
    }
    assert_eq!(weights_bytes(place.path()).unwrap(), alone + (1 << 40) + 7);
}

#[test]
fn a_state_of_a_client_that_holds_no_ids_fails_its_row_alone() {
    for (file, stray) in
        [(CBOW, 0.5), (CBOW, 11.0), (CBOW, -1.0), (RESIDUAL, 12.0), (RESIDUAL, f32::INFINITY)]
    {
        let model = loaded(file, |manifest| manifest["onnx"] = json!({"pad": "a"})).unwrap().model;
        let mut values = model.start_state().as_slice().to_vec();
        *values.last_mut().unwrap() = stray;
        let mut states = [State::from(values), model.start_state()];
        let before = states[0].clone();
        let [first, second] = &mut states;
        let mut rows = [Row::new(first, &[1], Logits::Last), Row::new(second, &[1], Logits::Last)];
        model.run(&mut rows, &mut Scratch::new(0), &mut |row, _, _| assert_eq!(row, 1));
        assert!(rows[0].outcome.is_err() && rows[1].outcome.is_ok(), "{file} {stray}");
        assert_eq!(states[0], before);
    }
}

#[test]
fn an_inspection_shows_a_graph_and_a_manifest_to_start_from() {
    let place = folder(CBOW, &manifest());
    std::fs::remove_file(place.path().join("config.json")).unwrap();
    let message = load_folder(place.path(), Kernel::Portable).err().unwrap().message;
    assert!(message.starts_with("`model.onnx` has no manifest; `rnnlm-server inspect "), "{message}");

    let inspection = inspect(&place.path().join("model.onnx"), Kernel::Portable).unwrap();
    assert_eq!(inspection.error, None);
    let draft = inspection.draft.unwrap();
    draft.write(place.path()).unwrap();
    let written: Value =
        serde_json::from_slice(&std::fs::read(place.path().join("config.json")).unwrap()).unwrap();
    assert_eq!(written["onnx"], json!({"window": 5, "pad": "<eos>"}));
    assert_eq!(written["tokenizer"], json!({"kind": "char", "file": "vocab.txt", "eos": "<eos>"}));
    assert_eq!(written["initial_tokens"], json!(["<eos>"]));
    assert!(load_folder(place.path(), Kernel::Portable).is_ok());
    assert!(
        draft.write(place.path()).unwrap_err().message.starts_with("cannot write `"),
        "never overwritten"
    );
}

#[test]
fn an_inspection_drafts_the_window_of_a_graph_that_lost_its_state() {
    let place = folder(KERAS, &manifest());
    std::fs::remove_file(place.path().join("config.json")).unwrap();
    let inspection = inspect(&place.path().join("model.onnx"), Kernel::Portable).unwrap();
    assert_eq!(inspection.error, None);
    inspection.draft.unwrap().write(place.path()).unwrap();
    let served = load_folder(place.path(), Kernel::Portable).unwrap();
    assert_eq!(served.model.info().state_len, 10);
}

#[test]
fn a_guess_stays_a_warning_when_the_manifest_was_drafted() {
    let place = folder("checked/lstm-step-by-order.onnx", &manifest());
    std::fs::remove_file(place.path().join("config.json")).unwrap();
    let inspection = inspect(&place.path().join("model.onnx"), Kernel::Portable).unwrap();
    inspection.draft.unwrap().write(place.path()).unwrap();
    let warnings =
        || load_folder(place.path(), Kernel::Portable).unwrap().understanding.unwrap().warnings.clone();
    let guesses = warnings();
    assert_eq!(guesses.len(), 2, "{guesses:?}");
    assert!(guesses.iter().all(|guess| guess.contains("by their order alone")), "{guesses:?}");

    let path = place.path().join("config.json");
    let mut written: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    written["onnx"]["state"] = json!({"1": "3", "2": "4"});
    std::fs::write(&path, written.to_string()).unwrap();
    assert_eq!(warnings(), [""; 0], "the owner has said it");
}

#[test]
fn a_graph_that_is_refused_is_understood_all_the_same() {
    let inspection = inspect(&Path::new(FILES).join("refusals/lstm-clip.onnx"), Kernel::Portable).unwrap();
    assert!(inspection.error.is_some_and(|error| error.message.contains("clip")));
    let understanding = inspection.understanding.unwrap();
    assert_eq!((understanding.layers[0].op.as_str(), understanding.layers[0].hidden_size), ("LSTM", 5));
}

#[test]
fn inputs_with_one_value_are_as_the_manifest_says() {
    const KEEP: &str = "given/lstm-keep-prob.onnx";
    let given = |onnx: Value| loaded(KEEP, |manifest| manifest["onnx"] = onnx);
    let served = given(json!({"inputs": {"keep_prob": 1.0}})).unwrap();
    assert_eq!(served.model.info().backend, Backend::Native);
    let inputs = served.understanding.unwrap().inputs.clone();
    let role = inputs.iter().find(|input| input.port.name == "keep_prob").map(|input| input.role.clone());
    assert_eq!(role.as_deref(), Some("always 1.0, as config.json says"));
    let halved = given(json!({"inputs": {"keep_prob": 0.5}})).unwrap();
    assert_ne!(halved.identity, served.identity);
    let twice = manifest().to_string().replacen('{', r#"{"onnx": {"inputs": {"a": 1, "a": 2}}, "#, 1);
    let error = Manifest::parse(twice.as_bytes()).unwrap_err();
    assert_eq!(error.message, "`onnx.inputs` has the key `a` twice");

    // Without a value, `inspect` drafts the key, and the draft loads once its owner has said the value.
    let place = folder(KEEP, &manifest());
    std::fs::remove_file(place.path().join("config.json")).unwrap();
    let inspection = inspect(&place.path().join("model.onnx"), Kernel::Portable).unwrap();
    assert!(inspection.error.is_some_and(|error| error.message.contains("`onnx.inputs` has the value")));
    let draft: Value = serde_json::from_str(&inspection.draft.expect("a draft").json()).unwrap();
    assert_eq!(draft["onnx"]["inputs"], json!({"keep_prob": null}));
    let message = refusal(KEEP, |manifest| manifest["onnx"] = draft["onnx"].clone());
    assert!(message.contains("`onnx.inputs.keep_prob` is null"), "{message}");
}
