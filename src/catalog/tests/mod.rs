//! Folders on disk: one that is right, and what every way of being wrong is answered with.

mod extras;
mod files;
#[cfg(feature = "onnx")]
mod graphs;
mod manifests;
mod models;
mod tensors;

use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The files of one model folder: an LSTM of one layer over four words, right until a test changes something.
struct Folder {
    manifest: Value,
    vocabulary: String,
    tensors: Vec<Tensor>,
    /// What is written in the place of the tensors.
    weights: Option<Vec<u8>>,
}

#[derive(Clone)]
struct Tensor {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Folder {
    fn new() -> Self {
        let manifest = json!({
            "format_version": 1,
            "weights": "model.safetensors",
            "architecture": {"cell": "lstm", "vocab_size": 4, "embedding_size": 3, "hidden_sizes": [2]},
            "tokenizer": {"kind": "whitespace", "file": "vocab.txt", "unk": "<unk>", "eos": "<eos>", "newline": "<eos>"},
            "initial_tokens": ["<eos>"],
        });
        let tensors = vec![
            Tensor::f32("encoder.weight", &[4, 3]),
            Tensor::f32("rnn.weight_ih_l0", &[8, 3]),
            Tensor::f32("rnn.weight_hh_l0", &[8, 2]),
            Tensor::f32("rnn.bias_ih_l0", &[8]),
            Tensor::f32("rnn.bias_hh_l0", &[8]),
            Tensor::f32("decoder.weight", &[4, 2]),
            Tensor::f32("decoder.bias", &[4]),
        ];
        Self { manifest, vocabulary: "<unk>\n<eos>\nthe\nsea\n".into(), tensors, weights: None }
    }

    /// The value at `pointer` (RFC 6901) of the manifest, put in where it is not there.
    fn key(&mut self, pointer: &str) -> &mut Value {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
        &mut self.manifest.pointer_mut(parent).expect("the parent is there")[key]
    }

    fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).expect("a tensor of the folder")
    }

    fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        let weights = self.weights.clone().unwrap_or_else(|| file_of(&self.tensors));
        std::fs::write(folder.join("config.json"), self.manifest.to_string()).unwrap();
        std::fs::write(folder.join("vocab.txt"), &self.vocabulary).unwrap();
        std::fs::write(folder.join("model.safetensors"), weights).unwrap();
    }
}

impl Tensor {
    /// Small numbers, all different.
    fn f32(name: &str, shape: &[usize]) -> Self {
        let values = (0..shape.iter().product()).map(|k| k as f32 * 0.01 - 0.03);
        let data = values.flat_map(f32::to_le_bytes).collect();
        Self { name: name.to_owned(), dtype: Dtype::F32, shape: shape.to_owned(), data }
    }

    fn view(&self) -> TensorView<'_> {
        TensorView::new(self.dtype, self.shape.clone(), &self.data).expect("a tensor that is right")
    }
}

fn file_of(tensors: &[Tensor]) -> Vec<u8> {
    let views = tensors.iter().map(|tensor| (tensor.name.clone(), tensor.view()));
    safetensors::serialize(views, None).expect("tensors that are right")
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}
