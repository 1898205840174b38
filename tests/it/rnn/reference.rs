//! The network as a scalar loop, one multiplication after the other, which every kernel must equal bit for bit.

use proptest::prelude::*;
use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::math::{sigmoid, tanh};
use rnnlm_server::lm::{Cell, LoadOptions, Logits, TokenId, WeightsType};
use rnnlm_server::rnn::{Architecture, GateActivation, GruForm, Norm, NormForm, Values};

use crate::harness::network::{Shape, shapes};
use crate::harness::rows::{Ask, kernels, run};

/// `start` plus the products of `x` with a row of weights.
pub(super) type Chain = fn(start: f32, weights: &[f32], x: &[f32]) -> f32;

pub(super) fn fused(start: f32, weights: &[f32], x: &[f32]) -> f32 {
    x.iter().zip(weights).fold(start, |sum, (&x, &weight)| x.mul_add(weight, sum))
}

pub(super) fn unfused(start: f32, weights: &[f32], x: &[f32]) -> f32 {
    x.iter().zip(weights).fold(start, |sum, (&x, &weight)| x * weight + sum)
}

pub(super) fn int8(start: f32, weights: &[f32], x: &[f32]) -> f32 {
    let x = Int8Row::of(x);
    let weights = Int8Row::of(weights);
    let sum: i64 = x.integers.iter().zip(&weights.integers).map(|(x, weight)| x * weight).sum();
    start + sum as f32 * (x.unit * weights.unit)
}

/// Values quantised together: integers in `-127..=127` times the unit.
pub(super) struct Int8Row {
    unit: f32,
    integers: Vec<i64>,
}

impl Int8Row {
    pub(super) fn of(values: &[f32]) -> Self {
        let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        if largest == 0.0 {
            return Self { unit: 0.0, integers: vec![0; values.len()] };
        }
        let per_unit = 127.0 / largest;
        let integers = values.iter().map(|value| (value * per_unit).round_ties_even() as i64).collect();
        Self { unit: largest / 127.0, integers }
    }

    pub(super) fn values(&self) -> Vec<f32> {
        self.integers.iter().map(|&integer| integer as f32 * self.unit).collect()
    }
}

/// The reference network. Its order of summation is the contract: the bias, then the input by rising index, then the recurrent
/// product.
struct Reference {
    architecture: Architecture,
    embedding: Vec<f32>,
    layers: Vec<Layer>,
    output: Vec<f32>,
    output_bias: Vec<f32>,
    output_norms: Vec<Norm>,
    chain: Chain,
}

/// The weights of a layer, widened; absent biases are zeros.
struct Layer {
    w_ih: Vec<f32>,
    w_hh: Vec<f32>,
    b_ih: Vec<f32>,
    b_hh: Vec<f32>,
    w_hr: Option<Vec<f32>>,
    /// h, and c of an LSTM, before anything was read.
    start: Vec<f32>,
    norms: Vec<Norm>,
}

impl Reference {
    fn new(shape: &Shape, chain: Chain) -> Self {
        let architecture = shape.architecture.clone();
        let weights = shape.weights();
        let or_zeros = |bias: Option<Values>, len| bias.map_or_else(|| vec![0.0; len], Values::widened);
        let layers = weights.layers.into_iter().zip(&architecture.hidden_sizes).map(|(layer, &hidden)| {
            let columns = architecture.cell.gates() * hidden;
            Layer {
                w_ih: layer.w_ih.widened(),
                w_hh: layer.w_hh.widened(),
                b_ih: or_zeros(layer.b_ih, columns),
                b_hh: or_zeros(layer.b_hh, columns),
                w_hr: layer.w_hr.map(Values::widened),
                start: {
                    let h0 = or_zeros(layer.h0, architecture.width(hidden));
                    let c0 = (architecture.cell == Cell::Lstm).then(|| or_zeros(layer.c0, hidden));
                    h0.into_iter().chain(c0.into_iter().flatten()).collect()
                },
                norms: layer.norms,
            }
        });
        let layers = layers.collect();
        let embedding = weights.embedding.widened();
        let output = weights.output.map_or_else(|| embedding.clone(), Values::widened);
        let output_bias = or_zeros(weights.output_bias, architecture.vocab_size);
        let output_norms = weights.output_norms;
        Self { architecture, embedding, layers, output, output_bias, output_norms, chain }
    }

