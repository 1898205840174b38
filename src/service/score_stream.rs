//! Use case: how likely one text of any length is, read in pieces. Memory does not grow with it.

use std::sync::Arc;

use super::score::{
    AddEos, ScoreResult, ScoredToken, TextCounter, TokenLogprobs, eos_to_add, scored_part, scored_tokens,
};
use super::{Input, Service, Source};
use crate::catalog::Served;
use crate::engine::Start;
use crate::engine::jobs::{ReadingPlan, Scored};
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{Joint, TokenId};
use crate::session::Snapshot;

/// A text that comes in pieces, and what was found out about it so far.
pub struct TextScorer {
    service: Arc<Service>,
    served: Arc<Served>,
    snapshot: Snapshot,
    eos: Option<TokenId>,
    each: TokenLogprobs,
    /// Bytes that do not make a piece yet.
    buffer: Vec<u8>,
    /// Bytes that make a piece.
    piece_bytes: usize,
    /// Bytes in the buffer from which on a place to cut is looked for.
    cut_from: usize,
    /// Bytes of the text before the buffer, for messages.
    read: usize,
    result: ScoreResult,
    counter: TextCounter,
    /// Tokens that nobody has taken yet.
    tokens: Vec<ScoredToken>,
    /// Characters of the text before the buffer, by which the spans of later pieces are moved.
    chars: usize,
}

/// Bytes that make a piece where the limits of texts allow them: enough for the kernels to work on, little enough to hold.
const PIECE_BYTES: usize = 64 << 10;

impl TextScorer {
    /// Nothing read yet, at the start of `model`.
    ///
    /// # Errors
    /// Unknown model, no end-of-text token to add.
    pub fn new(
        service: &Arc<Service>,
        model: Option<&str>,
        (add_eos, each): (AddEos, TokenLogprobs),
    ) -> Result<Self> {
        let (served, snapshot) = service.open(&Source::Model(model.map(str::to_owned)))?;
        // A piece is read like any text. Half, because it may grow by as much before it is cut; a token has a byte at least.
        let limits = &service.limits;
        let piece_bytes = PIECE_BYTES.min(limits.max_text.0 / 2).min(limits.max_prompt_tokens / 2).max(1);
        Ok(Self {
            eos: eos_to_add(served, add_eos)?,
            served: served.clone(),
            service: service.clone(),
            snapshot,
            each,
            buffer: Vec::new(),
            piece_bytes,
            cut_from: piece_bytes,
            read: 0,
            result: ScoreResult::default(),
            counter: TextCounter::default(),
            tokens: Vec::new(),
            chars: 0,
        })
    }

    /// The name of the model.
    pub fn model(&self) -> &Arc<str> {
        &self.served.name
    }

    /// Tokens read so far.
    pub fn token_count(&self) -> usize {
        self.result.token_count
    }

