//! Rows that fail without affecting the others, and weights that are refused.

use rnnlm_server::error::ErrorKind;
use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{Cell, LoadOptions, Logits, Model, RowError, State, WeightsType};
use rnnlm_server::rnn::{
    Architecture, GateActivation, GruForm, LayerWeights, Norm, NormForm, Rnn, Values, Weights,
};

use crate::harness::network::{Biases, Extras, Shape};
use crate::harness::rows::{Answer, Ask, run};

/// A network of one unit, two logits, and two tokens: 0 is the input 0, 1 is the input `x`.
fn one_unit(cell: Cell, layer: LayerWeights, x: f32) -> Rnn {
    let architecture = Architecture {
        cell,
        vocab_size: 2,
        embedding_size: 1,
        hidden_sizes: vec![1],
        gru_form: GruForm::ResetAfter,
        gate_activation: GateActivation::Sigmoid,
        proj_size: None,
    };
    let weights = Weights {
        embedding: vec![0.0, x].into(),
        layers: vec![layer],
        output: Some(vec![2.0, -2.0].into()),
        output_bias: None,
        output_norms: Vec::new(),
    };
    let kernel = Kernel::choose(None).expect("a kernel for every processor");
    Rnn::new(&architecture, weights, kernel).expect("weights of the right shapes")
}

fn bare_layer(w_ih: Vec<f32>, w_hh: Vec<f32>) -> LayerWeights {
    LayerWeights::new(w_ih.into(), w_hh.into())
}

/// `h = relu(16 h + x)`, which overflows at the 33rd token 1.
fn exploding() -> Rnn {
    let layer = bare_layer(vec![1.0], vec![16.0]);
    one_unit(Cell::RnnRelu, layer, 1.0)
}

#[test]
fn of_256_rows_only_the_one_that_overflows_fails() {
    let model = exploding();
    let finite = [0; 40];
    let overflowing = [1; 40];
    let ask = |row: usize| Ask::fresh(&model, if row == 100 { &overflowing } else { &finite }, Logits::Last);
    let answers = run(&model, (0..256).map(ask).collect());
    for (row, answer) in answers.into_iter().enumerate() {
        if row == 100 {
            let failed =
                Answer { state: model.start_state(), logits: vec![], outcome: Err(RowError::NotFinite) };
            assert_eq!(answer, failed);
        } else {
            assert_eq!(answer, run(&model, vec![ask(row)])[0]);
            assert_eq!(answer.outcome, Ok(()));
        }
    }
}

#[test]
fn a_row_that_fails_keeps_its_state_and_gives_the_logits_before_the_failure() {
    let model = exploding();
    let answer = run(&model, vec![Ask::fresh(&model, &[1; 40], Logits::Each)]).remove(0);
    assert_eq!((answer.state, answer.outcome), (model.start_state(), Err(RowError::NotFinite)));
    assert!(answer.logits.iter().flat_map(|(_, logits)| logits).all(|logit| logit.is_finite()));
}

/// One unit with `h = relu(2 x - h)`, which is infinite after token 1 and 0 again after the next token.
#[test]
fn an_infinite_intermediate_state_fails_a_row_however_its_tokens_are_divided() {
    let layer = bare_layer(vec![2.0], vec![-1.0]);
    let model = one_unit(Cell::RnnRelu, layer, f32::MAX);
    let whole = run(&model, vec![Ask::fresh(&model, &[1, 0], Logits::None)]).remove(0);
    let first = run(&model, vec![Ask::fresh(&model, &[1], Logits::None)]).remove(0);
    assert_eq!(first.outcome, Err(RowError::NotFinite));
    assert_eq!(whole, first);
}

#[test]
fn a_state_that_is_not_finite_gives_no_logits() {
    let model = exploding();
    let ask = Ask { state: State::from(vec![f32::NAN]), tokens: &[0], logits: Logits::Last };
    let answer = run(&model, vec![ask]).remove(0);
    assert_eq!((answer.logits, answer.outcome), (vec![], Err(RowError::NotFinite)));

    // If c of an LSTM is infinite, h and the logits are still finite.
    let layer = bare_layer(vec![0.5; 4], vec![0.5; 4]);
    let model = one_unit(Cell::Lstm, layer, 1.0);
    let ask = Ask { state: State::from(vec![0.5, f32::INFINITY]), tokens: &[0], logits: Logits::Last };
    let answer = run(&model, vec![ask]).remove(0);
    assert_eq!((answer.logits, answer.outcome), (vec![], Err(RowError::NotFinite)));
}

