//! The sizes of a network and its weights, before they are checked and packed.
//!
//! Shapes and gate orders are PyTorch's; readers of other formats reorder.

use super::values::Values;
use crate::lm::{Cell, Dtype, WeightsType};

/// The sizes of `embedding -> recurrent layers -> affine`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// The cell of every layer.
    pub cell: Cell,
    /// Number of tokens, V.
    pub vocab_size: usize,
    /// Width of the embedding, E: the first layer's input.
    pub embedding_size: usize,
    /// Units of each layer, the first layer first; at least one layer.
    pub hidden_sizes: Vec<usize>,
    /// Where the reset gate of a GRU acts; nothing to any other cell.
    pub gru_form: GruForm,
    /// The function of the gates of a GRU or an LSTM; nothing to any other cell.
    pub gate_activation: GateActivation,
}

impl Architecture {
    /// The function of the gates; `None` for a cell without gates.
    pub fn gate_activation(&self) -> Option<GateActivation> {
        matches!(self.cell, Cell::Gru | Cell::Lstm).then_some(self.gate_activation)
    }

    /// The name of [`gate_activation`](Self::gate_activation).
    pub fn gate_activation_name(&self) -> Option<&'static str> {
        self.gate_activation().map(GateActivation::name)
    }

    /// The attribute `linear_before_reset` of a GRU; `None` for any other cell.
    pub fn gru_linear_before_reset(&self) -> Option<bool> {
        (self.cell == Cell::Gru).then_some(self.gru_form == GruForm::ResetAfter)
    }
}

/// The function of the gates of a GRU or an LSTM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GateActivation {
    /// `1 / (1 + exp(-x))`.
    #[default]
    Sigmoid,
    /// `min(max(0.2 x + 0.5, 0), 1)`: Keras before version 3, ONNX operator HardSigmoid.
    HardSigmoid,
    /// `min(max(x / 6 + 0.5, 0), 1)`: what Keras 3 calls by the same name.
    HardSigmoidSixth,
}

impl GateActivation {
    /// All of them.
    pub const ALL: [GateActivation; 3] =
        [GateActivation::Sigmoid, GateActivation::HardSigmoid, GateActivation::HardSigmoidSixth];

    /// The hard sigmoid of this slope.
    pub fn of_slope(slope: f32) -> Option<Self> {
        /// A slope is written as a float, or as the quotient of two.
        const ERROR_MAX: f32 = 1e-7;

        let is = |expected: f32| (slope - expected).abs() < ERROR_MAX;
        match (is(0.2), is(1.0 / 6.0)) {
            (true, _) => Some(GateActivation::HardSigmoid),
            (_, true) => Some(GateActivation::HardSigmoidSixth),
            _ => None,
        }
    }

    /// The name in manifests and answers.
    pub fn name(self) -> &'static str {
        match self {
            GateActivation::Sigmoid => "sigmoid",
            GateActivation::HardSigmoid => "hard_sigmoid",
            GateActivation::HardSigmoidSixth => "hard_sigmoid_sixth",
        }
    }
}

/// Where the reset gate of a GRU acts in its candidate `n` (ONNX operator GRU, attribute `linear_before_reset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GruForm {
    /// `n = tanh(W_in x + b_in + r * (W_hn h + b_hn))`: `linear_before_reset` 1, PyTorch, cuDNN.
    #[default]
    ResetAfter,
    /// `n = tanh(W_in x + b_in + W_hn (r * h) + b_hn)`: `linear_before_reset` 0, Cho et al. 2014.
    ResetBefore,
}

/// The weights of a network, row-major, in PyTorch's shapes and in the types of their file.
#[derive(Clone, Debug)]
pub struct Weights {
    /// `encoder.weight`, `[vocab, embedding]`.
    pub embedding: Values,
    /// The recurrent layers, the first layer first.
    pub layers: Vec<LayerWeights>,
    /// `decoder.weight`, `[vocab, hidden of the last layer]`; `None` when tied to the embedding.
    pub output: Option<Values>,
    /// `decoder.bias`, `[vocab]`; `None` is zeros.
    pub output_bias: Option<Values>,
}

