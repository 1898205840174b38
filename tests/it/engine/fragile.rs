//! A network that panics in the middle of a run, when some rows are answered and others are not.

use rnnlm_server::lm::{Model, ModelInfo, Row, Scratch, Sink, TokenId};
use rnnlm_server::rnn::Rnn;

/// Panics instead of handing out logits of a row that reads a certain token.
pub(crate) struct Fragile {
    pub(crate) network: Rnn,
    pub(crate) panic_on: TokenId,
}

impl Model for Fragile {
    fn info(&self) -> &ModelInfo {
        self.network.info()
    }

    fn run(&self, rows: &mut [Row<'_>], scratch: &mut Scratch, sink: &mut Sink<'_>) {
        let doomed: Vec<bool> = rows.iter().map(|row| row.tokens.contains(&self.panic_on)).collect();
        self.network.run(rows, scratch, &mut |row, position, logits| {
            assert!(!doomed[row], "the network was told to panic on token {}", self.panic_on);
            sink(row, position, logits);
        });
    }
}
