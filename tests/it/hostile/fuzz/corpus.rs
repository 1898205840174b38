//! Good model folders, and which of their files is mutated.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::random::Random;
use super::{bytes, json as json_mutations, protobuf};
use crate::harness::models::{write_graph, write_letters, write_words};
use crate::harness::root;

/// The files of a folder by name, one of which is mutated.
type Files = BTreeMap<String, Vec<u8>>;

/// Folders whose files of one kind are mutated.
pub(super) struct Corpus {
    format: Format,
    bases: Vec<Base>,
}

/// What a mutated file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Graph,
    Tensors,
    Manifest,
    Vocabulary,
    Tokenizer,
}

/// A folder that is served.
struct Base {
    name: String,
    files: Files,
    /// The file that is mutated.
    target: &'static str,
}

/// A folder that may be refused.
pub(super) struct Mutant {
    /// The folder that it was made from.
    pub(super) name: String,
    files: Files,
}

/// Graphs that the native engine runs, and graphs that tract runs, with what their manifests say of them.
const GRAPHS: [&str; 10] = [
    "by_hand/lstm-1-layout0-tb.onnx",
    "by_hand/gru-onehot.onnx",
    "by_hand/gru-tied-einsum.onnx",
    "by_hand/lstm-typed-data.onnx",
    "unrecognised/lstm-residual.onnx",
    "extended/torchscript-lstm-layer-norms-decomposed.onnx",
    "extended/lstm-2-scan-projected.onnx",
    "extended/torchscript-gru-start-repeat-bt.onnx",
    "unrecognised/elman-step.onnx",
    "windows/convolution-6.onnx",
];

const TOKENIZERS: [&str; 3] =
    ["tokenizer-byte-fallback.json", "tokenizer-byte-level.json", "tokenizer-wordpiece.json"];

impl Corpus {
    pub(super) fn all() -> [Self; 5] {
        [Self::graphs(), Self::tensors(), Self::manifests(), Self::vocabularies(), Self::tokenizers()]
    }

    pub(super) fn graphs() -> Self {
        Self { format: Format::Graph, bases: graphs("model.onnx") }
    }

    pub(super) fn tensors() -> Self {
        Self { format: Format::Tensors, bases: native("model.safetensors") }
    }

    pub(super) fn manifests() -> Self {
        let bases =
            native("config.json").into_iter().chain(graphs("config.json")).chain(tokenizers("config.json"));
        Self { format: Format::Manifest, bases: bases.collect() }
    }

    pub(super) fn vocabularies() -> Self {
        Self { format: Format::Vocabulary, bases: native("vocab.txt") }
    }

    pub(super) fn tokenizers() -> Self {
        Self { format: Format::Tokenizer, bases: tokenizers("tokenizer.json") }
    }

    pub(super) fn name(&self) -> String {
        format!("{:?}", self.format)
    }

    pub(super) fn len(&self) -> usize {
        self.bases.len()
    }

    /// A base as it is.
    pub(super) fn original(&self, index: usize) -> Mutant {
        let Base { name, files, .. } = &self.bases[index];
        Mutant { name: name.clone(), files: files.clone() }
    }

    /// A base with one to four mutations.
    pub(super) fn mutant(&self, random: &mut Random) -> Mutant {
        let index = random.below(self.bases.len());
        let mut mutant = self.original(index);
        let file = mutant.files.get_mut(self.bases[index].target).expect("every base has its target");
        for _ in 0..1 + random.below(4) {
            self.format.mutate(file, random);
        }
        mutant
    }
}

impl Format {
    fn mutate(self, file: &mut Vec<u8>, random: &mut Random) {
        // Now and then a file is damaged, and not only strange.
        if random.below(10) == 0 {
            return bytes::mutate(file, random);
        }
        match self {
            Format::Graph => protobuf::mutate(file, random),
            Format::Tensors => bytes::mutate_safetensors(file, random),
            Format::Vocabulary => bytes::mutate_lines(file, random),
            Format::Manifest | Format::Tokenizer => match serde_json::from_slice::<Value>(file) {
                Ok(mut document) => {
                    json_mutations::mutate(&mut document, random);
                    *file = document.to_string().into_bytes();
                }
                Err(_) => bytes::mutate(file, random),
            },
        }
    }
}

impl Mutant {
    /// Writes the folder.
    pub(super) fn write(&self, folder: &Path) {
        std::fs::create_dir(folder).unwrap();
        for (name, content) in &self.files {
            std::fs::write(folder.join(name), content).unwrap();
        }
    }
}

fn graphs(target: &'static str) -> Vec<Base> {
    let base = |file: &&str| {
        let onnx = if file.starts_with("windows/") { json!({"pad": "<unk>"}) } else { json!({}) };
        let root = tempdir().unwrap();
        let folder = write_graph(root.path(), file, &onnx);
        Base { name: (*file).to_owned(), files: read(&folder), target }
    };
    GRAPHS.iter().map(base).collect()
}

fn native(target: &'static str) -> Vec<Base> {
    let root = tempdir().unwrap();
    let folders = [write_words(root.path()), write_letters(root.path())];
    let base = |folder: &std::path::PathBuf| {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        Base { name, files: read(folder), target }
    };
    folders.iter().map(base).collect()
}

/// Each `tokenizer.json` of the tests over a network that is large enough for it.
fn tokenizers(target: &'static str) -> Vec<Base> {
    const VOCAB_SIZE: usize = 1000;

    let manifest = json!({
        "format_version": 1,
        "weights": "model.safetensors",
        "architecture": {"cell": "rnn_tanh", "vocab_size": VOCAB_SIZE, "embedding_size": 2, "hidden_sizes": [2], "tie_weights": true},
        "tokenizer": {"kind": "huggingface", "file": "tokenizer.json"},
    });
    let base = |file: &&str| {
        let tokenizer =
            std::fs::read(root().join("tests/data").join(file)).expect("a tokenizer of the tests");
        let files = [
            ("config.json", manifest.to_string().into_bytes()),
            ("tokenizer.json", tokenizer),
            ("model.safetensors", weights(VOCAB_SIZE)),
        ];
        let files = files.into_iter().map(|(name, content)| (name.to_owned(), content)).collect();
        Base { name: (*file).to_owned(), files, target }
    };
    TOKENIZERS.iter().map(base).collect()
}

/// A plain RNN of two units with tied weights.
fn weights(vocab_size: usize) -> Vec<u8> {
    let shapes = [
        ("encoder.weight", vec![vocab_size, 2]),
        ("rnn.weight_ih_l0", vec![2, 2]),
        ("rnn.weight_hh_l0", vec![2, 2]),
    ];
    let data: Vec<u8> = (0..vocab_size * 2).flat_map(|k| (k as f32 * 0.001).to_le_bytes()).collect();
    let views = shapes.into_iter().map(|(name, shape)| {
        let len = shape.iter().product::<usize>() * size_of::<f32>();
        (name, TensorView::new(Dtype::F32, shape, &data[..len]).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

fn read(folder: &Path) -> Files {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect()
}
