//! One step of one layer, backwards: from the gradient by what a cell put out to the gradient by what it read.

use super::trace::LayerTrace;
use crate::kernels::{Kernel, Packed, TransposedProduct};
use crate::lm::Gates;
use crate::lm::math::tanh;
use crate::rnn::architecture::GateActivation;
use crate::rnn::cells::Activation;
use crate::rnn::layer::Layer;
use crate::rnn::recurrence::{Recurrence, Reset};

/// The gradients of a layer while the backward pass is at one step.
pub(super) struct Cursor {
    /// By h after the step, `[width]`.
    pub(super) h: Vec<f32>,
    /// By the output of an LSTM's cell, which h is or is projected from, `[hidden]`.
    output: Vec<f32>,
    /// By an LSTM's c after the step, `[hidden]`; what comes through h is added by [`Cursor::complete_c`].
    pub(super) c: Vec<f32>,
    /// By the sums of the gates, `[gate_columns]`; zero in padding columns.
    pub(super) gates: Vec<f32>,
    /// By what a GRU multiplies with the weights of its candidate, in padded columns.
    aux: Vec<f32>,
    /// By h before the step, `[width]`, while it is put together.
    before: Vec<f32>,
}

/// Where the backward pass is.
pub(super) struct At<'a> {
    pub(super) kernel: Kernel,
    pub(super) recurrence: &'a Recurrence,
    pub(super) trace: &'a LayerTrace,
    /// The step, from 0.
    pub(super) t: usize,
}

impl Cursor {
    /// Nothing has come back yet to the last step of `layer`.
    pub(super) fn new(layer: &Layer) -> Self {
        Self {
            h: vec![0.0; layer.width()],
            output: vec![0.0; layer.hidden()],
            c: vec![0.0; layer.hidden()],
            gates: vec![0.0; layer.gate_columns()],
            aux: vec![0.0; layer.aux_columns()],
            before: vec![0.0; layer.width()],
        }
    }

    /// Adds to the gradient by c what reaches it through the output of the cell, `o * tanh(c)`. Other cells have no c.
    pub(super) fn complete_c(&mut self, at: &At<'_>) {
        let Recurrence::Lstm { gate, projection, .. } = at.recurrence else { return };
        match projection {
            None => self.output.copy_from_slice(&self.h),
            Some(projection) => {
                self.output.fill(0.0);
                projection.add_transposed(at.kernel, &self.h, &mut self.output);
            }
        }
        let hidden = self.output.len();
        let o = &at.trace.gates(at.t)[3 * hidden..];
        let c = at.trace.c(at.t + 1);
        for j in 0..hidden {
            let shown = tanh(c[j]);
            self.c[j] += self.output[j] * gate.of(o[j]) * (1.0 - shown * shown);
        }
    }

    /// Goes one step back: fills [`Cursor::gates`], and turns the gradients by h and c after the step into those before it.
    pub(super) fn step(&mut self, at: &At<'_>) {
        self.before.fill(0.0);
        match at.recurrence {
            Recurrence::Rnn { activation, w_hh } => {
                self.rnn(at, *activation);
                self.add_before(at.kernel, w_hh, 0);
            }
            Recurrence::Lstm { gate, w_hh, .. } => {
                self.lstm(at, *gate);
                self.add_before(at.kernel, w_hh, 0);
            }
            Recurrence::Gru { gate, w_r_z, w_n, reset } => {
                match reset {
                    Reset::After { .. } => self.gru_reset_after(at, GruWeights { gate: *gate, w_r_z, w_n }),
                    Reset::Before => self.gru_reset_before(at, GruWeights { gate: *gate, w_r_z, w_n }),
                }
                self.add_before(at.kernel, w_r_z, 0);
            }
        }
        std::mem::swap(&mut self.h, &mut self.before);
    }

    /// Adds to the gradient by h before the step what reaches it through `w`, whose columns begin at `column` of the gates.
    fn add_before(&mut self, kernel: Kernel, w: &Packed, column: usize) {
        let g = &self.gates[column..][..w.columns()];
        TransposedProduct { g, w, sums: &mut self.before }.run(kernel);
    }

    fn rnn(&mut self, at: &At<'_>, activation: Activation) {
        let each = self.gates.iter_mut().zip(&self.h).zip(at.trace.h(at.t + 1));
        for ((gate, by_h), &h) in each {
            *gate = by_h * activation.slope_at(h);
        }
    }

