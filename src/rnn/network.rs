//! The network as a model: checked, packed, ready to run.

use super::architecture::{Architecture, Weights};
use super::cost::cost;
use super::kernels::Kernel;
use super::layer::{Layer, LayerPlan};
use super::output::Output;
use super::run::Run;
use super::validate::validate;
use crate::error::Result;
use crate::lm::{Backend, Cost, Dtype, Model, ModelInfo, Row, Scratch, Sink};

/// A recurrent language model whose weights are packed for the kernels of this machine.
///
/// A [`State`](crate::lm::State) holds, layer after layer from the first, the layer's output h `[hidden]` and,
/// for an LSTM, its cell c `[hidden]` after it.
pub struct Rnn {
    pub(super) info: ModelInfo,
    pub(super) kernel: Kernel,
    pub(super) embedding: Embedding,
    pub(super) layers: Vec<Layer>,
    pub(super) output: Output,
}

impl Rnn {
    /// Checks and packs `weights`, which their file stores as `stored`.
    ///
    /// # Errors
    /// [`ErrorKind::Load`](crate::error::ErrorKind::Load) names the tensor whose length does not follow from
    /// `architecture`, or that holds a number that is not finite.
    pub fn new(architecture: &Architecture, weights: Weights, stored: Dtype, kernel: Kernel) -> Result<Self> {
        validate(architecture, &weights)?;
        let &Architecture { cell, vocab_size, embedding_size, ref hidden_sizes, gru_form } = architecture;
        let parameter_count = weights.parameter_count();

        let mut layers = Vec::new();
        let (mut input, mut state_len) = (embedding_size, 0);
        for (&hidden, weights) in hidden_sizes.iter().zip(weights.layers) {
            layers.push(Layer::new(
                &LayerPlan { kernel, cell, gru_form, input, hidden, state_offset: state_len },
                weights,
            ));
            (input, state_len) = (hidden, state_len + cell.state_vectors() * hidden);
        }
        let output = Output::new(
            kernel,
            weights.output.as_ref().unwrap_or(&weights.embedding),
            weights.output_bias,
            input,
        );
        let embedding = match weights.output {
            Some(_) => Embedding::Table(weights.embedding),
            None => Embedding::Tied,
        };
        let info = ModelInfo {
            cell: Some(cell),
            vocab_size,
            hidden_sizes: hidden_sizes.clone(),
            state_len,
            parameter_count,
            weights_dtype: stored,
            backend: Backend::Native,
        };
        Ok(Self { info, kernel, embedding, layers, output })
    }
}

impl Model for Rnn {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn cost(&self) -> Cost {
        cost(self)
    }

    fn run(&self, rows: &mut [Row<'_>], scratch: &mut Scratch, sink: &mut Sink<'_>) {
        Run::new(self, rows).run(scratch, sink);
    }
}

/// Where a token's vector comes from.
pub(super) enum Embedding {
    /// `[vocab, embedding]`.
    Table(Vec<f32>),
    /// The output layer's packed weights: tied weights are in memory once, at the price of a scattered read a token.
    Tied,
}

impl Weights {
    /// Number of values; tied ones count once.
    fn parameter_count(&self) -> u64 {
        let optional = |values: &Option<Vec<f32>>| values.as_ref().map_or(0, Vec::len);
        let layers = self
            .layers
            .iter()
            .map(|layer| layer.w_ih.len() + layer.w_hh.len() + optional(&layer.b_ih) + optional(&layer.b_hh));
        (self.embedding.len() + layers.sum::<usize>() + optional(&self.output) + optional(&self.output_bias))
            as u64
    }
}
