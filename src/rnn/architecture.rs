//! What a network looks like and what it holds, before anything is packed or checked.
//!
//! Shapes and gate orders are those of PyTorch; a reader of another format reorders.

use crate::lm::Cell;

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

/// The numbers of a network, row-major, in PyTorch's shapes.
#[derive(Clone, Debug)]
pub struct Weights {
    /// `encoder.weight`, `[vocab, embedding]`.
    pub embedding: Vec<f32>,
    /// The recurrent layers, the first layer first.
    pub layers: Vec<LayerWeights>,
    /// `decoder.weight`, `[vocab, hidden of the last layer]`; `None` when tied to the embedding.
    pub output: Option<Vec<f32>>,
    /// `decoder.bias`, `[vocab]`; `None` is zeros.
    pub output_bias: Option<Vec<f32>>,
}

/// The numbers of one recurrent layer. Gates are stacked along the first dimension: i, f, g, o (LSTM), r, z, n (GRU).
#[derive(Clone, Debug)]
pub struct LayerWeights {
    /// `rnn.weight_ih_l{k}`, `[gates * hidden, input]`.
    pub w_ih: Vec<f32>,
    /// `rnn.weight_hh_l{k}`, `[gates * hidden, hidden]`.
    pub w_hh: Vec<f32>,
    /// `rnn.bias_ih_l{k}`, `[gates * hidden]`; `None` is zeros.
    pub b_ih: Option<Vec<f32>>,
    /// `rnn.bias_hh_l{k}`, `[gates * hidden]`; `None` is zeros.
    pub b_hh: Option<Vec<f32>>,
}
