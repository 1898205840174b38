//! A graph without a state as a model: its state is the last N ids, which it reads again for every position.
//!
//! Reading a prompt runs nothing. Each position whose logits are asked for takes a run of its own, so that no number depends on what
//! else is asked.

use std::ops::Range;

use super::program::Program;
use super::stateful::{finish_logits, run_each};
use crate::lm::{Cost, Model, ModelInfo, Row, RowError, Scratch, Sink, State, Window};
use crate::onnx::scores::Scores;

/// A [`State`] holds the last N ids, the newest last.
pub(super) struct Windowed {
    pub(super) info: ModelInfo,
    pub(super) program: Program,
    pub(super) scores: Scores,
    /// Where the last position lies among the values that the graph gives.
    pub(super) last: Range<usize>,
    pub(super) window: Window,
}

impl Windowed {
    fn read_row(&self, row: &Row<'_>, emit: &mut dyn FnMut(usize, &mut [f32])) -> Result<State, RowError> {
        let ids = Window::extended(row.state, row.tokens, self.info.vocab_size)?;
        for position in row.logits.positions(row.tokens.len()) {
            let window = &ids[position..][..self.window.len];
            let mut values = self.program.run(window, &[]).map_err(RowError::Backend)?.logits;
            let logits = &mut values[self.last.clone()];
            finish_logits(logits, self.scores)?;
            emit(position, logits);
        }
        Ok(Window::state(&ids[row.tokens.len()..]))
    }
}

impl Model for Windowed {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn start_state(&self) -> State {
        self.window.start_state()
    }

    /// A token costs next to nothing: it is kept, and read anew for each position whose logits are asked for.
    fn cost(&self) -> Cost {
        Cost { token: 1, position: self.info.parameter_count.max(1), ..Cost::default() }
    }

    fn run(&self, rows: &mut [Row<'_>], _scratch: &mut Scratch, sink: &mut Sink<'_>) {
        run_each(rows, sink, |row, emit| self.read_row(row, emit));
    }
}
