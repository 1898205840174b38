//! One recurrent layer over a chunk: one product for the inputs of all its tokens, then step after step.

use std::ops::Range;

use super::architecture::{GateActivation, GruForm, LayerWeights};
use super::chunk::{Chunk, LastVector};
use super::norm::{Norm, normalise, stayed_finite};
use super::recurrence::{Recurrence, RecurrenceSpec, Step};
use super::values::Values;
use crate::kernels::{Kernel, Packed, Product, Rows, RowsMut, Start, pad_columns};
use crate::lm::Cell;

/// A packed layer.
pub(super) struct Layer {
    kernel: Kernel,
    input: usize,
    /// Units, and values of an LSTM's c.
    hidden: usize,
    /// Of its h.
    width: usize,
    /// What an input vector goes through first.
    pub(super) norms: Vec<Norm>,
    /// Where the layer's h begins in a state; an LSTM's c follows it.
    pub(super) state_offset: usize,
    pub(super) w_ih: Packed,
    /// What the input product starts from: the sum of both biases, except for a gate that adds the recurrent one later.
    bias: Vec<f32>,
    pub(super) recurrence: Recurrence,
}

/// The sizes and the form of a layer, and what it runs on.
pub(super) struct LayerSpec {
    pub(super) kernel: Kernel,
    pub(super) cell: Cell,
    pub(super) gru_form: GruForm,
    pub(super) gate: GateActivation,
    pub(super) input: usize,
    pub(super) hidden: usize,
    /// Of its h.
    pub(super) width: usize,
    pub(super) state_offset: usize,
}

/// An input product: what each token contributes to the gates.
pub(super) struct Projection<'a> {
    /// At least `[count, input]`; normalised in place.
    pub(super) input: &'a mut [f32],
    /// Number of tokens.
    pub(super) count: usize,
    /// At least `[count, gate_columns]`, written.
    pub(super) gates: &'a mut [f32],
    /// Working memory of the product.
    pub(super) room: &'a mut [f32],
}

/// The buffers that a layer works in. Blocks of vectors are laid out as [`Chunk`] describes.
pub(super) struct Memory<'a> {
    /// The input's share of the gates, at least `[tokens, gate_columns]`, which [`Layer::project`] has computed.
    pub(super) gates: &'a mut [f32],
    /// At least `[rows, aux_columns]`.
    pub(super) aux: &'a mut [f32],
    /// Working memory of the products: at least [`Layer::room`] of the chunk's largest product.
    pub(super) room: &'a mut [f32],
    /// The layer's h, all blocks, `[rows + tokens, width]`; written.
    pub(super) output: &'a mut [f32],
    /// `[rows, state_len]`; the layer's part of it is read and advanced.
    pub(super) states: &'a mut [f32],
    pub(super) state_len: usize,
}

impl Layer {
    /// Packs checked weights.
    pub(super) fn new(spec: &LayerSpec, weights: LayerWeights) -> Self {
        let &LayerSpec { kernel, cell, gru_form, gate, input, hidden, width, state_offset } = spec;
        let columns = cell.gates() * hidden;
        let LayerWeights { w_ih, w_hh, b_ih, b_hh, w_hr, norms, .. } = weights;
        let or_zeros = |bias: Option<Values>| bias.map_or_else(|| vec![0.0; columns], Values::widened);
        let mut bias = or_zeros(b_ih);
        let b_hh = or_zeros(b_hh);

        // The candidate of a GRU is a block of its own: its sum is resumed apart from those of r and z, and starts from
        // its own bias when the reset gate acts on the recurrent share.
        let cut = if cell == Cell::Gru { 2 * hidden } else { columns };
        let joined = if gru_form == GruForm::ResetAfter { cut } else { columns };
        bias[..joined].iter_mut().zip(&b_hh).for_each(|(bias, b_hh)| *bias += b_hh);

        let recurrence = Recurrence::new(&RecurrenceSpec {
            cell,
            gru_form,
            gate,
            hidden,
            width,
            w_hh: &w_hh,
            b_hh: &b_hh,
            w_hr: w_hr.as_ref(),
        });
        let w_ih = w_ih.pack(input, &[0..cut, cut..columns]);
        let bias = pad_columns(&[&bias[..cut], &bias[cut..]]);
        Self { kernel, input, hidden, width, norms, state_offset, w_ih, bias, recurrence }
    }

