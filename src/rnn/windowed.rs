//! A network that reads the last N ids from the zero state at every position, as models are called that were trained on windows of
//! a text, padded on the left.

use super::network::Rnn;
use crate::lm::{
    Cost, GradientError, Inside, Logits, Model, ModelInfo, Row, RowError, Scratch, Sink, State, TokenId,
    Window,
};

/// A network behind a window. Its [`State`] holds the ids of the window, the newest last.
pub struct WindowedRnn {
    pub(super) network: Rnn,
    pub(super) info: ModelInfo,
    pub(super) window: Window,
}

/// Windows that run together: enough to read the weights for many at once, few enough for their memory to be small.
const WINDOWS_MAX: usize = 256;

/// A position whose logits are asked for.
pub(super) struct Asked {
    pub(super) row: usize,
    pub(super) position: usize,
}

/// What the rows of a run read, where every position reads the last ids.
pub(super) struct WindowReads {
    window: Window,
    /// Each row's state and tokens; none of a row that failed.
    ids: Vec<Vec<TokenId>>,
    /// The positions whose logits are asked for, row after row.
    asked: Vec<Asked>,
}

impl WindowReads {
    /// Takes the rows whose ids are all in the vocabulary, and fails the others.
    pub(super) fn new(window: Window, vocab_size: usize, rows: &mut [Row<'_>]) -> Self {
        let mut ids = Vec::with_capacity(rows.len());
        let mut asked = Vec::new();
        for (index, row) in rows.iter_mut().enumerate() {
            let extended = Window::extended(row.state, row.tokens, vocab_size);
            row.outcome = extended.as_ref().map(|_| ()).map_err(RowError::clone);
            if extended.is_ok() {
                let positions = row.logits.positions(row.tokens.len());
                asked.extend(positions.map(|position| Asked { row: index, position }));
            }
            ids.push(extended.unwrap_or_default());
        }
        Self { window, ids, asked }
    }

    /// The ids that a position reads.
    pub(super) fn window(&self, asked: &Asked) -> &[TokenId] {
        &self.ids[asked.row][asked.position..][..self.window.len]
    }

    /// Has `batch` run the windows of all positions that were asked for, [`WINDOWS_MAX`] at a time, and moves the windows of the rows.
    pub(super) fn run<'row, 'sink>(
        &self,
        mut io: Io<'_, 'row, 'sink>,
        mut batch: impl FnMut(&[Asked], &Self, &mut Io<'_, 'row, 'sink>),
    ) {
        for asked in self.asked.chunks(WINDOWS_MAX) {
            batch(asked, self, &mut io);
        }
        self.finish(io.rows);
    }

    /// Moves the window of every row that did not fail.
    fn finish(&self, rows: &mut [Row<'_>]) {
        for (row, ids) in rows.iter_mut().zip(&self.ids) {
            if row.outcome.is_ok() {
                *row.state = Window::state(&ids[row.tokens.len()..]);
            }
        }
    }
}

/// The ids that are read after `tokens` from `start`.
pub(super) fn last_window(
    window: Window,
    info: &ModelInfo,
    start: &State,
    tokens: &[TokenId],
) -> Result<Vec<TokenId>, GradientError> {
    let mut ids = Window::extended(start, tokens, info.vocab_size).map_err(GradientError::Reading)?;
    Ok(ids.split_off(ids.len() - window.len))
}

impl WindowedRnn {
    /// Reads the last [`Window::len`] ids of a sequence with `network`.
    pub fn new(network: Rnn, window: Window) -> Self {
        let info = ModelInfo { state_len: window.len, ..network.info().clone() };
        Self { network, info, window }
    }

    /// Runs the windows of `asked` as one batch, and hands out their logits.
    fn run_windows(&self, asked: &[Asked], reads: &WindowReads, io: &mut Io<'_, '_, '_>) {
        let mut states = vec![self.network.start_state(); asked.len()];
        let each = states.iter_mut().zip(asked);
        let mut windows: Vec<Row<'_>> =
            each.map(|(state, asked)| Row::new(state, reads.window(asked), Logits::Last)).collect();
        let Io { rows, scratch, sink } = io;
        self.network.run(&mut windows, scratch, &mut |index, _, logits| {
            let &Asked { row, position } = &asked[index];
            if rows[row].outcome.is_ok() {
                sink(row, position, logits);
            }
        });
        for (window, asked) in windows.into_iter().zip(asked) {
            if let Err(error) = window.outcome {
                rows[asked.row].outcome = Err(error);
            }
        }
    }
}

/// What a run works on.
pub(super) struct Io<'a, 'row, 'sink> {
    pub(super) rows: &'a mut [Row<'row>],
    pub(super) scratch: &'a mut Scratch,
    pub(super) sink: &'a mut Sink<'sink>,
}

impl Model for WindowedRnn {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn start_state(&self) -> State {
        self.window.start_state()
    }

    fn inside(&self) -> Option<&dyn Inside> {
        Some(self)
    }

    /// A token costs next to nothing: it is kept, and read anew for each position whose logits are asked for.
    fn cost(&self) -> Cost {
        let network = self.network.cost();
        let len = self.window.len as u64;
        Cost {
            run: network.run + network.step * len,
            token: 1,
            position: network.token * len + network.position,
            ..Cost::default()
        }
    }

    /// Reading tokens only moves the window. Each position whose logits are asked for is a row of its own in a batch of the network,
    /// so its numbers do not depend on what else is asked.
    fn run(&self, rows: &mut [Row<'_>], scratch: &mut Scratch, sink: &mut Sink<'_>) {
        let reads = WindowReads::new(self.window, self.info.vocab_size, rows);
        reads.run(Io { rows, scratch, sink }, |asked, reads, io| self.run_windows(asked, reads, io));
    }
}
