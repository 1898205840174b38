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
}

impl Architecture {
    /// The attribute `linear_before_reset` of a GRU; `None` for any other cell.
    pub fn gru_linear_before_reset(&self) -> Option<bool> {
        (self.cell == Cell::Gru).then_some(self.gru_form == GruForm::ResetAfter)
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
    /// The type of all matrices; `F32` where they differ. Biases, which are few, do not count.
    pub fn dtype(&self) -> Dtype {
        let dtype = self.embedding.dtype();
        match self.matrices().all(|matrix| matrix.dtype() == dtype) {
            true => dtype,
            false => Dtype::F32,
        }
    }

    /// The type whose precision the numbers have after a conversion to `to`: see
    /// [`ModelInfo::effective_dtype`](crate::lm::ModelInfo::effective_dtype).
    pub(super) fn effective_dtype(&self, to: WeightsType) -> Dtype {
        match to {
            WeightsType::AsStored | WeightsType::F32 => Dtype::F32,
            WeightsType::Bf16 if self.matrices().all(|matrix| matrix.dtype() == Dtype::Bf16) => Dtype::F32,
            WeightsType::Bf16 => Dtype::Bf16,
        }
    }

    /// The same weights with all matrices in the type `to`.
    pub(super) fn converted(self, to: WeightsType) -> Self {
        let Self { embedding, layers, output, output_bias } = self;
        let layer = |layer: LayerWeights| LayerWeights {
            w_ih: layer.w_ih.converted(to),
            w_hh: layer.w_hh.converted(to),
            b_ih: layer.b_ih,
            b_hh: layer.b_hh,
        };
        Self {
            embedding: embedding.converted(to),
            layers: layers.into_iter().map(layer).collect(),
            output: output.map(|output| output.converted(to)),
            output_bias,
        }
    }

    /// Number of values; tied ones count once.
    pub(super) fn parameter_count(&self) -> u64 {
        let biases = self.layers.iter().flat_map(|layer| [&layer.b_ih, &layer.b_hh]);
        let biases = biases.chain([&self.output_bias]).flatten();
        self.matrices().chain(biases).map(|values| values.len() as u64).sum()
    }

    fn matrices(&self) -> impl Iterator<Item = &Values> {
        let layers = self.layers.iter().flat_map(|layer| [&layer.w_ih, &layer.w_hh]);
        [&self.embedding].into_iter().chain(layers).chain(&self.output)
    }
}
