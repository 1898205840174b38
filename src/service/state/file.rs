//! A state as a file: safetensors with what belongs to a sequence beside its numbers.
//!
//! The tensors of a recurrent network are `h_l0`, `c_l0` (LSTM), `h_l1`, ..., each `[hidden]`; any other model has one tensor, `state`. The metadata
//! are the weights' identity, the position, and the last tokens, from which it follows how the next word joins on to the text. A checksum over all
//! of it finds damage. A cache adds the tensors `cache_h` `[entries, hidden]` and `cache_tokens` `[entries]`, the oldest entry first, and its options to the metadata. Nothing in a file is trusted: it is refused unless it is what this module would have written.

use std::collections::HashMap;
use std::sync::Arc;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::catalog::Served;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{Cache, CacheOptions, Cell, ModelInfo, State, TokenId};
use crate::session::Snapshot;
use crate::text::{Joint, Tail};

/// What the metadata `format` says.
const FORMAT: &str = "rnnlm-state-1";

/// The maximum bytes of the header of a file. What is written has a few hundred bytes and about a hundred for each tensor.
pub(super) const HEADER_BYTES_MAX: u64 = 1 << 20;

/// The largest position: the largest integer that every JSON reader holds exactly.
const POSITION_MAX: u64 = (1 << 53) - 1;

/// A vector of a state.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) len: usize,
}

/// The vectors that the state of a model consists of, in their order.
pub(super) fn parts(served: &Served) -> Vec<Part> {
    let ModelInfo { cell, hidden_sizes, state_len, .. } = served.model.info();
    match cell {
        Some(cell) if served.model.state_is_layered() => {
            let names: &[&str] = if *cell == Cell::Lstm { &["h", "c"] } else { &["h"] };
            let layers = hidden_sizes.iter().enumerate();
            let parts = layers.flat_map(|(layer, &len)| {
                names.iter().map(move |name| Part { name: format!("{name}_l{layer}"), len })
            });
            parts.collect()
        }
        _ => vec![Part { name: "state".to_owned(), len: *state_len }],
    }
}

/// The file of `snapshot`, a state of `served`. Its history is not in it.
pub(super) fn write(served: &Served, snapshot: &Snapshot) -> Result<Vec<u8>> {
    write_beside(served, snapshot, Beside::default())
}

/// What else a file holds.
#[derive(Default)]
pub(in crate::service) struct Beside<'a> {
    /// Names and values, beside those of a state.
    pub(in crate::service) metadata: Vec<(&'static str, String)>,
    /// The name of a tensor of bytes, and the bytes.
    pub(in crate::service) bytes: Option<(&'static str, &'a [u8])>,
}

/// As [`write`], with more beside the state.
pub(in crate::service) fn write_beside(
    served: &Served,
    snapshot: &Snapshot,
    beside: Beside<'_>,
) -> Result<Vec<u8>> {
    let Snapshot { state, identity, position, tail, .. } = snapshot;
    let bytes: Vec<u8> = state.as_slice().iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut views = Vec::new();
    let mut rest = &bytes[..];
    for Part { name, len } in parts(served) {
        let (own, after) = rest.split_at(len * size_of::<f32>());
        rest = after;
        views.push((name, TensorView::new(Dtype::F32, vec![len], own).map_err(unwritable)?));
    }
    let cached = state.cache().map(|cache| CacheBytes::of(cache));
    if let Some(CacheBytes { h, tokens, shape }) = &cached {
        let h = TensorView::new(Dtype::F32, shape.to_vec(), h).map_err(unwritable)?;
        let tokens = TensorView::new(Dtype::U32, vec![shape[0]], tokens).map_err(unwritable)?;
        views.extend([(CACHE_H.to_owned(), h), (CACHE_TOKENS.to_owned(), tokens)]);
    }
    if let Some((name, bytes)) = beside.bytes {
        let view = TensorView::new(Dtype::U8, vec![bytes.len()], bytes).map_err(unwritable)?;
        views.push((name.to_owned(), view));
    }
    let tokens: Vec<String> = tail.tokens().iter().map(TokenId::to_string).collect();
    let mut metadata = HashMap::from(
        [
            ("format", FORMAT.to_owned()),
            ("model", served.name.to_string()),
            ("identity", identity.to_string()),
            ("position", position.to_string()),
            ("tail", tokens.join(" ")),
            ("joint", joint_name(tail.joint).to_owned()),
            ("checksum", checksum(snapshot)),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    if let Some(cache) = state.cache() {
        let CacheOptions { window, theta, lambda } = cache.options();
        let options = [window.to_string(), theta.to_string(), lambda.to_string()];
        metadata.extend(CACHE_OPTIONS.map(str::to_owned).into_iter().zip(options));
    }
    metadata.extend(beside.metadata.into_iter().map(|(key, value)| (key.to_owned(), value)));
    safetensors::serialize(views, Some(metadata)).map_err(unwritable)
}

/// The tensors of a cache.
const CACHE_H: &str = "cache_h";
const CACHE_TOKENS: &str = "cache_tokens";

/// The metadata of a cache.
pub(super) const CACHE_OPTIONS: [&str; 3] = ["cache_window", "cache_theta", "cache_lambda"];

/// A cache as little-endian bytes.
struct CacheBytes {
    h: Vec<u8>,
    tokens: Vec<u8>,
    /// Of `h`: entries and values of each.
    shape: [usize; 2],
}

impl CacheBytes {
    fn of(cache: &Cache) -> Self {
        let values = cache.entries().flat_map(|entry| entry.h);
        let tokens: Vec<u8> = cache.entries().flat_map(|entry| entry.token.to_le_bytes()).collect();
        let shape = [tokens.len() / size_of::<TokenId>(), cache.width()];
        Self { h: values.flat_map(|value| value.to_le_bytes()).collect(), tokens, shape }
    }
}

fn unwritable(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("internal error: a state could not be written: {error}"))
}

fn joint_name(joint: Joint) -> &'static str {
    match joint {
        Joint::Open => "open",
        Joint::Closed => "closed",
    }
}

