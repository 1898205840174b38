//! Files that hold weights as integers: which of them the engine keeps, and what that does to the numbers.

use std::collections::BTreeMap;

use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{Distribution, Dtype, LoadOptions, TokenId, WeightsType};
use rnnlm_server::onnx::{self, Hints, Loaded};
use serde::Deserialize;

use super::fixtures::{Case, cases, each, kernel};
use super::reading::together;
use crate::harness::onnx_files;
use crate::harness::rows::kernels;

const BEYOND: &str = "its integers, less their zero point, are not all within -127 to 127";
const SEVERAL: &str = "the weights of one output have several scales";
const FEW_BITS: &str = "its integers have 4 bits";

/// What becomes of a file's matrices.
struct Expected {
    name: &'static str,
    kept: &'static [&'static str],
    dequantised: &'static [(&'static str, &'static str)],
    has_activation_scales: bool,
    /// The type of the weights.
    dtype: Dtype,
}

/// The matrices of a layer and the output layer.
const LSTM: &[&str] = &["rnn.weight_ih_l0", "rnn.weight_hh_l0", "decoder.weight"];
const OUTPUT: &[&str] = &["decoder.weight"];
/// ONNX Runtime quantises what `Gather` reads like activations, with a zero point.
const TABLE: &[(&str, &str)] = &[("encoder.weight", BEYOND)];

const NONE: Expected =
    Expected { name: "", kept: &[], dequantised: &[], has_activation_scales: false, dtype: Dtype::F32 };

const EXPECTED: &[Expected] = &[
    Expected { name: "lstm-int8", kept: LSTM, dequantised: TABLE, dtype: Dtype::Int8, ..NONE },
    Expected { name: "lstm-int8-per-channel", kept: LSTM, dequantised: TABLE, dtype: Dtype::Int8, ..NONE },
    Expected { name: "lstm-reduced-range", kept: LSTM, dequantised: TABLE, dtype: Dtype::Int8, ..NONE },
    Expected { name: "lstm-optimised", kept: LSTM, dequantised: TABLE, dtype: Dtype::Int8, ..NONE },
    Expected {
        name: "lstm-uint8",
        kept: LSTM.split_at(2).0,
        dequantised: &[TABLE[0], ("decoder.weight", BEYOND)],
        ..NONE
    },
    Expected { name: "gru-int8", kept: OUTPUT, dequantised: TABLE, ..NONE },
    Expected { name: "rnn_relu-gemm", kept: OUTPUT, dequantised: TABLE, ..NONE },
    Expected {
        name: "lstm-dequantize-linear",
        kept: &["encoder.weight", "rnn.weight_ih_l0", "rnn.weight_hh_l0"],
        ..NONE
    },
    Expected {
        name: "lstm-dequantize-linear-per-axis",
        kept: &["encoder.weight", "rnn.weight_ih_l0", "rnn.weight_hh_l0"],
        ..NONE
    },
    Expected {
        name: "lstm-qdq-per-channel",
        kept: OUTPUT,
        dequantised: TABLE,
        has_activation_scales: true,
        ..NONE
    },
    Expected { name: "lstm-operators", kept: OUTPUT, has_activation_scales: true, ..NONE },
    Expected { name: "gru-2-operators-gemm", kept: OUTPUT, has_activation_scales: true, ..NONE },
    Expected { name: "lstm-weights-of-4-bits", dequantised: &[("decoder.weight", FEW_BITS)], ..NONE },
    Expected { name: "lstm-weights-of-8-bits", dequantised: &[("decoder.weight", SEVERAL)], ..NONE },
    Expected { name: "lstm-optimised-floats", ..NONE },
];

