//! What a request gives to read, and where it reads from.

use std::sync::Arc;

use super::Service;
use crate::catalog::Served;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{Joint, Tail, TokenId};
use crate::session::SessionId;
use crate::text::Encoding;

/// Where a request starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the start of the model of this name, or of the default model.
    Model(Option<String>),
    /// From where a session stands.
    Session {
        /// Its id.
        id: SessionId,
        /// The model that the client thinks it has.
        model: Option<String>,
    },
}

/// What is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// Nothing.
    #[default]
    Empty,
    /// A text, tokenised on its own.
    Text(String),
    /// Token ids.
    Tokens(Vec<TokenId>),
}

impl Input {
    /// The input of a request with at most one of `text` and `tokens`.
    ///
    /// # Errors
    /// `InvalidValue` when both are given.
    pub fn new(text: Option<String>, tokens: Option<Vec<TokenId>>) -> Result<Self> {
        match (text, tokens) {
            (Some(_), Some(_)) => Err(Error::invalid(
                "tokens",
                "both `text` and `tokens` are given, expected at most one of them",
            )),
            (Some(text), None) => Ok(Self::Text(text)),
            (None, Some(tokens)) => Ok(Self::Tokens(tokens)),
            (None, None) => Ok(Self::Empty),
        }
    }

    /// The field of a request in which it stands.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Empty | Self::Text(_) => "text",
            Self::Tokens(_) => "tokens",
        }
    }
}

/// An input that a model can read.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) tokens: Arc<[TokenId]>,
    pub(super) unknown_count: usize,
    /// How the text stands after it; nothing if there is no text.
    joint: Option<Joint>,
    /// The text and where its tokens lie in it, if it was given as text.
    pub(super) text: Option<(String, Encoding)>,
}

impl Prepared {
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// How the text stands after this input was read at `tail`.
    fn joint_after(&self, tail: &Tail) -> Joint {
        self.joint.unwrap_or(tail.joint)
    }

    /// `tail` moved past this input.
    pub(super) fn tail_after(&self, tail: &Tail) -> Tail {
        let mut after = tail.clone();
        after.extend(&self.tokens);
        after.joint = self.joint_after(tail);
        after
    }
}

/// Texts above this length are tokenised on a thread of their own: some milliseconds of work.
const LONG_TEXT_BYTES: usize = 64 << 10;

impl Service {
    /// Tokenises and checks an input; `param` is its path in the request, without the last key.
    pub(super) async fn prepare(&self, served: &Arc<Served>, input: Input, param: &str) -> Result<Prepared> {
        let path = format!("{param}{}", input.name());
        self.prepare_at(served, input, &path).await
    }

    /// As [`Self::prepare`], for an input whose whole path is `path`.
    pub(super) async fn prepare_at(
        &self,
        served: &Arc<Served>,
        input: Input,
        path: &str,
    ) -> Result<Prepared> {
        match input {
            Input::Empty => {
                Ok(Prepared { tokens: Arc::default(), unknown_count: 0, joint: None, text: None })
            }
            Input::Tokens(tokens) => self.prepare_tokens(served, tokens, path),
            Input::Text(text) => self.prepare_text(served, text, path).await,
        }
    }

    fn prepare_tokens(&self, served: &Served, tokens: Vec<TokenId>, param: &str) -> Result<Prepared> {
        self.check_length(tokens.len(), param)?;
        let vocab_size = served.model.info().vocab_size;
        if let Some(index) = tokens.iter().position(|&token| token as usize >= vocab_size) {
            let message = format!(
                "token {} is outside the vocabulary, expected an id below {vocab_size}",
                tokens[index]
            );
            return Err(Error::new(ErrorKind::TokenOutOfRange, message).at(format!("{param}[{index}]")));
        }
        let unk = served.tokenizer.unk();
        let unknown_count = tokens.iter().filter(|&&token| Some(token) == unk).count();
        let joint = (!tokens.is_empty()).then_some(Joint::Closed);
        Ok(Prepared { tokens: tokens.into(), unknown_count, joint, text: None })
    }

    /// As [`Self::prepare_at`], for a text.
    pub(super) async fn prepare_text(
        &self,
        served: &Arc<Served>,
        text: String,
        param: &str,
    ) -> Result<Prepared> {
        let text_max = self.limits.max_text;
        if text.len() > text_max.0 {
            let message =
                format!("`{param}` has {} bytes, expected at most {text_max} (`--max-text`)", text.len());
            return Err(Error::new(ErrorKind::TextTooLong, message).at(param));
        }
        let (text, encoding) = self.encode(served, text).await.map_err(|error| error.at(param))?;
        self.check_length(encoding.tokens.len(), param)?;
        self.metrics.model(&served.name).unknown_tokens(encoding.unknown_count());
        Ok(Prepared {
            tokens: encoding.tokens.as_slice().into(),
            unknown_count: encoding.unknown_count(),
            joint: (encoding.char_count > 0).then_some(encoding.joint),
            text: Some((text, encoding)),
        })
    }

    async fn encode(&self, served: &Arc<Served>, text: String) -> Result<(String, Encoding)> {
        if text.len() <= LONG_TEXT_BYTES {
            let encoding = served.tokenizer.encode(&text)?;
            return Ok((text, encoding));
        }
        let _permit = self.tokenizing.acquire().await.map_err(|_| Error::internal("the service is gone"))?;
        let tokenizer = served.tokenizer.clone();
        let encoded = tokio::task::spawn_blocking(move || {
            let encoding = tokenizer.encode(&text)?;
            Ok((text, encoding))
        });
        encoded.await.unwrap_or_else(|_| Err(Error::internal("a bug in the server: tokenising panicked")))
    }

    fn check_length(&self, len: usize, param: &str) -> Result<()> {
        let len_max = self.limits.max_prompt_tokens;
        if len > len_max {
            let message =
                format!("`{param}` has {len} tokens, expected at most {len_max} (`--max-prompt-tokens`)");
            return Err(Error::new(ErrorKind::TextTooLong, message).at(param));
        }
        Ok(())
    }
}

/// Refuses a request in which nothing precedes the token that it asks for.
pub(super) fn check_context(served: &Served, tokens_before: u64) -> Result<()> {
    if tokens_before == 0 && served.initial_tokens.is_empty() {
        let message = format!(
            "nothing was read, and model `{}` has no initial tokens: expected a `text` or `tokens`",
            served.name
        );
        return Err(Error::new(ErrorKind::EmptyContext, message));
    }
    Ok(())
}

/// Refuses an input that holds no token where there must be one.
pub(super) fn check_not_empty(prepared: &Prepared) -> Result<()> {
    if prepared.is_empty() {
        return Err(Error::new(
            ErrorKind::EmptyInput,
            "the input holds no token, expected a `text` or `tokens` with at least one",
        ));
    }
    Ok(())
}
