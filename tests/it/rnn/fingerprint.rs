//! Fingerprints of the bits of logits and states and of the tokens drawn from them. They are the same on every machine with a
//! fused multiply-add.
//!
//! A change of a fingerprint changes the answers that a seed promises, so it must be noted in the changelog.

use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{Cell, Logits, Model, TokenId};
use rnnlm_server::rnn::{Architecture, GateActivation, GruForm, Rnn};
use rnnlm_server::sampling::{FilterSpec, Filtering, Filters, Sampler};
use sha2::{Digest, Sha256};

use crate::harness::network::{Biases, CELLS, Extras, Shape};
use crate::harness::rows::{Ask, kernels, run};

/// SHA-256 for each of [`CELLS`].
const FINGERPRINTS: [&str; 6] = [
    "e1ee9ad1d955414524925cec007eacf620ff7497690d1fb4b26feb2162fd6f4e",
    "2e93319163348b2021f5375e087629f577c18d174f1955bfcc4a3c7ee49c859d",
    "134094278ee66711abd3a1f09c4a176c2770629af1b90cf1c0b57aec486b6b5d",
    "1b2fd6bf73a730c6d159bad6931a3f92252b77a84df85e1d262f143a82264ec2",
    "5663a288189ee5a3cddda1a24600c7ec1b25faf9bef2e86041b1c030411f40d7",
    "803d0903d5377af3034df6ee4d8a01099439a524e5ea988752bc177d9a69ed5f",
];

#[test]
fn logits_states_and_draws_equal_the_committed_fingerprints() {
    for kernel in kernels().into_iter().filter(|kernel| kernel.numerics() == "fma") {
        let found = CELLS.map(|(cell, gru_form)| fingerprint(&shape(cell, gru_form), kernel));
        assert_eq!(found, FINGERPRINTS, "{}", kernel.name());
    }
}

fn shape(cell: Cell, gru_form: GruForm) -> Shape {
    let architecture = Architecture {
        cell,
        vocab_size: 300,
        embedding_size: 40,
        hidden_sizes: vec![70, 33],
        gru_form,
        gate_activation: GateActivation::Sigmoid,
        proj_size: None,
    };
    Shape { architecture, tied_output: false, biases: Biases::Both, extras: Extras::default(), seed: 2026 }
}

fn fingerprint(shape: &Shape, kernel: Kernel) -> String {
    let model = shape.build(kernel);
    let tokens: Vec<_> = (0..7).map(|row| shape.tokens(row, 5 * row as usize)).collect();
    let asks = tokens.iter().map(|tokens| Ask::fresh(&model, tokens, Logits::Each)).collect();
    let mut hash = Sha256::new();
    for answer in run(&model, asks) {
        assert_eq!(answer.outcome, Ok(()));
        let logits = answer.logits.iter().flat_map(|(_, logits)| logits);
        logits.chain(answer.state.as_slice()).for_each(|value| hash.update(value.to_le_bytes()));
    }
    draws(&model).iter().for_each(|token| hash.update(token.to_le_bytes()));
    hash.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// A thousand tokens, each drawn after the previous one was read.
fn draws(model: &Rnn) -> Vec<TokenId> {
    let spec = FilterSpec { temperature: 0.7, top_k: Some(200), top_p: 0.95, ..FilterSpec::default() };
    let filtering = Filtering::new(Filters::new(spec).expect("values within their ranges"), &[]);
    let sampler = Sampler::Multinomial { seed: 2026, choice: 0 };
    let mut tokens = vec![0];
    let mut state = model.start_state();
    for position in 1..=1000 {
        let ask = Ask { state, tokens: &tokens[tokens.len() - 1..], logits: Logits::Last };
        let mut answer = run(model, vec![ask]).remove(0);
        let drawn =
            sampler.draw(&filtering, &mut answer.logits[0].1, position).expect("no token is ruled out");
        tokens.push(drawn.token);
        state = answer.state;
    }
    tokens.split_off(1)
}
