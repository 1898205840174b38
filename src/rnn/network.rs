//! The network as a model: checked, packed, ready to run.

use super::architecture::{Architecture, Weights};
use super::bounds::state_bounds;
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
    Backend, Cost, Dtype, Inside, LoadOptions, Model, ModelInfo, Row, Scratch, Sink, State, WeightsType,
};

/// A recurrent language model whose weights are packed for the kernels of this machine.
///
/// A [`State`] holds, layer by layer from the first, the layer's output h followed, for an LSTM, by its cell c `[hidden]`. h has `[hidden]`
/// values, or `[proj_size]`.
pub struct Rnn {
    pub(super) info: ModelInfo,
    start: State,
    /// The largest magnitude of each number of a state.
    bounds: Vec<f32>,
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
            ..
        } = architecture;
        let parameter_count = weights.parameter_count();
        let effective_dtype = weights.effective_dtype(weights_type);
        let weights = weights.converted(architecture, weights_type);
        if effective_dtype == Dtype::Int8 {
            validate_depths(architecture)?;
        }
        let weights_dtype = weights.dtype();
        let start = weights.start(architecture);
        let bounds = state_bounds(architecture, &weights.layers, start.as_slice());

        let mut layers = Vec::new();
        let mut input = embedding_size;
        let mut state_offset = 0;
        for (&hidden, weights) in hidden_sizes.iter().zip(weights.layers) {
            let width = architecture.width(hidden);
            layers.push(Layer::new(
                &LayerSpec { kernel, cell, gru_form, gate, input, hidden, width, state_offset },
                weights,
            ));
            input = width;
            state_offset += architecture.state_len(hidden);
        }
        let decoder = weights.output.as_ref().unwrap_or(&weights.embedding);
        let output_spec = OutputSpec { kernel, vocab_size, hidden: input, norms: weights.output_norms };
        let output = Output::new(output_spec, decoder, weights.output_bias);
        let embedding = match weights.output {
            Some(_) => Embedding::Table(weights.embedding),
            None => Embedding::Tied,
        };
        let folded = Folded::new(vocab_size, layers[0].gate_columns(), fold_bytes_max);
        let info = ModelInfo {
            cell: Some(cell),
            vocab_size,
            hidden_sizes: hidden_sizes.clone(),
            state_len: state_offset,
            parameter_count,
            weights_dtype,
            effective_dtype,
            backend: Backend::Native,
        };
        Ok(Self { info, start, bounds, kernel, embedding, folded, layers, output })
    }
}

impl Model for Rnn {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn state_is_layered(&self) -> bool {
        !self.layers.iter().any(Layer::projects)
    }

    fn cache_width(&self) -> Option<usize> {
        Some(self.output.hidden())
    }

    fn start_state(&self) -> State {
        self.start.clone()
    }

    fn state_bounds(&self) -> Option<&[f32]> {
        Some(&self.bounds)
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
