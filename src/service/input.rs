//! What a request gives to read, tokenised and checked.

use std::fmt::Display;
use std::sync::Arc;

use super::Service;
use super::asked::late;
use super::memory::EncodingMemory;
use super::threads::Abandoned;
use crate::api::prompt::{Prompt, TextOrIds};
use crate::budget::{Permit, Purpose};
use crate::catalog::Served;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::TokenId;
use crate::text::{Encoding, Joint, Tail, Tokenizer, Wanted};

/// An input that a model can read. The default is empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Prepared {
    pub(super) tokens: Arc<[TokenId]>,
    pub(super) unknown_count: usize,
    /// How the text stands after it; `None` if it is empty.
    joint: Option<Joint>,
    /// Where the tokens come from, if they were given as text.
    pub(super) source: Option<SourceText>,
    /// The number of initial tokens of the model that were left out before `tokens`.
    pub(super) left_out: usize,
    /// The memory of the tokens and of what is known of each.
    pub(super) held: Option<Arc<Permit>>,
}

/// A text and where its tokens lie in it.
#[derive(Clone, Debug)]
pub(super) struct SourceText {
    pub(super) text: String,
    /// Without the tokens themselves, and with all spans only if they are to be listed.
    pub(super) encoding: Encoding,
}

/// An input of a request.
pub(super) struct Input<'a> {
    pub(super) value: TextOrIds,
    /// Its path in the request.
    pub(super) path: &'a str,
    pub(super) purpose: Use,
}

/// A text on its way to become tokens.
struct Unencoded {
    text: String,
    wanted: Wanted,
    memory: EncodingMemory,
}

/// A text that was tokenised, and the memory that it takes.
struct Encoded {
    source: SourceText,
    memory: EncodingMemory,
}

/// Where an input stands, and what it is for.
struct Place<'a> {
    path: &'a str,
    purpose: Use,
}

impl Prepared {
    /// Tokens of which a text ends with the last.
    pub(super) fn of_tokens(tokens: Arc<[TokenId]>) -> Self {
        Self::of_past(tokens, Joint::Closed)
    }

    /// Tokens that were read before, and how the text stands after them.
    pub(super) fn of_past(tokens: Arc<[TokenId]>, joint: Joint) -> Self {
        Self { joint: (!tokens.is_empty()).then_some(joint), tokens, ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The same without the model's initial tokens, if these are token ids that begin with them.
    pub(super) fn without_initial(self, served: &Served) -> Self {
        let initial = &served.initial_tokens;
        let Some(tokens) = self.tokens.strip_prefix(&**initial).filter(|_| self.source.is_none()) else {
            return self;
        };
        let unk = served.tokenizer.unk();
        let unknown_count = tokens.iter().filter(|&&token| Some(token) == unk).count();
        // All are counted until the request is over: the others were a few.
        Self { unknown_count, left_out: initial.len(), held: self.held, ..Self::of_tokens(tokens.into()) }
    }

    /// How the text stands after this input is read at `tail`.
    fn joint_after(&self, tail: &Tail) -> Joint {
        self.joint.unwrap_or(tail.joint)
    }

    /// The tail after this input is read at `tail`.
    pub(super) fn tail_after(&self, tail: &Tail) -> Tail {
        let mut after = tail.clone();
        after.extend(&self.tokens);
        after.joint = self.joint_after(tail);
        after
    }
}

/// What is to become of an input's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// They are read.
    Read,
    /// Their places in the text are wanted.
    Listed,
    /// The answer lists them with their places in the text, at most `--max-pieces` of them.
    Pieces,
}

/// The most tokens of an input.
#[derive(Clone, Copy)]
pub(super) struct Most {
    pub(super) tokens: usize,
    /// The option that sets it.
    option: &'static str,
}

/// Longer texts are tokenised on a thread of their own, because they take milliseconds.
const LONG_TEXT_BYTES: usize = 64 << 10;

impl Service {
    /// Tokenises and checks what a request gives to read.
    pub(super) async fn prepare_prompt(
        &self,
        served: &Arc<Served>,
        prompt: Prompt,
        purpose: Use,
    ) -> Result<Prepared> {
        match input_of(prompt)? {
            None => Ok(Prepared::default()),
            Some(input) => {
                let path = field_of(&input);
                self.prepare(served, Input { value: input, path, purpose }).await
            }
        }
    }

