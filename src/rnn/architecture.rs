//! The sizes of a network and its weights, before they are checked and packed.
//!
//! Shapes and gate orders are PyTorch's; readers of other formats reorder.

use super::norm::Norm;
use super::values::Values;
use crate::lm::{Cell, Dtype, State, WeightsType};

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
    /// P, the width of an LSTM's h where it is a projection of the cell's output, in all layers; `None` where h has a value for each unit
    /// (Sak et al. 2014; PyTorch's `nn.LSTM(proj_size=P)`).
    pub proj_size: Option<usize>,
    /// Where the reset gate of a GRU acts; nothing to any other cell.
    pub gru_form: GruForm,
    /// The function of the gates of a GRU or an LSTM; nothing to any other cell.
    pub gate_activation: GateActivation,
}

impl Architecture {
    /// Width of the h of a layer with `hidden` units.
    pub fn width(&self, hidden: usize) -> usize {
        self.proj_size.unwrap_or(hidden)
    }

    /// Values that a layer with `hidden` units carries: h, and an LSTM's c.
    pub(super) fn state_len(&self, hidden: usize) -> usize {
        match self.cell {
            Cell::Lstm => self.width(hidden) + hidden,
            Cell::RnnTanh | Cell::RnnRelu | Cell::RnnSigmoid | Cell::Gru => hidden,
        }
    }

    /// Width of the top layer's h, which the output layer reads.
    pub fn output_width(&self) -> usize {
        self.hidden_sizes.last().map_or(self.embedding_size, |&hidden| self.width(hidden))
    }

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
    /// What the top layer's h goes through before the output layer reads it, `[hidden of the last layer]` wide.
    pub output_norms: Vec<Norm>,
}

/// The weights of one recurrent layer. Gates are stacked along the first dimension: i, f, g, o (LSTM), r, z, n (GRU). `width` is that of the
/// layer's h: [`Architecture::width`].
#[derive(Clone, Debug)]
pub struct LayerWeights {
    /// `rnn.weight_ih_l{k}`, `[gates * hidden, input]`.
    pub w_ih: Values,
    /// `rnn.weight_hh_l{k}`, `[gates * hidden, width]`.
    pub w_hh: Values,
    /// `rnn.bias_ih_l{k}`, `[gates * hidden]`; `None` is zeros.
    pub b_ih: Option<Values>,
    /// `rnn.bias_hh_l{k}`, `[gates * hidden]`; `None` is zeros.
    pub b_hh: Option<Values>,
    /// `rnn.weight_hr_l{k}`, `[width, hidden]`: the projection of an LSTM that has one.
    pub w_hr: Option<Values>,
    /// `rnn.h0_l{k}`, `[width]`: h before anything was read; `None` is zeros.
    pub h0: Option<Values>,
    /// `rnn.c0_l{k}`, `[hidden]`: the same for an LSTM's c.
    pub c0: Option<Values>,
    /// What an input vector goes through before the layer reads it, `[input]` wide.
    pub norms: Vec<Norm>,
}

impl LayerWeights {
    /// A layer of these matrices alone.
    pub fn new(w_ih: Values, w_hh: Values) -> Self {
        Self { w_ih, w_hh, b_ih: None, b_hh: None, w_hr: None, h0: None, c0: None, norms: Vec::new() }
    }
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

    /// The same weights with all matrices in the type `to`; an embedding that is only looked up does not become int8, but may be stored so.
    pub(super) fn converted(self, architecture: &Architecture, to: WeightsType) -> Self {
        let Self { embedding, layers, output, output_bias, output_norms } = self;
        let is_looked_up = output.is_some() && to == WeightsType::Int8;
        let mut width = architecture.embedding_size;
        let embedding = if is_looked_up { embedding } else { embedding.converted(width, to) };
        let mut converted = Vec::new();
        for (layer, &hidden) in layers.into_iter().zip(&architecture.hidden_sizes) {
            let w_ih = layer.w_ih.converted(width, to);
            width = architecture.width(hidden);
            let w_hh = layer.w_hh.converted(width, to);
            let w_hr = layer.w_hr.map(|w_hr| w_hr.converted(hidden, to));
            converted.push(LayerWeights { w_ih, w_hh, w_hr, ..layer });
        }
        let output = output.map(|output| output.converted(width, to));
        Self { embedding, layers: converted, output, output_bias, output_norms }
    }

    /// The state before anything was read.
    pub(super) fn start(&self, architecture: &Architecture) -> State {
        let mut start = Vec::new();
        for (layer, &hidden) in self.layers.iter().zip(&architecture.hidden_sizes) {
            let end = start.len() + architecture.state_len(hidden);
            let width = architecture.width(hidden);
            let h0 = layer.h0.clone().map_or_else(|| vec![0.0; width], Values::widened);
            let c0 = layer.c0.clone().map_or_else(|| vec![0.0; hidden], Values::widened);
            start.extend(h0.into_iter().chain(c0));
            // A cell without c ends before it.
            start.truncate(end);
        }
        start.into()
    }

    /// Number of values; tied ones count once.
    pub(super) fn parameter_count(&self) -> u64 {
        let vectors = self.layers.iter().flat_map(|layer| [&layer.b_ih, &layer.b_hh, &layer.h0, &layer.c0]);
        let vectors = vectors.chain([&self.output_bias]).flatten();
        let matrices = self.matrices();
        let values = matrices.all().chain(vectors).map(Values::len);
        let norms = self.layers.iter().flat_map(|layer| &layer.norms).chain(&self.output_norms);
        values.chain(norms.map(|norm| norm.scale.len() + norm.shift.len())).map(|len| len as u64).sum()
    }

    fn matrices(&self) -> Matrices<'_> {
        let layers = self.layers.iter();
        let layers = layers.flat_map(|layer| [&layer.w_ih, &layer.w_hh].into_iter().chain(&layer.w_hr));
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
        let mut types = self.multiplied.iter().copied().map(Values::dtype);
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