/// The weights of one recurrent layer. Gates are stacked along the first dimension: i, f, g, o (LSTM), r, z, n (GRU).
#[derive(Clone, Debug)]
pub struct LayerWeights {
    /// `rnn.weight_ih_l{k}`, `[gates * hidden, input]`.
    pub w_ih: Values,
    /// `rnn.weight_hh_l{k}`, `[gates * hidden, hidden]`.
    pub w_hh: Values,
    /// `rnn.bias_ih_l{k}`, `[gates * hidden]`; `None` is zeros.
    pub b_ih: Option<Values>,
    /// `rnn.bias_hh_l{k}`, `[gates * hidden]`; `None` is zeros.
    pub b_hh: Option<Values>,
}

impl Weights {
    /// The type of the matrices that are multiplied; `F32` where they differ. Neither biases count nor an embedding that is
    /// only looked up.
    pub fn dtype(&self) -> Dtype {
        self.matrices().dtype()
    }

    /// The type whose precision the numbers have after a conversion to `to`: see
    /// [`ModelInfo::effective_dtype`](crate::lm::ModelInfo::effective_dtype).
    pub(super) fn effective_dtype(&self, to: WeightsType) -> Dtype {
        self.matrices().effective_dtype(to)
    }

    /// The same weights with all matrices in the type `to`; an embedding that is only looked up does not become int8.
    pub(super) fn converted(self, architecture: &Architecture, to: WeightsType) -> Self {
        let Self { embedding, layers, output, output_bias } = self;
        let is_looked_up = output.is_some() && to == WeightsType::Int8;
        let mut width = architecture.embedding_size;
        let embedding = if is_looked_up { embedding } else { embedding.converted(width, to) };
        let mut converted = Vec::new();
        for (layer, &hidden) in layers.into_iter().zip(&architecture.hidden_sizes) {
            let w_ih = layer.w_ih.converted(width, to);
            let w_hh = layer.w_hh.converted(hidden, to);
            converted.push(LayerWeights { w_ih, w_hh, ..layer });
            width = hidden;
        }
        let output = output.map(|output| output.converted(width, to));
        Self { embedding, layers: converted, output, output_bias }
    }

    /// Number of values; tied ones count once.
    pub(super) fn parameter_count(&self) -> u64 {
        let biases = self.layers.iter().flat_map(|layer| [&layer.b_ih, &layer.b_hh]);
        let biases = biases.chain([&self.output_bias]).flatten();
        self.matrices().all().chain(biases).map(|values| values.len() as u64).sum()
    }

    fn matrices(&self) -> Matrices<'_> {
        let layers = self.layers.iter().flat_map(|layer| [&layer.w_ih, &layer.w_hh]);
        let output = self.output.as_ref().unwrap_or(&self.embedding);
        let looked_up = self.output.as_ref().map(|_| &self.embedding);
        Matrices { multiplied: layers.chain([output]).collect(), looked_up }
    }
}

/// The matrices of a network.
pub(super) struct Matrices<'a> {
    /// Those that vectors are multiplied with.
    pub(super) multiplied: Vec<&'a Values>,
    /// An embedding that is only looked up.
    pub(super) looked_up: Option<&'a Values>,
}

impl<'a> Matrices<'a> {
    /// The type of those that are multiplied; `F32` where they differ.
    pub(super) fn dtype(&self) -> Dtype {
        let mut types = self.multiplied.iter().map(|matrix| matrix.dtype());
        let first = types.next().unwrap_or(Dtype::F32);
        if types.all(|dtype| dtype == first) { first } else { Dtype::F32 }
    }

    /// The type whose precision the numbers have after a conversion to `to`.
    pub(super) fn effective_dtype(&self, to: WeightsType) -> Dtype {
        let has = |dtype: Dtype| move |matrix: &Values| matrix.dtype() == dtype;
        match to {
            WeightsType::AsStored if self.multiplied.iter().copied().any(has(Dtype::Int8)) => Dtype::Int8,
            WeightsType::AsStored | WeightsType::F32 => Dtype::F32,
            WeightsType::Bf16 if self.all().all(has(Dtype::Bf16)) => Dtype::F32,
            WeightsType::Bf16 => Dtype::Bf16,
            WeightsType::Int8 => Dtype::Int8,
        }
    }

    /// All of them; a tied embedding once.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a Values> {
        self.multiplied.iter().copied().chain(self.looked_up)
    }
}
