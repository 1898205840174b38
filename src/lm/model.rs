//! The trait that every model implements, and the description of a model.

use std::fmt;

use super::{Cost, Inside, Scratch, State, TokenId};

/// Immutable weights that can read tokens. It knows nothing of text, threads or HTTP.
pub trait Model: Send + Sync {
    /// The description of the model: sizes, cell, types.
    fn info(&self) -> &ModelInfo;

    /// The state before anything was read: zeros, or what the network has learned to start from.
    fn start_state(&self) -> State {
        State::zeros(self.info().state_len)
    }

    /// Whether a state is, layer by layer from the first, the layer's output h `[hidden]` followed, for an LSTM, by its cell c `[hidden]`.
    fn state_is_layered(&self) -> bool {
        false
    }

    /// Width of the vector that enters the output layer, h, if runs keep the [`Cache`](super::Cache) of a state: they mix its probabilities into the logits, and
    /// add each token that they read, with the h before it. `None` for a model that ignores caches.
    fn cache_width(&self) -> Option<usize> {
        None
    }

    /// What a run costs. By default, each token is multiplied with every weight.
    fn cost(&self) -> Cost {
        Cost::of_parameters(self.info().parameter_count)
    }

    /// What can be seen of its inside; `None` if its weights are not known.
    fn inside(&self) -> Option<&dyn Inside> {
        None
    }

    /// The largest magnitude of each number of a state, `[state_len]`, where that follows from the weights; a state with a larger one was
    /// not computed by this model.
    fn state_bounds(&self) -> Option<&[f32]> {
        None
    }

    /// Reads the tokens of every row, and gives the logits that the row asks for to `sink`.
    ///
    /// Rows are ragged: each has any number of tokens, even none, and its own [`Logits`]. The numbers of a row are the same bits
    /// whatever other rows are in the run, and however its tokens are divided into runs.
    ///
    /// `sink(row, position, logits)` gets `logits` `[vocab_size]`, which it may overwrite. `position` is the number of tokens of the
    /// row that were read before these logits. Calls for one row come in order of position.
    ///
    /// States are replaced after the last call of `sink`, where nothing can panic any more: a run that panics leaves all states
    /// unchanged, and its rows may be run again.
    /// A row whose numbers are not finite ends with an `Err` in [`Row::outcome`] and keeps its state; other rows are not affected.
    /// Tokens must be below `vocab_size`, which the caller checks; otherwise the row fails with [`RowError::TokenOutOfRange`].
    fn run(&self, rows: &mut [Row<'_>], scratch: &mut Scratch, sink: &mut Sink<'_>);
}

/// Takes `(row, position, logits [vocab_size])`.
pub type Sink<'a> = dyn FnMut(RowIndex, usize, &mut [f32]) + 'a;

/// The index of a row in the slice given to [`Model::run`].
pub type RowIndex = usize;

/// One sequence's share of a run.
pub struct Row<'a> {
    /// The state that `tokens` are read into. It is replaced by its successor if the row succeeds.
    pub state: &'a mut State,
    /// What to read; may be empty.
    pub tokens: &'a [TokenId],
    /// Which logits are wanted.
    pub logits: Logits,
    /// The result. Every run writes it.
    pub outcome: Result<(), RowError>,
}

impl<'a> Row<'a> {
    /// A row that has not run yet.
    pub fn new(state: &'a mut State, tokens: &'a [TokenId], logits: Logits) -> Self {
        Self { state, tokens, logits, outcome: Ok(()) }
    }
}

/// Which logits a row asks for. The output layer is the most expensive part of a step and runs for these positions only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logits {
    /// None. Only the state is wanted.
    None,
    /// Those after the last token, or those of the state if there is no token: what comes next.
    Last,
    /// Those before each token: what the model expected in its place, as scoring requires.
    Each,
}

