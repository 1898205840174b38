//! Use case: how likely one text of any length is. It is read in pieces, so that memory does not grow with it.

use std::sync::Arc;

use super::stride::Stride;
use super::tally::Counter;
use super::{Manner, Place, ScoredText, figures};
use crate::api::cache::Cache;
use crate::api::prompt::TextOrIds;
use crate::api::score::{ScoreResponse, ScoreTextQuery};
use crate::api::tokens::ScoredToken;
use crate::budget::{Permit, Purpose};
use crate::engine::jobs::ReadingPlan;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::TokenId;
use crate::service::Service;
use crate::service::input::{Input, field_of};
use crate::service::room::Room;
use crate::service::voices::{Standing, Voices};
use crate::text::Joint;

/// A text that arrives in pieces, and what was counted so far.
pub struct TextScorer {
    service: Arc<Service>,
    voices: Voices,
    standing: Standing,
    manner: Manner,
    /// Bytes that are not enough for a piece yet.
    buffer: Vec<u8>,
    /// The memory of the buffer, and of the piece that is taken out of it.
    memory: Permit,
    /// The number of bytes in a piece.
    piece_bytes: usize,
    /// The length of the buffer from which on it is searched for a place to cut.
    cut_from: usize,
    /// The number of bytes of the text before the buffer, for messages.
    bytes_read: usize,
    /// The number of characters of the text before the buffer: the offset of the tokens in the next piece.
    chars_read: usize,
    counter: Counter,
    stride: Stride,
    /// Tokens that were not taken yet.
    tokens: Vec<ScoredToken>,
    /// The room that they take.
    room: Option<Room>,
}

/// Bytes that make a piece where the limits of texts allow them: enough for the kernels to work on, little enough to hold.
const PIECE_BYTES: usize = 64 << 10;

impl TextScorer {
    /// A text of which nothing has arrived yet, at the start of the model.
    ///
    /// # Errors
    /// Unknown model; what is no mixture; no end-of-text token to add.
    pub fn new(service: &Arc<Service>, query: ScoreTextQuery) -> Result<Self> {
        let ScoreTextQuery { model, mixture, scoring } = query;
        let voices = service.voices(model.as_deref(), mixture.map(|mixture| mixture.0))?;
        // A piece must keep within the limits for texts. It may double before it is cut, and a token has at least one byte.
        let limits = &service.config.limits;
        let piece_bytes = PIECE_BYTES.min(limits.max_text.0 / 2).min(limits.max_prompt_tokens / 2).max(1);
        Ok(Self {
            service: service.clone(),
            standing: service.open_voices(&voices)?,
            manner: Manner::new(voices.served(), scoring)?,
            voices,
            buffer: Vec::new(),
            memory: service.take(Purpose::Bodies, 0)?,
            piece_bytes,
            cut_from: piece_bytes,
            bytes_read: 0,
            chars_read: 0,
            counter: Counter::default(),
            stride: Stride::new(service.config.http.request_timeout),
            tokens: Vec::new(),
            room: None,
        })
    }

    /// The same text, with a cache.
    ///
    /// # Errors
    /// As [`Service::cached_voices`].
    pub fn with_cache(self, cache: Option<&Cache>) -> Result<Self> {
        let voices = self.service.cached_voices(self.voices, cache)?;
        Ok(Self { standing: self.service.open_voices(&voices)?, voices, ..self })
    }

    /// The number of tokens read so far.
    pub fn token_count(&self) -> usize {
        self.counter.tally().token_count
    }

