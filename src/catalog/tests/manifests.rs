//! Wrong manifests and vocabularies, each with what is said about it.

use super::super::{DeclaredNetwork, Manifest, NetworkSpec, load_folder};
use super::*;
use crate::error::ErrorKind;
use crate::kernels::Kernel;
use crate::rnn::GruForm;
use crate::text::TokenizerKind;

/// What loading the folder is refused with, after `change`.
fn refusal(change: impl FnOnce(&mut Folder)) -> String {
    let mut folder = Folder::new();
    change(&mut folder);
    let place = temporary();
    folder.write(place.path());
    let error = load_folder(place.path(), Kernel::Portable).err().expect("a folder that is wrong");
    assert_eq!(error.kind, ErrorKind::Load);
    error.message
}

#[test]
fn a_manifest_with_all_keys_is_read() {
    let json = json!({
        "format_version": 1, "weights": "w.safetensors",
        "architecture": {"cell": "gru", "vocab_size": 9, "embedding_size": 4, "hidden_sizes": [3, 4],
                         "tie_weights": true, "gru_linear_before_reset": false},
        "tokenizer": {"kind": "word", "file": "v.txt", "unk": "u", "eos": "e", "newline": "n", "lowercase": true,
                      "replace": {"’": "'", "…": "..."}, "pattern": "x"},
        "initial_tokens": ["e"],
    });
    let manifest = Manifest::parse(json.to_string().as_bytes()).unwrap();
    assert_eq!((manifest.weights.as_str(), manifest.tokenizer_file.as_str()), ("w.safetensors", "v.txt"));
    let NetworkSpec::Declared(DeclaredNetwork { architecture, tie_weights, .. }) = manifest.network else {
        panic!("{:?}", manifest.network);
    };
    assert_eq!((architecture.gru_form, tie_weights), (GruForm::ResetBefore, true));
    assert_eq!(architecture.hidden_sizes, [3, 4]);
    assert_eq!((manifest.tokenizer.kind, manifest.tokenizer.lowercase), (TokenizerKind::Word, true));
    assert_eq!(manifest.tokenizer.replace.len(), 2);
    assert_eq!(manifest.initial_tokens, ["e"]);
}

/// Each key set to the value is refused with a message that begins so.
fn assert_refused(table: &[(&str, Value, &str)]) {
    for (pointer, value, expected) in table {
        let message = refusal(|folder| *folder.key(pointer) = value.clone());
        assert!(message.starts_with(expected), "{pointer} = {value}: {message}");
    }
}

#[test]
fn wrong_keys_are_named_with_what_was_found_and_expected() {
    assert_refused(&[
        ("/format_version", json!(2), "`config.json`: `format_version` is 2, expected 1"),
        (
            "/format_version",
            json!("1"),
            "`config.json`: `format_version`: invalid type: string \"1\", expected u64",
        ),
        ("/weight", json!("x"), "`config.json`: `weight`: unknown field `weight`, expected one of"),
        (
            "/onnx",
            json!({"window": 4}),
            "`config.json`: `onnx` was found, but `weights` is `model.safetensors`, expected an `.onnx` file",
        ),
        (
            "/weights",
            json!("../x"),
            "`config.json`: `weights` is `../x`, expected the name of a file in the folder",
        ),
        (
            "/weights_dtype",
            json!("f8"),
            "`config.json`: `weights_dtype`: found `f8`, expected one of `as-stored`, `f32`, `bf16`, `int8`",
        ),
        ("/initial_tokens", json!(["<s>"]), "`initial_tokens` has `<s>`, which the vocabulary does not have"),
        (
            "/initial_tokens",
            json!([1]),
            "`config.json`: `initial_tokens[0]`: invalid type: integer `1`, expected a string",
        ),
    ]);
}

#[test]
fn wrong_architectures_are_named_with_what_was_found_and_expected() {
    assert_refused(&[
        ("/architecture", json!(null), "`config.json`: `architecture` is missing"),
        (
            "/architecture/cell",
            json!("rnn"),
            "`config.json`: `architecture.cell`: found `rnn`, expected one of `rnn_tanh`, `rnn_relu`, `rnn_sigmoid`, `gru`, `lstm`",
        ),
        (
            "/architecture/vocab_size",
            json!(0),
            "`config.json`: `architecture.vocab_size`: invalid value: integer `0`, expected a nonzero u32",
        ),
        ("/architecture/hidden_sizes", json!([]), "`config.json`: `architecture.hidden_sizes` is empty"),
        (
            "/architecture/hidden_sizes",
            json!([2, -1]),
            "`config.json`: `architecture.hidden_sizes[1]`: invalid value: integer `-1`, expected a nonzero u32",
        ),
        (
            "/architecture/tie_weights",
            json!(true),
            "`config.json`: `architecture.tie_weights` is true and `embedding_size` is 3, expected 2",
        ),
        ("/architecture/layers", json!(1), "`config.json`: `architecture.layers`: unknown field `layers`"),
    ]);
}

