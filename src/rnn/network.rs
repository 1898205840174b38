//! The network as a model: checked, packed, ready to run.

use super::architecture::{Architecture, Weights};
use super::cost::cost;
use super::embedding::Embedding;
use super::folded::Folded;
use super::layer::{Layer, LayerSpec};
use super::output::{Output, OutputSpec};
use super::run::Run;
use super::validate::{validate, validate_depths};
use crate::error::Result;
use crate::kernels::Kernel;
use crate::lm::{
    Backend, Cost, Dtype, Inside, LoadOptions, Model, ModelInfo, Row, Scratch, Sink, WeightsType,
};

/// A recurrent language model whose weights are packed for the kernels of this machine.
///
/// A [`State`](crate::lm::State) holds, layer by layer from the first, the layer's output h `[hidden]` followed, for
/// an LSTM, by its cell c `[hidden]`.
pub struct Rnn {
    pub(super) info: ModelInfo,
    pub(super) kernel: Kernel,
    pub(super) embedding: Embedding,
    /// `None` where no input product is kept.
    pub(super) folded: Option<Folded>,
    pub(super) layers: Vec<Layer>,
    pub(super) output: Output,
}

impl Rnn {
    /// Checks `weights`, converts them to the type of `options`, and packs them.
    ///
    /// # Errors
    /// [`ErrorKind::Load`](crate::error::ErrorKind::Load) naming the tensor whose length does not follow from
    /// `architecture`, or that holds a number that is not finite.
    pub fn new(
        architecture: &Architecture,
        weights: Weights,
        options: impl Into<LoadOptions>,
    ) -> Result<Self> {
        let LoadOptions { kernel, weights: weights_type, fold_bytes_max } = options.into();
        let weights_type = weights_type.unwrap_or(WeightsType::AsStored);
        validate(architecture, &weights)?;
        let &Architecture {
            cell,
            vocab_size,
            embedding_size,
            ref hidden_sizes,
            gru_form,
            gate_activation: gate,
        } = architecture;
        let parameter_count = weights.parameter_count();
        let effective_dtype = weights.effective_dtype(weights_type);
        let weights = weights.converted(architecture, weights_type);
        if effective_dtype == Dtype::Int8 {
            validate_depths(architecture)?;
        }
        let weights_dtype = weights.dtype();

        let mut layers = Vec::new();
        let mut input = embedding_size;
        let mut state_len = 0;
        for (&hidden, weights) in hidden_sizes.iter().zip(weights.layers) {
            layers.push(Layer::new(
                &LayerSpec { kernel, cell, gru_form, gate, input, hidden, state_offset: state_len },
                weights,
            ));
            input = hidden;
            state_len += cell.state_vectors() * hidden;
        }
        let decoder = weights.output.as_ref().unwrap_or(&weights.embedding);
        let output_spec = OutputSpec { kernel, vocab_size, hidden: input };
        let output = Output::new(&output_spec, decoder, weights.output_bias);
        let embedding = match weights.output {
            Some(_) => Embedding::Table(weights.embedding),
            None => Embedding::Tied,
        };
        let folded = Folded::new(vocab_size, layers[0].gate_columns(), fold_bytes_max);
        let info = ModelInfo {
            cell: Some(cell),
            vocab_size,
            hidden_sizes: hidden_sizes.clone(),
            state_len,
            parameter_count,
            weights_dtype,
            effective_dtype,
            backend: Backend::Native,
        };
        Ok(Self { info, kernel, embedding, folded, layers, output })
    }
}

impl Model for Rnn {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn state_is_layered(&self) -> bool {
        true
    }

    fn cost(&self) -> Cost {
        cost(self)
    }

    fn inside(&self) -> Option<&dyn Inside> {
        Some(self)
    }

    fn run(&self, rows: &mut [Row<'_>], scratch: &mut Scratch, sink: &mut Sink<'_>) {
        Run::new(self, rows).run(scratch, sink);
    }
}