    fn lstm(&mut self, at: &At<'_>, gate: GateActivation) {
        let n = self.output.len();
        let sums = at.trace.gates(at.t);
        let c_before = at.trace.c(at.t);
        let c_after = at.trace.c(at.t + 1);
        for j in 0..n {
            let i = gate.of(sums[j]);
            let f = gate.of(sums[n + j]);
            let g = tanh(sums[2 * n + j]);
            let o = gate.of(sums[3 * n + j]);
            let by_c = self.c[j];
            self.gates[j] = by_c * g * gate.slope_at(i);
            self.gates[n + j] = by_c * c_before[j] * gate.slope_at(f);
            self.gates[2 * n + j] = by_c * i * (1.0 - g * g);
            self.gates[3 * n + j] = self.output[j] * tanh(c_after[j]) * gate.slope_at(o);
            self.c[j] = by_c * f;
        }
    }

    /// `n = tanh(n + r * recurrent)`, `h = (1 - z) * n + z * h`.
    fn gru_reset_after(&mut self, at: &At<'_>, weights: GruWeights<'_>) {
        let GruWeights { gate, w_r_z, w_n } = weights;
        let size = self.h.len();
        let n_column = w_r_z.columns();
        let sums = at.trace.gates(at.t);
        let recurrent = at.trace.aux(at.t);
        let h_before = at.trace.h(at.t);
        for j in 0..size {
            let r = gate.of(sums[j]);
            let z = gate.of(sums[size + j]);
            let n = tanh(sums[n_column + j] + r * recurrent[j]);
            let by_n = self.h[j] * (1.0 - z) * (1.0 - n * n);
            self.gates[j] = by_n * recurrent[j] * gate.slope_at(r);
            self.gates[size + j] = self.h[j] * (h_before[j] - n) * gate.slope_at(z);
            self.gates[n_column + j] = by_n;
            self.aux[j] = by_n * r;
            self.before[j] += self.h[j] * z;
        }
        TransposedProduct { g: &self.aux, w: w_n, sums: &mut self.before }.run(at.kernel);
    }

    /// `n = tanh(n + W (r * h))`, `h = (1 - z) * n + z * h`. The sums of the candidate are complete in the trace.
    fn gru_reset_before(&mut self, at: &At<'_>, weights: GruWeights<'_>) {
        let GruWeights { gate, w_r_z, w_n } = weights;
        let size = self.h.len();
        let n_column = w_r_z.columns();
        let sums = at.trace.gates(at.t);
        let h_before = at.trace.h(at.t);
        for j in 0..size {
            let z = gate.of(sums[size + j]);
            let n = tanh(sums[n_column + j]);
            self.gates[size + j] = self.h[j] * (h_before[j] - n) * gate.slope_at(z);
            self.gates[n_column + j] = self.h[j] * (1.0 - z) * (1.0 - n * n);
        }
        let by_reset = &mut self.aux[..size];
        by_reset.fill(0.0);
        let g = &self.gates[n_column..][..w_n.columns()];
        TransposedProduct { g, w: w_n, sums: by_reset }.run(at.kernel);
        for j in 0..size {
            let r = gate.of(sums[j]);
            let z = gate.of(sums[size + j]);
            self.gates[j] = by_reset[j] * h_before[j] * gate.slope_at(r);
            self.before[j] += self.h[j] * z + by_reset[j] * r;
        }
    }
}

/// What a GRU's step is computed with.
struct GruWeights<'a> {
    gate: GateActivation,
    w_r_z: &'a Packed,
    w_n: &'a Packed,
}

/// The values of the gates in a step of `hidden` units; `None` for a cell without gates.
pub(super) fn gates(at: &At<'_>, hidden: usize) -> Option<Gates> {
    let sums = at.trace.gates(at.t);
    let values = |column: usize, gate: GateActivation| -> Vec<f32> {
        sums[column..][..hidden].iter().map(|&sum| gate.of(sum)).collect()
    };
    match at.recurrence {
        Recurrence::Rnn { .. } => None,
        Recurrence::Lstm { gate, .. } => Some(Gates::Lstm {
            input: values(0, *gate),
            forget: values(hidden, *gate),
            candidate: sums[2 * hidden..][..hidden].iter().map(|&sum| tanh(sum)).collect(),
            output: values(3 * hidden, *gate),
        }),
        Recurrence::Gru { gate, w_r_z, reset, .. } => {
            let r = values(0, *gate);
            let n = &sums[w_r_z.columns()..][..hidden];
            let candidate = match reset {
                Reset::Before => n.iter().map(|&sum| tanh(sum)).collect(),
                Reset::After { .. } => {
                    let each = n.iter().zip(&r).zip(at.trace.aux(at.t));
                    each.map(|((n, r), recurrent)| tanh(n + r * recurrent)).collect()
                }
            };
            Some(Gates::Gru { update: values(hidden, *gate), candidate, reset: r })
        }
    }
}
