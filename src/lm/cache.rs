//! The continuous cache (Grave, Joulin & Usunier 2017, "Improving Neural Language Models with a Continuous Cache"): a sequence remembers in which
//! hidden states its last tokens came, and expects them again where the hidden state is similar.
//!
//! With h_t the vector that enters the output layer, and x_{i+1} the token that was read after h_i,
//!
//! ```text
//! p(w) = (1 - lambda) p_model(w) + lambda p_cache(w),    p_cache(w) ~ sum of exp(theta h_t . h_i) over the i with x_{i+1} = w
//! ```
//!
//! where i runs over the last `window` states. A cache belongs to a [`State`](super::State), so it is forked, rewound and exported with it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Extent, LogSumExp, TokenId, reduce};

/// How a cache remembers and how much it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CacheOptions {
    /// How many of the last states are compared, from 1 to [`Self::WINDOW_MAX`].
    pub window: usize,
    /// How much more similar states count than others, from 0 to [`Self::THETA_MAX`].
    pub theta: f64,
    /// The weight of the cache's probabilities, from 0 to below 1.
    pub lambda: f64,
}

impl CacheOptions {
    /// The largest `theta`. With it, the most similar state alone decides.
    pub const THETA_MAX: f64 = 1e6;

    /// The largest `window`, that of `--cache-window-max`: the bytes of a cache can be counted.
    pub const WINDOW_MAX: usize = 1 << 40;

    /// Whether the numbers are in range.
    pub fn are_valid(&self) -> bool {
        (1..=Self::WINDOW_MAX).contains(&self.window)
            && (0.0..=Self::THETA_MAX).contains(&self.theta)
            && (0.0..1.0).contains(&self.lambda)
    }
}

/// The last states of a sequence and the tokens that were read after them.
///
/// Entries are kept in blocks that clones share: a fork copies a list of blocks when it first reads on, and then at most the last block.
#[derive(Clone, Debug)]
pub struct Cache {
    options: CacheOptions,
    /// Width of h.
    width: usize,
    /// All full but the last; the first may hold entries that have left the window.
    blocks: VecDeque<Arc<Block>>,
    /// Entries of all blocks.
    len: usize,
}

/// Entries of a block.
const BLOCK_LEN: usize = 32;

/// Entries next to each other.
#[derive(Debug)]
struct Block {
    /// `[tokens, width]`.
    h: Vec<f32>,
    tokens: Vec<TokenId>,
}

/// A state, and the token that was read after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CacheEntry<'a> {
    /// What entered the output layer, `[width]`.
    pub h: &'a [f32],
    /// The token that followed.
    pub token: TokenId,
}

impl Cache {
    /// An empty cache of vectors of `width` values.
    pub fn new(options: CacheOptions, width: usize) -> Self {
        Self { options, width, blocks: VecDeque::new(), len: 0 }
    }

    /// The options.
    pub fn options(&self) -> CacheOptions {
        self.options
    }

    /// Values of each h.
    pub fn width(&self) -> usize {
        self.width
    }

    /// `extent`, whose rows all start from a state with this cache, with what the cache adds to it.
    ///
    /// What is compared is at most this: a cache that is not full compares less at the first positions than at the last.
    pub fn counted(&self, extent: Extent) -> Extent {
        self.counted_after(extent.tokens, extent)
    }

    /// The same for rows that have read `read` tokens since.
    pub fn counted_after(&self, read: usize, extent: Extent) -> Extent {
        let recalls = if self.options.lambda == 0.0 { 0 } else { extent.positions };
        let states = self.len.saturating_add(read).min(self.options.window);
        // A run that reads copies the block that is not full, and adds each token.
        let added = if extent.tokens == 0 { 0 } else { BLOCK_LEN + extent.tokens };
        Extent { recalls, compared: recalls.saturating_mul(states).saturating_add(added), ..extent }
    }

    /// The same entries with other options, as far as these remember.
    pub fn with_options(&self, options: CacheOptions) -> Self {
        let mut changed = Self::new(options, self.width);
        self.entries().for_each(|entry| changed.push(entry.h, entry.token));
        changed
    }

    /// Remembers that `token` was read after `h`.
    pub fn push(&mut self, h: &[f32], token: TokenId) {
        assert_eq!(h.len(), self.width, "bug: a vector of another width is remembered");
        let is_full = self.blocks.back().is_none_or(|block| block.tokens.len() == BLOCK_LEN);
        if is_full {
            self.blocks.push_back(Arc::new(Block::reserved(self.width)));
        }
        let last = self.blocks.back_mut().expect("bug: a block was just added");
        let last = Arc::make_mut(last);
        last.h.extend_from_slice(h);
        last.tokens.push(token);
        self.len += 1;
        if self.len >= self.options.window + BLOCK_LEN {
            self.blocks.pop_front();
            self.len -= BLOCK_LEN;
        }
    }

