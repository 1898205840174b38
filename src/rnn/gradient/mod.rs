//! Backpropagation through time, through the weights that serve: on which of the tokens before it a log-probability depends.
//!
//! The forward pass runs the layers of the model on one row and keeps what each step computed. The backward pass multiplies with
//! the same packed weights from the other side. No gradient by weights is computed, so inputs of products need not be kept.

mod cell;
mod feed_forward;
mod norm;
mod trace;

use crate::kernels::TransposedProduct;
use crate::lm::softmax::Softmax;
use crate::lm::{
    Cell, Gradient, GradientError, Inside, LayerGradient, Model, Passage, RowError, StepGradient, TokenId,
    reduce,
};

use super::layer::Layer;
use super::network::Rnn;
use super::output::{Asked, Made, Output, TileBuffers, Wanted};
use super::windowed::WindowedRnn;
use cell::{At, Cursor, gates};
use norm::Normalised;
use trace::{Forward, LayerTrace};

impl Inside for Rnn {
    fn embedding_size(&self) -> usize {
        self.layers[0].input()
    }

    fn copy_embedding(&self, token: TokenId, vector: &mut [f32]) {
        self.embedding.look_up(token as usize, &self.output, vector);
    }

    fn gate_values(&self) -> usize {
        let gates = match self.info.cell {
            Some(Cell::Lstm) => 4,
            Some(Cell::Gru) => 3,
            Some(Cell::RnnTanh | Cell::RnnRelu | Cell::RnnSigmoid) | None => 0,
        };
        gates * self.info.hidden_sizes.iter().sum::<usize>()
    }

    fn gradient(&self, mut passage: Passage<'_>) -> Result<Gradient, GradientError> {
        let vectors = embedded(self, passage.tokens)?;
        let state = passage.start.as_slice().to_vec();
        let mut forward = Forward { network: self, passage: &passage, state };
        let traces = forward.run(vectors.clone())?;
        let steps = passage.tokens.len();
        let top = traces.last().expect("a network has a layer").h(steps);
        let by_top = by_last_vector(&self.output, top, &mut passage)?;

        let mut result = vec![StepGradient::default(); steps];
        // The gradient by the output of the layer at hand, `[T, width]`, apart from what comes back through time.
        let mut above = vec![0.0; steps * top.len()];
        if let Some(last) = above.len().checked_sub(top.len()) {
            above[last..].copy_from_slice(&by_top);
        }
        for (layer, trace) in self.layers.iter().zip(&traces).rev() {
            above = self.layer_gradient(Backward { layer, trace, above, passage: &passage }, &mut result)?;
        }
        result.iter_mut().for_each(|step| step.layers.reverse());
        add_saliency(&mut result, &vectors, &above);
        all_finite(result)
    }
}

/// The gradient by the output of a layer, and what it goes back through.
struct Backward<'a, 'passage> {
    layer: &'a Layer,
    trace: &'a LayerTrace,
    above: Vec<f32>,
    passage: &'a Passage<'passage>,
}

impl Rnn {
    /// Goes back through one layer: adds its gradients to each of `result`, and returns that by its input, `[T, input]`.
    fn layer_gradient(
        &self,
        back: Backward<'_, '_>,
        result: &mut [StepGradient],
    ) -> Result<Vec<f32>, GradientError> {
        let Backward { layer, trace, above, passage } = back;
        let width = layer.width();
        let input = layer.input();
        let has_c = self.info.cell == Some(Cell::Lstm);
        let mut by_input = vec![0.0; result.len() * input];
        let mut cursor = Cursor::new(layer);
        for (t, step) in result.iter_mut().enumerate().rev() {
            passage.check_wanted()?;
            let at = At { kernel: self.kernel, recurrence: &layer.recurrence, trace, t };
            cursor.h.iter_mut().zip(&above[t * width..]).for_each(|(h, above)| *h += above);
            cursor.complete_c(&at);
            step.layers.push(LayerGradient {
                h_norm: length(&cursor.h),
                c_norm: has_c.then(|| length(&cursor.c)),
                gates: passage.gates.then(|| gates(&at, layer.hidden())).flatten(),
            });
            cursor.step(&at);
            let sums = &mut by_input[t * input..][..input];
            TransposedProduct { g: &cursor.gates, w: &layer.w_ih, sums }.run(self.kernel);
        }
        norm::backwards(
            Normalised { norms: &layer.norms, vectors: &trace.input },
            self.kernel,
            &mut by_input,
        );
        Ok(by_input)
    }
}

impl Inside for WindowedRnn {
    fn embedding_size(&self) -> usize {
        self.network.embedding_size()
    }

    fn copy_embedding(&self, token: TokenId, vector: &mut [f32]) {
        self.network.copy_embedding(token, vector);
    }

