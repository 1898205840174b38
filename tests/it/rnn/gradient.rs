//! Gradients compared with PyTorch's autograd in double precision (`tests/golden/gradients.py`).

use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{
    Gates, Gradient, GradientError, Inside, LoadOptions, Logits, Model, Passage, State, TokenId, WeightsType,
    Window,
};
use rnnlm_server::rnn::{
    Activation, DenseWeights, FeedForward, FeedForwardArchitecture, FeedForwardWeights, GateActivation, Rnn,
    Values, WindowInput, WindowedRnn,
};
use serde_json::Value;

use super::golden::Fixture;
use crate::harness::root;
use crate::harness::rows::{Ask, kernels, run};

/// Tokens that the goldens read.
const TOKENS: usize = 12;

fn goldens() -> Value {
    let text = std::fs::read_to_string(root().join("tests/golden/gradients.json")).expect("a readable file");
    serde_json::from_str(&text).expect("JSON")
}

fn fixture(case: &Value) -> Fixture {
    let file = root().join(format!("tests/golden/{}.safetensors", case["file"].as_str().unwrap()));
    let mut fixture = Fixture::read(&std::fs::read(file).expect("a readable file"));
    let gate = GateActivation::ALL.into_iter().find(|gate| gate.name() == case["gate"]);
    fixture.architecture.gate_activation = gate.expect("a known gate");
    fixture
}

fn options(case: &Value, kernel: Kernel) -> LoadOptions {
    let weights = WeightsType::ALL.into_iter().find(|kind| kind.name() == case["weights"]);
    LoadOptions { kernel, weights, fold_bytes_max: 0 }
}

/// The gradient of the log-probability of `target` after `tokens` from the zero state, with the gates, and the logits.
fn differentiated(model: &dyn Model, tokens: &[TokenId], target: TokenId) -> (Gradient, Vec<f32>) {
    let mut seen = Vec::new();
    let mut choose = |logits: &[f32]| {
        seen = logits.to_vec();
        target
    };
    let start = model.start_state();
    let passage =
        Passage { start: &start, tokens, target: &mut choose, gates: true, is_abandoned: &|| false };
    let gradient = model.inside().expect("a native model").gradient(passage).expect("a gradient");
    (gradient, seen)
}

fn numbers(values: &Value) -> Vec<f64> {
    values.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()))
}

/// Within 1e-4 of each value, or of the largest where a sum has cancelled.
fn agree(found: &[f64], expected: &Value, what: &str) {
    agree_within(found, expected, 0.0, what);
}

/// The same for saliencies, which are sums over the embedding. Before a layer normalisation all of them cancel, because it does not see the length of its
/// input: what is left is within the rounding of `f32`.
fn saliencies_agree(gradient: &Gradient, case: &Value, what: &str) {
    let rounding = 1e-7 * largest(&numbers(&case["input"]));
    let found = column(gradient, |step| step.saliency);
    agree_within(&found, &case["saliency"], rounding, &format!("{what}: saliency"));
}

fn agree_within(found: &[f64], expected: &Value, rounding: f64, what: &str) {
    let expected = numbers(expected);
    let cancelled = 1e-6 * largest(&expected);
    assert_eq!(found.len(), expected.len(), "{what}");
    for (t, (a, b)) in found.iter().zip(&expected).enumerate() {
        let error_max = 1e-4 * b.abs() + cancelled.max(rounding);
        assert!((a - b).abs() <= error_max, "{what}: found {a} at {t}, expected {b}");
    }
}

fn column(gradient: &Gradient, value: impl Fn(&rnnlm_server::lm::StepGradient) -> f64) -> Vec<f64> {
    gradient.steps.iter().map(value).collect()
}