#[test]
fn logits_that_overflow_fail_their_row() {
    let layer = bare_layer(vec![1.0], vec![0.0]);
    let model = one_unit(Cell::RnnRelu, layer, f32::MAX);
    let asks = [&[1][..], &[0]].map(|tokens| Ask::fresh(&model, tokens, Logits::Last));
    let [large, small] = run(&model, asks.into()).try_into().expect("two answers");
    assert_eq!((large.logits, large.outcome), (vec![], Err(RowError::NotFinite)));
    assert_eq!(large.state, model.start_state());
    assert_eq!((small.logits.len(), small.outcome), (1, Ok(())));
}

#[test]
fn a_token_outside_the_vocabulary_fails_its_row_alone() {
    let model = exploding();
    let asks = [&[0, 1][..], &[1, 2], &[1]].map(|tokens| Ask::fresh(&model, tokens, Logits::Last));
    let answers = run(&model, asks.clone().into());
    assert_eq!(answers[1].outcome, Err(RowError::TokenOutOfRange(2)));
    assert_eq!((&answers[1].state, &answers[1].logits), (&model.start_state(), &vec![]));
    assert_eq!(answers[0], run(&model, vec![asks[0].clone()])[0]);
    assert_eq!(answers[2], run(&model, vec![asks[2].clone()])[0]);
}

fn change(values: &mut Values, how: impl FnOnce(&mut Vec<f32>)) {
    let Values::F32(values) = values else { panic!("the weights of this test are f32") };
    how(values);
}

/// Makes weights wrong.
type Spoil<'a> = &'a dyn Fn(&mut Weights);

