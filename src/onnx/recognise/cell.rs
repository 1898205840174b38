//! The cells that a step may turn out to be: RNN, GRU in both forms, and LSTM, from the terms of what they carry on.

use std::sync::Arc;

use super::block::Block;
use super::term::{Affine, Function, Kind, Matrix, Term};
use crate::lm::Cell;
use crate::onnx::fold::{Why, joined_floats};
use crate::onnx::tensor::Tensor;
use crate::rnn::{GateActivation, GruForm};

/// A cell with its weights as ONNX's operators have them.
pub(super) struct FoundCell {
    pub(super) cell: Cell,
    pub(super) gru_form: GruForm,
    pub(super) gate_activation: GateActivation,
    /// The places of h and of an LSTM's c among what the step carries.
    pub(super) h: usize,
    pub(super) c: Option<usize>,
    pub(super) hidden: usize,
    /// `[1, gates * hidden, input]`.
    pub(super) w: Arc<Tensor>,
    /// `[1, gates * hidden, width of h]`.
    pub(super) r: Arc<Tensor>,
    /// `[1, 2 * gates * hidden]`.
    pub(super) b: Option<Arc<Tensor>>,
    /// `[width, hidden]`, of an LSTM that projects its h.
    pub(super) projection: Option<Arc<Tensor>>,
}

/// A gate: its function, and what it is a function of.
struct Gate<'t> {
    function: Function,
    affine: &'t Affine,
}

/// The cell whose step leaves `carried`.
///
/// # Errors
/// That it is none that the engine has.
pub(super) fn cell(carried: &[Arc<Term>]) -> Result<FoundCell, Why> {
    let found = match carried {
        [h] => rnn(h).or_else(|| gru(h)),
        [_, _] => lstm(carried, 0, 1).or_else(|| lstm(carried, 1, 0)),
        _ => None,
    };
    found.unwrap_or_else(|| Err("its step is none of an RNN, a GRU or an LSTM".into()))
}

fn rnn(h: &Term) -> Option<Result<FoundCell, Why>> {
    let gate = gate(h)?;
    let cell = match gate.function {
        Function::Tanh => Cell::RnnTanh,
        Function::Relu => Cell::RnnRelu,
        Function::Sigmoid => Cell::RnnSigmoid,
        Function::HardSigmoid { .. } => return None,
    };
    is_of_state(gate.affine, 0).then(|| {
        packed(
            &Parts {
                cell,
                gru_form: GruForm::default(),
                gate_activation: GateActivation::default(),
                h: 0,
                c: None,
                projection: None,
            },
            &[gate.affine],
        )
    })
}

/// `c = f * c + i * g`, `h = o * tanh(c)` or a projection of it.
fn lstm(carried: &[Arc<Term>], h: usize, c: usize) -> Option<Result<FoundCell, Why>> {
    let Kind::Sum(a, b) = &carried[c].kind else { return None };
    let kept = |[forget, state]: [&Arc<Term>; 2]| is_state(state, c).then_some(forget.clone());
    let (forget, new) = match orders(a).into_iter().find_map(kept) {
        Some(forget) => (forget, b),
        None => (orders(b).into_iter().find_map(kept)?, a),
    };
    let [i, g] = orders(new).into_iter().find(|[_, g]| is_function(g, Function::Tanh))?;
    let is_of_c = |term: &Arc<Term>| match &term.kind {
        Kind::Activated(Function::Tanh, of) => Arc::ptr_eq(of, &carried[c]),
        _ => false,
    };
    let (output, projection) = projected(&carried[h]);
    let projection = projection.cloned();
    let [o, _] = orders(output).into_iter().find(|[_, last]| is_of_c(last))?;
    let [i, o, f, g] = [gate(i)?, gate(o)?, gate(&forget)?, gate(g)?];
    let gate_activation = common_activation(&[&i, &o, &f])?;
    let gates = [i.affine, o.affine, f.affine, g.affine];
    let parts =
        Parts { cell: Cell::Lstm, gru_form: GruForm::default(), gate_activation, h, c: Some(c), projection };
    gates.iter().all(|affine| is_of_state(affine, h)).then(|| packed(&parts, &gates))
}

/// What an LSTM's h is a projection of, and the weights `[hidden, width]`; h itself without any.
fn projected(h: &Term) -> (&Term, Option<&Block>) {
    match &h.kind {
        Kind::Affine(Affine { input: None, recurrent: Some(Matrix { of, weights }), bias: None }) => {
            (of, Some(weights))
        }
        _ => (h, None),
    }
}

