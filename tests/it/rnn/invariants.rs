//! A row's numbers do not depend on the rows beside it, on how its tokens are divided into runs, or on the size of the buffer of
//! logits.

use proptest::prelude::*;
use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{LoadOptions, Logits, Model, Scratch, TokenId, WeightsType};
use rnnlm_server::rnn::{Architecture, GateActivation};

use crate::harness::network::{Biases, CELLS, Extras, Shape, shapes, weights_types};
use crate::harness::rows::{Answer, Ask, kernels, run, run_in};

/// The length of a random row, and the logits that it asks for.
#[derive(Clone, Debug)]
struct RowSpec {
    len: usize,
    logits: Logits,
}

fn row_specs() -> impl Strategy<Value = Vec<RowSpec>> {
    let logits = prop::sample::select(vec![Logits::None, Logits::Last, Logits::Each]);
    prop::collection::vec((0usize..12, logits).prop_map(|(len, logits)| RowSpec { len, logits }), 1..20)
}

fn asks<'a>(model: &dyn Model, tokens: &'a [Vec<TokenId>], specs: &[RowSpec]) -> Vec<Ask<'a>> {
    tokens.iter().zip(specs).map(|(tokens, spec)| Ask::fresh(model, tokens, spec.logits)).collect()
}

/// Weights of the type, and room to keep the input product of every token.
fn held(kernel: Kernel, weights: WeightsType) -> LoadOptions {
    LoadOptions { kernel, weights: Some(weights), fold_bytes_max: usize::MAX }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_row_gives_the_same_bits_beside_others_as_alone(
        (shape, weights) in (shapes(), weights_types()), specs in row_specs(), tile_bytes in 0usize..4000
    ) {
        let tokens: Vec<_> = (0..).zip(&specs).map(|(key, spec)| shape.tokens(key, spec.len)).collect();
        for kernel in kernels() {
            let model = shape.build(held(kernel, weights));
            let together = run_in(&model, asks(&model, &tokens, &specs), &mut Scratch::new(tile_bytes));
            for (ask, answer) in asks(&model, &tokens, &specs).into_iter().zip(together) {
                let positions: Vec<_> = answer.logits.iter().map(|(position, _)| *position).collect();
                prop_assert_eq!(positions, ask.logits.positions(ask.tokens.len()).collect::<Vec<_>>());
                prop_assert_eq!(&run(&model, vec![ask])[0], &answer, "{}", kernel.name());
            }
        }
    }

    #[test]
    fn tokens_read_in_pieces_give_the_same_bits_as_at_once(
        (shape, weights) in (shapes(), weights_types()), len in 1usize..30, cuts in prop::collection::vec(1usize..9, 30)
    ) {
        let tokens = shape.tokens(0, len);
        for kernel in kernels() {
            let model = shape.build(held(kernel, weights));
            let whole = run(&model, vec![Ask::fresh(&model, &tokens, Logits::Each)]).remove(0);
            let mut pieces = Answer { state: model.start_state(), logits: Vec::new(), outcome: Ok(()) };
            let mut read = 0;
            for cut in cuts.iter().copied() {
                let tokens = &tokens[read..len.min(read + cut)];
                let state = pieces.state.clone();
                let piece = run(&model, vec![Ask { state, tokens, logits: Logits::Each }]).remove(0);
                pieces.state = piece.state;
                pieces.logits.extend(piece.logits.into_iter().map(|(position, logits)| (read + position, logits)));
                read += tokens.len();
            }
            prop_assert_eq!(whole, pieces, "{}", kernel.name());
        }
    }

    #[test]
    fn the_logits_of_the_next_token_depend_only_on_the_state(shape in shapes(), weights in weights_types(), len in 0usize..9) {
        let tokens = shape.tokens(0, len);
        let model = shape.build(held(Kernel::Portable, weights));
        let after = run(&model, vec![Ask::fresh(&model, &tokens, Logits::Last)]).remove(0);
        let ask = Ask { state: after.state.clone(), tokens: &[], logits: Logits::Last };
        let again = run(&model, vec![ask]).remove(0);
        prop_assert_eq!(&again.logits[0].1, &after.logits[0].1);
        prop_assert_eq!(again.state, after.state);
    }
}

/// The prompts are so long that a run divides them into chunks.
#[test]
fn a_long_prompt_gives_the_same_bits_as_single_steps() {
    for ((cell, gru_form), weights) in CELLS.into_iter().zip(WeightsType::ALL.into_iter().cycle()) {
        let architecture = Architecture {
            cell,
            vocab_size: 5,
            embedding_size: 2,
            hidden_sizes: vec![3, 2],
            gru_form,
            gate_activation: GateActivation::HardSigmoid,
            proj_size: None,
        };
        let shape = Shape {
            architecture,
            tied_output: false,
            biases: Biases::Both,
            extras: Extras::default(),
            seed: 7,
        };
        let kernel = Kernel::choose(None).expect("a kernel for every processor");
        let model = shape.build(held(kernel, weights));
        let tokens: Vec<_> = [20_000, 15_000, 100, 0].map(|len| shape.tokens(len as u64, len)).into();
        let logits = [Logits::Last, Logits::Each, Logits::Last, Logits::Last];
        let asks = tokens.iter().zip(logits).map(|(tokens, logits)| Ask::fresh(&model, tokens, logits));
        let together = run(&model, asks.clone().collect());
        for (ask, answer) in asks.zip(together) {
            assert_eq!(answer.outcome, Ok(()));
            let mut state = model.start_state();
            let mut found = answer.logits.into_iter().peekable();
            for (position, tokens) in ask.tokens.chunks(1).enumerate() {
                let step = run(&model, vec![Ask { state, tokens, logits: Logits::Each }]).remove(0);
                if let Some((_, logits)) = found.next_if(|(at, _)| *at == position) {
                    assert_eq!(logits, step.logits[0].1);
                }
                state = step.state;
            }
            assert_eq!(state, answer.state);
            assert!(found.next().is_none_or(|(position, _)| position == ask.tokens.len()));
        }
    }
}