    /// Reads a token into the state of all layers: h, and c for an LSTM.
    fn read(&self, state: &mut [f32], token: TokenId) {
        let embedding_size = &self.architecture.embedding_size;
        let mut x = self.embedding[token as usize * embedding_size..][..*embedding_size].to_vec();
        let mut rest = state;
        for (layer, &hidden) in self.layers.iter().zip(&self.architecture.hidden_sizes) {
            let (own, tail) = std::mem::take(&mut rest).split_at_mut(layer.start.len());
            self.step(layer, &normalised(x, &layer.norms), own);
            x = own[..self.architecture.width(hidden)].to_vec();
            rest = tail;
        }
    }

    /// Advances a layer's h and c.
    fn step(&self, layer: &Layer, x: &[f32], state: &mut [f32]) {
        let size = layer.b_ih.len() / self.architecture.cell.gates();
        let (h, c) = state.split_at_mut(self.architecture.width(size));
        let before = h.to_vec();
        let input = |column: usize, bias: f32| (self.chain)(bias, row(&layer.w_ih, column, x.len()), x);
        let recurrent =
            |column: usize, sum: f32, h: &[f32]| (self.chain)(sum, row(&layer.w_hh, column, h.len()), h);
        let bias = |column: usize| layer.b_ih[column] + layer.b_hh[column];
        let gate = |column: usize| recurrent(column, input(column, bias(column)), &before);
        let open = |sum: f32| match self.architecture.gate_activation {
            GateActivation::Sigmoid => sigmoid(sum),
            GateActivation::HardSigmoid => (0.2 * sum + 0.5).clamp(0.0, 1.0),
            GateActivation::HardSigmoidSixth => (1.0 / 6.0 * sum + 0.5).clamp(0.0, 1.0),
        };
        match (self.architecture.cell, self.architecture.gru_form) {
            (Cell::RnnTanh, _) => (0..size).for_each(|j| h[j] = tanh(gate(j))),
            (Cell::RnnRelu, _) => (0..size).for_each(|j| h[j] = gate(j).max(0.0)),
            (Cell::RnnSigmoid, _) => (0..size).for_each(|j| h[j] = sigmoid(gate(j))),
            (Cell::Lstm, _) => {
                let mut output = vec![0.0; size];
                for j in 0..size {
                    let [i, f, g, o] = std::array::from_fn(|k| gate(k * size + j));
                    c[j] = open(f) * c[j] + open(i) * tanh(g);
                    output[j] = open(o) * tanh(c[j]);
                }
                match &layer.w_hr {
                    None => h.copy_from_slice(&output),
                    Some(w_hr) => {
                        (0..h.len()).for_each(|j| h[j] = (self.chain)(0.0, row(w_hr, j, size), &output));
                    }
                }
            }
            (Cell::Gru, form) => {
                let reset: Vec<f32> = (0..size).map(|j| open(gate(j)) * before[j]).collect();
                for j in 0..size {
                    let z = open(gate(size + j));
                    let column = 2 * size + j;
                    let n = match form {
                        GruForm::ResetAfter => {
                            let share = recurrent(column, layer.b_hh[column], &before);
                            input(column, layer.b_ih[column]) + open(gate(j)) * share
                        }
                        GruForm::ResetBefore => recurrent(column, input(column, bias(column)), &reset),
                    };
                    h[j] = (1.0 - z) * tanh(n) + z * before[j];
                }
            }
        }
    }

    fn logits(&self, state: &[f32]) -> Vec<f32> {
        let top = self.layers.last().expect("at least one layer");
        let width = self.architecture.output_width();
        let h = normalised(state[state.len() - top.start.len()..][..width].to_vec(), &self.output_norms);
        let logit = |token| (self.chain)(self.output_bias[token], row(&self.output, token, width), &h);
        (0..self.architecture.vocab_size).map(logit).collect()
    }
}

/// `x` after all of `norms`.
fn normalised(mut x: Vec<f32>, norms: &[Norm]) -> Vec<f32> {
    for Norm { form, scale, shift } in norms {
        if let NormForm::OfVector { epsilon } = form {
            let len = x.len() as f64;
            let mean = (lanes(&x) / len) as f32;
            x.iter_mut().for_each(|x| *x -= mean);
            let squares: Vec<f32> = x.iter().map(|x| x * x).collect();
            let deviation = (lanes(&squares) / len + f64::from(*epsilon)).sqrt();
            let inverse = (1.0 / deviation) as f32;
            x.iter_mut().for_each(|x| *x *= inverse);
        }
        x.iter_mut().zip(scale).zip(shift).for_each(|((x, scale), shift)| *x = *x * scale + shift);
    }
    x
}

