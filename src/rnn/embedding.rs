//! From tokens to the gates of the first layer: the embedding and the layer's input product, or what is kept of it.

use super::folded::Folded;
use super::layer::Projection;
use super::network::Rnn;
use super::output::Output;
use super::values::Values;

/// Where a token's vector comes from.
pub(super) enum Embedding {
    /// `[vocab, embedding]`.
    Table(Values),
    /// The packed weights of the output layer. Tied weights are held once; in exchange, looking a token up reads memory
    /// that is not contiguous.
    Tied,
}

impl Embedding {
    /// Writes the vector of `token`, `[embedding]`. `output` is the network's output layer.
    pub(super) fn look_up(&self, token: usize, output: &Output, vector: &mut [f32]) {
        match self {
            Self::Table(table) => table.copy_row(token, vector),
            Self::Tied => output.copy_token_weights(token, vector),
        }
    }
}

/// Tokens that the first layer reads, and the buffers in which they become its gates.
pub(super) struct TokenInput<'a> {
    pub(super) network: &'a Rnn,
    pub(super) tokens: &'a [usize],
    /// At least `[tokens, embedding]`.
    pub(super) vectors: &'a mut [f32],
    /// At least `[tokens, gate_columns]`; the layer's input product, written.
    pub(super) gates: &'a mut [f32],
    /// Working memory of the product.
    pub(super) room: &'a mut [f32],
}

impl TokenInput<'_> {
    /// Computes the gates of each token, in order.
    pub(super) fn project(mut self) {
        match &self.network.folded {
            None => self.compute(self.tokens.iter().copied()),
            Some(folded) => self.complete(folded),
        }
    }

    /// Computes the gates of `tokens` from the beginning of the buffer on.
    fn compute(&mut self, tokens: impl Iterator<Item = usize>) {
        let first = &self.network.layers[0];
        let width = first.input();
        let mut count = 0;
        for (token, vector) in tokens.zip(self.vectors.chunks_exact_mut(width)) {
            self.network.embedding.look_up(token, &self.network.output, vector);
            count += 1;
        }
        first.project(Projection { input: self.vectors, count, gates: self.gates, room: self.room });
    }

    /// Takes the gates of known tokens from `folded`, and computes those of the others together.
    fn complete(&mut self, folded: &Folded) {
        let columns = self.network.layers[0].gate_columns();
        let tokens = self.tokens;
        let is_missing = |&index: &usize| folded.get(tokens[index]).is_none();
        let missing: Vec<usize> = (0..tokens.len()).filter(is_missing).collect();
        self.compute(missing.iter().map(|&index| tokens[index]));
        // From the last row on, because rows move towards the end of the buffer.
        for (row, &index) in missing.iter().enumerate().rev() {
            folded.keep(tokens[index], &self.gates[row * columns..][..columns]);
            self.gates.copy_within(row * columns..(row + 1) * columns, index * columns);
        }
        let mut missing = missing.into_iter().peekable();
        for (index, &token) in tokens.iter().enumerate() {
            if missing.next_if_eq(&index).is_none() {
                let row = folded.get(token).expect("a row that is kept is never given up: a bug");
                self.gates[index * columns..][..columns].copy_from_slice(row);
            }
        }
    }
}
