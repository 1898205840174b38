//! The bits of logits and states, committed: they hold on every machine with a fused multiply-add.
//!
//! A change here is a change of every answer that a seed promises; it belongs in the changelog.

use rnnlm_server::lm::{Cell, Logits};
use rnnlm_server::rnn::{Architecture, GruForm, Kernel};
use sha2::{Digest, Sha256};

use crate::harness::{Ask, kernels, run};
use crate::network::{Biases, CELLS, OutputKind, Shape};

/// SHA-256 for each of [`CELLS`].
const FINGERPRINTS: [&str; 6] = [
    "2dcc77af4184e3fee349d2ee9d3aa6064b6a8845917314f840651a57ef8abb4d",
    "2a825f9470700d2b4a5ec6f00305ede73e39af2682381d570924637ac1f04a2a",
    "2acf4f1e0bedb62e2ecfb38fbcda91099f53aabfc23940b9101f529568ac0944",
    "49a1178e5b9cc7d82bda1c828341b9c212fad3492adab0b1f99a4e648461b7ad",
    "de970a2878e8e75f1c66e08b628e2cf3fec6d5486cc346f9cc5db359b4523ee7",
    "68c4b1a74d4150c29388edd97cc039415abf827ba09ae38c4635fad2fb962587",
];

#[test]
fn logits_and_states_have_the_bits_that_were_committed() {
    for kernel in kernels().into_iter().filter(|kernel| kernel.numerics() == "fma") {
        let found = CELLS.map(|(cell, gru_form)| fingerprint(cell, gru_form, kernel));
        assert_eq!(found, FINGERPRINTS, "{}", kernel.name());
    }
}

fn fingerprint(cell: Cell, gru_form: GruForm, kernel: Kernel) -> String {
    let architecture =
        Architecture { cell, vocab_size: 300, embedding_size: 40, hidden_sizes: vec![70, 33], gru_form };
    let shape = Shape { architecture, output: OutputKind::Own, biases: Biases::Both, seed: 2026 };
    let model = shape.build(kernel);
    let tokens: Vec<_> = (0..7).map(|row| shape.tokens(row, 5 * row as usize)).collect();
    let asks = tokens.iter().map(|tokens| Ask::fresh(&model, tokens, Logits::Each)).collect();
    let mut hash = Sha256::new();
    for answer in run(&model, asks) {
        assert_eq!(answer.outcome, Ok(()));
        let logits = answer.logits.iter().flat_map(|(_, logits)| logits);
        logits.chain(answer.state.as_slice()).for_each(|value| hash.update(value.to_le_bytes()));
    }
    hash.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
