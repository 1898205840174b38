//! Every file of `tests/data/hostile` beside a good model, which is served.

use std::collections::BTreeMap;
use std::time::Duration;

use rnnlm_server::catalog::{Catalog, Selection};
use tempfile::tempdir;

use super::folder::{hostile, probing, write_graph, write_tokenizer};
use crate::harness::models::write_words;
use crate::harness::onnx_files;
use crate::harness::program::{Ended, program};

/// Each graph, and a part of its refusal: the node, where it is known.
const GRAPHS: [(&str, &str); 11] = [
    ("constantofshape-mul.onnx", "ConstantOfShape"),
    ("conv-pads-2e40.onnx", "conv_3"),
    ("einsum.onnx", "EinSum"),
    ("length-2e40.onnx", "1099511627776"),
    ("length-2e62.onnx", "4611686018427387904"),
    ("lstm-200000-constant-steps.part", "--onnx-probe-timeout"),
    ("pad-big.onnx", "Pad"),
    ("pad.onnx", "Pad"),
    ("reducelogsum.onnx", "node"),
    ("resize.onnx", "Resize"),
    ("transpose-perm-twice-1.onnx", "Transpose"),
];

/// Each `tokenizer.json`, and a part of its refusal.
const TOKENIZERS: [(&str, &str); 2] = [
    (
        "tokenizer-id-2e32.json",
        "the entry `b` has the id 4294967295; the maximum in a file of 104 bytes is 103",
    ),
    ("tokenizer-precompiled.json", "claims a trie of 4294967295 bytes, and has 4 bytes in all"),
];

#[test]
fn every_hostile_file_is_refused_and_a_good_model_beside_it_is_served() {
    let root = tempdir().unwrap();
    write_words(root.path());
    for (file, _) in GRAPHS {
        write_graph(root.path(), file, &hostile(file));
    }
    for (file, _) in TOKENIZERS {
        write_tokenizer(root.path(), file, &hostile(file));
    }
    let selection = Selection {
        models: root.path().to_owned(),
        default_model: None,
        strict: false,
        loading: probing(Duration::from_secs(5)),
    };
    let catalog = Catalog::load(&selection).unwrap();
    let served: Vec<&str> = catalog.iter().map(|served| &*served.name).collect();
    assert_eq!(served, ["words"]);
    let name = |failure: &rnnlm_server::catalog::Failure| {
        failure.folder.file_name().unwrap().to_str().unwrap().to_owned()
    };
    let failures: BTreeMap<String, String> =
        catalog.failures().iter().map(|failure| (name(failure), failure.error.to_string())).collect();
    let expected: BTreeMap<&str, &str> = GRAPHS.into_iter().chain(TOKENIZERS).collect();
    let wrong: Vec<String> = expected
        .iter()
        .filter(|(file, part)| !failures.get(**file).is_some_and(|message| message.contains(**part)))
        .map(|(file, part)| format!("{file}: expected `{part}`, found {:?}", failures.get(*file)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_limits_of_the_child_are_options() {
    let root = tempdir().unwrap();
    let graph = std::fs::read(onnx_files().join("unrecognised/lstm-residual.onnx")).unwrap();
    write_graph(root.path(), "model", &graph);
    let inspect = |variable: &str, value: &str| {
        Ended::run(program().arg("inspect").arg(root.path().join("model")).env(variable, value))
    };
    inspect("RNNLM_ONNX_PROBE_MEMORY", "1GiB").succeeded();
    for (variable, value, option) in [
        ("RNNLM_ONNX_PROBE_MEMORY", "1MiB", "--onnx-probe-memory"),
        ("RNNLM_ONNX_PROBE_TIMEOUT", "1us", "--onnx-probe-timeout"),
    ] {
        let message = inspect(variable, value).failed(1);
        assert!(message.contains(option), "{message}");
    }
}
