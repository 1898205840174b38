//! One recurrent layer over a chunk: one product for the input of all its tokens, then step after step.

use super::architecture::{GruForm, LayerWeights};
use super::cells::{Activation, GruReset, GruResetAfterStep, GruResetBeforeStep, LstmStep, RnnStep};
use super::chunk::Chunk;
use super::kernels::{Kernel, Packed, Product, Rows, RowsMut, Start, pad_columns};
use crate::lm::Cell;

/// A packed layer.
pub(super) struct Layer {
    kernel: Kernel,
    input: usize,
    hidden: usize,
    /// Where in a state the layer's h begins; an LSTM's c follows it.
    state_offset: usize,
    w_ih: Packed,
    /// What the input product starts from: both biases, but for a gate that takes the recurrent one later.
    bias: Vec<f32>,
    recurrence: Recurrence,
}

/// The part of a layer that depends on the step before.
enum Recurrence {
    Rnn { activation: Activation, w_hh: Packed },
    Lstm { w_hh: Packed },
    Gru { w_r_z: Packed, w_n: Packed, reset: Reset },
}

/// Where the reset gate acts.
enum Reset {
    /// On the recurrent share of the candidate, which starts from this bias.
    After {
        b_hn: Vec<f32>,
    },
    Before,
}

/// What a layer needs to be packed.
pub(super) struct LayerPlan {
    pub(super) kernel: Kernel,
    pub(super) cell: Cell,
    pub(super) gru_form: GruForm,
    pub(super) input: usize,
    pub(super) hidden: usize,
    pub(super) state_offset: usize,
}

/// The buffers that a layer works in. Blocks of vectors are laid out as [`Chunk`] says.
pub(super) struct Memory<'a> {
    /// The input of each token, `[tokens, input]`.
    pub(super) input: &'a [f32],
    /// At least `[tokens, gate_columns]`.
    pub(super) gates: &'a mut [f32],
    /// At least `[rows, aux_columns]`.
    pub(super) aux: &'a mut [f32],
    /// The layer's h, all blocks, `[rows + tokens, hidden]`; written.
    pub(super) output: &'a mut [f32],
    /// `[rows, state_len]`; read, and the layer's part of it advanced.
    pub(super) states: &'a mut [f32],
    pub(super) state_len: usize,
}

impl Layer {
    /// Packs checked weights.
    pub(super) fn new(plan: &LayerPlan, weights: LayerWeights) -> Self {
        let &LayerPlan { kernel, cell, gru_form, input, hidden, state_offset } = plan;
        let columns = cell.gates() * hidden;
        let LayerWeights { w_ih, w_hh, b_ih, b_hh } = weights;
        let mut bias = b_ih.unwrap_or_else(|| vec![0.0; columns]);
        let b_hh = b_hh.unwrap_or_else(|| vec![0.0; columns]);

        // The candidate of a GRU is a block of its own, since it is resumed apart from r and z.
        let cut = if cell == Cell::Gru { 2 * hidden } else { columns };
        let joined = if gru_form == GruForm::ResetAfter { cut } else { columns };
        bias[..joined].iter_mut().zip(&b_hh).for_each(|(bias, b_hh)| *bias += b_hh);

        let pack_recurrent = |range: std::ops::Range<usize>| {
            Packed::new(&[&w_hh[range.start * hidden..range.end * hidden]], hidden)
        };
        let recurrence = match cell {
            Cell::RnnTanh => {
                Recurrence::Rnn { activation: Activation::Tanh, w_hh: pack_recurrent(0..columns) }
            }
            Cell::RnnRelu => {
                Recurrence::Rnn { activation: Activation::Relu, w_hh: pack_recurrent(0..columns) }
            }
            Cell::RnnSigmoid => {
                Recurrence::Rnn { activation: Activation::Sigmoid, w_hh: pack_recurrent(0..columns) }
            }
            Cell::Lstm => Recurrence::Lstm { w_hh: pack_recurrent(0..columns) },
            Cell::Gru => Recurrence::Gru {
                w_r_z: pack_recurrent(0..cut),
                w_n: pack_recurrent(cut..columns),
                reset: match gru_form {
                    GruForm::ResetAfter => Reset::After { b_hn: pad_columns(&[&b_hh[cut..]]) },
                    GruForm::ResetBefore => Reset::Before,
                },
            },
        };
        let (first, second) = w_ih.split_at(cut * input);
        let bias = pad_columns(&[&bias[..cut], &bias[cut..]]);
        Self {
            kernel,
            input,
            hidden,
            state_offset,
            w_ih: Packed::new(&[first, second], input),
            bias,
            recurrence,
        }
    }

    /// Width of the layer's input.
    pub(super) fn input(&self) -> usize {
        self.input
    }

    /// Width of the layer's output.
    pub(super) fn hidden(&self) -> usize {
        self.hidden
    }

    /// Values that a token takes in [`Memory::gates`].
    pub(super) fn gate_columns(&self) -> usize {
        self.w_ih.columns()
    }

    /// Values that a row takes in [`Memory::aux`].
    pub(super) fn aux_columns(&self) -> usize {
        match &self.recurrence {
            Recurrence::Gru { w_n, .. } => w_n.columns(),
            Recurrence::Rnn { .. } | Recurrence::Lstm { .. } => 0,
        }
    }