    /// Width of the layer's input.
    pub(super) fn input(&self) -> usize {
        self.input
    }

    /// Units: values of each gate.
    pub(super) fn hidden(&self) -> usize {
        self.hidden
    }

    /// Width of the layer's output, its h.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Whether its h is a projection of the output of its cell.
    pub(super) fn projects(&self) -> bool {
        matches!(self.recurrence, Recurrence::Lstm { projection: Some(_), .. })
    }

    /// Weights that a step multiplies with, padding included.
    pub(super) fn recurrent_weights(&self) -> usize {
        self.recurrence.weights()
    }

    /// Where the layer's c is in a state; empty for a cell without it.
    pub(super) fn c_range(&self) -> Range<usize> {
        let start = self.state_offset + self.width;
        match self.recurrence {
            Recurrence::Lstm { .. } => start..start + self.hidden,
            Recurrence::Rnn { .. } | Recurrence::Gru { .. } => start..start,
        }
    }

    /// Values that a token takes in [`Memory::gates`].
    pub(super) fn gate_columns(&self) -> usize {
        self.w_ih.columns()
    }

    /// Values that a row takes in [`Memory::aux`].
    pub(super) fn aux_columns(&self) -> usize {
        self.recurrence.aux_columns()
    }

    /// Values of [`Memory::room`] that a product of one row takes.
    pub(super) fn room(&self) -> usize {
        self.w_ih.room().max(self.recurrence.room())
    }

    /// Normalises the layer's input and computes the input product. The gates of a vector that is not finite after a normalisation are NaN.
    pub(super) fn project(&self, projection: Projection<'_>) {
        let Projection { input, count, gates, room } = projection;
        let input = &mut input[..count * self.input];
        normalise(&self.norms, self.kernel, input);
        let product = Product {
            a: Rows { values: input, stride: self.input, count },
            w: &self.w_ih,
            start: Start::Bias(&self.bias),
            c: RowsMut { values: gates, stride: self.gate_columns(), count },
            room,
        };
        product.run(self.kernel);
        for (vector, gates) in input.chunks_exact(self.input).zip(gates.chunks_exact_mut(self.gate_columns()))
        {
            // Float products make infinite gates of an infinite input, and a cell would make a finite h of those.
            if !stayed_finite(&self.norms, self.kernel, vector) {
                gates.fill(f32::NAN);
            }
        }
    }

    /// Takes all rows of the chunk through all its steps.
    pub(super) fn run(&self, chunk: &Chunk, memory: Memory<'_>) {
        let Memory { gates, aux, room, output, states, state_len } = memory;
        let kernel = self.kernel;
        let width = self.width;
        let columns = self.gate_columns();
        for row in 0..chunk.rows() {
            let h = &states[row * state_len + self.state_offset..][..width];
            output[row * width..][..width].copy_from_slice(h);
        }
        for step in 0..chunk.steps() {
            let before = chunk.block(step);
            let here = chunk.block(step + 1);
            let count = here.len();
            let (past, present) = output.split_at_mut(here.start * width);
            let gates = &mut gates[(here.start - chunk.rows()) * columns..];
            self.recurrence.step(
                kernel,
                Step {
                    gates: RowsMut { values: gates, stride: columns, count },
                    aux: RowsMut { values: aux, stride: self.aux_columns(), count },
                    h_before: Rows { values: &past[before.start * width..], stride: width, count },
                    h: RowsMut { values: present, stride: width, count },
                    state: RowsMut { values: &mut states[self.state_offset..], stride: state_len, count },
                    room,
                },
            );
        }
        for LastVector { row, vector } in chunk.last_vectors() {
            let h = &output[vector * width..][..width];
            states[row * state_len + self.state_offset..][..width].copy_from_slice(h);
        }
    }
}
