//! A scripted model for tests: no weights, exact arithmetic, and faults on demand.
//!
//! Its state is a hash of every token read, so two sequences agree only if they read the same tokens in the
//! same order. A token that is lost, doubled or given to the wrong row is detected.

use std::sync::Arc;

use super::{Backend, Cost, Dtype, Logits, Model, ModelInfo, Row, RowError, Scratch, Sink, State, TokenId};

/// The scripted model. Logits are a fixed pseudo-random function of the tokens read, in `-4..4`.
pub struct Fake {
    info: ModelInfo,
    nan_on: Option<TokenId>,
    panic_on: Option<TokenId>,
    before_run: Option<Arc<BeforeRun>>,
}

/// Called at the start of every run with the number of tokens of each row; it may block, as a gate does.
pub type BeforeRun = dyn Fn(&[usize]) + Send + Sync;

impl Fake {
    /// A model over `vocab_size` tokens that never fails.
    pub fn new(vocab_size: usize) -> Self {
        let info = ModelInfo {
            cell: None,
            vocab_size,
            hidden_sizes: Vec::new(),
            state_len: 3,
            parameter_count: 0,
            weights_dtype: Dtype::F32,
            effective_dtype: Dtype::F32,
            backend: Backend::Native,
        };
        Self { info, nan_on: None, panic_on: None, before_run: None }
    }

    /// Reading `token` makes its row's numbers NaN.
    pub fn nan_on(mut self, token: TokenId) -> Self {
        self.nan_on = Some(token);
        self
    }

    /// Reading `token` panics, as a bug would.
    pub fn panic_on(mut self, token: TokenId) -> Self {
        self.panic_on = Some(token);
        self
    }

    /// Says that `backend` computes it.
    pub fn computed_by(mut self, backend: Backend) -> Self {
        self.info.backend = backend;
        self
    }

    /// Calls `hook` before every run.
    pub fn before_run(mut self, hook: impl Fn(&[usize]) + Send + Sync + 'static) -> Self {
        self.before_run = Some(Arc::new(hook));
        self
    }

    /// The logits of a state, `[vocab_size]`.
    pub fn logits(&self, state: &State) -> Vec<f32> {
        let [seen, low, high] = words(state);
        let seed = (u64::from(high) << 24 | u64::from(low)) ^ u64::from(seen) << 48;
        (0..self.info.vocab_size as u64)
            .map(|id| (mix(seed ^ id << 32) >> 40) as f32 / (1 << 21) as f32 - 4.0)
            .collect()
    }

    /// The logits of a state, with what its cache adds.
    fn mixed_logits(&self, state: &State) -> Vec<f32> {
        let mut logits = self.logits(state);
        if let Some(cache) = state.cache() {
            cache.mix(&hidden(state), &mut logits);
        }
        logits
    }

    fn read(&self, state: &mut State, token: TokenId) -> Result<(), RowError> {
        assert!(self.panic_on != Some(token), "the fake model was told to panic on token {token}");
        if token as usize >= self.info.vocab_size {
            return Err(RowError::TokenOutOfRange(token));
        }
        if self.nan_on == Some(token) {
            return Err(RowError::NotFinite);
        }
        let [seen, low, high] = words(state);
        let hash = mix((u64::from(high) << 24 | u64::from(low)) << 16 ^ u64::from(token) ^ 0x5eed);
        let next = [seen + 1, hash as u32 & 0xff_ffff, (hash >> 32) as u32 & 0xff_ffff];
        // 24-bit integers are exact in f32.
        state.replace(&next.map(|word| word as f32));
        Ok(())
    }

    fn read_row(&self, row: &Row<'_>, mut emit: impl FnMut(usize, &mut [f32])) -> Result<State, RowError> {
        let mut state = row.state.clone();
        for (position, &token) in row.tokens.iter().enumerate() {
            if row.logits == Logits::Each {
                emit(position, &mut self.mixed_logits(&state));
            }
            let h = hidden(&state);
            self.read(&mut state, token)?;
            state.remember(&h, token);
        }
        if row.logits == Logits::Last {
            emit(row.tokens.len(), &mut self.mixed_logits(&state));
        }
        Ok(state)
    }
}

impl Model for Fake {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn cache_width(&self) -> Option<usize> {
        Some(3)
    }

    /// Two tokens cost more than a step, which is a token and a position, so a turn of one step reads one token. A state that a cache
    /// compares costs as much as a position.
    fn cost(&self) -> Cost {
        Cost { run: 0, step: 0, token: 2, position: 1, recall: 0, compare: 1 }
    }

    fn run(&self, rows: &mut [Row<'_>], _scratch: &mut Scratch, sink: &mut Sink<'_>) {
        if let Some(hook) = &self.before_run {
            hook(&rows.iter().map(|row| row.tokens.len()).collect::<Vec<_>>());
        }
        let each = rows.iter().enumerate();
        let read: Vec<_> = each
            .map(|(index, row)| self.read_row(row, |position, logits| sink(index, position, logits)))
            .collect();
        for (row, read) in rows.iter_mut().zip(read) {
            row.outcome = read.map(|state| *row.state = state);
        }
    }
}

/// What a cache compares: the words of the state, in `0..1`.
fn hidden(state: &State) -> [f32; 3] {
    words(state).map(|word| word as f32 / (1 << 24) as f32)
}

fn words(state: &State) -> [u32; 3] {
    std::array::from_fn(|k| state.as_slice()[k] as u32)
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