    /// Takes all rows of the chunk through all its steps.
    pub(super) fn run(&self, chunk: &Chunk, memory: Memory<'_>) {
        let Memory { input, gates, aux, output, states, state_len } = memory;
        let (kernel, hidden, columns) = (self.kernel, self.hidden, self.gate_columns());
        for row in 0..chunk.rows() {
            let h = &states[row * state_len + self.state_offset..][..hidden];
            output[row * hidden..][..hidden].copy_from_slice(h);
        }
        kernel.run(Product {
            a: Rows { values: input, stride: self.input, count: chunk.tokens() },
            w: &self.w_ih,
            start: Start::Bias(&self.bias),
            c: RowsMut { values: gates, stride: columns, count: chunk.tokens() },
        });
        for step in 0..chunk.steps() {
            let (before, here) = (chunk.block(step), chunk.block(step + 1));
            let count = here.len();
            let (past, present) = output.split_at_mut(here.start * hidden);
            let gates = &mut gates[(here.start - chunk.rows()) * columns..];
            self.step(Step {
                gates: RowsMut { values: gates, stride: columns, count },
                aux: RowsMut { values: aux, stride: self.aux_columns(), count },
                h_before: Rows { values: &past[before.start * hidden..], stride: hidden, count },
                h: RowsMut { values: present, stride: hidden, count },
                layer_states: RowsMut { values: &mut states[self.state_offset..], stride: state_len, count },
            });
        }
        for (row, vector) in chunk.last_vectors() {
            let h = &output[vector * hidden..][..hidden];
            states[row * state_len + self.state_offset..][..hidden].copy_from_slice(h);
        }
    }
}

/// One time step of one layer, over the rows that have a token.
struct Step<'a> {
    /// The input's share of the gates, `[rows, gate_columns]`.
    gates: RowsMut<'a>,
    /// `[rows, aux_columns]`.
    aux: RowsMut<'a>,
    /// `[rows, hidden]`.
    h_before: Rows<'a>,
    /// `[rows, hidden]`, written.
    h: RowsMut<'a>,
    /// h and c in the states.
    layer_states: RowsMut<'a>,
}

impl Layer {
    fn step(&self, step: Step<'_>) {
        let (kernel, hidden) = (self.kernel, self.hidden);
        let Step { mut gates, aux, h_before, h, layer_states } = step;
        match &self.recurrence {
            Recurrence::Rnn { activation, w_hh } => {
                kernel.run(Product { a: h_before, w: w_hh, start: Start::Resume, c: gates.reborrow() });
                kernel.run(RnnStep { activation: *activation, gates: gates.as_rows(), h, hidden });
            }
            Recurrence::Lstm { w_hh } => {
                kernel.run(Product { a: h_before, w: w_hh, start: Start::Resume, c: gates.reborrow() });
                let c = layer_states.skip_columns(hidden);
                kernel.run(LstmStep { gates: gates.as_rows(), c, h, hidden });
            }
            Recurrence::Gru { w_r_z, w_n, reset } => {
                kernel.run(Product { a: h_before, w: w_r_z, start: Start::Resume, c: gates.reborrow() });
                let gru = GruGates { gates, aux, h_before, h, hidden, n_column: w_r_z.columns() };
                match reset {
                    Reset::After { b_hn } => gru.reset_after(kernel, w_n, b_hn),
                    Reset::Before => gru.reset_before(kernel, w_n),
                }
            }
        }
    }
}

/// A GRU's step once r and z are summed.
struct GruGates<'a> {
    gates: RowsMut<'a>,
    aux: RowsMut<'a>,
    h_before: Rows<'a>,
    h: RowsMut<'a>,
    hidden: usize,
    /// Where the candidate begins in `gates`.
    n_column: usize,
}

impl GruGates<'_> {
    fn reset_after(mut self, kernel: Kernel, w_n: &Packed, b_hn: &[f32]) {
        let start = Start::Bias(b_hn);
        kernel.run(Product { a: self.h_before, w: w_n, start, c: self.aux.reborrow() });
        let r_z = self.gates.as_rows();
        kernel.run(GruResetAfterStep {
            r_z,
            n: r_z.skip_columns(self.n_column),
            recurrent: self.aux.as_rows(),
            h_before: self.h_before,
            h: self.h,
            hidden: self.hidden,
        });
    }

    fn reset_before(mut self, kernel: Kernel, w_n: &Packed) {
        let (h_before, hidden) = (self.h_before, self.hidden);
        kernel.run(GruReset { r: self.gates.as_rows(), h_before, reset_h: self.aux.reborrow(), hidden });
        let n = self.gates.reborrow().skip_columns(self.n_column);
        kernel.run(Product { a: self.aux.as_rows(), w: w_n, start: Start::Resume, c: n });
        let gates = self.gates.as_rows();
        kernel.run(GruResetBeforeStep {
            z: gates.skip_columns(hidden),
            n: gates.skip_columns(self.n_column),
            h_before,
            h: self.h,
            hidden,
        });
    }
}