#[test]
fn integers_are_kept_where_the_engine_has_such_weights_and_else_it_is_said_why_not() {
    let cases = cases();
    for expected in EXPECTED {
        let case = cases
            .iter()
            .find(|case| holds_integers(case) && case.name == expected.name)
            .expect(expected.name);
        let Loaded { model, understanding } = case.load(kernel()).expect(expected.name);
        let matrices = understanding.quantised.iter();
        let kept = matrices.clone().filter(|matrix| matrix.dequantised.is_none());
        let kept: Vec<&str> = kept.map(|matrix| matrix.name.as_str()).collect();
        let dequantised = matrices.filter_map(|matrix| Some((matrix.name.as_str(), matrix.dequantised?)));
        let dequantised: Vec<(&str, &str)> = dequantised.collect();
        assert_eq!((&kept[..], &dequantised[..]), (expected.kept, expected.dequantised), "{}", case.name);
        assert_eq!(understanding.has_activation_scales, expected.has_activation_scales, "{}", case.name);

        let info = model.info();
        assert_eq!(info.weights_dtype, expected.dtype, "{}", case.name);
        let is_rounded = expected.kept.iter().any(|&matrix| matrix != "encoder.weight");
        assert_eq!(info.effective_dtype == Dtype::Int8, is_rounded, "{}", case.name);
    }
}

#[test]
fn integers_give_the_same_bits_on_every_kernel_of_like_numerics() {
    each(holds_integers, |case| {
        let mut found: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for kernel in kernels() {
            let bits = bits(case, kernel)?;
            let first = found.entry(kernel.numerics()).or_insert_with(|| bits.clone());
            if *first != bits {
                return Err(format!("other bits on {}", kernel.name()));
            }
        }
        Ok(())
    });
}

/// The bits of all logits of a file.
fn bits(case: &Case, kernel: Kernel) -> Result<Vec<u32>, String> {
    let loaded = case.served(kernel)?;
    let tokens: Vec<&[TokenId]> = case.sequences.iter().map(|sequence| &sequence.tokens[..]).collect();
    let read = together(&*loaded.model, &tokens)?;
    Ok(read.iter().flat_map(|read| read.logits.iter().flatten()).map(|logit| logit.to_bits()).collect())
}

fn holds_integers(case: &Case) -> bool {
    let family = case.path.parent().and_then(|folder| folder.file_name());
    family.is_some_and(|family| family == "quantised" || family == "scales")
}

/// What `tests/onnx/make/perplexity.py` wrote.
#[derive(Deserialize)]
struct Trained {
    tokens: Vec<TokenId>,
    /// ONNX Runtime's perplexity of the tokens, of the network before it was quantised.
    floats: f64,
    /// And of the quantised file.
    integers: f64,
}

#[test]
fn the_perplexity_of_a_trained_network_in_integers_is_that_of_onnx_runtime() {
    /// Relative, between two ways of rounding what the layers read.
    const OF_INTEGERS: f64 = 0.005;
    /// Relative, between the network and its quantised weights, of which neither rounds what the layers read.
    const OF_WEIGHTS: f64 = 0.002;

    let folder = onnx_files().join("perplexity");
    let json = std::fs::read(folder.join("shakespeare-lstm.json")).expect("numbers of ONNX Runtime");
    let trained: Trained = serde_json::from_slice(&json).expect("numbers of this form");
    for (weights, dtype, reference, tolerance) in [
        (WeightsType::AsStored, Dtype::Int8, trained.integers, OF_INTEGERS),
        (WeightsType::F32, Dtype::F32, trained.floats, OF_WEIGHTS),
    ] {
        let options = LoadOptions { weights: Some(weights), ..kernel().into() };
        let path = folder.join("shakespeare-lstm.onnx");
        let Loaded { model, .. } = onnx::load(&path, &Hints::default(), options).expect("a network");
        assert_eq!((model.info().weights_dtype, model.info().effective_dtype), (dtype, dtype));
        let read = together(&*model, &[&trained.tokens]).expect("finite numbers").remove(0);
        let nexts = trained.tokens[1..].iter();
        let logprobs =
            read.logits.iter().zip(nexts).map(|(logits, &next)| Distribution::new(logits).logprob(next));
        let found = libm::exp(-logprobs.sum::<f64>() / (trained.tokens.len() - 1) as f64);
        let error = (found / reference - 1.0).abs();
        assert!(
            error <= tolerance,
            "`{}`: {found}, and {reference} in ONNX Runtime (relative error {error:e})",
            weights.name()
        );
    }
}