#[test]
fn weights_of_the_wrong_size_or_value_are_refused_and_named() {
    let architecture = Architecture {
        cell: Cell::Lstm,
        vocab_size: 7,
        embedding_size: 3,
        hidden_sizes: vec![4, 5],
        gru_form: GruForm::ResetAfter,
        gate_activation: GateActivation::Sigmoid,
        proj_size: None,
    };
    let shape =
        Shape { architecture, tied_output: false, biases: Biases::Both, extras: Extras::default(), seed: 1 };
    let refusal = |spoil: Spoil<'_>| {
        let mut weights = shape.weights();
        spoil(&mut weights);
        let error = Rnn::new(&shape.architecture, weights, Kernel::Portable).err().expect("a refusal");
        assert_eq!(error.kind, ErrorKind::Load);
        error.message
    };
    let cases: [(Spoil<'_>, &str); 7] = [
        (
            &|w| change(&mut w.embedding, |e| e.truncate(20)),
            "`encoder.weight`: found 20 values, expected 7 x 3",
        ),
        (
            &|w| change(&mut w.layers[1].w_ih, |w| w.push(0.0)),
            "`rnn.weight_ih_l1`: found 81 values, expected 20 x 4",
        ),
        (&|w| w.layers[0].w_hh = vec![].into(), "`rnn.weight_hh_l0`: found 0 values, expected 16 x 4"),
        (&|w| w.layers[0].b_hh = Some(vec![0.0].into()), "`rnn.bias_hh_l0`: found 1 values, expected 16 x 1"),
        (
            &|w| change(&mut w.layers[1].w_hh, |w| w[7] = f32::NAN),
            "`rnn.weight_hh_l1`: found NaN at [1, 2], expected a finite number",
        ),
        (
            &|w| w.output_bias = Some(vec![f32::INFINITY; 7].into()),
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

/// Makes a network wrong.
type SpoilBoth<'a> = &'a dyn Fn(&mut Architecture, &mut Weights);

#[test]
fn projections_starts_and_norms_of_the_wrong_size_or_value_are_refused_and_named() {
    let architecture = Architecture {
        cell: Cell::Lstm,
        vocab_size: 7,
        embedding_size: 3,
        hidden_sizes: vec![4, 5],
        proj_size: Some(2),
        gru_form: GruForm::ResetAfter,
        gate_activation: GateActivation::Sigmoid,
    };
    let epsilon = 1e-5;
    let norms = vec![vec![NormForm::Constants], vec![], vec![NormForm::OfVector { epsilon }]];
    let extras = Extras { learned_start: true, norms };
    let shape = Shape { architecture, tied_output: false, biases: Biases::Both, extras, seed: 1 };
    let refusal = |change: SpoilBoth<'_>| {
        let mut weights = shape.weights();
        let mut architecture = shape.architecture.clone();
        change(&mut architecture, &mut weights);
        Rnn::new(&architecture, weights, Kernel::Portable).err().expect("a refusal").message
    };
    assert!(Rnn::new(&shape.architecture, shape.weights(), Kernel::Portable).is_ok());
    let cases: [(&str, SpoilBoth<'_>); 11] = [
        ("`rnn.weight_hh_l0`: found 32 values, expected 16 x 3", &|a, _| a.proj_size = Some(3)),
        ("`proj_size`: found 5, expected 1 to 4, the units of a layer", &|a, _| a.proj_size = Some(5)),
        ("`proj_size`: found 0, expected 1 to 4, the units of a layer", &|a, _| a.proj_size = Some(0)),
        ("`proj_size` was found with the cell `gru`; only `lstm` has it", &|a, _| a.cell = Cell::Gru),
        ("`rnn.weight_hr_l0` is missing with `proj_size`, expected 2 x 4", &|_, w| w.layers[0].w_hr = None),
        ("`rnn.weight_hr_l1`: found 1 values, expected 2 x 5", &|_, w| {
            w.layers[1].w_hr = Some(vec![1.0].into());
        }),
        ("`rnn.h0_l0`: found 4 values, expected 2 x 1", &|_, w| w.layers[0].h0 = Some(vec![0.0; 4].into())),
        ("`rnn.c0_l1`: found inf at [1, 0], expected a finite number", &|_, w| {
            w.layers[1].c0 = Some(vec![0.0, f32::INFINITY, 0.0, 0.0, 0.0].into());
        }),
        ("`norm.0.weight`: found 1 values, expected 3", &|_, w| w.layers[0].norms[0].scale.truncate(1)),
        ("`norm.2.bias`: found NaN, expected finite numbers", &|_, w| w.output_norms[0].shift[1] = f32::NAN),
        ("the epsilon of `norm.2` is -1, expected a finite number of at least 0", &|_, w| {
            w.output_norms[0].form = NormForm::OfVector { epsilon: -1.0 };
        }),
    ];
    for (expected, spoil) in cases {
        assert_eq!(refusal(spoil), expected);
    }
}

/// Before a layer, whose gates would be infinite and its h finite with products of floats, and before the output layer.
#[test]
fn a_vector_that_overflows_in_a_norm_fails_its_row_with_every_type_of_weights() {
    let architecture = Architecture {
        cell: Cell::RnnTanh,
        vocab_size: 2,
        embedding_size: 1,
        hidden_sizes: vec![1],
        proj_size: None,
        gru_form: GruForm::ResetAfter,
        gate_activation: GateActivation::Sigmoid,
    };
    let overflowing = || Norm { form: NormForm::Constants, scale: vec![f32::MAX], shift: vec![f32::MAX] };
    let each = WeightsType::ALL.into_iter().flat_map(|weights_type| [(0, weights_type), (1, weights_type)]);
    for (place, weights_type) in each {
        let norms = |at| if at == place { vec![overflowing()] } else { Vec::new() };
        let weights = Weights {
            embedding: vec![0.0, 8.0].into(),
            layers: vec![LayerWeights { norms: norms(0), ..bare_layer(vec![1.0], vec![0.0]) }],
            // A weight of 0 must not hide it.
            output: Some(vec![1.0, 0.0].into()),
            output_bias: None,
            output_norms: norms(1),
        };
        let options = LoadOptions { weights: Some(weights_type), ..Kernel::Portable.into() };
        let model = Rnn::new(&architecture, weights, options).expect("weights of the right shapes");
        let answer = run(&model, vec![Ask::fresh(&model, &[1], Logits::Last)]).remove(0);
        assert_eq!(
            (answer.logits, answer.outcome),
            (vec![], Err(RowError::NotFinite)),
            "{place} {weights_type:?}"
        );
    }
}
