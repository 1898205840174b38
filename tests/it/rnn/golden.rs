//! Logits and states compared with PyTorch in double precision (`tests/golden/make.py`).

use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{Cell, Logits, TokenId};
use rnnlm_server::rnn::{
    Architecture, GateActivation, GruForm, LayerWeights, Norm, NormForm, Rnn, Scaled, Statistics, Values,
    Weights,
};
use safetensors::SafeTensors;

use crate::harness::root;
use crate::harness::rows::{Ask, kernels, run};

#[test]
fn logits_and_states_agree_with_pytorch_over_fifty_tokens() {
    let folder = root().join("tests/golden");
    let files = std::fs::read_dir(folder)
        .expect("the folder of vectors")
        .map(|entry| entry.expect("an entry").path());
    let fixtures: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect();
    assert_eq!(fixtures.len(), 28, "four networks for each cell, and four with more than layers");
    for path in fixtures {
        let bytes = std::fs::read(&path).expect("a readable file");
        let fixture = Fixture::read(&bytes);
        for kernel in kernels() {
            fixture.check(kernel, &path.file_name().expect("a file name").to_string_lossy());
        }
    }
}

pub(crate) struct Fixture {
    pub(crate) architecture: Architecture,
    pub(crate) weights: Weights,
    pub(super) tokens: Vec<TokenId>,
    /// `[tokens, vocab]`, after each token.
    logits: Vec<f64>,
    /// h of each layer, then c for an LSTM, layer after layer.
    state: Vec<f64>,
}

impl Fixture {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let file = SafeTensors::deserialize(bytes).expect("a safetensors file");
        let (_, header) = SafeTensors::read_metadata(bytes).expect("a safetensors header");
        let metadata = header.metadata().as_ref().expect("metadata");
        let (cell, gru_form) = match metadata["cell"].as_str() {
            "gru_reset_before" => (Cell::Gru, GruForm::ResetBefore),
            name => {
                let cell = Cell::ALL.into_iter().find(|cell| cell.name() == name).expect("a known cell");
                (cell, GruForm::ResetAfter)
            }
        };
        let f32s =
            |name: &str| file.tensor(name).ok().map(|t| Values::from(values(t.data(), f32::from_le_bytes)));
        let f64s = |name: &str| values(file.tensor(name).expect(name).data(), f64::from_le_bytes);
        let shape = |name: &str| file.tensor(name).expect(name).shape().to_vec();

        let depth = (0..).take_while(|k| file.tensor(&format!("rnn.weight_hh_l{k}")).is_ok()).count();
        let layers = (0..depth).map(|k| LayerWeights {
            w_ih: f32s(&format!("rnn.weight_ih_l{k}")).expect("input weights"),
            w_hh: f32s(&format!("rnn.weight_hh_l{k}")).expect("recurrent weights"),
            b_ih: f32s(&format!("rnn.bias_ih_l{k}")),
            b_hh: f32s(&format!("rnn.bias_hh_l{k}")),
            w_hr: f32s(&format!("rnn.weight_hr_l{k}")),
            h0: f32s(&format!("rnn.h0_l{k}")),
            c0: f32s(&format!("rnn.c0_l{k}")),
            norms: norm(k, &f32s),
        });
        let embedding_shape = shape("encoder.weight");
        Self {
            architecture: Architecture {
                cell,
                vocab_size: embedding_shape[0],
                embedding_size: embedding_shape[1],
                hidden_sizes: (0..depth)
                    .map(|k| shape(&format!("rnn.weight_hh_l{k}"))[0] / cell.gates())
                    .collect(),
                gru_form,
                gate_activation: GateActivation::Sigmoid,
                proj_size: file.tensor("rnn.weight_hr_l0").ok().map(|tensor| tensor.shape()[0]),
            },
            weights: Weights {
                embedding: f32s("encoder.weight").expect("an embedding"),
                layers: layers.collect(),
                output: f32s("decoder.weight"),
                output_bias: f32s("decoder.bias"),
                output_norms: norm(depth, &f32s),
            },
            tokens: values(file.tensor("tokens").expect("tokens").data(), u32::from_le_bytes),
            logits: f64s("logits"),
            state: f64s("state"),
        }
    }

    fn check(&self, kernel: Kernel, name: &str) {
        let model = Rnn::new(&self.architecture, self.weights.clone(), kernel).expect(name);
        let read = run(&model, vec![Ask::fresh(&model, &self.tokens, Logits::Each)]).remove(0);
        let ask = Ask { state: read.state.clone(), tokens: &[], logits: Logits::Last };
        let last = run(&model, vec![ask]).remove(0);
        // Position 0 is before the first token; PyTorch begins after it.
        let logits = read.logits[1..].iter().chain(&last.logits).flat_map(|(_, logits)| logits);
        agree(logits, &self.logits, &format!("{name}, {}: logits", kernel.name()));
        agree(read.state.as_slice().iter(), &self.state, &format!("{name}, {}: state", kernel.name()));
    }
}

/// The normalisation before layer `k`, with PyTorch's default epsilon: of a batch, if there are statistics.
fn norm(k: usize, tensors: &dyn Fn(&str) -> Option<Values>) -> Vec<Norm> {
    const EPSILON: f32 = 1e-5;

    let part = |part: &str| tensors(&format!("norm.{k}.{part}")).map(Values::widened);
    let (Some(scale), Some(shift)) = (part("weight"), part("bias")) else { return Vec::new() };
    vec![match (part("running_mean"), part("running_var")) {
        (Some(mean), Some(variance)) => {
            Norm::of_statistics(Scaled { scale, shift }, &Statistics { mean, variance, epsilon: EPSILON })
        }
        _ => Norm { form: NormForm::OfVector { epsilon: EPSILON }, scale, shift },
    }]
}

fn agree<'a>(found: impl Iterator<Item = &'a f32>, expected: &[f64], what: &str) {
    let found: Vec<f64> = found.map(|&x| f64::from(x)).collect();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-5 + 1e-5 * b.abs(), "{what}: found {a} at {index}, expected {b}");
    }
}

fn values<const N: usize, T>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| from(bytes)).collect()
}