/// A digest of all that a state means.
fn checksum(snapshot: &Snapshot) -> String {
    let Snapshot { state, identity, position, tail, .. } = snapshot;
    let mut digest = Digest::default();
    digest.field(identity.as_bytes());
    digest.field(&position.to_le_bytes());
    let tokens: Vec<u8> = tail.tokens().iter().flat_map(|token| token.to_le_bytes()).collect();
    digest.field(&tokens);
    digest.field(joint_name(tail.joint).as_bytes());
    let values: Vec<u8> = state.as_slice().iter().flat_map(|value| value.to_le_bytes()).collect();
    digest.field(&values);
    if let Some(cache) = state.cache() {
        let CacheOptions { window, theta, lambda } = cache.options();
        digest.field(&(window as u64).to_le_bytes());
        digest.field(&theta.to_bits().to_le_bytes());
        digest.field(&lambda.to_bits().to_le_bytes());
        let CacheBytes { h, tokens, .. } = CacheBytes::of(cache);
        digest.field(&tokens);
        digest.field(&h);
    }
    digest.finish()
}

/// A file whose header was read.
pub(in crate::service) struct StateFile<'f> {
    tensors: SafeTensors<'f>,
    metadata: HashMap<String, String>,
    /// Tensors beside those of a state.
    beside: usize,
}

impl<'f> StateFile<'f> {
    /// Reads the header.
    ///
    /// # Errors
    /// `StateMismatch` for what is not a state.
    pub(super) fn open(bytes: &'f [u8]) -> Result<Self> {
        Self::open_beside(bytes, 0)
    }

    /// The same, for a file that has `beside` tensors beside those of a state.
    pub(in crate::service) fn open_beside(bytes: &'f [u8], beside: usize) -> Result<Self> {
        let header = bytes.first_chunk().map_or(0, |len| u64::from_le_bytes(*len));
        if header > HEADER_BYTES_MAX {
            return Err(mismatch(format!(
                "the header of the state has {header} bytes; the maximum is {HEADER_BYTES_MAX}"
            )));
        }
        let unreadable = |error| mismatch(format!("the state is not a safetensors file: {error}"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(unreadable)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(unreadable)?;
        let file = Self { tensors, metadata: header.metadata().clone().unwrap_or_default(), beside };
        match file.field("format")? {
            FORMAT => Ok(file),
            found => Err(mismatch(format!("the format of the state is {found:?}, expected {FORMAT:?}"))),
        }
    }

    /// The identity of the weights that computed the state.
    pub(in crate::service) fn identity(&self) -> Result<&str> {
        self.field("identity")
    }

    /// The name that the model had.
    pub(in crate::service) fn model(&self) -> Result<&str> {
        self.field("model")
    }

    pub(in crate::service) fn field(&self, key: &str) -> Result<&str> {
        let missing = || mismatch(format!("the metadata of the state have no `{key}`"));
        self.metadata.get(key).map(String::as_str).ok_or_else(missing)
    }

    /// The state, if it is one of `served`.
    ///
    /// # Errors
    /// `StateMismatch` for a state of other weights, and for one that is damaged.
    pub(in crate::service) fn snapshot(&self, served: &Served) -> Result<Snapshot> {
        let mut state = self.state(served)?;
        state.set_cache(self.cache(served)?.map(Arc::new));
        let snapshot = Snapshot {
            state,
            identity: self.identity()?.into(),
            position: self.position()?,
            tail: self.tail(served)?,
            history: None,
        };
        snapshot.check_made_by(&served.identity)?;
        match checksum(&snapshot) == self.field("checksum")? {
            true => Ok(snapshot),
            false => {
                Err(mismatch("the state is damaged: its checksum does not match its content".to_owned()))
            }
        }
    }

    fn state(&self, served: &Served) -> Result<State> {
        let parts = parts(served);
        let expected = parts.len() + if self.has_cache() { 2 } else { 0 } + self.beside;
        if self.tensors.len() != expected {
            let found = self.tensors.len();
            return Err(mismatch(format!("the state has {found} tensors, expected {expected}")));
        }
        let mut values = Vec::with_capacity(served.model.info().state_len);
        for Part { name, len } in parts {
            values.extend(self.numbers(&name, &[len])?);
        }
        let bounds = served.model.state_bounds().unwrap_or_default();
        if let Some((value, bound)) = values.iter().zip(bounds).find(|(value, bound)| value.abs() > **bound) {
            let name = &served.name;
            return Err(mismatch(format!(
                "the state holds the number {value:e}; model `{name}` computes none there beyond {bound:e}"
            )));
        }
        Ok(State::from(values))
    }

    /// The numbers of a tensor, all of which are finite.
    fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let (bytes, _) = self.tensor(name, Dtype::F32, shape)?.as_chunks();
        let values: Vec<f32> = bytes.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => Err(mismatch("the state holds NaN or infinity".to_owned())),
        }
    }

