//! The part of a layer that depends on the previous step: the recurrent product and the cell.

use std::ops::Range;
use std::slice;

use super::architecture::{GateActivation, GruForm};
use super::cells::{Activation, GruReset, GruResetAfterStep, GruResetBeforeStep, LstmStep, RnnStep};
use super::values::Values;
use crate::kernels::{Kernel, Packed, Product, Rows, RowsMut, Start, pad_columns};
use crate::lm::Cell;

/// The recurrent weights of a cell, packed.
pub(super) enum Recurrence {
    Rnn {
        activation: Activation,
        w_hh: Packed,
    },
    Lstm {
        gate: GateActivation,
        w_hh: Packed,
    },
    /// The candidate is apart from r and z, since its product starts from another sum.
    Gru {
        gate: GateActivation,
        w_r_z: Packed,
        w_n: Packed,
        reset: Reset,
    },
}

/// Where a GRU's reset gate acts.
pub(super) enum Reset {
    /// On the recurrent share of the candidate, which starts from this bias.
    After { b_hn: Vec<f32> },
    /// On h, before the product.
    Before,
}

/// What a recurrence is packed from.
pub(super) struct RecurrenceSpec<'a> {
    pub(super) cell: Cell,
    pub(super) gru_form: GruForm,
    pub(super) gate: GateActivation,
    pub(super) hidden: usize,
    /// `[gates * hidden, hidden]`.
    pub(super) w_hh: &'a Values,
    /// `[gates * hidden]`.
    pub(super) b_hh: &'a [f32],
}

/// One time step of one layer, over the rows that have a token.
pub(super) struct Step<'a> {
    /// The input's share of the gates, `[rows, gate_columns]`.
    pub(super) gates: RowsMut<'a>,
    /// Working memory, `[rows, aux_columns]`.
    pub(super) aux: RowsMut<'a>,
    /// `[rows, hidden]`.
    pub(super) h_before: Rows<'a>,
    /// `[rows, hidden]`, written.
    pub(super) h: RowsMut<'a>,
    /// The layer's part of the states: h, which is not touched, and an LSTM's c, which is advanced.
    pub(super) state: RowsMut<'a>,
    /// Working memory of the products.
    pub(super) room: &'a mut [f32],
    pub(super) hidden: usize,
}

impl Recurrence {
    /// Packs checked weights.
    pub(super) fn new(from: &RecurrenceSpec<'_>) -> Self {
        let hidden = from.hidden;
        let gate = from.gate;
        let pack = |gates: Range<usize>| {
            let columns = gates.start * hidden..gates.end * hidden;
            from.w_hh.pack(hidden, slice::from_ref(&columns))
        };
        match from.cell {
            Cell::RnnTanh => Recurrence::Rnn { activation: Activation::Tanh, w_hh: pack(0..1) },
            Cell::RnnRelu => Recurrence::Rnn { activation: Activation::Relu, w_hh: pack(0..1) },
            Cell::RnnSigmoid => Recurrence::Rnn { activation: Activation::Sigmoid, w_hh: pack(0..1) },
            Cell::Lstm => Recurrence::Lstm { gate, w_hh: pack(0..4) },
            Cell::Gru => {
                let reset = match from.gru_form {
                    GruForm::ResetAfter => Reset::After { b_hn: pad_columns(&[&from.b_hh[2 * hidden..]]) },
                    GruForm::ResetBefore => Reset::Before,
                };
                Recurrence::Gru { gate, w_r_z: pack(0..2), w_n: pack(2..3), reset }
            }
        }
    }

    /// Values that a row takes in [`Step::aux`].
    pub(super) fn aux_columns(&self) -> usize {
        match self {
            Recurrence::Gru { w_n, .. } => w_n.columns(),
            Recurrence::Rnn { .. } | Recurrence::Lstm { .. } => 0,
        }
    }

    /// Values of [`Step::room`] that a product of one row takes.
    pub(super) fn room(&self) -> usize {
        match self {
            Recurrence::Rnn { w_hh, .. } | Recurrence::Lstm { w_hh, .. } => w_hh.room(),
            Recurrence::Gru { w_r_z, w_n, .. } => w_r_z.room().max(w_n.room()),
        }
    }

    /// Resumes the gates with the recurrent product, and applies the cell.
    pub(super) fn step(&self, kernel: Kernel, step: Step<'_>) {
        let Step { mut gates, aux, h_before, h, state, room, hidden } = step;
        match self {
            Recurrence::Rnn { activation, w_hh } => {
                Product { a: h_before, w: w_hh, start: Start::Resume, c: gates.reborrow(), room }.run(kernel);
                kernel.run(RnnStep { activation: *activation, gates: gates.as_rows(), h, hidden });
            }
            Recurrence::Lstm { gate, w_hh } => {
                Product { a: h_before, w: w_hh, start: Start::Resume, c: gates.reborrow(), room }.run(kernel);
                let c = state.skip_columns(hidden);
                kernel.run(LstmStep { gate: *gate, gates: gates.as_rows(), c, h, hidden });
            }
            Recurrence::Gru { gate, w_r_z, w_n, reset } => {
                Product { a: h_before, w: w_r_z, start: Start::Resume, c: gates.reborrow(), room }
                    .run(kernel);
                let gru = GruGates {
                    gate: *gate,
                    gates,
                    aux,
                    h_before,
                    h,
                    room,
                    hidden,
                    n_column: w_r_z.columns(),
                };
                match reset {
                    Reset::After { b_hn } => gru.reset_after(kernel, w_n, b_hn),
                    Reset::Before => gru.reset_before(kernel, w_n),
                }
            }
        }
    }
}

/// A GRU's step, once the sums of r and z are complete.
struct GruGates<'a> {
    gate: GateActivation,
    gates: RowsMut<'a>,
    aux: RowsMut<'a>,
    h_before: Rows<'a>,
    h: RowsMut<'a>,
    room: &'a mut [f32],
    hidden: usize,
    /// Where the candidate begins in `gates`.
    n_column: usize,
}

impl GruGates<'_> {
    fn reset_after(mut self, kernel: Kernel, w_n: &Packed, b_hn: &[f32]) {
        let start = Start::Bias(b_hn);
        let c = self.aux.reborrow();
        Product { a: self.h_before, w: w_n, start, c, room: self.room }.run(kernel);
        let r_z = self.gates.as_rows();
        kernel.run(GruResetAfterStep {
            gate: self.gate,
            r_z,
            n: r_z.skip_columns(self.n_column),
            recurrent: self.aux.as_rows(),
            h_before: self.h_before,
            h: self.h,
            hidden: self.hidden,
        });
    }

    fn reset_before(mut self, kernel: Kernel, w_n: &Packed) {
        let h_before = self.h_before;
        let hidden = self.hidden;
        let gate = self.gate;
        kernel.run(GruReset {
            gate,
            r: self.gates.as_rows(),
            h_before,
            reset_h: self.aux.reborrow(),
            hidden,
        });
        let n = self.gates.reborrow().skip_columns(self.n_column);
        let start = Start::Resume;
        Product { a: self.aux.as_rows(), w: w_n, start, c: n, room: self.room }.run(kernel);
        let gates = self.gates.as_rows();
        kernel.run(GruResetBeforeStep {
            gate,
            z: gates.skip_columns(hidden),
            n: gates.skip_columns(self.n_column),
            h_before,
            h: self.h,
            hidden,
        });
    }
}
