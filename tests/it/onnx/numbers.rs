//! Log-probabilities and states compared with those of ONNX Runtime.

use rnnlm_server::lm::{Dtype, LoadOptions, WeightsType};
use rnnlm_server::onnx::{self, Loaded};

use super::fixtures::{Case, Outcome, Sequence, each, kernel};
use super::reading::{Read, in_pieces, together};

/// The largest error of a log-probability or of a value of a state; relative for values above 1.
const TOLERANCE: f64 = 1e-5;

#[test]
fn a_ragged_batch_gives_the_numbers_of_onnx_runtime() {
    each(has_numbers, |case| {
        let loaded = reference(case)?;
        let tokens: Vec<_> = case.sequences.iter().map(|sequence| &sequence.tokens[..]).collect();
        let read = together(&*loaded.model, &tokens)?;
        agree(case, read.iter().zip(&case.sequences))
    });
}

#[test]
fn a_sequence_alone_gives_the_numbers_of_onnx_runtime() {
    each(has_numbers, |case| {
        let loaded = reference(case)?;
        let read = |s: &Sequence| Ok(together(&*loaded.model, &[&s.tokens])?.remove(0));
        let reads = case.sequences.iter().map(read).collect::<Result<Vec<_>, String>>()?;
        agree(case, reads.iter().zip(&case.sequences))
    });
}

#[test]
fn a_session_read_in_pieces_gives_the_numbers_of_one_long_run() {
    for lens in [&[1][..], &[4, 1, 7, 2]] {
        each(has_numbers, |case| {
            let loaded = reference(case)?;
            let read = |s: &Sequence| in_pieces(&*loaded.model, &s.tokens, lens);
            let reads = case.sequences.iter().map(read).collect::<Result<Vec<_>, String>>()?;
            agree(case, reads.iter().zip(&case.sequences))
        });
    }
}

#[test]
fn what_is_ruled_out_stays_so_in_every_type_of_weights() {
    each(
        |case| case.name.contains("-ruled-out") && case.outcome != Outcome::Refused,
        |case| {
            for weights in WeightsType::ALL {
                let native = LoadOptions { weights: Some(weights), ..kernel().into() };
                let loaded =
                    onnx::load(&case.path, &case.hints(), native).map_err(|error| error.to_string())?;
                let sequence = &case.sequences[1];
                let read = together(&*loaded.model, &[&sequence.tokens])?.remove(0);
                for (found, expected) in read.logits.iter().zip(&sequence.logprobs) {
                    let is_ruled_out = |values: &[f32]| -> Vec<bool> {
                        values.iter().map(|&value| value == f32::NEG_INFINITY).collect()
                    };
                    let expected = is_ruled_out(expected);
                    if is_ruled_out(found) != expected || !expected.contains(&true) {
                        return Err(format!("{}: found {found:?}", weights.name()));
                    }
                }
            }
            Ok(())
        },
    );
}

#[test]
fn a_quantised_file_gives_nearly_the_numbers_of_onnx_runtime_on_the_same_file() {
    each(
        |case| case.runtime_tolerance.is_some(),
        |case| {
            let loaded = case.served(kernel())?;
            let mut error_max = 0f32;
            let mut logit_max = 0f32;
            for sequence in &case.sequences {
                let read = together(&*loaded.model, &[&sequence.tokens])?.remove(0);
                let found = read.logits.iter().flatten();
                for (found, runtime) in found.zip(sequence.runtime_logits.iter().flatten()) {
                    error_max = error_max.max((found - runtime).abs());
                    logit_max = logit_max.max(runtime.abs());
                }
            }
            let tolerance = case.runtime_tolerance.expect("a quantised file") * logit_max;
            (error_max <= tolerance)
                .then_some(())
                .ok_or(format!("off by {error_max}, expected at most {tolerance}"))
        },
    );
}

/// The file with the weights that its numbers are of: those that stand for integers are dequantised.
fn reference(case: &Case) -> Result<Loaded, String> {
    let loaded = case.served(kernel())?;
    match loaded.model.info().effective_dtype {
        Dtype::Int8 => case.served(LoadOptions { weights: Some(WeightsType::F32), ..kernel().into() }),
        _ => Ok(loaded),
    }
}

fn has_numbers(case: &Case) -> bool {
    !case.sequences.is_empty()
}

/// Checks that the numbers of every sequence are within the tolerance; the error gives the largest differences.
fn agree<'a>(case: &Case, sequences: impl Iterator<Item = (&'a Read, &'a Sequence)>) -> Result<(), String> {
    let mut logprobs = 0f64;
    let mut state = 0f64;
    for (read, expected) in sequences {
        if read.logits.len() != expected.logprobs.len() {
            return Err(format!(
                "found {} positions, expected {}",
                read.logits.len(),
                expected.logprobs.len()
            ));
        }
        for (found, expected) in read.logits.iter().zip(&expected.logprobs) {
            logprobs = logprobs.max(distance(&normalised(found), expected)?);
        }
        if case.is_lowered() && !expected.state.is_empty() {
            let found: Vec<f64> = read.state.as_slice().iter().map(|&x| f64::from(x)).collect();
            state = state.max(distance(&found, &expected.state)?);
        }
    }
    if logprobs <= TOLERANCE && state <= TOLERANCE {
        return Ok(());
    }
    Err(format!("log-probabilities are off by {logprobs:.1e}, the state by {state:.1e}"))
}

/// The largest difference; infinite if a value is NaN.
fn distance(found: &[f64], expected: &[f32]) -> Result<f64, String> {
    if found.len() != expected.len() {
        return Err(format!("found {} values, expected {}", found.len(), expected.len()));
    }
    let differences = found.iter().zip(expected).map(|(&found, &expected)| {
        let expected = f64::from(expected);
        let difference = (found - expected).abs() / expected.abs().max(1.0);
        // Tokens that are ruled out have negative infinity on both sides.
        match found == expected {
            true => 0.0,
            false if difference.is_nan() => f64::INFINITY,
            false => difference,
        }
    });
    Ok(differences.fold(0.0, f64::max))
}

fn normalised(logits: &[f32]) -> Vec<f64> {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| libm::exp(f64::from(logit) - max)).sum();
    logits.iter().map(|&logit| f64::from(logit) - max - libm::log(sum)).collect()
}
