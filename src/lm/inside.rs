//! What can be seen of a model whose weights are known: its embedding, and on what a log-probability depends.

use std::fmt;

use super::{RowError, State, TokenId};

/// A model that can be looked into: [`Model::inside`](super::Model::inside).
pub trait Inside: Send + Sync {
    /// Width of the embedding, E.
    fn embedding_size(&self) -> usize;

    /// Writes the embedding of `token`, which must be below `vocab_size`, to `vector` `[embedding_size]`.
    fn copy_embedding(&self, token: TokenId, vector: &mut [f32]);

    /// Values of all gates in one step; 0 for a model without gates.
    fn gate_values(&self) -> usize;

    /// Reads a passage, and differentiates the log-probability of one token after it by everything that was computed on the way:
    /// backpropagation through time (Werbos 1990).
    ///
    /// The numbers of the reading are those of [`Model::run`](super::Model::run), bit for bit. Where a run quantises activations to
    /// int8, the quantisation counts as the identity, and int8 weights as the numbers that they stand for.
    ///
    /// # Errors
    /// When a token is outside the vocabulary, when a number of the reading or of the gradient is not finite, and when the caller
    /// has abandoned it.
    fn gradient(&self, passage: Passage<'_>) -> Result<Gradient, GradientError>;
}

/// What is read, and what is asked about it.
pub struct Passage<'a> {
    /// Where the reading starts.
    pub start: &'a State,
    /// What is read.
    pub tokens: &'a [TokenId],
    /// Chooses the token whose log-probability is differentiated, from the logits `[vocab_size]` after the last token.
    pub target: &'a mut dyn FnMut(&[f32]) -> TokenId,
    /// Whether the values of the gates are kept.
    pub gates: bool,
    /// Whether nobody waits for the result any more. It is asked at every step.
    pub is_abandoned: &'a dyn Fn() -> bool,
}

impl Passage<'_> {
    /// # Errors
    /// [`GradientError::Abandoned`].
    pub fn check_wanted(&self) -> Result<(), GradientError> {
        if (self.is_abandoned)() { Err(GradientError::Abandoned) } else { Ok(()) }
    }
}

/// The derivative of a log-probability. Norms are Euclidean.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// One for each token that was read.
    pub steps: Vec<StepGradient>,
}

/// The derivative by what was computed from one token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepGradient {
    /// The sum over the embedding of gradient times value.
    pub saliency: f64,
    /// The norm of the gradient by the token's embedding.
    pub input_norm: f64,
    /// The recurrent layers, the first layer first; none in a network without recurrence.
    pub layers: Vec<LayerGradient>,
}

/// The derivative by the memory of one layer after one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerGradient {
    /// The norm of the gradient by h.
    pub h_norm: f64,
    /// The norm of the gradient by c; `None` for a cell without it.
    pub c_norm: Option<f64>,
    /// The gates of the step, if they were wanted and the cell has any.
    pub gates: Option<Gates>,
}

/// The values of a layer's gates in one step, `[hidden]` each.
#[derive(Clone, Debug, PartialEq)]
pub enum Gates {
    /// Of an LSTM.
    Lstm {
        /// i: how much of the candidate enters the cell.
        input: Vec<f32>,
        /// f: how much of the cell is kept.
        forget: Vec<f32>,
        /// g: the candidate.
        candidate: Vec<f32>,
        /// o: how much of the cell is shown.
        output: Vec<f32>,
    },
    /// Of a GRU.
    Gru {
        /// r: how much of h the candidate sees.
        reset: Vec<f32>,
        /// z: how much of h is kept.
        update: Vec<f32>,
        /// n: the candidate.
        candidate: Vec<f32>,
    },
}

/// Why there is no gradient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GradientError {
    /// The reading failed.
    Reading(RowError),
    /// A number of the gradient is NaN or infinite.
    NotFinite,
    /// The caller has abandoned it.
    Abandoned,
}

impl fmt::Display for GradientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading(error) => error.fmt(f),
            Self::NotFinite => f.write_str("the gradient stopped being finite (NaN or infinity)"),
            Self::Abandoned => f.write_str("nobody waits for the gradient any more"),
        }
    }
}
