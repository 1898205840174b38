//! The first layer's input product, kept for each token once it has been computed.
//!
//! The input of the first layer is one of V embeddings, so its product with the weights is one of V rows. A row that is kept replaces
//! reading the weights by reading the row. Rows are computed by the same kernel as ever, so no bit changes.
//!
//! They are computed when a token is first read and not at load: that costs no time at the start and no memory for words that are
//! never seen, and the frequent words of a language are seen early.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The rows that are kept, by token.
pub(super) struct Folded {
    rows: Box<[OnceLock<Box<[f32]>>]>,
    /// Rows that may still be kept.
    left: AtomicUsize,
}

impl Folded {
    /// Room for rows of `columns` values of `vocab_size` tokens, in at most `bytes_max` of memory; `None` where that is no row.
    pub(super) fn new(vocab_size: usize, columns: usize, bytes_max: usize) -> Option<Self> {
        let rows_max = bytes_max / (columns * size_of::<f32>());
        (rows_max > 0).then(|| Self {
            rows: (0..vocab_size).map(|_| OnceLock::new()).collect(),
            left: AtomicUsize::new(rows_max.min(vocab_size)),
        })
    }

    /// The row of `token`, if it is kept.
    pub(super) fn get(&self, token: usize) -> Option<&[f32]> {
        self.rows[token].get().map(|row| &**row)
    }

    /// Keeps the row of `token` if there is room.
    pub(super) fn keep(&self, token: usize, row: &[f32]) {
        // The count orders nothing else, and a row is published by its lock.
        let take = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return;
        }
        if self.rows[token].set(row.into()).is_err() {
            // Another thread was faster, or the token came twice in one run: the rows are the same.
            self.left.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_kept_until_the_memory_is_used() {
        let folded = Folded::new(5, 2, 2 * 8).expect("room for two rows");
        folded.keep(3, &[1.0, 2.0]);
        folded.keep(3, &[1.0, 2.0]);
        folded.keep(0, &[3.0, 4.0]);
        folded.keep(1, &[5.0, 6.0]);
        assert_eq!(folded.get(3), Some(&[1.0, 2.0][..]));
        assert_eq!(folded.get(0), Some(&[3.0, 4.0][..]));
        assert_eq!((folded.get(1), folded.get(2)), (None, None));
    }

    #[test]
    fn memory_for_less_than_a_row_keeps_none() {
        assert!(Folded::new(5, 2, 7).is_none());
        assert!(Folded::new(5, 2, usize::MAX).is_some());
    }
}
