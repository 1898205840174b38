//! The elementwise part of the cells, after the products, in plain `*` and `+`.
//!
//! Gates are in PyTorch's order. Every activation keeps NaN, so that a row with a wrong number cannot look right again.

use super::architecture::GateActivation;
use crate::kernels::{Isa, Rows, RowsMut, Task};
use crate::lm::math::{sigmoid, tanh};

/// The activation of the plain RNN and of hidden layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `tanh(x)`.
    Tanh,
    /// `max(0, x)`.
    Relu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

impl Activation {
    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Tanh => "tanh",
            Activation::Relu => "relu",
            Activation::Sigmoid => "sigmoid",
        }
    }
}

/// `h = act(gates)`.
pub(super) struct RnnStep<'a> {
    pub(super) activation: Activation,
    /// `[rows, hidden]`.
    pub(super) gates: Rows<'a>,
    /// `[rows, hidden]`, written.
    pub(super) h: RowsMut<'a>,
    pub(super) hidden: usize,
}

impl Task for RnnStep<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        match self.activation {
            Activation::Tanh => self.apply(tanh),
            Activation::Relu => self.apply(relu),
            Activation::Sigmoid => self.apply(sigmoid),
        }
    }
}

impl RnnStep<'_> {
    #[inline(always)]
    fn apply(mut self, activation: impl Fn(f32) -> f32) {
        for row in 0..self.h.count {
            let gates = self.gates.row(row, self.hidden);
            let h = self.h.row(row, self.hidden);
            for j in 0..self.hidden {
                h[j] = activation(gates[j]);
            }
        }
    }
}

/// `max(0, x)`. Unlike with `f32::max`, NaN stays NaN.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `min(max(slope * x + 0.5, 0), 1)`. NaN stays NaN.
#[inline(always)]
fn hard_sigmoid(x: f32, slope: f32) -> f32 {
    let y = slope * x + 0.5;
    let y = if y < 0.0 { 0.0 } else { y };
    if y > 1.0 { 1.0 } else { y }
}

impl GateActivation {
    /// The value of a gate whose sum is `x`.
    #[inline(always)]
    pub(super) fn of(self, x: f32) -> f32 {
        match self {
            GateActivation::Sigmoid => sigmoid(x),
            GateActivation::HardSigmoid => hard_sigmoid(x, 0.2),
            GateActivation::HardSigmoidSixth => hard_sigmoid(x, 1.0 / 6.0),
        }
    }

    /// The derivative where the gate's value is `y`; 0 where a hard sigmoid is flat, its corners included.
    pub(super) fn slope_at(self, y: f32) -> f32 {
        let within = |slope: f32| if y > 0.0 && y < 1.0 { slope } else { 0.0 };
        match self {
            GateActivation::Sigmoid => y * (1.0 - y),
            GateActivation::HardSigmoid => within(0.2),
            GateActivation::HardSigmoidSixth => within(1.0 / 6.0),
        }
    }
}

impl Activation {
    /// The derivative where the function's value is `y`; 0 at the corner of the ReLU.
    pub(super) fn slope_at(self, y: f32) -> f32 {
        match self {
            Activation::Tanh => 1.0 - y * y,
            Activation::Relu => f32::from(u8::from(y > 0.0)),
            Activation::Sigmoid => y * (1.0 - y),
        }
    }
}

/// Calls `$step.apply` with the function of the step's gates, so that each is compiled into a loop of its own.
macro_rules! apply_gate {
    ($step:expr) => {
        match $step.gate {
            GateActivation::Sigmoid => $step.apply(sigmoid),
            GateActivation::HardSigmoid => $step.apply(|x| hard_sigmoid(x, 0.2)),
            GateActivation::HardSigmoidSixth => $step.apply(|x| hard_sigmoid(x, 1.0 / 6.0)),
        }
    };
}

/// `c = gate(f) * c + gate(i) * tanh(g)`, `h = gate(o) * tanh(c)`.
pub(super) struct LstmStep<'a> {
    pub(super) gate: GateActivation,
    /// i, f, g, o: `[rows, 4 * hidden]`.
    pub(super) gates: Rows<'a>,
    /// `[rows, hidden]`, advanced.
    pub(super) c: RowsMut<'a>,
    /// `[rows, hidden]`, written.
    pub(super) h: RowsMut<'a>,
    pub(super) hidden: usize,
}

impl Task for LstmStep<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        apply_gate!(self);
    }
}

