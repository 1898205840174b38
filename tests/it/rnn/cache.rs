//! The continuous cache: compared with NumPy (`tests/golden/cache.py`), and the same bits in any batch and in any pieces.

use std::sync::Arc;

use proptest::prelude::*;
use rnnlm_server::lm::{Cache, CacheOptions, Distribution, Logits, Model, Scratch, State, TokenId};
use rnnlm_server::rnn::Rnn;
use serde_json::Value;

use super::golden::Fixture;
use crate::harness::network::{shapes, weights_types};
use crate::harness::root;
use crate::harness::rows::{Answer, Ask, kernels, run, run_in};

/// The start of `model`, with an empty cache.
fn start(model: &dyn Model, options: CacheOptions) -> State {
    let mut state = model.start_state();
    let width = model.cache_width().expect("a network of known layers");
    state.set_cache(Some(Arc::new(Cache::new(options, width))));
    state
}

#[test]
fn probabilities_with_a_cache_equal_those_of_numpy() {
    let folder = root().join("tests/golden");
    let cases = std::fs::read(folder.join("cache.json")).expect("the file of cases");
    let cases: Value = serde_json::from_slice(&cases).expect("JSON");
    let cases = cases.as_array().expect("a list");
    assert_eq!(cases.len(), 6);
    for case in cases {
        let number = |key: &str| case[key].as_f64().expect("a number");
        let network = case["network"].as_str().expect("a name");
        let bytes = std::fs::read(folder.join(format!("{network}.safetensors"))).expect("a network");
        let fixture = Fixture::read(&bytes);
        let options = CacheOptions {
            window: number("window") as usize,
            theta: number("theta"),
            lambda: number("lambda"),
        };
        for kernel in kernels() {
            let model = Rnn::new(&fixture.architecture, fixture.weights.clone(), kernel).expect(network);
            let state = start(&model, options);
            let ask = Ask { state, tokens: &fixture.tokens, logits: Logits::Each };
            let answer = run(&model, vec![ask]).remove(0);
            assert_eq!(answer.logits.len(), fixture.tokens.len());
            for (position, logits) in &answer.logits {
                let found = Distribution::new(logits);
                let expected = case["probs"][position].as_array().expect("a list");
                assert_eq!(expected.len(), logits.len());
                for (token, expected) in (0..).zip(expected) {
                    let expected = expected.as_f64().expect("a number");
                    let prob = libm::exp(found.logprob(token));
                    let context = format!("{network}, {options:?}, position {position}, token {token}");
                    assert!((prob - expected).abs() < 1e-6, "{context}: {prob}, expected {expected}");
                }
            }
        }
    }
}

#[test]
fn a_cache_that_is_not_asked_about_is_kept_all_the_same() {
    let bytes = std::fs::read(root().join("tests/golden/gru-1-bias.safetensors")).expect("a network");
    let fixture = Fixture::read(&bytes);
    let model = Rnn::new(&fixture.architecture, fixture.weights.clone(), kernels()[0]).expect("a network");
    let options = CacheOptions { window: 40, theta: 1.0, lambda: 0.5 };
    let ask = |logits| Ask { state: start(&model, options), tokens: &fixture.tokens, logits };
    let [silent, asked] = [Logits::None, Logits::Each].map(|logits| run(&model, vec![ask(logits)]).remove(0));
    assert_eq!(silent.state, asked.state);
    let cache = silent.state.cache().expect("a cache");
    let remembered: Vec<TokenId> = cache.entries().map(|entry| entry.token).collect();
    assert_eq!(remembered, fixture.tokens[fixture.tokens.len() - 40..]);
    // Where nothing has been read, there is nothing to mix in.
    let bare = Ask { state: model.start_state(), tokens: &fixture.tokens, logits: Logits::Each };
    let bare = run(&model, vec![bare]).remove(0);
    assert_eq!(asked.logits[0], bare.logits[0]);
    assert_ne!(asked.logits[1], bare.logits[1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_row_with_a_cache_gives_the_same_bits_beside_others_and_in_pieces(
        shape in shapes(),
        weights in weights_types(),
        rows in prop::collection::vec((0usize..40, prop::option::of(1usize..50)), 1..8),
        cuts in prop::collection::vec(1usize..9, 40),
        tile_bytes in 0usize..4000,
    ) {
        let tokens: Vec<_> = (0..).zip(&rows).map(|(key, (len, _))| shape.tokens(key, *len)).collect();
        for kernel in kernels() {
            let options = rnnlm_server::lm::LoadOptions { kernel, weights: Some(weights), fold_bytes_max: 0 };
            let model = shape.build(options);
            let ask = |index: usize| {
                let cached = |window| start(&model, CacheOptions { window, theta: 0.7, lambda: 0.4 });
                let state = rows[index].1.map_or_else(|| model.start_state(), cached);
                Ask { state, tokens: &tokens[index], logits: Logits::Each }
            };
            let asks = (0..rows.len()).map(ask).collect();
            let together = run_in(&model, asks, &mut Scratch::new(tile_bytes));
            for (index, answer) in together.iter().enumerate() {
                prop_assert_eq!(&run(&model, vec![ask(index)])[0], answer, "alone, {}", kernel.name());
                prop_assert_eq!(&in_pieces(&model, ask(index), &cuts), answer, "in pieces, {}", kernel.name());
            }
        }
    }
}

/// The same row, read in pieces of these lengths.
fn in_pieces(model: &dyn Model, ask: Ask<'_>, cuts: &[usize]) -> Answer {
    let mut pieces = Answer { state: ask.state, logits: Vec::new(), outcome: Ok(()) };
    let mut read = 0;
    for cut in cuts {
        let tokens = &ask.tokens[read..ask.tokens.len().min(read + cut)];
        let state = pieces.state.clone();
        let piece = run(model, vec![Ask { state, tokens, logits: Logits::Each }]).remove(0);
        pieces.state = piece.state;
        pieces.logits.extend(piece.logits.into_iter().map(|(position, logits)| (read + position, logits)));
        read += tokens.len();
    }
    pieces
}