#[test]
fn wrong_tokenizers_are_named_with_what_was_found_and_expected() {
    assert_refused(&[
        (
            "/tokenizer/kind",
            json!("bpe"),
            "`config.json`: `tokenizer.kind`: found `bpe`, expected one of `whitespace`, `word`, `char`, `huggingface`",
        ),
        (
            "/tokenizer/file",
            json!("/etc/passwd"),
            "`config.json`: `tokenizer.file` is `/etc/passwd`, expected the name of a file in the folder",
        ),
        ("/tokenizer/file", json!("words.txt"), "cannot read `words.txt`: "),
        (
            "/tokenizer/replace",
            json!(["a"]),
            "`config.json`: `tokenizer.replace`: invalid type: sequence, expected an object",
        ),
        ("/tokenizer/replace", json!({"": "a"}), "`tokenizer` with `vocab.txt`: `replace` has an empty key"),
        (
            "/tokenizer/pattern",
            json!("x"),
            "`tokenizer` with `vocab.txt`: `pattern` is set although `kind` is `whitespace`",
        ),
        (
            "/tokenizer/unk",
            json!("<u>"),
            "`tokenizer` with `vocab.txt`: `unk` is `<u>`, which is not in the vocabulary",
        ),
    ]);
}

#[test]
fn missing_and_repeated_keys_are_named() {
    for key in ["format_version", "weights", "tokenizer"] {
        let message = refusal(|folder| {
            folder.manifest.as_object_mut().unwrap().remove(key);
        });
        assert!(message.starts_with(&format!("`config.json`: missing field `{key}`")), "{message}");
    }
    let twice = |json: &str| Manifest::parse(json.as_bytes()).unwrap_err().message;
    let message = twice(r#"{"format_version": 1, "weights": "x", "weights": "y"}"#);
    assert!(message.contains("duplicate field `weights`"), "{message}");
    assert!(twice("{} x").starts_with("missing field"), "{}", twice("{} x"));
}

#[test]
fn a_replacement_that_is_there_twice_is_refused() {
    let json =
        Folder::new().manifest.to_string().replace(r#""unk":"#, r#""replace": {"a": "b", "a": "c"}, "unk":"#);
    let manifest = Manifest::parse(json.as_bytes()).unwrap();
    let error = crate::text::Tokenizer::new(&manifest.tokenizer, b"<unk>\n<eos>\n").err().unwrap();
    assert_eq!(error.message, "`replace` has the key `a` twice");
}

#[test]
fn what_follows_the_manifest_is_refused() {
    let json = Folder::new().manifest.to_string() + "{}";
    let message = Manifest::parse(json.as_bytes()).unwrap_err().message;
    assert!(message.starts_with("trailing characters"), "{message}");
}

#[test]
fn a_vocabulary_is_as_long_as_the_output_layer() {
    for (vocabulary, found) in [("<unk>\n<eos>\nthe\n", 3), ("<unk>\n<eos>\nthe\nsea\nold\n", 5)] {
        let message = refusal(|folder| folder.vocabulary = vocabulary.into());
        assert_eq!(
            message,
            format!("`vocab.txt` has {found} entries, expected 4: `architecture.vocab_size`")
        );
    }
    let message = refusal(|folder| folder.vocabulary = "<unk>\n<eos>\nthe\nthe\n".into());
    assert_eq!(message, "`tokenizer` with `vocab.txt`: line 4 repeats `the` of line 3");
}

#[test]
fn only_a_hugging_face_vocabulary_may_be_padded() {
    let load = |vocab_size: usize| {
        let mut folder = Folder::new();
        folder.vocabulary = include_str!("../../../tests/data/tokenizer-wordpiece.json").into();
        *folder.key("/tokenizer") = json!({"kind": "huggingface", "file": "vocab.txt"});
        *folder.key("/initial_tokens") = json!(["[CLS]"]);
        *folder.key("/architecture/vocab_size") = json!(vocab_size);
        for (name, shape) in [
            ("encoder.weight", vec![vocab_size, 3]),
            ("decoder.weight", vec![vocab_size, 2]),
            ("decoder.bias", vec![vocab_size]),
        ] {
            *folder.tensor(name) = Tensor::f32(name, &shape);
        }
        let place = temporary();
        folder.write(place.path());
        load_folder(place.path(), Kernel::Portable)
            .map(|served| (served.tokenizer.vocab_size(), served.initial_tokens))
    };
    assert_eq!(load(16).unwrap(), (16, vec![2]));
    assert_eq!(load(64).unwrap(), (16, vec![2]));
    let message = load(15).unwrap_err().message;
    assert_eq!(message, "`vocab.txt` has 16 entries, expected 15 at most: `architecture.vocab_size`");
}

#[cfg(not(feature = "onnx"))]
#[test]
fn a_graph_is_refused_with_what_the_program_was_built_without() {
    let message = refusal(|folder| {
        *folder.key("/weights") = json!("model.onnx");
        *folder.key("/architecture") = Value::Null;
    });
    assert!(
        message.starts_with("`model.onnx`: an ONNX file, ") && message.contains("feature `onnx`"),
        "{message}"
    );
}
