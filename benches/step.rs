//! The time of a step and of a prompt, by size of the network, type of the weights, number of rows and kernel: `cargo bench --bench step`.
//!
//! One thread. A step reads one token in every row and computes the logits of every row; a prompt reads 64 tokens and computes
//! only the last logits. `RNNLM_KERNEL` selects the kernel. Pin the process to a core to get stable figures.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{Cell, LoadOptions, Logits, Model, Row, Scratch, State, TokenId, WeightsType};
use rnnlm_server::rnn::{Architecture, GateActivation, GruForm, Rnn};

use network::{Biases, Extras, Shape};

#[path = "../tests/it/harness/network.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod network;

const ROWS: [usize; 4] = [1, 8, 32, 128];

fn main() {
    divan::main();
}

/// 4.4 MB of weights in f32, half of that in bf16, a quarter in int8.
#[divan::bench_group(min_time = 0.5)]
mod lstm_1x100_vocab_10k {
    use super::*;

    #[divan::bench(args = ROWS)]
    fn step_f32(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(100, 1), weights: WeightsType::F32, fold_bytes_max: usize::MAX, len: 1 }
            .bench(bencher, rows);
    }

    #[divan::bench(args = ROWS)]
    fn step_f32_unfolded(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(100, 1), weights: WeightsType::F32, fold_bytes_max: 0, len: 1 }
            .bench(bencher, rows);
    }

    #[divan::bench(args = ROWS)]
    fn step_bf16(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(100, 1), weights: WeightsType::Bf16, fold_bytes_max: usize::MAX, len: 1 }
            .bench(bencher, rows);
    }

    #[divan::bench(args = ROWS)]
    fn step_int8(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(100, 1), weights: WeightsType::Int8, fold_bytes_max: usize::MAX, len: 1 }
            .bench(bencher, rows);
    }

    #[divan::bench(args = ROWS)]
    fn step_int8_unfolded(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(100, 1), weights: WeightsType::Int8, fold_bytes_max: 0, len: 1 }
            .bench(bencher, rows);
    }

    #[divan::bench(args = ROWS)]
    fn prompt_64_f32(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(100, 1), weights: WeightsType::F32, fold_bytes_max: usize::MAX, len: 64 }
            .bench(bencher, rows);
    }

    #[divan::bench(args = ROWS)]
    fn prompt_64_bf16(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(100, 1), weights: WeightsType::Bf16, fold_bytes_max: usize::MAX, len: 64 }
            .bench(bencher, rows);
    }

    #[divan::bench(args = ROWS)]
    fn prompt_64_int8(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(100, 1), weights: WeightsType::Int8, fold_bytes_max: usize::MAX, len: 64 }
            .bench(bencher, rows);
    }
}

/// 53 MB of weights in f32, half of that in bf16, a quarter in int8.
#[divan::bench_group(min_time = 0.5)]
mod lstm_2x650_vocab_10k {
    use super::*;

    #[divan::bench(args = ROWS)]
    fn step_f32(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(650, 2), weights: WeightsType::F32, fold_bytes_max: usize::MAX, len: 1 }
            .bench(bencher, rows);
    }

    #[divan::bench(args = ROWS)]
    fn step_f32_unfolded(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(650, 2), weights: WeightsType::F32, fold_bytes_max: 0, len: 1 }
            .bench(bencher, rows);
    }

    #[divan::bench(args = ROWS)]
    fn step_bf16(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(650, 2), weights: WeightsType::Bf16, fold_bytes_max: usize::MAX, len: 1 }
            .bench(bencher, rows);
    }

    #[divan::bench(args = ROWS)]
    fn step_int8(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(650, 2), weights: WeightsType::Int8, fold_bytes_max: usize::MAX, len: 1 }
            .bench(bencher, rows);
    }

    #[divan::bench(args = ROWS)]
    fn step_int8_unfolded(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(650, 2), weights: WeightsType::Int8, fold_bytes_max: 0, len: 1 }
            .bench(bencher, rows);
    }

    #[divan::bench(args = ROWS)]
    fn prompt_64_f32(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(650, 2), weights: WeightsType::F32, fold_bytes_max: usize::MAX, len: 64 }
            .bench(bencher, rows);
    }

    #[divan::bench(args = ROWS)]
    fn prompt_64_bf16(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(650, 2), weights: WeightsType::Bf16, fold_bytes_max: usize::MAX, len: 64 }
            .bench(bencher, rows);
    }

    #[divan::bench(args = ROWS)]
    fn prompt_64_int8(bencher: Bencher<'_, '_>, rows: usize) {
        Case { network: lstm(650, 2), weights: WeightsType::Int8, fold_bytes_max: usize::MAX, len: 64 }
            .bench(bencher, rows);
    }
}

fn lstm(size: usize, layers: usize) -> Shape {
    let architecture = Architecture {
        cell: Cell::Lstm,
        vocab_size: 10_000,
        embedding_size: size,
        hidden_sizes: vec![size; layers],
        gru_form: GruForm::ResetAfter,
        gate_activation: GateActivation::Sigmoid,
        proj_size: None,
    };
    Shape { architecture, tied_output: false, biases: Biases::Both, extras: Extras::default(), seed: 1 }
}

/// What is measured, except for the number of rows.
struct Case {
    network: Shape,
    /// What its weights are converted to.
    weights: WeightsType,
    /// Bytes for the first layer's input product: none of it is kept, or that of every token, as the service does while it has room.
    fold_bytes_max: usize,
    /// Tokens of a row.
    len: usize,
}

impl Case {
    /// Reads `len` tokens in each of `rows` rows and computes their last logits; each run continues from the states of the previous
    /// one.
    fn bench(&self, bencher: Bencher<'_, '_>, rows: usize) {
        let forced = std::env::var("RNNLM_KERNEL").ok();
        let kernel = Kernel::choose(forced.as_deref()).expect("a kernel of this processor");
        let model: Rnn = self.network.build(LoadOptions {
            kernel,
            weights: Some(self.weights),
            fold_bytes_max: self.fold_bytes_max,
        });
        let tokens: Vec<Vec<TokenId>> =
            (0..rows).map(|row| self.network.tokens(row as u64, self.len)).collect();
        let mut states: Vec<State> = (0..rows).map(|_| model.start_state()).collect();
        let mut scratch = Scratch::new(32 << 20);
        bencher.counter(ItemsCount::new(rows * self.len)).bench_local(|| {
            let mut rows: Vec<Row<'_>> = states
                .iter_mut()
                .zip(&tokens)
                .map(|(state, tokens)| Row::new(state, tokens, Logits::Last))
                .collect();
            model.run(&mut rows, &mut scratch, &mut |_, _, logits| {
                black_box(logits);
            });
        });
    }
}
