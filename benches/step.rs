//! The time of a step and of a prompt, by size of the network, number of rows and kernel: `cargo bench --bench step`.
//!
//! One thread. A step reads one token in every row and computes the logits of every row; a prompt reads 64 tokens and computes
//! only the last logits. `RNNLM_KERNEL` selects the kernel. Pin the process to a core to get stable figures.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{Cell, Logits, Model, Row, Scratch, State, TokenId};
use rnnlm_server::rnn::{Architecture, GruForm, Rnn};

use network::{Biases, Shape};

#[path = "../tests/it/harness/network.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod network;

const ROWS: [usize; 4] = [1, 8, 32, 128];

fn main() {
    divan::main();
}

/// 4.4 MB of weights.
#[divan::bench_group(min_time = 0.5)]
mod lstm_1x100_vocab_10k {
    use super::*;

    #[divan::bench(args = ROWS)]
    fn step(bencher: Bencher<'_, '_>, rows: usize) {
        bench(bencher, &lstm(100, 1), rows, 1);
    }

    #[divan::bench(args = ROWS)]
    fn prompt_64(bencher: Bencher<'_, '_>, rows: usize) {
        bench(bencher, &lstm(100, 1), rows, 64);
    }
}

/// 53 MB of weights.
#[divan::bench_group(min_time = 0.5)]
mod lstm_2x650_vocab_10k {
    use super::*;

    #[divan::bench(args = ROWS)]
    fn step(bencher: Bencher<'_, '_>, rows: usize) {
        bench(bencher, &lstm(650, 2), rows, 1);
    }

    #[divan::bench(args = ROWS)]
    fn prompt_64(bencher: Bencher<'_, '_>, rows: usize) {
        bench(bencher, &lstm(650, 2), rows, 64);
    }
}

fn lstm(size: usize, layers: usize) -> Shape {
    let architecture = Architecture {
        cell: Cell::Lstm,
        vocab_size: 10_000,
        embedding_size: size,
        hidden_sizes: vec![size; layers],
        gru_form: GruForm::ResetAfter,
    };
    Shape { architecture, tied_output: false, biases: Biases::Both, seed: 1 }
}

/// Reads `len` tokens in each of `rows` rows and computes their last logits; each run continues from the states of the previous one.
fn bench(bencher: Bencher<'_, '_>, shape: &Shape, rows: usize, len: usize) {
    let kernel =
        Kernel::choose(std::env::var("RNNLM_KERNEL").ok().as_deref()).expect("a kernel of this processor");
    let model: Rnn = shape.build(kernel);
    let tokens: Vec<Vec<TokenId>> = (0..rows).map(|row| shape.tokens(row as u64, len)).collect();
    let mut states: Vec<State> = (0..rows).map(|_| model.zero_state()).collect();
    let mut scratch = Scratch::new(32 << 20);
    bencher.counter(ItemsCount::new(rows * len)).bench_local(|| {
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