    /// What is remembered, the oldest first.
    pub fn entries(&self) -> impl Iterator<Item = CacheEntry<'_>> {
        let forgotten = self.len.saturating_sub(self.options.window);
        let kept = self.blocks.iter().flat_map(move |block| {
            block.h.chunks_exact(self.width).zip(&block.tokens).map(|(h, &token)| CacheEntry { h, token })
        });
        kept.skip(forgotten)
    }

    /// Mixes the probabilities of the cache into `logits` `[vocab_size]`, for the state that `h` is of. An empty cache changes nothing.
    ///
    /// Only the logits of remembered tokens change: a token's new logit is `ln((1 - lambda) p_model + lambda p_cache) - ln(1 - lambda)`, counted
    /// from where the probabilities of the model sum to 1. Sums are of `f64`, in the order of the entries.
    pub fn mix(&self, h: &[f32], logits: &mut [f32]) {
        let CacheOptions { theta, lambda, .. } = self.options;
        if self.len == 0 || lambda == 0.0 {
            return;
        }
        let scored = self.entries().map(|entry| (entry.token, theta * reduce::dot(h, entry.h)));
        let mut weights: Vec<(TokenId, f64)> = scored.collect();
        let max = weights.iter().fold(f64::NEG_INFINITY, |max, &(_, score)| score.max(max));
        let mut total = 0.0;
        for (_, weight) in &mut weights {
            *weight = libm::exp(*weight - max);
            total += *weight;
        }
        // A stable sort keeps the order of the entries of each token.
        weights.sort_by_key(|&(token, _)| token);
        let normaliser = LogSumExp::new(logits);
        for same in weights.chunk_by(|a, b| a.0 == b.0) {
            let share = same.iter().map(|&(_, weight)| weight).sum::<f64>() / total;
            // A share that underflows adds nothing, and the logarithm of nothing is not finite.
            if share > 0.0 {
                let logit = &mut logits[same[0].0 as usize];
                let mixed = (1.0 - lambda) * libm::exp(normaliser.logprob(*logit)) + lambda * share;
                *logit = (normaliser.value() + libm::log(mixed) - libm::log1p(-lambda)) as f32;
            }
        }
    }

    /// The most bytes that a sequence takes for its cache, full or not, if it also keeps the caches of `marks` earlier states.
    pub fn bytes_max(&self, marks: usize) -> usize {
        let block =
            size_of::<Block>() + BLOCK_LEN * (self.width * size_of::<f32>() + size_of::<TokenId>()) + 64;
        // One block that is not full and one that has partly left the window.
        let blocks = self.options.window.div_ceil(BLOCK_LEN) + 2;
        // With what allocations add, and where a state holds it.
        let list = size_of::<Self>() + blocks.next_power_of_two().max(4) * size_of::<Arc<Block>>() + 80;
        // A mark keeps a block that has left the window since, and its own last block.
        (blocks + 2 * marks).saturating_mul(block).saturating_add((1 + marks).saturating_mul(list))
    }
}

/// Equal options and equal entries, however these are divided into blocks.
impl PartialEq for Cache {
    fn eq(&self, other: &Self) -> bool {
        self.options == other.options && self.width == other.width && self.entries().eq(other.entries())
    }
}

impl Block {
    fn reserved(width: usize) -> Self {
        Self { h: Vec::with_capacity(BLOCK_LEN * width), tokens: Vec::with_capacity(BLOCK_LEN) }
    }
}

