//! The forward pass, step by step, with all that the backward pass needs of it.

use crate::lm::{GradientError, Passage, RowError};
use crate::rnn::cells::AllFinite;
use crate::rnn::chunk::Chunk;
use crate::rnn::layer::{Layer, Memory, Projection};
use crate::rnn::network::Rnn;
use crate::rnn::recurrence::GatesFrom;

/// What one layer computed in T steps.
pub(super) struct LayerTrace {
    /// The sums that the gates are computed from, `[T, gate_columns]`. Where a GRU resets after the product, the recurrent share of
    /// its candidate is in `aux`.
    gates: Vec<f32>,
    gate_columns: usize,
    /// What a GRU computes beside the gates, `[T, aux_columns]`.
    aux: Vec<f32>,
    aux_columns: usize,
    /// h before each step and after the last, `[T + 1, width]`.
    h: Vec<f32>,
    width: usize,
    /// The same of an LSTM's c, `[T + 1, hidden]`; empty for other cells.
    c: Vec<f32>,
    hidden: usize,
    /// What the layer has read before it was normalised, `[T, input]`; empty if it is not.
    pub(super) input: Vec<f32>,
}

/// What the layers work on.
pub(super) struct Forward<'a, 'passage> {
    pub(super) network: &'a Rnn,
    pub(super) passage: &'a Passage<'passage>,
    /// The state, `[state_len]`, which is advanced.
    pub(super) state: Vec<f32>,
}

impl Forward<'_, '_> {
    /// Takes `vectors` `[T, embedding]` through all layers.
    pub(super) fn run(&mut self, mut vectors: Vec<f32>) -> Result<Vec<LayerTrace>, GradientError> {
        let mut traces = Vec::new();
        for layer in &self.network.layers {
            let trace = self.layer(layer, &mut vectors)?;
            vectors = trace.h[layer.width()..].to_vec();
            traces.push(trace);
        }
        Ok(traces)
    }

    fn layer(&mut self, layer: &Layer, input: &mut [f32]) -> Result<LayerTrace, GradientError> {
        let steps = self.passage.tokens.len();
        let width = layer.width();
        let gate_columns = layer.gate_columns();
        let aux_columns = layer.aux_columns();
        let mut gates = vec![0.0; steps * gate_columns];
        let mut aux = vec![0.0; steps * aux_columns];
        let mut room = vec![0.0; steps.max(1) * layer.room()];
        let raw = if layer.norms.is_empty() { Vec::new() } else { input.to_vec() };
        layer.project(Projection { input, count: steps, gates: &mut gates, room: &mut room });

        let c_range = layer.c_range();
        let mut h = self.state[layer.state_offset..][..width].to_vec();
        let mut c = self.state[c_range.clone()].to_vec();
        let mut output = vec![0.0; 2 * width];
        let kernel = self.network.kernel;
        let step = Chunk::plan(&[1], 0, 1);
        for t in 0..steps {
            self.passage.check_wanted()?;
            // A projection writes over the sums of the gates, so they are computed for it apart.
            let sums = layer.projects().then(|| {
                let mut sums = gates[t * gate_columns..][..gate_columns].to_vec();
                let from = GatesFrom { h: &h[t * width..], gates: &mut sums, room: &mut room };
                layer.recurrence.complete_gates(kernel, from);
                sums
            });
            layer.run(
                &step,
                Memory {
                    gates: &mut gates[t * gate_columns..][..gate_columns],
                    aux: &mut aux[t * aux_columns..][..aux_columns],
                    room: &mut room,
                    output: &mut output,
                    state_len: self.state.len(),
                    states: &mut self.state,
                },
            );
            if let Some(sums) = sums {
                gates[t * gate_columns..][..gate_columns].copy_from_slice(&sums);
            }
            h.extend_from_slice(&output[width..]);
            c.extend_from_slice(&self.state[c_range.clone()]);
        }
        if !(kernel.run(AllFinite(&h)) && kernel.run(AllFinite(&c))) {
            return Err(GradientError::Reading(RowError::NotFinite));
        }
        let hidden = layer.hidden();
        Ok(LayerTrace { gates, gate_columns, aux, aux_columns, h, width, c, hidden, input: raw })
    }
}

impl LayerTrace {
    /// The sums of the gates in step `t`, `[gate_columns]`.
    pub(super) fn gates(&self, t: usize) -> &[f32] {
        &self.gates[t * self.gate_columns..][..self.gate_columns]
    }

    /// What a GRU computed beside them, `[hidden]` and padding.
    pub(super) fn aux(&self, t: usize) -> &[f32] {
        &self.aux[t * self.aux_columns..][..self.aux_columns]
    }

    /// h after `t` steps.
    pub(super) fn h(&self, t: usize) -> &[f32] {
        &self.h[t * self.width..][..self.width]
    }

    /// c after `t` steps, of an LSTM.
    pub(super) fn c(&self, t: usize) -> &[f32] {
        &self.c[t * self.hidden..][..self.hidden]
    }
}
