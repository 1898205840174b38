//! The models of the tests: folders with weights from a counter, which are written and then loaded like those of a user, and
//! scripted models.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::UNIX_EPOCH;

use rnnlm_server::catalog::{Parts, Served, load_folder};
use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::fake::Fake;
use rnnlm_server::rnn::Rnn;
use rnnlm_server::text::{Tokenizer, TokenizerKind, TokenizerSpec};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use super::network::mix;
use crate::rnn::Fixture;

/// The entries of [`words`], by id.
pub(crate) const VOCABULARY: [&str; 12] =
    ["<unk>", "<eos>", "the", "sea", "a", "ship", "of", "stars", "old", "man", "and", "sings"];

/// An LSTM of two layers over words. It has an unknown token, and starts after the end-of-text token, which is also its line end.
pub(crate) fn words() -> Served {
    static WORDS: LazyLock<Served> = LazyLock::new(|| load(write_words));
    WORDS.clone()
}

/// Writes the folder of [`words`] into `root`.
pub(crate) fn write_words(root: &Path) -> PathBuf {
    let tokenizer = json!({"kind": "whitespace", "file": "vocab.txt", "unk": "<unk>", "eos": "<eos>", "newline": "<eos>"});
    Folder { name: "words", cell: "lstm", gates: 4, vocabulary: &VOCABULARY, tokenizer, initial: "<eos>" }
        .write(root)
}

/// A GRU of other weights over the tokens of [`words`].
pub(crate) fn words_gru() -> Served {
    static WORDS: LazyLock<Served> = LazyLock::new(|| load(write_words_gru));
    WORDS.clone()
}

/// Writes the folder of [`words_gru`] into `root`.
pub(crate) fn write_words_gru(root: &Path) -> PathBuf {
    let tokenizer = json!({"kind": "whitespace", "file": "vocab.txt", "unk": "<unk>", "eos": "<eos>", "newline": "<eos>"});
    let vocabulary = &VOCABULARY;
    Folder { name: "words-gru", cell: "gru", gates: 3, vocabulary, tokenizer, initial: "<eos>" }.write(root)
}

/// A GRU over characters, without an unknown token and without initial tokens.
pub(crate) fn letters() -> Served {
    static LETTERS: LazyLock<Served> = LazyLock::new(|| load(write_letters));
    LETTERS.clone()
}

/// Writes the folder of [`letters`] into `root`.
pub(crate) fn write_letters(root: &Path) -> PathBuf {
    let tokenizer = json!({"kind": "char", "file": "vocab.txt"});
    let vocabulary = ["a", "b", "c", "d", "e", " ", "é", "\\n"];
    Folder { name: "letters", cell: "gru", gates: 3, vocabulary: &vocabulary, tokenizer, initial: "" }
        .write(root)
}

fn load(write: fn(&Path) -> PathBuf) -> Served {
    let root = tempfile::tempdir().unwrap();
    load_folder(&write(root.path()), Kernel::choose(None).unwrap()).unwrap()
}

/// The entries of [`graph`], by id.
#[cfg(feature = "onnx")]
pub(crate) const GRAPH_VOCABULARY: [&str; 11] =
    ["<unk>", "<eos>", "the", "sea", "a", "ship", "of", "stars", "old", "man", "and"];

/// Writes a folder over the ONNX file `file` of `tests/onnx/files`, which has eleven tokens, into `root`; `onnx` is what the
/// manifest says of it.
#[cfg(feature = "onnx")]
pub(crate) fn write_graph(root: &Path, file: &str, onnx: &Value) -> PathBuf {
    let path = super::onnx_files().join(file);
    let folder = root.join(path.file_stem().unwrap());
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(&path, folder.join("model.onnx")).unwrap();
    let manifest = json!({
        "format_version": 1,
        "weights": "model.onnx",
        "onnx": onnx,
        "tokenizer": {"kind": "whitespace", "file": "vocab.txt", "unk": "<unk>", "eos": "<eos>", "newline": "<eos>"},
        "initial_tokens": ["<eos>"],
    });
    std::fs::write(folder.join("config.json"), manifest.to_string()).unwrap();
    std::fs::write(folder.join("vocab.txt"), GRAPH_VOCABULARY.join("\n")).unwrap();
    folder
}

/// The model of [`write_graph`].
#[cfg(feature = "onnx")]
pub(crate) fn graph(file: &str, onnx: &Value) -> Served {
    let root = tempfile::tempdir().unwrap();
    load_folder(&write_graph(root.path(), file, onnx), Kernel::choose(None).unwrap()).unwrap()
}