#[test]
fn gradients_of_every_cell_agree_with_autograd() {
    let goldens = goldens();
    let cases = goldens["recurrent"].as_array().unwrap();
    assert_eq!(
        cases.len(),
        24 + 2 * 12 + 4 + 5,
        "24 networks, 12 with two hard sigmoids, 4 with more than layers, 5 in int8"
    );
    for case in cases {
        let fixture = fixture(case);
        for kernel in kernels() {
            let what = format!("{} {} {} {}", case["file"], case["gate"], case["weights"], kernel.name());
            let model =
                Rnn::new(&fixture.architecture, fixture.weights.clone(), options(case, kernel)).unwrap();
            let target = case["target"].as_u64().unwrap() as TokenId;
            let (gradient, _) = differentiated(&model, &fixture.tokens[..TOKENS], target);
            saliencies_agree(&gradient, case, &what);
            agree(&column(&gradient, |step| step.input_norm), &case["input"], &format!("{what}: input"));
            for (layer, expected) in case["h"].as_array().unwrap().iter().enumerate() {
                let h = column(&gradient, |step| step.layers[layer].h_norm);
                agree(&h, expected, &format!("{what}: h of layer {layer}"));
            }
            for (layer, expected) in case["c"].as_array().into_iter().flatten().enumerate() {
                let c = column(&gradient, |step| step.layers[layer].c_norm.unwrap());
                agree(&c, expected, &format!("{what}: c of layer {layer}"));
            }
            assert_eq!(gradient.steps[0].layers[0].c_norm.is_some(), case["c"].is_array(), "{what}");
        }
    }
}

#[test]
fn the_reading_has_the_bits_of_a_run() {
    for case in goldens()["recurrent"].as_array().unwrap() {
        let fixture = fixture(case);
        let kernel = Kernel::choose(None).unwrap();
        let model = Rnn::new(&fixture.architecture, fixture.weights.clone(), options(case, kernel)).unwrap();
        let tokens = &fixture.tokens[..TOKENS];
        let (_, logits) = differentiated(&model, tokens, 0);
        let served = run(&model, vec![Ask::fresh(&model, tokens, Logits::Last)]).remove(0);
        assert_eq!(logits, served.logits[0].1, "{}", case["file"]);
    }
}

#[test]
fn gates_are_those_that_the_step_was_computed_with() {
    let goldens = goldens();
    for case in goldens["recurrent"].as_array().unwrap() {
        let fixture = fixture(case);
        let kernel = Kernel::choose(None).unwrap();
        let model = Rnn::new(&fixture.architecture, fixture.weights.clone(), options(case, kernel)).unwrap();
        let (gradient, _) = differentiated(&model, &fixture.tokens[..2], 0);
        let states: Vec<State> = (0..=2)
            .map(|len| {
                run(&model, vec![Ask::fresh(&model, &fixture.tokens[..len], Logits::None)]).remove(0).state
            })
            .collect();
        let hidden = fixture.architecture.hidden_sizes[0];
        if fixture.architecture.proj_size.is_some() {
            check_projected(&fixture, &gradient, &states);
            continue;
        }
        let before = &states[1].as_slice()[..2 * hidden.min(states[1].as_slice().len() / 2)];
        let after = states[2].as_slice();
        for j in 0..hidden {
            let (found, expected) = match &gradient.steps[1].layers[0].gates {
                None => continue,
                Some(Gates::Lstm { input, forget, candidate, output }) => {
                    let c = forget[j] * states[1].as_slice()[hidden + j] + input[j] * candidate[j];
                    (output[j] * libm::tanhf(c), after[j])
                }
                Some(Gates::Gru { update, candidate, .. }) => {
                    ((1.0 - update[j]) * candidate[j] + update[j] * before[j], after[j])
                }
            };
            assert!((found - expected).abs() < 1e-6, "{}: {found}, expected {expected}", case["file"]);
        }
    }
}

/// Where h is a projection, the gates lead to the first layer's c.
fn check_projected(fixture: &Fixture, gradient: &Gradient, states: &[State]) {
    let width = fixture.architecture.output_width();
    let hidden = fixture.architecture.hidden_sizes[0];
    let c = |state: &State| state.as_slice()[width..][..hidden].to_vec();
    let [before, after] = [c(&states[1]), c(&states[2])];
    let Some(Gates::Lstm { input, forget, candidate, .. }) = &gradient.steps[1].layers[0].gates else {
        panic!("an LSTM has gates");
    };
    for j in 0..hidden {
        let expected = forget[j] * before[j] + input[j] * candidate[j];
        assert!((after[j] - expected).abs() < 1e-6, "found {}, expected {expected}", after[j]);
    }
}