    fn gate_values(&self) -> usize {
        self.network.gate_values()
    }

    /// Tokens that have left the window have no influence: their gradient is zero.
    fn gradient(&self, passage: Passage<'_>) -> Result<Gradient, GradientError> {
        let Passage { start, tokens, target, gates, is_abandoned } = passage;
        let window = super::windowed::last_window(self.window, &self.info, start, tokens)?;
        let zero = self.network.start_state();
        let inner = Passage { start: &zero, tokens: &window, target, gates, is_abandoned };
        let Gradient { steps: mut inside } = self.network.gradient(inner)?;
        let absent = StepGradient {
            layers: vec![
                LayerGradient {
                    c_norm: (self.info.cell == Some(Cell::Lstm)).then_some(0.0),
                    ..LayerGradient::default()
                };
                self.info.hidden_sizes.len()
            ],
            ..StepGradient::default()
        };
        let kept = inside.len().min(tokens.len());
        let mut steps = vec![absent; tokens.len() - kept];
        steps.extend(inside.drain(inside.len() - kept..));
        Ok(Gradient { steps })
    }
}

/// The embeddings of `tokens`, `[T, embedding]`.
fn embedded(model: &Rnn, tokens: &[TokenId]) -> Result<Vec<f32>, GradientError> {
    let vocab_size = model.info.vocab_size;
    if let Some(&stray) = tokens.iter().find(|&&token| token as usize >= vocab_size) {
        return Err(GradientError::Reading(RowError::TokenOutOfRange(stray)));
    }
    let width = model.embedding_size();
    let mut vectors = vec![0.0; tokens.len() * width];
    for (&token, vector) in tokens.iter().zip(vectors.chunks_exact_mut(width)) {
        model.copy_embedding(token, vector);
    }
    Ok(vectors)
}

/// The gradient of the chosen token's log-probability by the vector that the output layer reads.
fn by_last_vector(
    output: &Output,
    vector: &[f32],
    passage: &mut Passage<'_>,
) -> Result<Vec<f32>, GradientError> {
    let columns = output.columns();
    let mut by_logits = vec![0.0; columns];
    let mut found = Err(GradientError::Reading(RowError::NotFinite));
    let tile = TileBuffers {
        h: &mut vec![0.0; output.hidden()],
        logits: &mut vec![0.0; columns],
        room: &mut vec![0.0; output.room()],
        rows: 1,
    };
    let wanted = [Wanted { row: 0, position: 0, vector: 0 }];
    output.run(Asked { vectors: vector, wanted: &wanted }, tile, |_, made| {
        if let Ok(Made { logits, .. }) = made {
            let target = (passage.target)(logits) as usize;
            by_logits_of(logits, target, &mut by_logits);
            found = Ok(());
        }
    });
    found?;
    let mut sums = vec![0.0; vector.len()];
    output.add_transposed(&by_logits, &mut sums);
    norm::backwards(Normalised { norms: output.norms(), vectors: vector }, output.kernel(), &mut sums);
    Ok(sums)
}

/// The derivative of `ln softmax(logits)[target]`: 1 at the target, less the probabilities.
fn by_logits_of(logits: &[f32], target: usize, by_logits: &mut [f32]) {
    let softmax = Softmax { max: reduce::max(logits), temperature: 1.0 };
    let mass = softmax.mass(logits);
    for (token, by_logit) in by_logits.iter_mut().enumerate().take(logits.len()) {
        let probability = softmax.weight(logits, token as TokenId) / mass;
        *by_logit = (f64::from(u8::from(token == target)) - probability) as f32;
    }
}

/// Writes the saliency of each token: gradient times value, summed over the embedding. Both are `[T, embedding]`.
fn add_saliency(steps: &mut [StepGradient], vectors: &[f32], gradients: &[f32]) {
    let width = vectors.len().checked_div(steps.len()).unwrap_or(0).max(1);
    let each = vectors.chunks_exact(width).zip(gradients.chunks_exact(width));
    for (step, (vector, gradient)) in steps.iter_mut().zip(each) {
        let products = vector.iter().zip(gradient).map(|(&x, &g)| f64::from(x) * f64::from(g));
        step.saliency = products.sum();
        step.input_norm = length(gradient);
    }
}

fn length(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt()
}

fn all_finite(steps: Vec<StepGradient>) -> Result<Gradient, GradientError> {
    let is_finite = |step: &StepGradient| {
        let layers = step.layers.iter().flat_map(|layer| [layer.h_norm, layer.c_norm.unwrap_or(0.0)]);
        layers.chain([step.saliency, step.input_norm]).all(f64::is_finite)
    };
    if steps.iter().all(is_finite) { Ok(Gradient { steps }) } else { Err(GradientError::NotFinite) }
}