/// `z * h + (1 - z) * n`: z and n.
fn blended(a: &Arc<Term>, b: &Arc<Term>) -> Option<[Arc<Term>; 2]> {
    let kept = |[z, state]: [&Arc<Term>; 2]| is_state(state, 0).then_some(z.clone());
    let (z, new) = match orders(a).into_iter().find_map(kept) {
        Some(z) => (z, b),
        None => (orders(b).into_iter().find_map(kept)?, a),
    };
    let is_rest = |term: &Arc<Term>| matches!(&term.kind, Kind::Complement(of) if Arc::ptr_eq(of, &z));
    let [_, n] = orders(new).into_iter().find(|[rest, _]| is_rest(rest))?;
    Some([z, n.clone()])
}

/// `z * (h - n) + n`, the same as PyTorch writes it: z and n.
fn drawn(step: &Term, n: &Arc<Term>) -> Option<[Arc<Term>; 2]> {
    let is_negative = |term: &Term| match &term.kind {
        &Kind::Scaled { ref of, factor, shift } => factor == -1.0 && shift == 0.0 && Arc::ptr_eq(of, n),
        _ => false,
    };
    let is_way = |term: &Term| match &term.kind {
        Kind::Sum(a, b) => [[a, b], [b, a]].iter().any(|[a, b]| is_state(a, 0) && is_negative(b)),
        _ => false,
    };
    let [z, _] = orders(step).into_iter().find(|[_, way]| is_way(way))?;
    Some([z.clone(), n.clone()])
}

/// `h = z * h + (1 - z) * n`.
fn gru(h: &Term) -> Option<Result<FoundCell, Why>> {
    let Kind::Sum(a, b) = &h.kind else { return None };
    let [z, n] = blended(a, b).or_else(|| drawn(a, b)).or_else(|| drawn(b, a))?;
    let Kind::Activated(Function::Tanh, n) = &n.kind else { return None };
    let Candidate { r, affine, gru_form } = candidate(n)?;
    let [z, r] = [gate(&z)?, gate(&r)?];
    let gate_activation = common_activation(&[&z, &r])?;
    let parts = Parts { cell: Cell::Gru, gru_form, gate_activation, h: 0, c: None, projection: None };
    (is_of_state(z.affine, 0) && is_of_state(r.affine, 0)).then(|| match gru_form {
        GruForm::ResetBefore => packed(&parts, &[z.affine, r.affine, &affine.joined]),
        GruForm::ResetAfter => {
            let mut found = packed(&parts, &[z.affine, r.affine, &affine.joined])?;
            found.b = Some(Arc::new(affine.biases(&[z.affine, r.affine], found.hidden)));
            Ok(found)
        }
    })
}

/// What a GRU's candidate is the tanh of.
struct Candidate {
    r: Arc<Term>,
    affine: CandidateSum,
    gru_form: GruForm,
}

/// The sum of a GRU's candidate.
struct CandidateSum {
    /// Both products.
    joined: Affine,
    /// The bias inside the reset gate's product.
    recurrent_bias: Option<Vec<f32>>,
}

impl CandidateSum {
    /// `[1, 6 * hidden]`: those of z, r and n beside the input, then those beside h.
    fn biases(&self, gates: &[&Affine], hidden: usize) -> Tensor {
        let zeros = || vec![0.0; hidden];
        let bias = |affine: &Affine| affine.bias.clone().unwrap_or_else(zeros);
        let mut all: Vec<f32> = gates.iter().flat_map(|affine| bias(affine)).collect();
        all.extend(bias(&self.joined));
        all.extend(vec![0.0; 2 * hidden]);
        all.extend(self.recurrent_bias.clone().unwrap_or_else(zeros));
        Tensor::floats(vec![1, all.len()], all)
    }
}

fn candidate(n: &Term) -> Option<Candidate> {
    match &n.kind {
        // W x + r * (R h + b)
        Kind::Sum(a, b) => {
            let inner = |[r, share]: [&Arc<Term>; 2]| match &share.kind {
                Kind::Affine(share) if share.input.is_none() && is_of_state_alone(share) => {
                    Some((r.clone(), share.clone()))
                }
                _ => None,
            };
            let ((r, share), own) = match orders(a).into_iter().find_map(inner) {
                Some(found) => (found, b),
                None => (orders(b).into_iter().find_map(inner)?, a),
            };
            let Kind::Affine(own) = &own.kind else { return None };
            own.recurrent.is_none().then_some(())?;
            let joined = Affine { recurrent: share.recurrent, ..own.clone() };
            let affine = CandidateSum { joined, recurrent_bias: share.bias };
            Some(Candidate { r, affine, gru_form: GruForm::ResetAfter })
        }
        // W x + R (r * h) + b
        Kind::Affine(affine) => {
            let Matrix { of, weights } = affine.recurrent.as_ref()?;
            let kept = |[r, state]: [&Arc<Term>; 2]| is_state(state, 0).then_some((r.clone(), state.clone()));
            let (r, state) = orders(of).into_iter().find_map(kept)?;
            let recurrent = Some(Matrix { of: state, weights: weights.clone() });
            let affine =
                CandidateSum { joined: Affine { recurrent, ..affine.clone() }, recurrent_bias: None };
            Some(Candidate { r, affine, gru_form: GruForm::ResetBefore })
        }
        _ => None,
    }
}

