//! Log-probabilities and states against ONNX Runtime's.

use super::fixtures::{Case, Sequence, each, kernel};
use super::reading::{Read, in_pieces, together};

/// Of a log-probability or a state's value; relative above 1.
const TOLERANCE: f64 = 1e-5;

#[test]
fn a_ragged_batch_gives_the_numbers_of_onnx_runtime() {
    each(has_numbers, |case| {
        let loaded = case.served(kernel())?;
        let tokens: Vec<_> = case.sequences.iter().map(|sequence| &sequence.tokens[..]).collect();
        let read = together(&*loaded.model, &tokens)?;
        agree(case, read.iter().zip(&case.sequences))
    });
}

#[test]
fn a_sequence_alone_gives_the_numbers_of_onnx_runtime() {
    each(has_numbers, |case| {
        let loaded = case.served(kernel())?;
        let read = |s: &Sequence| Ok(together(&*loaded.model, &[&s.tokens])?.remove(0));
        let reads = case.sequences.iter().map(read).collect::<Result<Vec<_>, String>>()?;
        agree(case, reads.iter().zip(&case.sequences))
    });
}

#[test]
fn a_session_read_in_pieces_gives_the_numbers_of_one_long_run() {
    for lens in [&[1][..], &[4, 1, 7, 2]] {
        each(has_numbers, |case| {
            let loaded = case.served(kernel())?;
            let read = |s: &Sequence| in_pieces(&*loaded.model, &s.tokens, lens);
            let reads = case.sequences.iter().map(read).collect::<Result<Vec<_>, String>>()?;
            agree(case, reads.iter().zip(&case.sequences))
        });
    }
}

#[test]
fn quantised_files_are_near_onnx_runtime_on_the_file_itself() {
    each(
        |case| case.runtime_tolerance.is_some(),
        |case| {
            let loaded = case.served(kernel())?;
            let mut largest = (0f32, 0f32);
            for sequence in &case.sequences {
                let read = together(&*loaded.model, &[&sequence.tokens])?.remove(0);
                let found = read.logits.iter().flatten();
                for (found, runtime) in found.zip(sequence.runtime_logits.iter().flatten()) {
                    largest = (largest.0.max((found - runtime).abs()), largest.1.max(runtime.abs()));
                }
            }
            let tolerance = case.runtime_tolerance.expect("a quantised file") * largest.1;
            (largest.0 <= tolerance)
                .then_some(())
                .ok_or(format!("off by {}, expected at most {tolerance}", largest.0))
        },
    );
}

fn has_numbers(case: &Case) -> bool {
    !case.sequences.is_empty()
}

/// Every sequence's numbers within the tolerance, or the largest errors.
fn agree<'a>(case: &Case, sequences: impl Iterator<Item = (&'a Read, &'a Sequence)>) -> Result<(), String> {
    let (mut logprobs, mut state) = (0f64, 0f64);
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

/// The largest difference; infinite where there is a NaN.
fn distance(found: &[f64], expected: &[f32]) -> Result<f64, String> {
    if found.len() != expected.len() {
        return Err(format!("found {} values, expected {}", found.len(), expected.len()));
    }
    let differences = found.iter().zip(expected).map(|(&found, &expected)| {
        let expected = f64::from(expected);
        let difference = (found - expected).abs() / expected.abs().max(1.0);
        if difference.is_nan() { f64::INFINITY } else { difference }
    });
    Ok(differences.fold(0.0, f64::max))
}

fn normalised(logits: &[f32]) -> Vec<f64> {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| libm::exp(f64::from(logit) - max)).sum();
    logits.iter().map(|&logit| f64::from(logit) - max - libm::log(sum)).collect()
}
