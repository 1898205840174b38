//! The affine layer from the top layer's h to logits: the most expensive part of a step, so it runs only where logits
//! are asked for, in tiles of bounded size.

use std::slice;

use super::cells::AllFinite;
use super::norm::{Norm, normalise};
use super::values::Values;
use crate::kernels::{Kernel, Packed, Product, Rows, RowsMut, Start, TransposedProduct, pad_columns};

/// `logits = W h + b`, where h may be normalised first.
pub(super) struct Output {
    kernel: Kernel,
    w: Packed,
    /// 0 for the tokens that are ruled out.
    bias: Vec<f32>,
    /// The tokens whose bias is negative infinity: so are their logits, whatever h is.
    ruled_out: Vec<usize>,
    vocab_size: usize,
    norms: Vec<Norm>,
}

/// A vector of logits that was asked for.
pub(super) struct Wanted {
    /// The index of the row in the chunk.
    pub(super) row: usize,
    /// Tokens of the row that are read before these logits.
    pub(super) position: usize,
    /// The index of its h among the vectors of all blocks.
    pub(super) vector: usize,
}

/// The sizes of an output layer, and what it runs on.
pub(super) struct OutputSpec {
    pub(super) kernel: Kernel,
    pub(super) vocab_size: usize,
    pub(super) hidden: usize,
    /// What h goes through first.
    pub(super) norms: Vec<Norm>,
}

/// What a chunk asks of the output layer.
pub(super) struct Asked<'a> {
    /// The top layer's h, all blocks, `[.., hidden]`.
    pub(super) vectors: &'a [f32],
    pub(super) wanted: &'a [Wanted],
}

/// The buffers of one tile of logits.
pub(super) struct TileBuffers<'a> {
    /// `[rows, hidden]`.
    pub(super) h: &'a mut [f32],
    /// `[rows, columns]`.
    pub(super) logits: &'a mut [f32],
    /// Working memory of the product, at least `[rows, room]`.
    pub(super) room: &'a mut [f32],
    /// Rows in a full tile.
    pub(super) rows: usize,
}

impl Output {
    /// Packs checked weights, `[vocab, hidden]` and `[vocab]`.
    pub(super) fn new(from: OutputSpec, weights: &Values, bias: Option<Values>) -> Self {
        let OutputSpec { kernel, vocab_size, hidden, norms } = from;
        let mut bias = bias.map_or_else(|| vec![0.0; vocab_size], Values::widened);
        let ruled_out: Vec<usize> =
            (0..vocab_size).filter(|&token| bias[token] == f32::NEG_INFINITY).collect();
        for &token in &ruled_out {
            bias[token] = 0.0;
        }
        let w = weights.pack(hidden, slice::from_ref(&(0..vocab_size)));
        Self { kernel, w, bias: pad_columns(&[&bias]), ruled_out, vocab_size, norms }
    }

    /// What it runs on.
    pub(super) fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Width of the layer's input.
    pub(super) fn hidden(&self) -> usize {
        self.w.depth()
    }

    /// What h goes through before the product.
    pub(super) fn norms(&self) -> &[Norm] {
        &self.norms
    }

    /// Normalises vectors `[.., hidden]` in place, as they are before the product.
    pub(super) fn normalise(&self, vectors: &mut [f32]) {
        normalise(&self.norms, self.kernel, vectors);
    }

    /// Values that a row of logits takes, padding included.
    pub(super) fn columns(&self) -> usize {
        self.w.columns()
    }

    /// Values of [`TileBuffers::room`] that a row takes.
    pub(super) fn room(&self) -> usize {
        self.w.room()
    }

    /// Writes the weights of `token`'s logit, `[hidden]`: its embedding, when the two are tied.
    pub(super) fn copy_token_weights(&self, token: usize, weights: &mut [f32]) {
        self.w.copy_column(token, weights);
    }

    /// Adds to `sums`, `[hidden]`, the gradient by the normalised h that follows from `by_logits`, `[columns]`, which is zero in padding columns.
    pub(super) fn add_transposed(&self, by_logits: &[f32], sums: &mut [f32]) {
        TransposedProduct { g: by_logits, w: &self.w, sums }.run(self.kernel);
    }

    /// Computes the logits asked for and hands each to `take`, one tile after the other; `take` gets `Err` in place of
    /// logits that are not finite. The logits of tokens that are ruled out are negative infinity.
    pub(super) fn run(
        &self,
        asked: Asked<'_>,
        tile: TileBuffers<'_>,
        mut take: impl FnMut(&Wanted, Result<Made<'_>, NotFinite>),
    ) {
        let hidden = self.w.depth();
        let columns = self.columns();
        for wanted in asked.wanted.chunks(tile.rows) {
            for (wanted, copy) in wanted.iter().zip(tile.h.chunks_exact_mut(hidden)) {
                copy.copy_from_slice(&asked.vectors[wanted.vector * hidden..][..hidden]);
            }
            normalise(&self.norms, self.kernel, &mut tile.h[..wanted.len() * hidden]);
            let product = Product {
                a: Rows { values: tile.h, stride: hidden, count: wanted.len() },
                w: &self.w,
                start: Start::Bias(&self.bias),
                c: RowsMut { values: tile.logits, stride: columns, count: wanted.len() },
                room: tile.room,
            };
            product.run(self.kernel);
            let made = tile.h.chunks_exact(hidden).zip(tile.logits.chunks_exact_mut(columns));
            for (wanted, (h, logits)) in wanted.iter().zip(made) {
                let logits = &mut logits[..self.vocab_size];
                // An h that is not finite makes all of them NaN or infinite, with every type of weights.
                let is_finite = self.kernel.run(AllFinite(logits));
                for &token in &self.ruled_out {
                    logits[token] = f32::NEG_INFINITY;
                }
                take(wanted, if is_finite { Ok(Made { h, logits }) } else { Err(NotFinite) });
            }
        }
    }
}

/// Logits, and the h that they were computed of.
pub(super) struct Made<'a> {
    /// What entered the product, `[hidden]`.
    pub(super) h: &'a [f32],
    /// `[vocab]`.
    pub(super) logits: &'a mut [f32],
}

/// Logits that must not leave the run.
pub(super) struct NotFinite;