    /// The bytes of a tensor beside those of a state.
    pub(in crate::service) fn bytes(&self, name: &str) -> Result<&'f [u8]> {
        let missing = |_| mismatch(format!("the file has no tensor `{name}`"));
        Ok(self.tensors.tensor(name).map_err(missing)?.data())
    }

    fn tensor(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&'f [u8]> {
        let missing = |_| mismatch(format!("the state has no tensor `{name}`"));
        let tensor = self.tensors.tensor(name).map_err(missing)?;
        if tensor.dtype() != dtype || tensor.shape() != shape {
            let found = format!("{} of shape {:?}", tensor.dtype(), tensor.shape());
            return Err(mismatch(format!("tensor `{name}` is {found}, expected {dtype} of shape {shape:?}")));
        }
        Ok(tensor.data())
    }

    fn has_cache(&self) -> bool {
        self.metadata.contains_key(CACHE_OPTIONS[0])
    }

    fn cache(&self, served: &Served) -> Result<Option<Cache>> {
        if !self.has_cache() {
            return Ok(None);
        }
        let [window, theta, lambda] = CACHE_OPTIONS.map(|key| self.field(key));
        let options = CacheOptions {
            window: window?.parse().unwrap_or(0),
            theta: theta?.parse().unwrap_or(f64::NAN),
            lambda: lambda?.parse().unwrap_or(f64::NAN),
        };
        if !options.are_valid() {
            return Err(mismatch("the options of the cache of the state are out of range".to_owned()));
        }
        let no_width =
            || mismatch(format!("the state has a cache, which model `{}` cannot use", served.name));
        let width = served.model.cache_width().ok_or_else(no_width)?;
        let missing = |_| mismatch(format!("the state has no tensor `{CACHE_TOKENS}`"));
        let len = self.tensors.tensor(CACHE_TOKENS).map_err(missing)?.data().len() / size_of::<TokenId>();
        if len > options.window {
            let window = options.window;
            return Err(mismatch(format!(
                "the cache of the state has {len} entries; its window is {window}"
            )));
        }
        let (tokens, _) = self.tensor(CACHE_TOKENS, Dtype::U32, &[len])?.as_chunks();
        let h = self.numbers(CACHE_H, &[len, width])?;
        let vocab_size = served.model.info().vocab_size;
        let mut cache = Cache::new(options, width);
        for (h, token) in h.chunks_exact(width).zip(tokens) {
            let token = TokenId::from_le_bytes(*token);
            if token as usize >= vocab_size {
                return Err(mismatch(format!(
                    "the cache of the state holds token {token}; ids below {vocab_size} are accepted"
                )));
            }
            cache.push(h, token);
        }
        Ok(Some(cache))
    }

    fn position(&self) -> Result<u64> {
        let text = self.field("position")?;
        text.parse().ok().filter(|position| *position <= POSITION_MAX).ok_or_else(|| {
            mismatch(format!(
                "the position of the state is {text:?}; a number up to {POSITION_MAX} is required"
            ))
        })
    }

    fn tail(&self, served: &Served) -> Result<Tail> {
        let vocab_size = served.model.info().vocab_size;
        let text = self.field("tail")?;
        let token = |word: &str| word.parse().ok().filter(|token: &TokenId| (*token as usize) < vocab_size);
        let tokens: Option<Vec<TokenId>> = text.split_ascii_whitespace().map(token).collect();
        let tokens = tokens.filter(|tokens| tokens.len() <= Tail::TOKENS_MAX).ok_or_else(|| {
            let max = Tail::TOKENS_MAX;
            mismatch(format!(
                "the tail of the state is not a list of at most {max} token ids below {vocab_size}"
            ))
        })?;
        let joint = match self.field("joint")? {
            "open" => Joint::Open,
            "closed" => Joint::Closed,
            found => {
                return Err(mismatch(format!(
                    "the joint of the state is {found:?}, expected `open` or `closed`"
                )));
            }
        };
        Ok(Tail::new(&tokens, joint))
    }
}

pub(in crate::service) fn mismatch(message: String) -> Error {
    Error::new(ErrorKind::StateMismatch, message)
}