impl LstmStep<'_> {
    #[inline(always)]
    fn apply(mut self, gate: impl Fn(f32) -> f32) {
        let n = self.hidden;
        for row in 0..self.h.count {
            let gates = self.gates.row(row, 4 * n);
            let i = &gates[..n];
            let f = &gates[n..][..n];
            let g = &gates[2 * n..][..n];
            let o = &gates[3 * n..][..n];
            let c = self.c.row(row, n);
            let h = self.h.row(row, n);
            for j in 0..n {
                c[j] = gate(f[j]) * c[j] + gate(i[j]) * tanh(g[j]);
                h[j] = gate(o[j]) * tanh(c[j]);
            }
        }
    }
}

/// A GRU whose reset gate acts after the product: `n = tanh(n + gate(r) * recurrent)`, then [`blend`].
pub(super) struct GruResetAfterStep<'a> {
    pub(super) gate: GateActivation,
    /// r, z: `[rows, 2 * hidden]`.
    pub(super) r_z: Rows<'a>,
    /// `W_in x + b_in`, `[rows, hidden]`.
    pub(super) n: Rows<'a>,
    /// `W_hn h + b_hn`, `[rows, hidden]`.
    pub(super) recurrent: Rows<'a>,
    /// `[rows, hidden]`.
    pub(super) h_before: Rows<'a>,
    /// `[rows, hidden]`, written.
    pub(super) h: RowsMut<'a>,
    pub(super) hidden: usize,
}

impl Task for GruResetAfterStep<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        apply_gate!(self);
    }
}

impl GruResetAfterStep<'_> {
    #[inline(always)]
    fn apply(mut self, gate: impl Fn(f32) -> f32) {
        let size = self.hidden;
        for row in 0..self.h.count {
            let (r, z) = self.r_z.row(row, 2 * size).split_at(size);
            let n = self.n.row(row, size);
            let recurrent = self.recurrent.row(row, size);
            let h_before = self.h_before.row(row, size);
            let h = self.h.row(row, size);
            for j in 0..size {
                h[j] = blend(gate(z[j]), tanh(n[j] + gate(r[j]) * recurrent[j]), h_before[j]);
            }
        }
    }
}

/// A reset gate that acts before the product: `reset_h = gate(r) * h`.
pub(super) struct GruReset<'a> {
    pub(super) gate: GateActivation,
    /// `[rows, hidden]`.
    pub(super) r: Rows<'a>,
    /// `[rows, hidden]`.
    pub(super) h_before: Rows<'a>,
    /// `[rows, hidden]`, written.
    pub(super) reset_h: RowsMut<'a>,
    pub(super) hidden: usize,
}

impl Task for GruReset<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        apply_gate!(self);
    }
}

impl GruReset<'_> {
    #[inline(always)]
    fn apply(mut self, gate: impl Fn(f32) -> f32) {
        for row in 0..self.reset_h.count {
            let r = self.r.row(row, self.hidden);
            let h_before = self.h_before.row(row, self.hidden);
            let reset_h = self.reset_h.row(row, self.hidden);
            for j in 0..self.hidden {
                reset_h[j] = gate(r[j]) * h_before[j];
            }
        }
    }
}

/// The GRU after [`GruReset`] and its product: `n = tanh(n)`, then [`blend`].
pub(super) struct GruResetBeforeStep<'a> {
    pub(super) gate: GateActivation,
    /// `[rows, hidden]`.
    pub(super) z: Rows<'a>,
    /// `W_in x + b_in + W_hn reset_h + b_hn`, `[rows, hidden]`.
    pub(super) n: Rows<'a>,
    /// `[rows, hidden]`.
    pub(super) h_before: Rows<'a>,
    /// `[rows, hidden]`, written.
    pub(super) h: RowsMut<'a>,
    pub(super) hidden: usize,
}

impl Task for GruResetBeforeStep<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        apply_gate!(self);
    }
}

impl GruResetBeforeStep<'_> {
    #[inline(always)]
    fn apply(mut self, gate: impl Fn(f32) -> f32) {
        for row in 0..self.h.count {
            let z = self.z.row(row, self.hidden);
            let n = self.n.row(row, self.hidden);
            let h_before = self.h_before.row(row, self.hidden);
            let h = self.h.row(row, self.hidden);
            for j in 0..self.hidden {
                h[j] = blend(gate(z[j]), tanh(n[j]), h_before[j]);
            }
        }
    }
}

/// `h = (1 - z) * n + z * h`.
#[inline(always)]
fn blend(z: f32, n: f32, h_before: f32) -> f32 {
    (1.0 - z) * n + z * h_before
}

/// Whether no value is NaN or infinite.
pub(super) struct AllFinite<'a>(pub &'a [f32]);

impl Task for AllFinite<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) -> bool {
        // The loop has no early exit, so that it becomes vector code.
        self.0.iter().fold(true, |all, x| all & x.is_finite())
    }
}