/// The two factors of a product, either way round; none of any other term.
fn orders(term: &Term) -> Vec<[&Arc<Term>; 2]> {
    match &term.kind {
        Kind::Product(a, b) => vec![[a, b], [b, a]],
        _ => Vec::new(),
    }
}

fn gate(term: &Term) -> Option<Gate<'_>> {
    let Kind::Activated(function, of) = &term.kind else { return None };
    match &of.kind {
        Kind::Affine(affine) => Some(Gate { function: *function, affine }),
        _ => None,
    }
}

fn is_function(term: &Term, function: Function) -> bool {
    matches!(&term.kind, Kind::Activated(found, _) if *found == function)
}

fn is_state(term: &Term, place: usize) -> bool {
    matches!(term.kind, Kind::State(found) if found == place)
}

/// Whether it multiplies the input and the state at `place`.
fn is_of_state(affine: &Affine, place: usize) -> bool {
    affine.input.is_some()
        && affine.recurrent.as_ref().is_some_and(|recurrent| is_state(&recurrent.of, place))
}

fn is_of_state_alone(affine: &Affine) -> bool {
    affine.recurrent.as_ref().is_some_and(|recurrent| is_state(&recurrent.of, 0))
}

/// The one function of gates; `None` where they differ, or for another function.
fn common_activation(gates: &[&Gate<'_>]) -> Option<GateActivation> {
    let function = gates.first()?.function;
    if gates.iter().any(|gate| gate.function != function) {
        return None;
    }
    match function {
        Function::Sigmoid => Some(GateActivation::Sigmoid),
        Function::HardSigmoid { slope } => GateActivation::of_slope(slope),
        Function::Tanh | Function::Relu => None,
    }
}

/// A cell before its weights.
struct Parts {
    cell: Cell,
    gru_form: GruForm,
    gate_activation: GateActivation,
    h: usize,
    c: Option<usize>,
    /// `[hidden, width of h]`.
    projection: Option<Block>,
}

/// The weights of `gates`, which are in ONNX's order.
fn packed(parts: &Parts, gates: &[&Affine]) -> Result<FoundCell, Why> {
    let &Parts { cell, gru_form, gate_activation, h, c, ref projection } = parts;
    let inputs = gates.iter().filter_map(|gate| gate.input.as_ref().map(|input| &input.weights));
    let w = stacked(&inputs.collect::<Vec<_>>())?;
    let recurrents =
        gates.iter().filter_map(|gate| gate.recurrent.as_ref().map(|recurrent| &recurrent.weights));
    let r = stacked(&recurrents.collect::<Vec<_>>())?;
    let [_, rows, width] = *r.shape.as_slice() else { return Err("its weights are no matrices".into()) };
    let hidden = rows / gates.len();
    let fits = match projection {
        None => width == hidden,
        Some(weights) => weights.sizes() == [hidden, width],
    };
    if !fits || rows != gates.len() * hidden || w.shape[1] != rows {
        let found = &w.shape;
        return Err(format!(
            "its gates have weights {found:?} and {:?}, expected those of one size",
            r.shape
        ));
    }
    let has_bias = gates.iter().any(|gate| gate.bias.is_some());
    let bias = |gate: &&Affine| gate.bias.clone().unwrap_or_else(|| vec![0.0; hidden]);
    let b = has_bias.then(|| {
        let mut all: Vec<f32> = gates.iter().flat_map(bias).collect();
        all.resize(2 * rows, 0.0);
        Arc::new(Tensor::floats(vec![1, 2 * rows], all))
    });
    let projection = projection.as_ref().map(Block::turned);
    let w = Arc::new(w);
    let r = Arc::new(r);
    Ok(FoundCell { cell, gru_form, gate_activation, h, c, hidden, w, r, b, projection })
}

/// Matrices `[in, columns]`, turned and one below the other: `[1, all columns, in]`.
fn stacked(matrices: &[&Block]) -> Result<Tensor, Why> {
    let turned: Vec<Arc<Tensor>> = matrices.iter().map(|matrix| matrix.turned()).collect();
    let Some(first) = turned.first() else { return Err("it has no gate".into()) };
    let depth = first.shape[1];
    if turned.iter().any(|matrix| matrix.shape[1] != depth) {
        return Err("its gates read vectors of several sizes".into());
    }
    let rows = turned.iter().map(|matrix| matrix.shape[0]).sum();
    let parts: Vec<&Tensor> = turned.iter().map(|matrix| &**matrix).collect();
    Ok(Tensor { shape: vec![1, rows, depth], data: joined_floats(&parts, 1), ..**first })
}