    /// Tokenises and checks an input.
    pub(super) async fn prepare(&self, served: &Arc<Served>, input: Input<'_>) -> Result<Prepared> {
        let Input { value, path, purpose } = input;
        match value {
            TextOrIds::Ids(tokens) => self.prepare_tokens(served, tokens, Place { path, purpose }),
            TextOrIds::Text(text) => self.prepare_text(served, text, Place { path, purpose }).await,
        }
    }

    fn prepare_tokens(&self, served: &Served, tokens: Vec<TokenId>, place: Place<'_>) -> Result<Prepared> {
        let Place { path: param, purpose } = place;
        let most = self.most_tokens(purpose);
        if tokens.len() > most.tokens {
            return Err(too_long(most, tokens.len(), param));
        }
        for (index, &token) in tokens.iter().enumerate() {
            check_token(token, served).map_err(|error| error.at(format!("{param}[{index}]")))?;
        }
        let unk = served.tokenizer.unk();
        let unknown_count = tokens.iter().filter(|&&token| Some(token) == unk).count();
        let joint = (!tokens.is_empty()).then_some(Joint::Closed);
        let held = self.take(Purpose::Tokens, size_of_val(&*tokens)).map_err(|error| error.at(param))?;
        let held = Some(Arc::new(held));
        Ok(Prepared { tokens: tokens.into(), unknown_count, joint, held, ..Prepared::default() })
    }

    async fn prepare_text(&self, served: &Arc<Served>, text: String, place: Place<'_>) -> Result<Prepared> {
        let Place { path: param, purpose } = place;
        self.check_text_len(&text, param)?;
        let most = self.most_tokens(purpose);
        let wanted = Wanted { spans: purpose != Use::Read, tokens_max: most.tokens };
        let memory = EncodingMemory(self.take(Purpose::Tokens, 0)?);
        let encoded = self.encode(served, Unencoded { text, wanted, memory }).await;
        let Encoded { mut source, memory: EncodingMemory(mut held) } =
            encoded.map_err(|error| self.encoding_failed(error, most, param))?;
        // Held once, apart from the moment of this copy: a prompt may be large.
        let tokens = std::mem::take(&mut source.encoding.tokens);
        let token_bytes = size_of_val(&*tokens);
        held.grow(token_bytes).map_err(|exceeded| self.over_memory(exceeded).at(param))?;
        let tokens = tokens.into();
        let encoding = &source.encoding;
        held.shrink_to(token_bytes + encoding.bytes());
        self.metrics.model(&served.name).unknown_tokens(encoding.unknown_count());
        Ok(Prepared {
            tokens,
            unknown_count: encoding.unknown_count(),
            joint: (encoding.char_count > 0).then_some(encoding.joint),
            source: Some(source),
            left_out: 0,
            held: Some(Arc::new(held)),
        })
    }

    async fn encode(&self, served: &Arc<Served>, unencoded: Unencoded) -> Result<Encoded> {
        let tokenizer = served.tokenizer.clone();
        self.tokenize_beside(unencoded.text.len(), move |_| unencoded.encode(&tokenizer)).await
    }

    /// Does `work`, which takes as long as a text of `bytes` takes to be tokenised: at once if that is short, or else on a thread of its own.
    ///
    /// # Errors
    /// `Timeout`; as [`Threads::run`](super::threads::Threads::run).
    pub(super) async fn tokenize_beside<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(Abandoned) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if bytes <= LONG_TEXT_BYTES {
            // A request may have many short texts: others are answered between them.
            tokio::task::coop::consume_budget().await;
            return work(Abandoned::default());
        }
        let done = tokio::time::timeout(self.time_left(), self.tokenizing.run(work)).await;
        done.unwrap_or_else(|_| Err(late()))
    }