    /// The text goes on with `bytes`, which may end within a character.
    ///
    /// # Errors
    /// Bytes that are not UTF-8, a word outside the vocabulary where there is no token for it, more than `--max-text` without a place
    /// to cut, a full queue, a timeout.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<()> {
        for part in bytes.chunks(self.piece_bytes) {
            self.buffer.extend_from_slice(part);
            self.score_pieces().await?;
        }
        Ok(())
    }

    /// The text is over.
    ///
    /// # Errors
    /// As [`Self::push`]; `EmptyInput` when the text held no token.
    pub async fn finish(&mut self) -> Result<ScoreResult> {
        let piece = self.whole_characters()?.to_owned();
        if piece.len() < self.buffer.len() {
            return Err(self.not_utf8(piece.len()));
        }
        self.score(piece).await?;
        if let Some(eos) = self.eos {
            self.read_tokens(Input::Tokens(vec![eos])).await?;
        }
        if self.result.token_count == 0 {
            return Err(Error::new(ErrorKind::EmptyInput, "the text holds no token, expected at least one"));
        }
        self.counter.write(&mut self.result);
        Ok(self.result.clone())
    }

    /// The tokens scored since this was last called, if they were asked for.
    pub fn take_tokens(&mut self) -> Vec<ScoredToken> {
        std::mem::take(&mut self.tokens)
    }

    /// Scores what the buffer holds up to a place at which the text may be cut.
    async fn score_pieces(&mut self) -> Result<()> {
        while self.buffer.len() >= self.cut_from {
            let text = self.whole_characters()?;
            let Some(cut) = self.served.tokenizer.cut(text) else {
                // Doubled: else every part would search a text without a place to cut from its start.
                self.cut_from = self.buffer.len() * 2;
                break;
            };
            let piece = text[..cut].to_owned();
            self.score(piece).await?;
            self.cut_from = self.piece_bytes;
        }
        self.check_held()
    }

    async fn score(&mut self, piece: String) -> Result<()> {
        let (len, chars) = (piece.len(), piece.chars().count());
        self.read_tokens(Input::Text(piece)).await?;
        self.buffer.drain(..len);
        self.read += len;
        self.chars += chars;
        Ok(())
    }

    async fn read_tokens(&mut self, input: Input) -> Result<()> {
        let written = matches!(input, Input::Text(_));
        let prepared =
            self.service.prepare(&self.served, input, "").await.map_err(|error| self.placed(error))?;
        let start = self.snapshot.clone();
        let preceded = start.position > 0 || !self.served.initial_tokens.is_empty();
        let tail = start.tail.clone();
        // The text goes on: white space at the end of a piece is no end of it.
        let joint = if prepared.is_empty() { tail.joint } else { Joint::Closed };
        let plan =
            ReadingPlan { tokens: prepared.tokens.clone(), joint, scored: Scored::Yes, ..Default::default() };
        let result = self
            .service
            .read(&self.served, Start::Copy(start), plan)
            .await
            .map_err(|failure| failure.error)?;
        self.snapshot =
            result.snapshot.ok_or_else(|| Error::internal("a bug in the server: a reading led nowhere"))?;
        let logprobs = result.logprobs.into_iter().enumerate();
        let logprobs: Vec<Option<f64>> =
            logprobs.map(|(at, logprob)| Some(logprob).filter(|_| at > 0 || preceded)).collect();
        self.result.add_logprobs(&logprobs);
        self.result.unknown_count += prepared.unknown_count;
        if written {
            self.counter.count(&scored_part(&self.served, &prepared, &logprobs));
        }
        if self.each == TokenLogprobs::Include {
            let mut tokens = scored_tokens(&self.served, &tail, &prepared, &logprobs);
            for span in tokens.iter_mut().filter_map(|scored| scored.token.span.as_mut()) {
                *span = span.start + self.chars..span.end + self.chars;
            }
            self.tokens.append(&mut tokens);
        }
        Ok(())
    }

    /// An error of a piece as one of the text, which is no field of a request.
    fn placed(&self, error: Error) -> Error {
        let error = Error { param: None, ..error };
        match self.chars {
            0 => error,
            chars => error.within(format!("in the part of the text that begins at character {chars}")),
        }
    }

    /// The buffer without a character that is not complete yet.
    fn whole_characters(&self) -> Result<&str> {
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(text),
            Err(error) if error.error_len().is_none() => {
                let whole = &self.buffer[..error.valid_up_to()];
                std::str::from_utf8(whole).map_err(|_| self.not_utf8(0))
            }
            Err(error) => Err(self.not_utf8(error.valid_up_to())),
        }
    }

    fn not_utf8(&self, at: usize) -> Error {
        let at = self.read + at;
        Error::new(ErrorKind::InvalidValue, format!("byte {at} of the text is not UTF-8, expected UTF-8"))
    }

    fn check_held(&self) -> Result<()> {
        let held_max = self.service.limits.max_text;
        if self.buffer.len() > held_max.0 {
            let message = format!(
                "{held_max} of text (`--max-text`) hold no place at which it may be cut, expected white space or a line end"
            );
            return Err(Error::new(ErrorKind::TextTooLong, message));
        }
        Ok(())
    }
}
