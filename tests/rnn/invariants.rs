//! A row's numbers are its own: whatever rows are beside it, however its tokens are cut, whatever the tile.

use proptest::prelude::*;
use rnnlm_server::error::ErrorKind;
use rnnlm_server::lm::{Cell, Dtype, Logits, Model, RowError, Scratch, State, TokenId};
use rnnlm_server::rnn::{Architecture, GruForm, Kernel, LayerWeights, Rnn, Weights};

use crate::harness::{Answer, Ask, kernels, run, run_in};
use crate::network::{Biases, CELLS, OutputKind, Shape, shapes};

/// A row as these tests draw it.
#[derive(Clone, Debug)]
struct Plan {
    len: usize,
    logits: Logits,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let logits = prop::sample::select(vec![Logits::None, Logits::Last, Logits::Each]);
    prop::collection::vec((0usize..12, logits).prop_map(|(len, logits)| Plan { len, logits }), 1..20)
}

fn asks<'a>(model: &dyn Model, tokens: &'a [Vec<TokenId>], plans: &[Plan]) -> Vec<Ask<'a>> {
    tokens.iter().zip(plans).map(|(tokens, plan)| Ask::fresh(model, tokens, plan.logits)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_row_beside_others_gives_what_it_gives_alone(shape in shapes(), plans in plans(), tile_bytes in 0usize..4000) {
        let tokens: Vec<_> = (0..).zip(&plans).map(|(key, plan)| shape.tokens(key, plan.len)).collect();
        for kernel in kernels() {
            let model = shape.build(kernel);
            let together = run_in(&model, asks(&model, &tokens, &plans), &mut Scratch::new(tile_bytes));
            for (ask, answer) in asks(&model, &tokens, &plans).into_iter().zip(together) {
                let positions: Vec<_> = answer.logits.iter().map(|(position, _)| *position).collect();
                prop_assert_eq!(positions, ask.logits.positions(ask.tokens.len()).collect::<Vec<_>>());
                prop_assert_eq!(&run(&model, vec![ask])[0], &answer, "{}", kernel.name());
            }
        }
    }

    #[test]
    fn tokens_in_pieces_give_what_they_give_at_once(shape in shapes(), len in 1usize..30, cuts in prop::collection::vec(1usize..9, 30)) {
        let tokens = shape.tokens(0, len);
        for kernel in kernels() {
            let model = shape.build(kernel);
            let whole = run(&model, vec![Ask::fresh(&model, &tokens, Logits::Each)]).remove(0);
            let mut pieces = Answer { state: model.zero_state(), logits: Vec::new(), outcome: Ok(()) };
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
    fn the_next_tokens_logits_are_a_function_of_the_state(shape in shapes(), len in 0usize..9) {
        let tokens = shape.tokens(0, len);
        let model = shape.build(Kernel::Portable);
        let after = run(&model, vec![Ask::fresh(&model, &tokens, Logits::Last)]).remove(0);
        let ask = Ask { state: after.state.clone(), tokens: &[], logits: Logits::Last };
        let again = run(&model, vec![ask]).remove(0);
        prop_assert_eq!(&again.logits[0].1, &after.logits[0].1);
        prop_assert_eq!(again.state, after.state);
    }
}

/// Long enough that a run is cut into chunks inside.
#[test]
fn a_long_prompt_is_no_different_from_its_steps() {
    for (cell, gru_form) in CELLS {
        let architecture =
            Architecture { cell, vocab_size: 5, embedding_size: 2, hidden_sizes: vec![3, 2], gru_form };
        let shape = Shape { architecture, output: OutputKind::Own, biases: Biases::Both, seed: 7 };
        let model = shape.build(Kernel::choose(None).expect("a kernel for every processor"));
        let tokens: Vec<_> = [20_000, 15_000, 100, 0].map(|len| shape.tokens(len as u64, len)).into();
        let logits = [Logits::Last, Logits::Each, Logits::Last, Logits::Last];
        let asks = tokens.iter().zip(logits).map(|(tokens, logits)| Ask::fresh(&model, tokens, logits));
        let together = run(&model, asks.clone().collect());
        for (ask, answer) in asks.zip(together) {
            assert_eq!(answer.outcome, Ok(()));
            let mut state = model.zero_state();
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

/// A network of one unit, two logits, and two tokens: 0 is the input 0, 1 is the input `x`.
fn one_unit(cell: Cell, layer: LayerWeights, x: f32) -> Rnn {
    let architecture = Architecture {
        cell,
        vocab_size: 2,
        embedding_size: 1,
        hidden_sizes: vec![1],
        gru_form: GruForm::ResetAfter,
    };
    let weights = Weights {
        embedding: vec![0.0, x],
        layers: vec![layer],
        output: Some(vec![2.0, -2.0]),
        output_bias: None,
    };
    let kernel = Kernel::choose(None).expect("a kernel for every processor");
    Rnn::new(&architecture, weights, Dtype::F32, kernel).expect("weights of the right shapes")
}

/// `h = relu(16 h + x)`: reading 1 again and again, it overflows at the 33rd.
fn exploding() -> Rnn {
    let layer = LayerWeights { w_ih: vec![1.0], w_hh: vec![16.0], b_ih: None, b_hh: None };
    one_unit(Cell::RnnRelu, layer, 1.0)
}

#[test]
fn one_row_that_overflows_among_255_fails_alone() {
    let model = exploding();
    let (calm, wild) = ([0; 40], [1; 40]);
    let ask = |row: usize| Ask::fresh(&model, if row == 100 { &wild } else { &calm }, Logits::Last);
    let answers = run(&model, (0..256).map(ask).collect());
    for (row, answer) in answers.into_iter().enumerate() {
        if row == 100 {
            let failed =
                Answer { state: model.zero_state(), logits: vec![], outcome: Err(RowError::NotFinite) };
            assert_eq!(answer, failed);
        } else {
            assert_eq!(answer, run(&model, vec![ask(row)])[0]);
            assert_eq!(answer.outcome, Ok(()));
        }
    }
}

#[test]
fn a_row_that_fails_keeps_its_state_and_hands_out_what_came_before() {
    let model = exploding();
    let answer = run(&model, vec![Ask::fresh(&model, &[1; 40], Logits::Each)]).remove(0);
    assert_eq!((answer.state, answer.outcome), (model.zero_state(), Err(RowError::NotFinite)));
    assert!(answer.logits.iter().flat_map(|(_, logits)| logits).all(|logit| logit.is_finite()));
}

/// One unit, `h = relu(2 x - h)`: infinite after token 1, and 0 again after the next.
#[test]
fn an_infinity_on_the_way_fails_a_row_wherever_its_tokens_are_cut() {
    let layer = LayerWeights { w_ih: vec![2.0], w_hh: vec![-1.0], b_ih: None, b_hh: None };
    let model = one_unit(Cell::RnnRelu, layer, f32::MAX);
    let whole = run(&model, vec![Ask::fresh(&model, &[1, 0], Logits::None)]).remove(0);
    let first = run(&model, vec![Ask::fresh(&model, &[1], Logits::None)]).remove(0);
    assert_eq!(first.outcome, Err(RowError::NotFinite));
    assert_eq!(whole, first);
}

#[test]
fn a_poisoned_state_never_becomes_an_answer() {
    let model = exploding();
    let ask = Ask { state: State::from(vec![f32::NAN]), tokens: &[0], logits: Logits::Last };
    let answer = run(&model, vec![ask]).remove(0);
    assert_eq!((answer.logits, answer.outcome), (vec![], Err(RowError::NotFinite)));

    // An infinite c of an LSTM leaves h, and the logits, finite.
    let layer = LayerWeights { w_ih: vec![0.5; 4], w_hh: vec![0.5; 4], b_ih: None, b_hh: None };
    let model = one_unit(Cell::Lstm, layer, 1.0);
    let ask = Ask { state: State::from(vec![0.5, f32::INFINITY]), tokens: &[0], logits: Logits::Last };
    let answer = run(&model, vec![ask]).remove(0);
    assert_eq!((answer.logits, answer.outcome), (vec![], Err(RowError::NotFinite)));
}

#[test]
fn logits_that_overflow_fail_their_row() {
    let layer = LayerWeights { w_ih: vec![1.0], w_hh: vec![0.0], b_ih: None, b_hh: None };
    let model = one_unit(Cell::RnnRelu, layer, f32::MAX);
    let asks = [&[1][..], &[0]].map(|tokens| Ask::fresh(&model, tokens, Logits::Last));
    let [large, small] = run(&model, asks.into()).try_into().expect("two answers");
    assert_eq!((large.logits, large.outcome), (vec![], Err(RowError::NotFinite)));
    assert_eq!(large.state, model.zero_state());
    assert_eq!((small.logits.len(), small.outcome), (1, Ok(())));
}

#[test]
fn a_token_outside_the_vocabulary_fails_its_row_alone() {
    let model = exploding();
    let asks = [&[0, 1][..], &[1, 2], &[1]].map(|tokens| Ask::fresh(&model, tokens, Logits::Last));
    let answers = run(&model, asks.clone().into());
    assert_eq!(answers[1].outcome, Err(RowError::TokenOutOfRange(2)));
    assert_eq!((&answers[1].state, &answers[1].logits), (&model.zero_state(), &vec![]));
    assert_eq!(answers[0], run(&model, vec![asks[0].clone()])[0]);
    assert_eq!(answers[2], run(&model, vec![asks[2].clone()])[0]);
}

/// Makes weights wrong.
type Spoil<'a> = &'a dyn Fn(&mut Weights);

#[test]
fn weights_that_do_not_fit_are_refused_by_name() {
    let architecture = Architecture {
        cell: Cell::Lstm,
        vocab_size: 7,
        embedding_size: 3,
        hidden_sizes: vec![4, 5],
        gru_form: GruForm::ResetAfter,
    };
    let shape = Shape { architecture, output: OutputKind::Own, biases: Biases::Both, seed: 1 };
    let refusal = |spoil: Spoil<'_>| {
        let mut weights = shape.weights();
        spoil(&mut weights);
        let error =
            Rnn::new(&shape.architecture, weights, Dtype::F32, Kernel::Portable).err().expect("a refusal");
        assert_eq!(error.kind, ErrorKind::Load);
        error.message
    };
    let cases: [(Spoil<'_>, &str); 7] = [
        (&|w| w.embedding.truncate(20), "`encoder.weight`: found 20 values, expected 7 x 3"),
        (&|w| w.layers[1].w_ih.push(0.0), "`rnn.weight_ih_l1`: found 81 values, expected 20 x 4"),
        (&|w| w.layers[0].w_hh.clear(), "`rnn.weight_hh_l0`: found 0 values, expected 16 x 4"),
        (&|w| w.layers[0].b_hh = Some(vec![0.0]), "`rnn.bias_hh_l0`: found 1 values, expected 16 x 1"),
        (
            &|w| w.layers[1].w_hh[7] = f32::NAN,
            "`rnn.weight_hh_l1`: found NaN at [1, 2], expected a finite number",
        ),
        (
            &|w| w.output_bias = Some(vec![f32::INFINITY; 7]),
            "`decoder.bias`: found inf at [0, 0], expected a finite number",
        ),
        (
            &|w| w.output = None,
            "`encoder.weight` is tied to the output layer and 3 wide, expected 5, the size of the last hidden layer",
        ),
    ];
    for (spoil, message) in cases {
        assert_eq!(refusal(spoil), message);
    }
}