impl Logits {
    /// The positions, as [`Model::run`] counts them, for a row of `len` tokens.
    pub fn positions(self, len: usize) -> std::ops::Range<usize> {
        match self {
            Logits::None => 0..0,
            Logits::Last => len..len + 1,
            Logits::Each => 0..len,
        }
    }
}

/// Why a row failed. Its state is unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowError {
    /// A state or a logit became NaN or infinite.
    NotFinite,
    /// A token is not below the size of the vocabulary.
    TokenOutOfRange(TokenId),
    /// The runtime below the model failed.
    Backend(String),
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite => f.write_str("the model's numbers stopped being finite (NaN or infinity)"),
            Self::TokenOutOfRange(token) => write!(f, "token {token} is outside the vocabulary"),
            Self::Backend(message) => f.write_str(message),
        }
    }
}

/// The description of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// The recurrent cell; `None` for a network without one, and for a graph that was not recognised.
    pub cell: Option<Cell>,
    /// Number of tokens, V.
    pub vocab_size: usize,
    /// Units of each layer, the first layer first; empty for a graph that was not recognised.
    pub hidden_sizes: Vec<usize>,
    /// Length of a [`State`], in `f32`.
    pub state_len: usize,
    /// Number of weights; tied ones count once.
    pub parameter_count: u64,
    /// The type that the weights are held in; `F32` where they differ in theirs.
    pub weights_dtype: Dtype,
    /// The type whose precision the numbers have: `F32` where they are those of the file, since widening changes none; otherwise
    /// what they were rounded to. `Int8` where any product is of integers. It is part of a model's identity, because states belong to numbers.
    pub effective_dtype: Dtype,
    /// What computes the model.
    pub backend: Backend,
}

/// The recurrent cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cell {
    /// `h_t = tanh(..)` (Elman 1990).
    RnnTanh,
    /// `h_t = max(0, ..)`.
    RnnRelu,
    /// `h_t = 1 / (1 + exp(-..))`, as in older toolkits.
    RnnSigmoid,
    /// Gated recurrent unit (Cho et al. 2014).
    Gru,
    /// Long short-term memory (Hochreiter & Schmidhuber 1997).
    Lstm,
}

impl Cell {
    /// All cells.
    pub const ALL: [Cell; 5] = [Cell::RnnTanh, Cell::RnnRelu, Cell::RnnSigmoid, Cell::Gru, Cell::Lstm];

    /// The name in manifests and answers.
    pub fn name(self) -> &'static str {
        match self {
            Cell::RnnTanh => "rnn_tanh",
            Cell::RnnRelu => "rnn_relu",
            Cell::RnnSigmoid => "rnn_sigmoid",
            Cell::Gru => "gru",
            Cell::Lstm => "lstm",
        }
    }

    /// How many gate blocks the weights `[gates * hidden, input]` hold.
    pub fn gates(self) -> usize {
        match self {
            Cell::RnnTanh | Cell::RnnRelu | Cell::RnnSigmoid => 1,
            Cell::Gru => 3,
            Cell::Lstm => 4,
        }
    }
}

/// A type of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16: the upper half of an `f32`.
    Bf16,
    /// Integers in `-127..=127`, with a scale for each output column.
    Int8,
}

impl Dtype {
    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
            Dtype::Int8 => "int8",
        }
    }

    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::Int8 => 1,
        }
    }
}

impl ModelInfo {
    /// Bytes of a state.
    pub fn state_bytes(&self) -> usize {
        self.state_len * size_of::<f32>()
    }

    /// Bytes of the weights in the type that they are held in.
    pub fn weights_bytes(&self) -> usize {
        let parameters = usize::try_from(self.parameter_count).unwrap_or(usize::MAX);
        parameters.saturating_mul(self.weights_dtype.bytes())
    }
}

/// What computes a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// This crate's own engine.
    Native,
    /// The tract runtime, for ONNX graphs that are not a known network.
    Tract,
}

impl Backend {
    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Native => "native",
            Backend::Tract => "tract",
        }
    }
}
