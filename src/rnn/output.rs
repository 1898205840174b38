//! The affine layer from the top layer's h to logits, the dearest part of a step: run only where asked, in tiles.

use super::cells::AllFinite;
use super::kernels::{Kernel, Packed, Product, Rows, RowsMut, Start, pad_columns};

/// `logits = W h + b`.
pub(super) struct Output {
    kernel: Kernel,
    w: Packed,
    bias: Vec<f32>,
    vocab_size: usize,
}

/// A vector of logits that somebody asked for.
pub(super) struct Wanted {
    /// The row, as the chunk counts them.
    pub(super) row: usize,
    /// Tokens of the row that were read before.
    pub(super) position: usize,
    /// Where the h lies among the vectors of all blocks.
    pub(super) vector: usize,
}

/// What a chunk asks of the output layer.
pub(super) struct Asked<'a> {
    /// The top layer's h, all blocks, `[.., hidden]`.
    pub(super) vectors: &'a [f32],
    pub(super) wanted: &'a [Wanted],
}

/// The buffers that the output layer works in.
pub(super) struct Tile<'a> {
    /// `[rows, hidden]`.
    pub(super) h: &'a mut [f32],
    /// `[rows, columns]`.
    pub(super) logits: &'a mut [f32],
    /// Rows in a full tile.
    pub(super) rows: usize,
}

impl Output {
    /// Packs checked weights, `[vocab, hidden]` and `[vocab]`.
    pub(super) fn new(kernel: Kernel, weights: &[f32], bias: Option<Vec<f32>>, hidden: usize) -> Self {
        let vocab_size = weights.len() / hidden;
        let bias = pad_columns(&[&bias.unwrap_or_else(|| vec![0.0; vocab_size])]);
        Self { kernel, w: Packed::new(&[weights], hidden), bias, vocab_size }
    }

    /// Width of the layer's input.
    pub(super) fn hidden(&self) -> usize {
        self.w.depth()
    }

    /// Values that a row of logits takes, padding included.
    pub(super) fn columns(&self) -> usize {
        self.w.columns()
    }

    /// Writes the weights of `token`'s logit, `[hidden]`: its embedding, when the two are tied.
    pub(super) fn copy_token_weights(&self, token: usize, weights: &mut [f32]) {
        self.w.copy_column(token, weights);
    }

    /// Computes the logits asked for and hands each to `take`, the next tile after the last one was taken; `Err` in place
    /// of logits that are not finite.
    pub(super) fn run(
        &self,
        asked: Asked<'_>,
        tile: Tile<'_>,
        mut take: impl FnMut(&Wanted, Result<&mut [f32], NotFinite>),
    ) {
        let (hidden, columns) = (self.w.depth(), self.columns());
        for wanted in asked.wanted.chunks(tile.rows) {
            for (wanted, copy) in wanted.iter().zip(tile.h.chunks_exact_mut(hidden)) {
                copy.copy_from_slice(&asked.vectors[wanted.vector * hidden..][..hidden]);
            }
            self.kernel.run(Product {
                a: Rows { values: tile.h, stride: hidden, count: wanted.len() },
                w: &self.w,
                start: Start::Bias(&self.bias),
                c: RowsMut { values: tile.logits, stride: columns, count: wanted.len() },
            });
            for (wanted, logits) in wanted.iter().zip(tile.logits.chunks_exact_mut(columns)) {
                let logits = &mut logits[..self.vocab_size];
                let is_finite = self.kernel.run(AllFinite(logits));
                take(wanted, if is_finite { Ok(logits) } else { Err(NotFinite) });
            }
        }
    }
}

/// Logits that may not leave.
pub(super) struct NotFinite;
