//! The filters compared with NumPy: `tests/golden/sampling.py` computes the expected probabilities.

use serde_json::Value;

use super::*;

fn number(value: &Value) -> f64 {
    value.as_f64().expect("the file has a number here")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("the file has a list here").iter().map(number).collect()
}

fn tokens(value: &Value) -> Vec<crate::lm::TokenId> {
    numbers(value).into_iter().map(|id| id as crate::lm::TokenId).collect()
}

fn spec(filters: &Value) -> FilterSpec {
    let biases = filters["logit_bias"].as_object().expect("the file has an object here");
    let bias = |(token, amount): (&String, &Value)| Bias {
        token: token.parse().expect("a key is a token id"),
        amount: number(amount),
    };
    FilterSpec {
        ruled_out: tokens(&filters["banned"]).into(),
        biases: biases.iter().map(bias).collect(),
        penalties: Penalties {
            repetition: number(&filters["repetition_penalty"]),
            presence: number(&filters["presence_penalty"]),
            frequency: number(&filters["frequency_penalty"]),
        },
        temperature: number(&filters["temperature"]),
        top_k: filters["top_k"].as_u64().map(|kept| kept as usize),
        top_p: number(&filters["top_p"]),
        min_p: number(&filters["min_p"]),
        typical_p: number(&filters["typical_p"]),
    }
}

#[test]
fn every_filter_equals_numpy() {
    let cases: Value = serde_json::from_str(include_str!("../../tests/golden/sampling.json")).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    for case in cases {
        let filters = Filters::new(spec(&case["filters"])).unwrap();
        let filtering = Filtering::new(filters, &tokens(&case["seen"]));
        let mut logits: Vec<f32> = numbers(&case["logits"]).into_iter().map(|logit| logit as f32).collect();
        let found = filtering.apply(&mut logits).unwrap();
        for (token, expected) in (0..).zip(numbers(&case["probs"])) {
            let prob = libm::exp(found.logprob(token));
            let context = format!("token {token} with {}: {prob}, expected {expected}", case["filters"]);
            assert!((prob - expected).abs() < 1e-6, "{context}");
            assert_eq!(prob > 0.0, expected > 0.0, "{context}");
        }
    }
}
