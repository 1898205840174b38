//! A network that reads the last N ids from the zero state at every position, as models are called that were trained on windows of
//! a text, padded on the left.

use super::network::Rnn;
use crate::lm::{Cost, Logits, Model, ModelInfo, Row, RowError, Scratch, Sink, State, TokenId, Window};

/// A network behind a window. Its [`State`] holds the ids of the window, the newest last.
pub struct WindowedRnn {
    network: Rnn,
    info: ModelInfo,
    window: Window,
}

/// Windows that run together: enough to read the weights for many at once, few enough for their memory to be small.
const WINDOWS_MAX: usize = 256;

/// A position whose logits are asked for.
struct Asked {
    row: usize,
    position: usize,
}

impl WindowedRnn {
    /// Reads the last [`Window::len`] ids of a sequence with `network`.
    pub fn new(network: Rnn, window: Window) -> Self {
        let info = ModelInfo { state_len: window.len, ..network.info().clone() };
        Self { network, info, window }
    }

    /// Runs the windows of `asked` as one batch, and hands out their logits. `ids` are the rows' states and tokens.
    fn run_windows(&self, asked: &[Asked], ids: &[Vec<TokenId>], io: &mut Io<'_, '_, '_>) {
        let mut states = vec![self.network.zero_state(); asked.len()];
        let window = |asked: &Asked| &ids[asked.row][asked.position..][..self.window.len];
        let each = states.iter_mut().zip(asked);
        let mut windows: Vec<Row<'_>> =
            each.map(|(state, asked)| Row::new(state, window(asked), Logits::Last)).collect();
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
struct Io<'a, 'row, 'sink> {
    rows: &'a mut [Row<'row>],
    scratch: &'a mut Scratch,
    sink: &'a mut Sink<'sink>,
}

impl Model for WindowedRnn {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn zero_state(&self) -> State {
        self.window.zero_state()
    }

    /// A token costs next to nothing: it is kept, and read anew for each position whose logits are asked for.
    fn cost(&self) -> Cost {
        let network = self.network.cost();
        let len = self.window.len as u64;
        Cost {
            run: network.run + network.step * len,
            step: 0,
            token: 1,
            position: network.token * len + network.position,
        }
    }

    /// Reading tokens only moves the window. Each position whose logits are asked for is a row of its own in a batch of the network,
    /// so its numbers do not depend on what else is asked.
    fn run(&self, rows: &mut [Row<'_>], scratch: &mut Scratch, sink: &mut Sink<'_>) {
        let mut ids: Vec<Vec<TokenId>> = Vec::with_capacity(rows.len());
        let mut asked = Vec::new();
        for (index, row) in rows.iter_mut().enumerate() {
            let extended = Window::extended(row.state, row.tokens, self.info.vocab_size);
            row.outcome = extended.as_ref().map(|_| ()).map_err(RowError::clone);
            if extended.is_ok() {
                let positions = row.logits.positions(row.tokens.len());
                asked.extend(positions.map(|position| Asked { row: index, position }));
            }
            ids.push(extended.unwrap_or_default());
        }
        let mut io = Io { rows, scratch, sink };
        for asked in asked.chunks(WINDOWS_MAX) {
            self.run_windows(asked, &ids, &mut io);
        }
        for (row, ids) in io.rows.iter_mut().zip(&ids) {
            if row.outcome.is_ok() {
                *row.state = Window::state(&ids[row.tokens.len()..]);
            }
        }
    }
}