/// The sum of `values` in the order of the contract: value `i` in lane `i % 16`, in f32 within each 256 values and in f64 from one to the
/// next, and at the end lane `i` with lane `i + 8`, `i + 4`, `i + 2`, `i + 1`.
fn lanes(values: &[f32]) -> f64 {
    let mut sums = [0.0f64; 16];
    for block in values.chunks(256) {
        let mut lanes = [0.0f32; 16];
        block.iter().enumerate().for_each(|(i, value)| lanes[i % 16] += value);
        sums.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum += f64::from(lane));
    }
    for half in [8, 4, 2, 1] {
        (0..half).for_each(|i| sums[i] += sums[i + half]);
    }
    sums[0]
}

pub(super) fn bits(values: Vec<f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

pub(super) fn row(matrix: &[f32], index: usize, width: usize) -> &[f32] {
    &matrix[index * width..][..width]
}

/// The logits before each of `tokens`, read from the start, then the last state.
fn expected(reference: &Reference, tokens: &[TokenId]) -> Vec<f32> {
    let mut state: Vec<f32> = reference.layers.iter().flat_map(|layer| &layer.start).copied().collect();
    let mut values = Vec::new();
    for &token in tokens {
        values.extend(reference.logits(&state));
        reference.read(&mut state, token);
    }
    values.extend(state);
    values
}

/// The same values from the network. The rows have different lengths, so that the number of rows in a step varies.
fn found(shape: &Shape, options: impl Into<LoadOptions>, rows: &[Vec<TokenId>]) -> Vec<Vec<f32>> {
    let model = shape.build(options);
    let asks = rows.iter().map(|tokens| Ask::fresh(&model, tokens, Logits::Each)).collect();
    run(&model, asks)
        .into_iter()
        .map(|answer| {
            assert_eq!(answer.outcome, Ok(()));
            let logits = answer.logits.iter().flat_map(|(_, logits)| logits);
            logits.chain(answer.state.as_slice()).copied().collect()
        })
        .collect()
}

fn rows(shape: &Shape, count: usize) -> Vec<Vec<TokenId>> {
    (0..count).map(|row| shape.tokens(row as u64, 1 + row % 4)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_kernel_equals_the_scalar_reference_bit_for_bit(shape in shapes(), count in 1usize..16) {
        let rows = rows(&shape, count);
        for kernel in kernels() {
            let chain = if kernel.numerics() == "fma" { fused } else { unfused };
            let reference = Reference::new(&shape, chain);
            for (tokens, found) in rows.iter().zip(found(&shape, kernel, &rows)) {
                prop_assert_eq!(bits(found), bits(expected(&reference, tokens)), "{}", kernel.name());
            }
        }
    }

    #[test]
    fn every_kernel_equals_the_scalar_integers_bit_for_bit(shape in shapes(), count in 1usize..9) {
        let rows = rows(&shape, count);
        let mut reference = Reference::new(&shape, int8);
        if shape.tied_output {
            let rows = reference.embedding.chunks(shape.architecture.embedding_size);
            reference.embedding = rows.flat_map(|row| Int8Row::of(row).values()).collect();
        }
        let expected: Vec<_> = rows.iter().map(|tokens| bits(expected(&reference, tokens))).collect();
        for kernel in kernels() {
            let options = LoadOptions { weights: Some(WeightsType::Int8), ..kernel.into() };
            for (found, expected) in found(&shape, options, &rows).into_iter().zip(&expected) {
                prop_assert_eq!(&bits(found), expected, "{}", kernel.name());
            }
        }
    }

    #[test]
    fn the_portable_kernel_agrees_with_the_fused_reference(shape in shapes(), count in 1usize..4) {
        let rows = rows(&shape, count);
        let reference = Reference::new(&shape, fused);
        for (tokens, found) in rows.iter().zip(found(&shape, Kernel::Portable, &rows)) {
            for (found, expected) in found.into_iter().zip(expected(&reference, tokens)) {
                prop_assert!((found - expected).abs() <= 1e-5 + 1e-5 * expected.abs(), "{found} {expected}");
            }
        }
    }
}
