//! Equalities that hold bit for bit: a graph's numbers do not depend on how its tokens are divided into runs, nor those of a
//! lowered graph on the format of the file that its weights came from.

use rnnlm_server::catalog::{Manifest, NetworkSpec, read_weights};
use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{Logits, Model, RowError, TokenId};
use rnnlm_server::rnn::Rnn;

use super::fixtures::{Case, Outcome, each, kernel};
use super::reading::{Read, in_pieces, together};
use crate::harness::onnx_files;
use crate::harness::rows::{Ask, kernels, run};

#[test]
fn a_graph_gives_the_same_bits_however_its_tokens_are_divided() {
    each(
        |case| case.outcome != Outcome::Refused,
        |case| {
            let loaded = case.served(kernel())?;
            let batch = together(&*loaded.model, &tokens(case))?;
            for (sequence, batched) in case.sequences.iter().zip(batch) {
                let alone = together(&*loaded.model, &[&sequence.tokens])?.remove(0);
                same(&batched, &alone, "in a batch and alone")?;
                let steps = in_pieces(&*loaded.model, &sequence.tokens, &[1])?;
                same(&alone, &steps, "at once and token by token")?;
                let pieces = in_pieces(&*loaded.model, &sequence.tokens, &[3, 1, 5])?;
                same(&alone, &pieces, "at once and in pieces")?;
            }
            Ok(())
        },
    );
}

#[test]
fn a_lowered_graph_equals_the_same_weights_from_safetensors_bit_for_bit() {
    for kernel in kernels() {
        each(
            |case| case.is_lowered() && case.network.is_some(),
            |case| {
                let loaded = case.served(kernel)?;
                let twin = twin(case.network.as_deref().expect("a network"), kernel);
                let info = loaded.model.info();
                let expected = twin.info();
                let sizes = |model: &dyn Model| (model.info().vocab_size, model.info().hidden_sizes.clone());
                if info.cell != expected.cell || sizes(&*loaded.model) != sizes(&twin) {
                    return Err(format!("found {info:?}, expected {expected:?}"));
                }
                let reads = together(&*loaded.model, &tokens(case))?;
                for (read, expected) in reads.iter().zip(together(&twin, &tokens(case))?) {
                    same(read, &expected, "from ONNX and from safetensors")?;
                }
                Ok(())
            },
        );
    }
}

/// Such an id must not reach an engine: one would read another token's row of the embedding, and the other would panic.
#[test]
fn a_token_outside_the_vocabulary_fails_its_row_alone() {
    each(
        |case| case.outcome != Outcome::Refused,
        |case| {
            let model = case.served(kernel())?.model;
            let outside = model.info().vocab_size as TokenId;
            let tokens: [&[TokenId]; 3] = [&[0, 1], &[1, outside, 0], &[1]];
            let asks = tokens.map(|tokens| Ask::fresh(&*model, tokens, Logits::Last));
            let answers = run(&*model, asks.to_vec());
            if answers[1].outcome != Err(RowError::TokenOutOfRange(outside))
                || answers[1].state != model.start_state()
            {
                return Err(format!("token {outside}: {:?}", answers[1].outcome));
            }
            for row in [0, 2] {
                if answers[row] != run(&*model, vec![asks[row].clone()])[0] {
                    return Err(format!("row {row} differs from the same row alone"));
                }
            }
            Ok(())
        },
    );
}

fn tokens(case: &Case) -> Vec<&[TokenId]> {
    case.sequences.iter().map(|sequence| &sequence.tokens[..]).collect()
}

/// The network with the same weights from safetensors, under the names and in the shapes of a model folder.
fn twin(name: &str, kernel: Kernel) -> Rnn {
    let read = |extension: &str| {
        let path = onnx_files().join("networks").join(format!("{name}.{extension}"));
        std::fs::read(path).expect(name)
    };
    let manifest = Manifest::parse(&read("json")).expect("a manifest");
    let NetworkSpec::Declared(network) = manifest.network else {
        panic!("`{name}` is not a safetensors file");
    };
    let weights = read_weights(&read("safetensors"), &network).expect("weights");
    Rnn::new(&network.architecture, weights, kernel).expect("weights of the right shapes")
}

fn same(a: &Read, b: &Read, how: &str) -> Result<(), String> {
    let bits = |read: &Read| -> Vec<u32> {
        read.logits.iter().flatten().chain(read.state.as_slice()).map(|value| value.to_bits()).collect()
    };
    let a = bits(a);
    let b = bits(b);
    let differing = a.iter().zip(&b).filter(|(a, b)| a != b).count();
    if a.len() == b.len() && differing == 0 {
        return Ok(());
    }
    Err(format!("{how}: {differing} of {} values differ, expected {} equal values", a.len(), b.len()))
}
