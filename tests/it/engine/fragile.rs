//! A network that panics in the middle of a run, after the logits of some rows were given and before those of others.

use rnnlm_server::lm::{Model, ModelInfo, Row, Scratch, Sink, TokenId};
use rnnlm_server::rnn::Rnn;

/// A network that panics instead of giving the logits of a row that reads the token `panic_on`.
pub(crate) struct Fragile {
    pub(crate) network: Rnn,
    pub(crate) panic_on: TokenId,
}

impl Model for Fragile {
    fn info(&self) -> &ModelInfo {
        self.network.info()
    }

    fn cache_width(&self) -> Option<usize> {
        self.network.cache_width()
    }

    fn run(&self, rows: &mut [Row<'_>], scratch: &mut Scratch, sink: &mut Sink<'_>) {
        let doomed: Vec<bool> = rows.iter().map(|row| row.tokens.contains(&self.panic_on)).collect();
        self.network.run(rows, scratch, &mut |row, position, logits| {
            assert!(!doomed[row], "the network was told to panic on token {}", self.panic_on);
            sink(row, position, logits);
        });
    }
}
