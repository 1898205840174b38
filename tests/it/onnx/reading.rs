//! Two ways to read the same tokens: all sequences in one run, or one sequence in pieces.

use rnnlm_server::lm::{Logits, Model, State, TokenId};

use crate::harness::rows::{Answer, Ask, run};

/// The logits and the state after a sequence.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Read {
    /// `[vocab]` after each token.
    pub(crate) logits: Vec<Vec<f32>>,
    pub(crate) state: State,
}

/// Reads all sequences in one run, each as a row.
pub(crate) fn together(model: &dyn Model, sequences: &[&[TokenId]]) -> Result<Vec<Read>, String> {
    let asks = sequences.iter().map(|tokens| Ask::fresh(model, tokens, Logits::Each)).collect();
    let answers: Vec<Answer> = run(model, asks).into_iter().map(succeeded).collect::<Result<_, _>>()?;
    let last = answers.iter().map(|a| Ask { state: a.state.clone(), tokens: &[], logits: Logits::Last });
    let last = run(model, last.collect());
    answers
        .into_iter()
        .zip(last)
        .map(|(answer, last)| {
            let last = succeeded(last)?;
            // Position 0 is before the first token.
            let logits = answer.logits.into_iter().skip(1).chain(last.logits).map(|(_, logits)| logits);
            Ok(Read { logits: logits.collect(), state: answer.state })
        })
        .collect()
}

/// Reads one sequence in pieces, as a session does. The lengths of the pieces are `lens`, repeated as often as necessary.
pub(crate) fn in_pieces(model: &dyn Model, tokens: &[TokenId], lens: &[usize]) -> Result<Read, String> {
    let mut read = Read { logits: Vec::new(), state: model.start_state() };
    let mut rest = tokens;
    for len in lens.iter().cycle() {
        let (tokens, after) = rest.split_at(rest.len().min(*len));
        let ask = Ask { state: read.state, tokens, logits: Logits::Each };
        let piece = succeeded(run(model, vec![ask]).remove(0))?;
        let ask = Ask { state: piece.state, tokens: &[], logits: Logits::Last };
        let last = succeeded(run(model, vec![ask]).remove(0))?;
        read.logits.extend(piece.logits.into_iter().skip(1).chain(last.logits).map(|(_, logits)| logits));
        read.state = last.state;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    Ok(read)
}

fn succeeded(answer: Answer) -> Result<Answer, String> {
    match &answer.outcome {
        Ok(()) => Ok(answer),
        Err(error) => Err(format!("a row failed: {error}")),
    }
}