    /// The error of a text, at `param` in the request, that could not be tokenised with at most so many tokens.
    pub(super) fn encoding_failed(&self, error: Error, most: Most, param: &str) -> Error {
        match error.kind {
            ErrorKind::TextTooLong => too_long(most, format_args!("more than {}", most.tokens), param),
            _ => self.counted(error).at(param),
        }
    }

    /// Refuses a text, at `param` in the request, that is too long to be tokenised.
    pub(super) fn check_text_len(&self, text: &str, param: &str) -> Result<()> {
        let max = self.config.limits.max_text;
        if text.len() <= max.0 {
            return Ok(());
        }
        let found = text.len();
        let message = format!("`{param}` has {found} bytes; the maximum is {max} (`--max-text`)");
        Err(Error::new(ErrorKind::TextTooLong, message).at(param))
    }

    /// Refuses inputs that have more tokens together than one of them may have. `inputs` is what an error calls them.
    pub(super) fn check_together(&self, found: usize, inputs: &str) -> Result<()> {
        let max = self.config.limits.max_prompt_tokens;
        if found <= max {
            return Ok(());
        }
        let message = format!(
            "{inputs} have more than {max} tokens together; the maximum is {max} (`--max-prompt-tokens`)"
        );
        Err(Error::new(ErrorKind::TextTooLong, message))
    }

    /// The most tokens of an input.
    pub(super) fn most_tokens(&self, purpose: Use) -> Most {
        let limits = &self.config.limits;
        match purpose {
            Use::Pieces if limits.max_pieces < limits.max_prompt_tokens => {
                Most { tokens: limits.max_pieces, option: "`--max-pieces`, where they are listed" }
            }
            _ => Most { tokens: limits.max_prompt_tokens, option: "`--max-prompt-tokens`" },
        }
    }
}

fn too_long(most: Most, found: impl Display, param: &str) -> Error {
    let Most { tokens: max, option } = most;
    let message = format!("`{param}` has {found} tokens; the maximum is {max} ({option})");
    Error::new(ErrorKind::TextTooLong, message).at(param)
}

impl Unencoded {
    fn encode(self, tokenizer: &Tokenizer) -> Result<Encoded> {
        let Self { text, wanted, mut memory } = self;
        let encoding = tokenizer.encode_within(&text, wanted, &mut memory)?;
        Ok(Encoded { source: SourceText { text, encoding }, memory })
    }
}

/// The input of a request with at most one of `text` and `tokens`.
pub(super) fn input_of(prompt: Prompt) -> Result<Option<TextOrIds>> {
    match (prompt.text, prompt.tokens) {
        (Some(_), Some(_)) => {
            Err(Error::invalid("tokens", "both `text` and `tokens` are given; at most one is accepted"))
        }
        (Some(text), None) => Ok(Some(TextOrIds::Text(text))),
        (None, Some(tokens)) => Ok(Some(TextOrIds::Ids(tokens))),
        (None, None) => Ok(None),
    }
}

/// The field of the request that gives an input.
pub(super) fn field_of(input: &TextOrIds) -> &'static str {
    match input {
        TextOrIds::Text(_) => "text",
        TextOrIds::Ids(_) => "tokens",
    }
}

/// Refuses an input without a token where there must be one.
pub(super) fn check_not_empty(prepared: &Prepared) -> Result<()> {
    if prepared.is_empty() {
        let message = "the input has no tokens; a `text` or `tokens` with at least one token is required";
        return Err(Error::new(ErrorKind::EmptyInput, message));
    }
    Ok(())
}

/// Refuses a token id that is not in the vocabulary.
///
/// # Errors
/// [`ErrorKind::TokenOutOfRange`], naming the largest id.
pub fn check_token(token: TokenId, served: &Served) -> Result<()> {
    let vocab_size = served.model.info().vocab_size;
    if (token as usize) < vocab_size {
        return Ok(());
    }
    let last = vocab_size - 1;
    let message = format!("token id {token} is not in the vocabulary; the largest id is {last}");
    Err(Error::new(ErrorKind::TokenOutOfRange, message))
}