/// A scripted model over the words `a` to `z`, which starts after `a`.
pub(crate) fn scripted(fake: impl FnOnce(Fake) -> Fake) -> Served {
    let words: Vec<String> = ('a'..='z').map(String::from).collect();
    let spec = TokenizerSpec::new(TokenizerKind::Whitespace);
    let tokenizer = Tokenizer::new(&spec, words.join("\n").as_bytes()).unwrap();
    let parts = Parts {
        name: "scripted".into(),
        model: Arc::new(fake(Fake::new(words.len()))),
        tokenizer: Arc::new(tokenizer),
        identity: "scripted".into(),
        created: UNIX_EPOCH,
        understanding: None,
    };
    Served::new(parts, vec![0]).unwrap()
}

/// A network of `tests/golden` over 31 words.
pub(crate) fn golden(file: &str) -> Served {
    let path = super::root().join(format!("tests/golden/{file}.safetensors"));
    let Fixture { architecture, weights, .. } = Fixture::read(&std::fs::read(path).unwrap());
    let words: Vec<String> = (0..architecture.vocab_size).map(|id| format!("word{id}")).collect();
    let spec = TokenizerSpec::new(TokenizerKind::Whitespace);
    let parts = Parts {
        name: file.into(),
        model: Arc::new(Rnn::new(&architecture, weights, Kernel::choose(None).unwrap()).unwrap()),
        tokenizer: Arc::new(Tokenizer::new(&spec, words.join("\n").as_bytes()).unwrap()),
        identity: file.into(),
        created: UNIX_EPOCH,
        understanding: None,
    };
    Served::new(parts, Vec::new()).unwrap()
}

/// What a model folder is made of.
struct Folder<'a> {
    name: &'a str,
    cell: &'a str,
    gates: usize,
    vocabulary: &'a [&'a str],
    tokenizer: Value,
    initial: &'a str,
}

const EMBEDDING: usize = 6;
const HIDDEN: [usize; 2] = [8, 5];

impl Folder<'_> {
    /// Writes the folder into `root`.
    fn write(&self, root: &Path) -> PathBuf {
        let folder = root.join(self.name);
        std::fs::create_dir(&folder).unwrap();
        let initial: Vec<&str> = [self.initial].into_iter().filter(|entry| !entry.is_empty()).collect();
        let manifest = json!({
            "format_version": 1,
            "weights": "model.safetensors",
            "architecture": {"cell": self.cell, "vocab_size": self.vocabulary.len(), "embedding_size": EMBEDDING,
                "hidden_sizes": HIDDEN},
            "tokenizer": self.tokenizer,
            "initial_tokens": initial,
        });
        std::fs::write(folder.join("config.json"), manifest.to_string()).unwrap();
        std::fs::write(folder.join("vocab.txt"), self.vocabulary.join("\n")).unwrap();
        std::fs::write(folder.join("model.safetensors"), self.weights()).unwrap();
        folder
    }

    fn weights(&self) -> Vec<u8> {
        let mut tensors = vec![tensor("encoder.weight".into(), &[self.vocabulary.len(), EMBEDDING])];
        let mut input = EMBEDDING;
        for (layer, hidden) in HIDDEN.into_iter().enumerate() {
            let columns = self.gates * hidden;
            tensors.push(tensor(format!("rnn.weight_ih_l{layer}"), &[columns, input]));
            tensors.push(tensor(format!("rnn.weight_hh_l{layer}"), &[columns, hidden]));
            tensors.push(tensor(format!("rnn.bias_ih_l{layer}"), &[columns]));
            tensors.push(tensor(format!("rnn.bias_hh_l{layer}"), &[columns]));
            input = hidden;
        }
        tensors.push(tensor("decoder.weight".into(), &[self.vocabulary.len(), input]));
        tensors.push(tensor("decoder.bias".into(), &[self.vocabulary.len()]));
        let views = tensors.iter().map(|(name, shape, bytes)| {
            (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }
}

/// A tensor of numbers in `-1..1`. Each number depends on the tensor's name and the number's index.
fn tensor(name: String, shape: &[usize]) -> (String, Vec<usize>, Vec<u8>) {
    let seed = name.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let value = |place: u64| (mix(seed ^ place << 32) >> 40) as f32 / (1 << 23) as f32 - 1.0;
    let values = (0..shape.iter().product::<usize>() as u64).map(value);
    let bytes = values.flat_map(f32::to_le_bytes).collect();
    (name, shape.to_vec(), bytes)
}