#[test]
fn feed_forward_networks_agree_with_autograd() {
    for case in goldens()["feed_forward"].as_array().unwrap() {
        let floats = |name: &str| -> Vec<f32> {
            case[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
        };
        let number = |value: &Value| value.as_u64().unwrap() as usize;
        let tokens: Vec<TokenId> =
            case["tokens"].as_array().unwrap().iter().map(|id| number(id) as TokenId).collect();
        let architecture = FeedForwardArchitecture {
            vocab_size: number(&case["vocab"]),
            embedding_size: number(&case["width"]),
            window: Window { len: number(&case["window"]), pad: 0 },
            input: if case["mean"] == true { WindowInput::Mean } else { WindowInput::Concatenated },
            hidden_sizes: vec![number(&case["sizes"][0]), number(&case["sizes"][1])],
        };
        let layer = |weights: &str, bias: Option<&str>, activation| DenseWeights {
            weights: Values::from(floats(weights)),
            bias: bias.map(|bias| Values::from(floats(bias))),
            activation: Some(activation),
        };
        let weights = FeedForwardWeights {
            embedding: Values::from(floats("embedding")),
            hidden: vec![
                layer("first", Some("first_bias"), Activation::Tanh),
                layer("second", None, Activation::Relu),
            ],
            output: Some(Values::from(floats("output"))),
            output_bias: None,
        };
        for kernel in kernels() {
            let model = FeedForward::new(&architecture, weights.clone(), kernel.into()).unwrap();
            let (gradient, _) = differentiated(&model, &tokens, number(&case["target"]) as TokenId);
            agree(&column(&gradient, |step| step.saliency), &case["saliency"], "saliency");
            agree(&column(&gradient, |step| step.input_norm), &case["input"], "input");
            assert!(gradient.steps[0].layers.is_empty());
        }
    }
}

#[test]
fn a_token_that_has_left_the_window_has_no_influence() {
    let goldens = goldens();
    let case = &goldens["recurrent"][0];
    let fixture = fixture(case);
    let kernel = Kernel::choose(None).unwrap();
    let build = || Rnn::new(&fixture.architecture, fixture.weights.clone(), kernel).unwrap();
    let tokens = &fixture.tokens[..9];
    let windowed = WindowedRnn::new(build(), Window { len: 5, pad: 3 });
    let (gradient, _) = differentiated(&windowed, tokens, 1);
    let (inside, _) = differentiated(&build(), &tokens[4..], 1);
    assert_eq!(gradient.steps[4..], inside.steps);
    for step in &gradient.steps[..4] {
        assert_eq!((step.saliency, step.input_norm, step.layers[0].h_norm), (0.0, 0.0, 0.0));
    }
    // Of a short text, padding is part of the window but not of the answer.
    let (short, _) = differentiated(&windowed, &tokens[..2], 1);
    let (padded, _) = differentiated(&build(), &[&[3, 3, 3], &tokens[..2]].concat(), 1);
    assert_eq!(short.steps, padded.steps[3..]);
}

#[test]
fn what_nobody_waits_for_is_given_up_and_a_stray_token_is_refused() {
    let fixture = fixture(&goldens()["recurrent"][0]);
    let model = Rnn::new(&fixture.architecture, fixture.weights, Kernel::choose(None).unwrap()).unwrap();
    let start = model.start_state();
    let ask = |tokens: &[TokenId], is_abandoned: bool| {
        let is_abandoned = &|| is_abandoned;
        model.gradient(Passage { start: &start, tokens, target: &mut |_| 0, gates: false, is_abandoned })
    };
    assert_eq!(ask(&[1, 2], true), Err(GradientError::Abandoned));
    assert!(matches!(ask(&[1, 99], false), Err(GradientError::Reading(_))));
    assert!(ask(&[1, 2], false).unwrap().steps.iter().all(|step| step.layers[0].gates.is_none()));
}
