//! The most likely tokens, in exact order, without sorting the vocabulary.
//!
//! The k-th largest of the block maxima is a lower bound of the k-th largest value, because k blocks hold a value at least as large.
//! One vector pass finds the maxima, only blocks that reach the bound are searched, and the few candidates in
//! them are selected and sorted. The wider a block, the fewer maxima there are to select from, and the more values to search.

use super::{TokenId, reduce};

/// The `k` largest of `logits` `[vocab_size]`, the largest first, equal ones in order of id. Tokens that are ruled out (`-inf`) are never
/// among them. `-0.0` equals `0.0`. There must be no NaN.
pub(crate) fn top_k(logits: &[f32], k: usize) -> Vec<TokenId> {
    if k == 0 {
        return Vec::new();
    }
    let mut candidates = candidates(logits, k);
    if candidates.len() > k {
        candidates.select_nth_unstable(k - 1);
        candidates.truncate(k);
    }
    candidates.sort_unstable();
    candidates.into_iter().map(Place::token).collect()
}

/// All tokens in the order of [`top_k`], sorted only as far as the iterator is advanced.
pub(crate) struct Ranking<'a> {
    logits: &'a [f32],
    sorted: Vec<TokenId>,
    next: usize,
}

impl<'a> Ranking<'a> {
    /// Tokens sorted at first: most draws from a language model end among them.
    const FIRST: usize = 64;
    /// Whenever they do not suffice, this many times as many are sorted.
    const GROWTH: usize = 16;

    pub(crate) fn new(logits: &'a [f32]) -> Self {
        Self { logits, sorted: top_k(logits, Self::FIRST), next: 0 }
    }
}

impl Iterator for Ranking<'_> {
    type Item = TokenId;

    fn next(&mut self) -> Option<TokenId> {
        if self.next == self.sorted.len() && self.next >= Self::FIRST {
            self.sorted = top_k(self.logits, self.next * Self::GROWTH);
        }
        let token = self.sorted.get(self.next).copied();
        self.next += 1;
        token
    }
}

/// Every token that may be among the `k` largest.
fn candidates(logits: &[f32], k: usize) -> Vec<Place> {
    // With few blocks for each token wanted the bound is poor: then every token is a candidate.
    let Some(width) = [256, 64, 32, 16].into_iter().find(|width| logits.len() / width / 4 >= k) else {
        return places(logits, 0..logits.len(), f32::NEG_INFINITY).collect();
    };
    let maxima = reduce::block_maxima(logits, width);
    let bound = *maxima.clone().select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1;
    let mut candidates = Vec::with_capacity(2 * k);
    for (block, &max) in (0..maxima.len()).zip(&maxima) {
        if max >= bound {
            candidates.extend(places(logits, reduce::block(logits, width, block), bound));
        }
    }
    candidates
}

/// The places of those of `tokens` whose logits reach `bound` and are not ruled out.
fn places(logits: &[f32], tokens: impl Iterator<Item = usize>, bound: f32) -> impl Iterator<Item = Place> {
    let reach = move |&token: &usize| logits[token] >= bound && logits[token] > f32::NEG_INFINITY;
    tokens.filter(reach).map(|token| Place::new(logits[token], token as TokenId))
}

/// A token's place in the order, as one integer, so that a comparison is one instruction. Smaller is more likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

impl Place {
    pub(crate) fn new(logit: f32, token: TokenId) -> Self {
        // Adding zero gives -0.0 and 0.0 the same bits. Positive numbers have the order of their bits, negative ones the reverse.
        let bits = (logit + 0.0).to_bits();
        let rising = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        Self(u64::from(!rising) << 32 | u64::from(token))
    }

    pub(crate) fn token(self) -> TokenId {
        self.0 as TokenId
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lm::test_logits::{gaussian, logits_with_ties};

    fn full_sort(logits: &[f32]) -> Vec<TokenId> {
        let mut tokens: Vec<TokenId> = (0..logits.len() as TokenId).collect();
        tokens.retain(|&token| logits[token as usize] > f32::NEG_INFINITY);
        // A stable sort leaves equal ones, including -0.0 and 0.0, in order of id.
        tokens.sort_by(|&a, &b| logits[b as usize].partial_cmp(&logits[a as usize]).unwrap());
        tokens
    }

    #[test]
    fn more_than_all_are_all() {
        let logits = gaussian(1, 1000, 1.0);
        for k in [1000, 1 << 62, 1 << 63, usize::MAX] {
            assert_eq!(top_k(&logits, k), full_sort(&logits), "{k}");
        }
    }

    proptest! {
        #[test]
        fn top_k_equals_a_full_sort(logits in logits_with_ties(1..3000), share in 0.0..1.0f64) {
            let sorted = full_sort(&logits);
            let small = (share * 70.0) as usize;
            for k in [0, 1, 2, small, (share * logits.len() as f64) as usize, logits.len(), logits.len() + 1] {
                prop_assert_eq!(&top_k(&logits, k)[..], &sorted[..k.min(sorted.len())]);
            }
        }

        #[test]
        fn a_ranking_equals_a_full_sort(logits in logits_with_ties(1..3000)) {
            prop_assert_eq!(Ranking::new(&logits).collect::<Vec<_>>(), full_sort(&logits));
        }
    }

    #[test]
    fn large_vocabularies_equal_a_full_sort() {
        let logits = gaussian(1, 250_000, 3.0);
        let sorted = full_sort(&logits);
        for k in [1, 50, 1000, 3000, 10_000, 250_000] {
            assert_eq!(top_k(&logits, k), sorted[..k]);
        }
        assert!(Ranking::new(&logits).eq(sorted));
    }

    #[test]
    fn equal_logits_are_in_order_of_id() {
        assert_eq!(top_k(&vec![1.5; 10_000], 50), (0..50).collect::<Vec<_>>());
        assert_eq!(top_k(&[0.0, -0.0, 0.0, -0.0, 1e-45, -1e-45], 6), [4, 0, 1, 2, 3, 5]);
    }

    #[test]
    fn tokens_that_are_ruled_out_are_not_listed() {
        let mut logits = vec![f32::NEG_INFINITY; 10_000];
        assert_eq!(top_k(&logits, 5), [] as [TokenId; 0]);
        logits[77] = f32::MIN;
        logits[5000] = f32::MAX;
        assert_eq!(top_k(&logits, 5), [5000, 77]);
        assert!(Ranking::new(&logits).eq([5000, 77]));
    }
}
