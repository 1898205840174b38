//! The part of a layer that depends on the previous step: the recurrent product and the cell.

use std::ops::Range;
use std::slice;

use super::architecture::{GateActivation, GruForm};
use super::cells::{Activation, GruReset, GruResetAfterStep, GruResetBeforeStep, LstmStep, RnnStep};
use super::values::Values;
use crate::kernels::{Kernel, Packed, Product, Rows, RowsMut, Start, TransposedProduct, pad_columns};
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
        projection: Option<LstmProjection>,
    },
    /// The candidate is apart from r and z, since its product starts from another sum.
    Gru {
        gate: GateActivation,
        w_r_z: Packed,
        w_n: Packed,
        reset: Reset,
    },
}

/// What makes an LSTM's h of the output of its cell.
pub(super) struct LstmProjection {
    w_hr: Packed,
    /// The sums' beginning: zeros, padding included.
    zeros: Vec<f32>,
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
    /// Of h.
    pub(super) width: usize,
    /// `[gates * hidden, width]`.
    pub(super) w_hh: &'a Values,
    /// `[gates * hidden]`.
    pub(super) b_hh: &'a [f32],
    /// `[width, hidden]`.
    pub(super) w_hr: Option<&'a Values>,
}

/// One time step of one layer, over the rows that have a token.
pub(super) struct Step<'a> {
    /// The input's share of the gates, `[rows, gate_columns]`.
    pub(super) gates: RowsMut<'a>,
    /// Working memory, `[rows, aux_columns]`.
    pub(super) aux: RowsMut<'a>,
    /// `[rows, width]`.
    pub(super) h_before: Rows<'a>,
    /// `[rows, width]`, written.
    pub(super) h: RowsMut<'a>,
    /// The layer's part of the states: h, which is not touched, and an LSTM's c, which is advanced.
    pub(super) state: RowsMut<'a>,
    /// Working memory of the products.
    pub(super) room: &'a mut [f32],
}

/// What the sums of the gates of one row are completed from.
pub(super) struct GatesFrom<'a> {
    /// Before the step, `[width]`.
    pub(super) h: &'a [f32],
    /// The input's share of the sums, which become complete.
    pub(super) gates: &'a mut [f32],
    /// Working memory of the product.
    pub(super) room: &'a mut [f32],
}

impl Recurrence {
    /// Packs checked weights.
    pub(super) fn new(from: &RecurrenceSpec<'_>) -> Self {
        let hidden = from.hidden;
        let gate = from.gate;
        let pack = |gates: Range<usize>| {
            let columns = gates.start * hidden..gates.end * hidden;
            from.w_hh.pack(from.width, slice::from_ref(&columns))
        };
        match from.cell {
            Cell::RnnTanh => Recurrence::Rnn { activation: Activation::Tanh, w_hh: pack(0..1) },
            Cell::RnnRelu => Recurrence::Rnn { activation: Activation::Relu, w_hh: pack(0..1) },
            Cell::RnnSigmoid => Recurrence::Rnn { activation: Activation::Sigmoid, w_hh: pack(0..1) },
            Cell::Lstm => {
                let projection = from.w_hr.map(|w_hr| LstmProjection::new(w_hr, hidden));
                Recurrence::Lstm { gate, w_hh: pack(0..4), projection }
            }
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
            Recurrence::Lstm { projection: Some(projection), .. } => projection.w_hr.depth(),
            Recurrence::Rnn { .. } | Recurrence::Lstm { .. } => 0,
        }
    }

    /// The weights that a step multiplies with, padding included.
    pub(super) fn weights(&self) -> usize {
        let weights = |w: &Packed| w.columns() * w.depth();
        match self {
            Recurrence::Rnn { w_hh, .. } => weights(w_hh),
            Recurrence::Lstm { w_hh, projection, .. } => {
                weights(w_hh) + projection.as_ref().map_or(0, |projection| weights(&projection.w_hr))
            }
            Recurrence::Gru { w_r_z, w_n, .. } => weights(w_r_z) + weights(w_n),
        }
    }

    /// Values of [`Step::room`] that a product of one row takes.
    pub(super) fn room(&self) -> usize {
        match self {
            Recurrence::Lstm { w_hh, projection: Some(projection), .. } => {
                w_hh.room().max(projection.w_hr.room())
            }
            Recurrence::Rnn { w_hh, .. } | Recurrence::Lstm { w_hh, .. } => w_hh.room(),
            Recurrence::Gru { w_r_z, w_n, .. } => w_r_z.room().max(w_n.room()),
        }
    }

    /// Completes the sums of an LSTM's gates `[gate_columns]`, as a step does before it applies the cell.
    pub(super) fn complete_gates(&self, kernel: Kernel, from: GatesFrom<'_>) {
        let Recurrence::Lstm { w_hh, .. } = self else { return };
        let GatesFrom { h, gates, room } = from;
        let a = Rows { values: h, stride: h.len(), count: 1 };
        let c = RowsMut { stride: gates.len(), values: gates, count: 1 };
        Product { a, w: w_hh, start: Start::Resume, c, room }.run(kernel);
    }