    /// The next bytes of the text, which may end within a character.
    ///
    /// # Errors
    /// Bytes that are not UTF-8; an unknown word where the model has no unknown token; more than `--max-text` without a place to
    /// cut; a full queue; a timeout.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<()> {
        for part in bytes.chunks(self.piece_bytes) {
            self.hold(self.buffer.len() + part.len())?;
            self.buffer.extend_from_slice(part);
            self.score_pieces().await?;
        }
        Ok(())
    }

    /// Takes the memory of a buffer of `bytes`.
    fn hold(&mut self, bytes: usize) -> Result<()> {
        let needed = 2 * bytes;
        let held = self.memory.bytes();
        if needed <= held {
            self.memory.shrink_to(needed);
            return Ok(());
        }
        self.memory.grow(needed - held).map_err(|exceeded| self.service.over_memory(exceeded))
    }

    /// The end of the text. The answer lists the tokens that were not taken, if tokens are listed.
    ///
    /// # Errors
    /// As [`Self::push`]; `EmptyInput` when the text held no token.
    pub async fn finish(mut self) -> Result<ScoreResponse> {
        let piece = self.whole_characters()?.to_owned();
        if piece.len() < self.buffer.len() {
            return Err(self.not_utf8(piece.len()));
        }
        self.score(piece).await?;
        if let Some(eos) = self.manner.eos {
            self.read(TextOrIds::Ids(vec![eos])).await?;
        }
        let tally = self.counter.tally();
        if tally.token_count == 0 {
            return Err(no_token());
        }
        if let Some(room) = self.room.take() {
            self.service.keep(room);
        }
        let mut score = figures(tally);
        let total = score.clone();
        score.token_logprobs = self.manner.lists_tokens.then_some(self.tokens);
        Ok(ScoreResponse { model: self.voices.name(), results: vec![score], total, state: None })
    }

    /// The tokens scored since this was last called, if tokens are listed.
    pub fn take_tokens(&mut self) -> Vec<ScoredToken> {
        std::mem::take(&mut self.tokens)
    }

    /// Scores the buffer up to the last place where the text may be cut.
    async fn score_pieces(&mut self) -> Result<()> {
        while self.buffer.len() >= self.cut_from {
            let text = self.whole_characters()?;
            let Some(cut) = self.voices.served().tokenizer.cut(text) else {
                // Doubled: otherwise each part would search a text without a place to cut from its start.
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
        let bytes = piece.len();
        let chars = piece.chars().count();
        self.read(TextOrIds::Text(piece)).await?;
        self.buffer.drain(..bytes);
        self.bytes_read += bytes;
        self.chars_read += chars;
        Ok(())
    }

    async fn read(&mut self, input: TextOrIds) -> Result<()> {
        let served = self.voices.served().clone();
        let path = field_of(&input);
        let prepared =
            self.service.prepare(&served, Input { value: input, path, purpose: self.manner.purpose() }).await;
        let prepared = prepared.map_err(|error| self.placed(error))?;
        let is_preceded = self.standing.has_moved() || self.voices.have_initial_tokens();
        let place = Place { served: &served, tail: self.standing.tail().clone(), is_preceded };
        let logprobs = self.read_tokens(&prepared.tokens).await?;
        let scored = ScoredText::new(&place, &prepared, logprobs, self.manner.unknown);
        self.counter.tokens(&scored.logprobs);
        self.counter.unknown(prepared.unknown_count);
        if prepared.source.is_some() {
            self.counter.text(&scored.part(&served));
        }
        if self.manner.lists_tokens {
            // Taken anew for all, once for each piece.
            self.room = None;
            self.room = Some(self.service.room_for_scored(self.tokens.len() + scored.logprobs.len())?);
            let chars_read = self.chars_read;
            self.tokens.extend(scored.tokens(&place).into_iter().map(|mut scored| {
                let token = &mut scored.token;
                token.start = token.start.map(|start| start + chars_read);
                token.end = token.end.map(|end| end + chars_read);
                scored
            }));
        }
        Ok(())
    }

    /// The log-probabilities of `tokens`, read by one job after another.
    async fn read_tokens(&mut self, tokens: &[TokenId]) -> Result<Vec<f64>> {
        let mut logprobs = Vec::with_capacity(tokens.len());
        while logprobs.len() < tokens.len() {
            let rest = &tokens[logprobs.len()..];
            let plan = ReadingPlan {
                tokens: rest[..rest.len().min(self.stride.tokens())].into(),
                // The text continues: white space at the end of a piece does not end it.
                joint: Joint::Closed,
                scored: true,
                ..Default::default()
            };
            let is_whole = plan.tokens.len() == self.stride.tokens();
            let begun = self.service.clock.now();
            let mut joined = self.service.read_voices(&self.voices, self.standing.clone(), &plan).await?;
            if is_whole {
                self.stride.took(self.service.clock.now().saturating_duration_since(begun));
            }
            self.standing = joined.standing;
            logprobs.append(&mut joined.logprobs);
        }
        Ok(logprobs)
    }

    /// The error of a piece as an error of the text, which is not a field of the request.
    fn placed(&self, error: Error) -> Error {
        let error = Error { param: None, ..error };
        match self.chars_read {
            0 => error,
            chars => error.within(format_args!("in the part of the text that starts at character {chars}")),
        }
    }

    /// The buffer, without an incomplete character at its end.
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
        let at = self.bytes_read + at;
        Error::new(ErrorKind::InvalidValue, format!("the text is not UTF-8 at byte {at}; it must be UTF-8"))
    }

    fn check_held(&self) -> Result<()> {
        let held_max = self.service.config.limits.max_text;
        if self.buffer.len() > held_max.0 {
            let message = format!(
                "the text has no place to cut it within {held_max} (`--max-text`); white space or a line end is required"
            );
            return Err(Error::new(ErrorKind::TextTooLong, message));
        }
        Ok(())
    }
}

/// The error for a text without a token.
pub fn no_token() -> Error {
    Error::new(ErrorKind::EmptyInput, "the text has no tokens; at least one is required")
}
