//! The cost of turning logits into an answer, to compare with the step that computed them: `cargo bench --bench distribution`.
//!
//! One thread; logits that are roughly normally distributed.

use divan::Bencher;
use rnnlm_server::coding::Frequencies;
use rnnlm_server::lm::{Cache, CacheOptions, Distribution, TokenId, logprob};
use rnnlm_server::sampling::{FilterSpec, Filtering, Filters, Penalties, Sampler};

const VOCAB_SIZES: [usize; 3] = [10_000, 33_278, 250_000];

fn main() {
    divan::main();
}

#[divan::bench(args = VOCAB_SIZES)]
fn one_logprob(bencher: Bencher<'_, '_>, vocab_size: usize) {
    let logits = logits(vocab_size);
    bencher.bench(|| logprob(&logits, 17));
}

#[divan::bench(args = VOCAB_SIZES)]
fn logsumexp_and_entropy(bencher: Bencher<'_, '_>, vocab_size: usize) {
    let logits = logits(vocab_size);
    bencher.bench(|| Distribution::new(&logits).entropy());
}

#[divan::bench(args = VOCAB_SIZES, consts = [1, 50, 1000])]
fn top_k<const K: usize>(bencher: Bencher<'_, '_>, vocab_size: usize) {
    let logits = logits(vocab_size);
    let distribution = Distribution::new(&logits);
    bencher.bench(|| distribution.top_k(K));
}

#[divan::bench(args = VOCAB_SIZES)]
fn rank(bencher: Bencher<'_, '_>, vocab_size: usize) {
    let logits = logits(vocab_size);
    let distribution = Distribution::new(&logits);
    bencher.bench(|| distribution.rank(17));
}

#[divan::bench(args = VOCAB_SIZES, consts = [10, 100, 1000])]
fn ranks<const CANDIDATES: usize>(bencher: Bencher<'_, '_>, vocab_size: usize) {
    let logits = logits(vocab_size);
    let distribution = Distribution::new(&logits);
    let candidates: Vec<TokenId> = (0..CANDIDATES).map(|at| (at * 7) as TokenId).collect();
    bencher.bench(|| distribution.ranks(&candidates));
}

/// Includes the model's logprob of the drawn token.
#[divan::bench(args = VOCAB_SIZES)]
fn draw_unfiltered(bencher: Bencher<'_, '_>, vocab_size: usize) {
    draw(bencher, vocab_size, FilterSpec::default());
}

/// Includes the model's logprob of the drawn token.
#[divan::bench(args = VOCAB_SIZES)]
fn draw_top_k_40_top_p_95(bencher: Bencher<'_, '_>, vocab_size: usize) {
    draw(bencher, vocab_size, FilterSpec { top_k: Some(40), top_p: 0.95, ..Default::default() });
}

/// Includes the model's logprob of the drawn token.
#[divan::bench(args = VOCAB_SIZES)]
fn draw_top_p_90(bencher: Bencher<'_, '_>, vocab_size: usize) {
    draw(bencher, vocab_size, FilterSpec { top_p: 0.9, ..Default::default() });
}

/// Includes the model's logprob of the drawn token.
#[divan::bench(args = VOCAB_SIZES)]
fn draw_typical_p_20(bencher: Bencher<'_, '_>, vocab_size: usize) {
    draw(bencher, vocab_size, FilterSpec { typical_p: 0.2, ..Default::default() });
}

/// Includes the model's logprob of the drawn token.
#[divan::bench(args = VOCAB_SIZES)]
fn draw_typical_p_90(bencher: Bencher<'_, '_>, vocab_size: usize) {
    draw(bencher, vocab_size, FilterSpec { typical_p: 0.9, ..Default::default() });
}

/// After a prompt of so many different tokens. Includes the model's logprob of the drawn token.
#[divan::bench(args = VOCAB_SIZES, consts = [100, 1000, 10_000])]
fn draw_with_penalties<const PROMPT: usize>(bencher: Bencher<'_, '_>, vocab_size: usize) {
    let prompt: Vec<TokenId> = (0..PROMPT as TokenId).collect();
    let penalties = Penalties { repetition: 1.1, ..Penalties::NONE };
    let spec = FilterSpec { penalties, top_k: Some(40), ..FilterSpec::default() };
    let mut filtering = Filtering::new(Filters::new(spec).expect("the values are in range"), &prompt);
    (0..100).for_each(|token| filtering.drew(token * 3));
    let sampler = Sampler::Multinomial { seed: 1, choice: 0 };
    let logits = logits(vocab_size);
    bencher.with_inputs(|| logits.clone()).bench_local_refs(|logits| sampler.draw(&filtering, logits, 1));
}

/// A full cache of vectors of 512 values, mixed into the logits.
#[divan::bench(args = VOCAB_SIZES, consts = [1, 500, 2000])]
fn cache<const WINDOW: usize>(bencher: Bencher<'_, '_>, vocab_size: usize) {
    const WIDTH: usize = 512;
    let h = logits(WIDTH);
    let mut cache = Cache::new(CacheOptions { window: WINDOW, theta: 0.6, lambda: 0.15 }, WIDTH);
    (0..WINDOW).for_each(|token| cache.push(&h, (token * 7 % vocab_size) as TokenId));
    let logits = logits(vocab_size);
    bencher.with_inputs(|| logits.clone()).bench_local_refs(|logits| cache.mix(&h, logits));
}

/// What compressing does with the logits of each token: `compress` knows the token, `decompress` finds it.
#[divan::bench(args = VOCAB_SIZES)]
fn frequencies(bencher: Bencher<'_, '_>, vocab_size: usize) {
    let logits = logits(vocab_size);
    let mut frequencies = Frequencies::default();
    bencher.bench_local(|| {
        frequencies.fill(&logits);
        frequencies.interval((vocab_size / 2) as TokenId)
    });
}

fn draw(bencher: Bencher<'_, '_>, vocab_size: usize, spec: FilterSpec) {
    let mut logits = logits(vocab_size);
    let filtering = Filtering::new(Filters::new(spec).expect("the values are in range"), &[]);
    let sampler = Sampler::Multinomial { seed: 1, choice: 0 };
    let mut position = 0;
    bencher.bench_local(|| {
        position += 1;
        sampler.draw(&filtering, &mut logits, position)
    });
}

/// Sums of twelve uniform numbers: nearly Gaussian, with a standard deviation of 3.
fn logits(vocab_size: usize) -> Vec<f32> {
    let mut state = 0x5eed_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..vocab_size).map(|_| 3.0 * ((0..12).map(|_| uniform()).sum::<f32>() - 6.0)).collect()
}