    /// Resumes the gates with the recurrent product, and applies the cell.
    pub(super) fn step(&self, kernel: Kernel, step: Step<'_>) {
        let Step { mut gates, aux, h_before, h, state, room } = step;
        let width = h.stride;
        match self {
            Recurrence::Rnn { activation, w_hh } => {
                Product { a: h_before, w: w_hh, start: Start::Resume, c: gates.reborrow(), room }.run(kernel);
                kernel.run(RnnStep { activation: *activation, gates: gates.as_rows(), h, hidden: width });
            }
            Recurrence::Lstm { gate, w_hh, projection } => {
                Product { a: h_before, w: w_hh, start: Start::Resume, c: gates.reborrow(), room }.run(kernel);
                let c = state.skip_columns(width);
                match projection {
                    None => kernel.run(LstmStep { gate: *gate, gates: gates.as_rows(), c, h, hidden: width }),
                    Some(projection) => {
                        let output = LstmOutput { gate: *gate, gates, c, output: aux, h, room };
                        projection.step(kernel, output);
                    }
                }
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
                    hidden: width,
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

/// The buffers of an LSTM whose output is projected, once the sums of its gates are complete.
struct LstmOutput<'a> {
    gate: GateActivation,
    /// The gates; afterwards working memory.
    gates: RowsMut<'a>,
    /// `[rows, hidden]`, advanced.
    c: RowsMut<'a>,
    /// `[rows, hidden]`, written: the output of the cell.
    output: RowsMut<'a>,
    /// `[rows, width]`, written.
    h: RowsMut<'a>,
    room: &'a mut [f32],
}

impl LstmProjection {
    fn new(w_hr: &Values, hidden: usize) -> Self {
        let width = w_hr.len() / hidden;
        let w_hr = w_hr.pack(hidden, slice::from_ref(&(0..width)));
        let zeros = vec![0.0; w_hr.columns()];
        Self { w_hr, zeros }
    }

    /// Adds to `by_output`, `[hidden]`, the gradient by the output of the cell that follows from `by_h`, `[width]`.
    pub(super) fn add_transposed(&self, kernel: Kernel, by_h: &[f32], by_output: &mut [f32]) {
        TransposedProduct { g: &pad_columns(&[by_h]), w: &self.w_hr, sums: by_output }.run(kernel);
    }

    /// `c = gate(f) * c + gate(i) * tanh(g)`, `h = W_hr (gate(o) * tanh(c))`.
    fn step(&self, kernel: Kernel, step: LstmOutput<'_>) {
        let LstmOutput { gate, mut gates, c, mut output, mut h, room } = step;
        let hidden = self.w_hr.depth();
        kernel.run(LstmStep { gate, gates: gates.as_rows(), c, h: output.reborrow(), hidden });
        // A projection is at most as wide as one gate, so its sums fit where the gates were.
        let start = Start::Bias(&self.zeros);
        Product { a: output.as_rows(), w: &self.w_hr, start, c: gates.reborrow(), room }.run(kernel);
        let sums = gates.as_rows();
        let width = h.stride;
        for row in 0..h.count {
            h.row(row, width).copy_from_slice(sums.row(row, width));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lm::WeightsType;

    /// Nothing else looks at the output of a cell, which its c does not show to be NaN.
    #[test]
    fn one_nan_in_the_output_of_a_cell_makes_all_of_its_projection_nan() {
        const HIDDEN: usize = 3;
        let weights = vec![0.5, 0.0, 0.0, 0.0, -0.25, 0.0];
        for (weights_type, kernel) in
            WeightsType::ALL.into_iter().flat_map(|of| Kernel::supported().map(move |kernel| (of, kernel)))
        {
            let w_hr = Values::from(weights.clone()).converted(HIDDEN, weights_type);
            let projection = LstmProjection::new(&w_hr, HIDDEN);
            for place in 0..HIDDEN {
                let mut gates = pad_columns(&[&[1.0; 4 * HIDDEN]]);
                gates[3 * HIDDEN + place] = f32::NAN;
                let mut c = [0.5; HIDDEN];
                let mut output = [0.0; HIDDEN];
                let mut h = [0.0; 2];
                let stride = gates.len();
                let step = LstmOutput {
                    gate: GateActivation::Sigmoid,
                    gates: RowsMut { values: &mut gates, stride, count: 1 },
                    c: RowsMut { values: &mut c, stride: HIDDEN, count: 1 },
                    output: RowsMut { values: &mut output, stride: HIDDEN, count: 1 },
                    h: RowsMut { values: &mut h, stride: 2, count: 1 },
                    room: &mut vec![0.0; projection.w_hr.room()],
                };
                projection.step(kernel, step);
                assert!(h.iter().all(|value| value.is_nan()), "{h:?}");
                assert!(c.iter().all(|value| value.is_finite()), "{c:?}");
            }
        }
    }
}