/// A copy reserves as much as the original.
impl Clone for Block {
    fn clone(&self) -> Self {
        let mut copy =
            Self { h: Vec::with_capacity(self.h.capacity()), tokens: Vec::with_capacity(BLOCK_LEN) };
        copy.h.extend_from_slice(&self.h);
        copy.tokens.extend_from_slice(&self.tokens);
        copy
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lm::Distribution;
    use crate::lm::test_logits::gaussian;

    const WIDTH: usize = 5;
    const VOCAB: usize = 12;

    fn options(window: usize) -> CacheOptions {
        CacheOptions { window, theta: 0.8, lambda: 0.3 }
    }

    fn h(seed: u64) -> Vec<f32> {
        gaussian(seed, WIDTH, 1.0)
    }

    /// A cache of `len` tokens, of which each third is another.
    fn filled(window: usize, len: u64) -> Cache {
        let mut cache = Cache::new(options(window), WIDTH);
        (0..len).for_each(|step| cache.push(&h(step), (step % 3) as TokenId));
        cache
    }

    #[test]
    fn it_remembers_the_last_entries_of_its_window_and_holds_few_more() {
        for (window, len) in [(1, 0), (1, 100), (31, 100), (32, 100), (33, 64), (500, 100), (64, 1000)] {
            let cache = filled(window, len);
            let found: Vec<TokenId> = cache.entries().map(|entry| entry.token).collect();
            let oldest = len.saturating_sub(window as u64);
            let expected: Vec<TokenId> = (oldest..len).map(|step| (step % 3) as TokenId).collect();
            assert_eq!(found, expected, "window {window}, {len} tokens");
            assert!(cache.len < window + BLOCK_LEN);
            let held: usize = cache.blocks.iter().map(|block| block.h.capacity() * 4).sum();
            assert!(held < cache.bytes_max(0), "{held} bytes");
        }
    }

    #[test]
    fn the_bytes_of_the_largest_window_can_be_counted() {
        for (window, is_valid) in [
            (0, false),
            (1, true),
            (CacheOptions::WINDOW_MAX, true),
            (CacheOptions::WINDOW_MAX + 1, false),
            (usize::MAX, false),
        ] {
            assert_eq!(options(window).are_valid(), is_valid, "{window}");
        }
        let largest = Cache::new(options(CacheOptions::WINDOW_MAX), 1 << 18);
        assert!(largest.bytes_max(1 << 32) > CacheOptions::WINDOW_MAX << 20);
    }

    #[test]
    fn a_fork_shares_what_is_remembered_and_does_not_change_its_parent() {
        let parent = filled(200, 100);
        let mut fork = parent.clone();
        fork.push(&h(1000), 7);
        assert_eq!((parent.entries().count(), fork.entries().count()), (100, 101));
        let shared = parent.blocks.iter().zip(&fork.blocks).filter(|(a, b)| Arc::ptr_eq(a, b));
        assert_eq!(shared.count(), 3);
        assert_eq!(parent, filled(200, 100));
    }

    #[test]
    fn equal_entries_make_equal_caches_and_other_options_keep_them() {
        let cache = filled(40, 75);
        let copied = cache.with_options(options(40));
        assert_eq!(copied, cache);
        let narrow = cache.with_options(options(10));
        assert!(narrow.entries().eq(cache.entries().skip(30)));
        assert_ne!(narrow, cache);
    }

    #[test]
    fn what_a_run_compares_is_bounded_by_the_window_and_by_what_was_read() {
        let compared = |cache: &Cache, tokens, positions| {
            let Extent { recalls, compared, .. } = cache.counted(Extent::of_row(tokens, positions));
            (recalls, compared)
        };
        let full = filled(40, 75);
        assert_eq!(compared(&full, 0, 1), (1, 40));
        assert_eq!(compared(&full, 1, 1), (1, 40 + 33));
        assert_eq!(compared(&full, 5, 0), (0, 37), "reading alone compares nothing");
        let short = filled(40, 10);
        assert_eq!(compared(&short, 0, 1), (1, 10));
        assert_eq!(compared(&short, 5, 5), (5, 5 * 15 + 37));
        let unweighted = full.with_options(CacheOptions { lambda: 0.0, ..options(40) });
        assert_eq!(compared(&unweighted, 0, 1), (0, 0));
    }

    #[test]
    fn an_empty_cache_and_a_cache_without_weight_change_no_bit() {
        let before = gaussian(1, VOCAB, 3.0);
        let unweighted = filled(10, 20).with_options(CacheOptions { lambda: 0.0, ..options(10) });
        for cache in [filled(10, 0), unweighted] {
            let mut logits = before.clone();
            cache.mix(&h(3), &mut logits);
            assert_eq!(logits, before);
        }
    }

    #[test]
    fn extreme_numbers_stay_finite() {
        for (theta, scale) in [(0.0, 1.0), (CacheOptions::THETA_MAX, 1e3), (CacheOptions::THETA_MAX, 1e30)] {
            let mut cache = Cache::new(CacheOptions { window: 9, theta, lambda: 0.999 }, WIDTH);
            (0..20).for_each(|step| cache.push(&gaussian(step, WIDTH, scale), (step % 5) as TokenId));
            let mut logits = gaussian(7, VOCAB, 300.0);
            cache.mix(&gaussian(3, WIDTH, scale), &mut logits);
            assert!(logits.iter().all(|logit| logit.is_finite()), "theta {theta}: {logits:?}");
        }
    }

    proptest! {
        #[test]
        fn the_mixture_is_that_of_the_definition(
            window in 1usize..80, len in 1u64..120, theta in 0.0..4.0, lambda in 0.0..0.99, seed: u64,
        ) {
            let mut cache = Cache::new(CacheOptions { window, theta, lambda }, WIDTH);
            let steps: Vec<(Vec<f32>, TokenId)> =
                (0..len).map(|step| (h(seed ^ step), (step * step % VOCAB as u64) as TokenId)).collect();
            steps.iter().for_each(|(h, token)| cache.push(h, *token));
            let now = h(!seed);
            let logits = gaussian(seed, VOCAB, 3.0);
            let mut mixed = logits.clone();
            cache.mix(&now, &mut mixed);

            let kept = &steps[steps.len().saturating_sub(window)..];
            let weight = |h: &[f32]| {
                let dot: f64 = h.iter().zip(&now).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                libm::exp(theta * dot)
            };
            let total: f64 = kept.iter().map(|(h, _)| weight(h)).sum();
            let model = Distribution::new(&logits);
            let found = Distribution::new(&mixed);
            for token in 0..VOCAB as TokenId {
                let own = kept.iter().filter(|(_, kept)| *kept == token).map(|(h, _)| weight(h));
                let expected =
                    (1.0 - lambda) * libm::exp(model.logprob(token)) + lambda * own.sum::<f64>() / total;
                prop_assert!((libm::exp(found.logprob(token)) - expected).abs() < 1e-6);
            }
        }
    }
}
