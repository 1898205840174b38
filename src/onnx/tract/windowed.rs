//! A graph without a state as a model: its state is the last N ids, which it reads again for every position.
//!
//! Reading a prompt runs nothing. Each position whose logits are asked for takes a run of its own, so that no number depends on what
//! else is asked.

use std::ops::Range;

use super::program::Program;
use super::stateful::{check_tokens, finish_logits, run_each};
use crate::lm::{Cost, Model, ModelInfo, Row, RowError, Scratch, Sink, State, TokenId};
use crate::onnx::scores::Scores;

/// A [`State`] holds the last `window` ids, the newest last.
pub(super) struct Windowed {
    pub(super) info: ModelInfo,
    pub(super) program: Program,
    pub(super) scores: Scores,
    /// Where the last position lies among the values that the graph gives.
    pub(super) last: Range<usize>,
    /// What stands before the first token.
    pub(super) pad: TokenId,
}

impl Windowed {
    fn read_row(&self, row: &Row<'_>, emit: &mut dyn FnMut(usize, &mut [f32])) -> Result<State, RowError> {
        check_tokens(row.tokens, self.info.vocab_size)?;
        let window = self.info.state_len;
        let mut ids = self.ids(row.state)?;
        ids.extend(row.tokens);
        for position in row.logits.positions(row.tokens.len()) {
            let outputs = self.program.run(&ids[position..][..window], &[]).map_err(RowError::Backend)?;
            let mut values = outputs.logits;
            let logits = &mut values[self.last.clone()];
            finish_logits(logits, self.scores)?;
            emit(position, logits);
        }
        let state = ids[row.tokens.len()..].iter().map(|&id| id as f32);
        Ok(State::from(state.collect::<Vec<_>>()))
    }

    /// The ids of a state, which may come from a client.
    fn ids(&self, state: &State) -> Result<Vec<TokenId>, RowError> {
        let id = |&value: &f32| {
            let is_id = value.fract() == 0.0 && (0.0..self.info.vocab_size as f32).contains(&value);
            let stray = || RowError::Backend(format!("the state holds {value}, expected ids of tokens"));
            is_id.then_some(value as TokenId).ok_or_else(stray)
        };
        state.as_slice().iter().map(id).collect()
    }
}

impl Model for Windowed {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn zero_state(&self) -> State {
        State::from(vec![self.pad as f32; self.info.state_len])
    }

    /// A token costs next to nothing: it is kept, and read anew for each position whose logits are asked for.
    fn cost(&self) -> Cost {
        Cost { run: 0, step: 0, token: 1, position: self.info.parameter_count.max(1) }
    }

    fn run(&self, rows: &mut [Row<'_>], _scratch: &mut Scratch, sink: &mut Sink<'_>) {
        run_each(rows, sink, |row, emit| self.read_row(row, emit));
    }
}
