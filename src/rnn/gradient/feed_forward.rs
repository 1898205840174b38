//! The gradient of a network that reads the last N embeddings at once: back through its layers, then to each token of the window.

use super::{add_saliency, all_finite, by_last_vector};
use crate::kernels::TransposedProduct;
use crate::lm::{Gradient, GradientError, Inside, Passage, RowError, StepGradient, TokenId};
use crate::rnn::cells::AllFinite;
use crate::rnn::feed_forward::{FeedForward, WindowInput};
use crate::rnn::windowed::last_window;

impl Inside for FeedForward {
    fn embedding_size(&self) -> usize {
        self.width
    }

    fn copy_embedding(&self, token: TokenId, vector: &mut [f32]) {
        self.embedding.look_up(token as usize, &self.output, vector);
    }

    fn gate_values(&self) -> usize {
        0
    }

    /// Tokens that have left the window have no influence: their gradient is zero.
    fn gradient(&self, mut passage: Passage<'_>) -> Result<Gradient, GradientError> {
        passage.check_wanted()?;
        let window = last_window(self.window, &self.info, passage.start, passage.tokens)?;
        let mut vectors = vec![0.0; window.len() * self.width];
        for (&token, vector) in window.iter().zip(vectors.chunks_exact_mut(self.width)) {
            self.copy_embedding(token, vector);
        }
        let outputs = self.outputs_of(&window);
        if outputs.iter().any(|output| !self.kernel.run(AllFinite(output))) {
            return Err(GradientError::Reading(RowError::NotFinite));
        }
        let last = outputs.last().expect("the input of the first layer, if nothing else");
        let by_last = by_last_vector(&self.output, last, &mut passage)?;
        let by_input = self.by_input(&outputs, by_last);
        let by_vectors = match self.input {
            WindowInput::Concatenated => by_input,
            WindowInput::Mean => {
                let count = window.len() as f32;
                let share: Vec<f32> = by_input.iter().map(|value| value / count).collect();
                share.repeat(window.len())
            }
        };
        let mut inside = vec![StepGradient::default(); window.len()];
        add_saliency(&mut inside, &vectors, &by_vectors);
        let kept = window.len().min(passage.tokens.len());
        let mut steps = vec![StepGradient::default(); passage.tokens.len() - kept];
        steps.extend(inside.drain(window.len() - kept..));
        all_finite(steps)
    }
}

impl FeedForward {
    /// What the first layer reads of a window, and the output of each hidden layer.
    fn outputs_of(&self, window: &[TokenId]) -> Vec<Vec<f32>> {
        let mut vector = vec![0.0; self.depth()];
        self.embed(window, &mut vector);
        let mut outputs = vec![vector];
        for layer in &self.hidden {
            let vector = layer.output_of(self.kernel, outputs.last().expect("at least the input"));
            outputs.push(vector);
        }
        outputs
    }

    /// The gradient by what the first layer reads, from that by the output of the last.
    fn by_input(&self, outputs: &[Vec<f32>], mut by_output: Vec<f32>) -> Vec<f32> {
        for (layer, output) in self.hidden.iter().zip(&outputs[1..]).rev() {
            let mut by_sums = vec![0.0; layer.w.columns()];
            for (j, by_sum) in by_sums.iter_mut().enumerate().take(output.len()) {
                let slope = layer.activation.map_or(1.0, |activation| activation.slope_at(output[j]));
                *by_sum = by_output[j] * slope;
            }
            let mut sums = vec![0.0; layer.w.depth()];
            TransposedProduct { g: &by_sums, w: &layer.w, sums: &mut sums }.run(self.kernel);
            by_output = sums;
        }
        by_output
    }
}
