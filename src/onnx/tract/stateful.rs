//! A graph with state as a model: one token a run, the state carried from run to run.
//!
//! A run reads one token of one row, even where the graph would take more. tract chooses its kernels by the number of rows, and in
//! some graphs (every one with a `Gemm`) the kernels for one row round differently from those for several, while a row's numbers must
//! not depend on what else is read in the same run.

use super::program::Program;
use crate::lm::{Model, ModelInfo, Row, RowError, Scratch, Sink, State, TokenId};
use crate::onnx::scores::Scores;

/// A [`State`] holds the graph's state after the last token, its state before that token, and the token's id plus 1. Logits exist only
/// while a token is read, so the logits of a stored state are obtained by rereading its last token. Before the first token there are
/// none, and all tokens are equally likely.
pub(super) struct Stateful {
    pub(super) info: ModelInfo,
    pub(super) program: Program,
    pub(super) scores: Scores,
}

/// A sequence's memory.
struct Memory {
    /// After the last token, `[program.state_len]`.
    current: Vec<f32>,
    /// Before it.
    previous: Vec<f32>,
    last: Option<TokenId>,
}

impl Memory {
    fn of(state: &State, vocab_size: usize) -> Result<Self, RowError> {
        let (values, last) = state.as_slice().split_at(state.as_slice().len() - 1);
        let (current, previous) = values.split_at(values.len() / 2);
        let last = match last[0] {
            0.0 => None,
            // A state may come from a client.
            last if last.fract() == 0.0 && (1.0..=vocab_size as f32).contains(&last) => {
                Some(last as TokenId - 1)
            }
            last => {
                let message = format!("the state ends in {last}, expected a token's id and 1");
                return Err(RowError::Backend(message));
            }
        };
        Ok(Self { current: current.to_vec(), previous: previous.to_vec(), last })
    }

    fn state(self) -> State {
        let last = self.last.map_or(0.0, |last| last as f32 + 1.0);
        State::from([self.current, self.previous, vec![last]].concat())
    }
}

impl Stateful {
    /// Values of a state for a graph that carries `len`.
    pub(super) fn state_len(len: usize) -> usize {
        2 * len + 1
    }

    fn read_row(&self, row: &Row<'_>, mut emit: impl FnMut(usize, &mut [f32])) -> Result<State, RowError> {
        let vocab_size = self.info.vocab_size;
        check_tokens(row.tokens, vocab_size)?;
        let mut memory = Memory::of(row.state, vocab_size)?;
        let wanted = row.logits.positions(row.tokens.len());
        if wanted.contains(&0) {
            let mut logits = match memory.last {
                Some(last) => self.finite_logits(self.step(last, &memory.previous)?.0)?,
                None => vec![0.0; vocab_size],
            };
            emit(0, &mut logits);
        }
        for (index, &token) in row.tokens.iter().enumerate() {
            let (logits, next) = self.step(token, &memory.current)?;
            let previous = std::mem::replace(&mut memory.current, next);
            memory = Memory { previous, last: Some(token), ..memory };
            if wanted.contains(&(index + 1)) {
                emit(index + 1, &mut self.finite_logits(logits)?);
            }
        }
        Ok(memory.state())
    }

    /// Reads one token: what the graph gives for it, and the state after it.
    fn step(&self, token: TokenId, state: &[f32]) -> Result<(Vec<f32>, Vec<f32>), RowError> {
        let outputs = self.program.run(&[token], state).map_err(RowError::Backend)?;
        match outputs.state.iter().all(|value| value.is_finite()) {
            true => Ok((outputs.logits, outputs.state)),
            false => Err(RowError::NotFinite),
        }
    }

    fn finite_logits(&self, mut logits: Vec<f32>) -> Result<Vec<f32>, RowError> {
        finish_logits(&mut logits, self.scores)?;
        Ok(logits)
    }
}

impl Model for Stateful {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn run(&self, rows: &mut [Row<'_>], _scratch: &mut Scratch, sink: &mut Sink<'_>) {
        run_each(rows, sink, |row, emit| self.read_row(row, emit));
    }
}

/// Runs rows one after the other. States are written last.
pub(super) fn run_each(
    rows: &mut [Row<'_>],
    sink: &mut Sink<'_>,
    read: impl Fn(&Row<'_>, &mut dyn FnMut(usize, &mut [f32])) -> Result<State, RowError>,
) {
    let each = rows.iter().enumerate();
    let states: Vec<_> =
        each.map(|(index, row)| read(row, &mut |position, logits| sink(index, position, logits))).collect();
    for (row, state) in rows.iter_mut().zip(states) {
        row.outcome = state.map(|state| *row.state = state);
    }
}

/// Refuses ids that the graph has no vector for: tract panics on some, and reads others from the end.
fn check_tokens(tokens: &[TokenId], vocab_size: usize) -> Result<(), RowError> {
    match tokens.iter().find(|&&token| token as usize >= vocab_size) {
        Some(&token) => Err(RowError::TokenOutOfRange(token)),
        None => Ok(()),
    }
}

/// Makes logits of what a graph gave.
pub(super) fn finish_logits(values: &mut [f32], scores: Scores) -> Result<(), RowError> {
    if !values.iter().all(|value| value.is_finite()) {
        return Err(RowError::NotFinite);
    }
    scores.make_logits(values);
    Ok(())
}
