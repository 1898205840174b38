//! Use case: a file is compressed with the probabilities that a model gives to its tokens, and comes back byte for byte.
//!
//! A file is coded in pieces. The bytes of a piece are tokenised as text; each token is coded by its probability, with a flag that says
//! whether the tokenizer's text for it is what the file has there. If not, the file's bytes follow as a literal. So any file has a code:
//! words that the model does not know, spaces that the tokenizer drops, bytes that are no text.

mod decompress;
mod pieces;

use std::sync::Arc;

pub use decompress::Decompressor;
pub use pieces::cut;

use self::pieces::{Told, tokens_of};
use super::Service;
use super::work::Work;
use crate::catalog::Served;
use crate::coding::{
    Checksum, Content, Flagged, Frame, Frequencies, Header, Interval, Literals, Origin, Prefix, RangeEncoder,
};
use crate::engine::Start;
use crate::engine::jobs::{Coded, Coder, Coding, CodingJob};
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{Backend, TokenId};
use crate::session::Snapshot;
use crate::text::Tail;

/// What a whole file is, before it is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Bytes of the file.
    pub len: u64,
    /// The first bytes of its SHA-256.
    pub checksum: Prefix,
}

/// Where coding stands: what both directions must agree on from piece to piece.
struct Standing {
    snapshot: Snapshot,
    /// What the tokenizer's text for the next token depends on.
    tail: Tail,
    literals: Literals,
}

/// What both directions work with.
struct Context {
    service: Arc<Service>,
    served: Arc<Served>,
}

/// A file that is compressed piece by piece.
pub struct Compressor {
    context: Context,
    standing: Standing,
}

impl Context {
    /// The default model of `service`.
    ///
    /// # Errors
    /// `NotSupported` for a model that is run by tract, or has too many tokens.
    fn new(service: &Arc<Service>) -> Result<Self> {
        let served = service.catalog.default().clone();
        let info = served.model.info();
        let refuse = |why: &str| {
            let message = format!("model `{}` cannot compress: {why}", served.name);
            Err(Error::new(ErrorKind::NotSupported, message))
        };
        if info.backend == Backend::Tract {
            return refuse("it is run by tract, whose numbers may differ between machines");
        }
        if !Frequencies::covers(info.vocab_size) {
            return refuse("its vocabulary is too large");
        }
        Ok(Self { service: service.clone(), served })
    }

    fn start(&self) -> Standing {
        Standing {
            snapshot: super::target::start_of(&self.served),
            tail: self.served.start_tail.clone(),
            literals: Literals::default(),
        }
    }

    fn origin(&self) -> Origin {
        let served = &self.served;
        let digest = |parts: &[&[u8]]| {
            let mut checksum = Checksum::default();
            parts.iter().for_each(|part| checksum.update(part));
            checksum.finish()
        };
        let initial: Vec<u8> = served.initial_tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        Origin {
            identity: digest(&[served.identity.as_bytes()]),
            tokenizer: digest(&[served.tokenizer.sha256().as_bytes(), &initial]),
            numerics: self.service.kernel.numerics(),
        }
    }

    /// Has `coder` see the logits before every token, beside whatever else the engines do.
    async fn code<C: Coder + 'static>(&self, at: &Snapshot, coding: Coding, coder: C) -> Result<Coded<C>> {
        let (job, plans, reader) = CodingJob::new(coding, coder);
        let start = Start::Copy(at.clone());
        let served = self.served.clone();
        let job = Box::new(job);
        let work = Work { served, start, job, plans, reader, timeout: None, rows: 1, held: None };
        let mut reader = self.service.submit(work)?;
        let ended = || Err(Error::internal("internal error: a coding ended without a result"));
        reader.next().await.unwrap_or_else(ended)
    }
}

impl Compressor {
    /// Compresses with the default model of `service`.
    ///
    /// # Errors
    /// `NotSupported` for a model that is run by tract, or has too many tokens.
    pub fn new(service: &Arc<Service>) -> Result<Self> {
        let context = Context::new(service)?;
        Ok(Self { standing: context.start(), context })
    }

    /// The first bytes of the compressed file.
    pub fn header(&self, whole: Whole) -> Vec<u8> {
        let Whole { len, checksum } = whole;
        Header { origin: self.context.origin(), len, checksum }.to_bytes()
    }

    /// The code of the next bytes, at least 1 and at most [`Frame::LEN_MAX`]; [`cut`] says where to divide a file.
    ///
    /// # Errors
    /// A model that fails on the tokens.
    pub async fn piece(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        let coded = match tokens_of(&self.context.served.tokenizer, bytes) {
            Some(told) => self.tokens(bytes, &told).await?,
            None => self.bytes(bytes),
        };
        let (frame, after) = coded;
        if frame.code.len() < bytes.len() {
            self.standing = after;
            return Ok(frame.to_bytes());
        }
        // Nothing was gained: what the models have learned of it is forgotten on both sides.
        let len = bytes.len() as u32;
        Ok(Frame { content: Content::Stored, token_count: 0, len, code: bytes.to_vec() }.to_bytes())
    }

    async fn tokens(&self, bytes: &[u8], told: &[Told]) -> Result<(Frame, Standing)> {
        let tokens: Arc<[TokenId]> = told.iter().map(|told| told.token).collect();
        let weighing =
            Weighing { tokens: tokens.clone(), frequencies: Frequencies::default(), intervals: Vec::new() };
        let coded = self.context.code(&self.standing.snapshot, Coding::Known(tokens), weighing).await?;

        let tokenizer = &self.context.served.tokenizer;
        let mut encoder = RangeEncoder::default();
        let mut literals = self.standing.literals.clone();
        let mut tail = self.standing.tail.clone();
        let mut after_literal = false;
        let mut at = 0;
        for (told, interval) in told.iter().zip(&coded.coder.intervals) {
            interval.encode(&mut encoder);
            let text = tokenizer.piece(&tail, told.token).text;
            tail.extend(&[told.token]);
            let is_literal = !bytes[at..].starts_with(text.as_bytes());
            let is_unknown = Some(told.token) == tokenizer.unk();
            literals.flag(&mut encoder, Flagged { is_unknown, after_literal }, Some(is_literal));
            let end = if is_literal { told.end.max(at) } else { at + text.len() };
            if is_literal {
                literals.encode(&mut encoder, &bytes[at..end]);
            }
            at = end;
            after_literal = is_literal;
        }
        literals.encode(&mut encoder, &bytes[at..]);
        let frame = Frame {
            content: Content::Tokens,
            token_count: told.len() as u32,
            len: bytes.len() as u32,
            code: encoder.finish(),
        };
        Ok((frame, Standing { snapshot: coded.snapshot, tail, literals }))
    }

    fn bytes(&self, bytes: &[u8]) -> (Frame, Standing) {
        let mut encoder = RangeEncoder::default();
        let Standing { snapshot, tail, literals } = &self.standing;
        let mut literals = literals.clone();
        literals.encode_all(&mut encoder, bytes);
        let frame = Frame {
            content: Content::Bytes,
            token_count: 0,
            len: bytes.len() as u32,
            code: encoder.finish(),
        };
        (frame, Standing { snapshot: snapshot.clone(), tail: tail.clone(), literals })
    }
}

/// Knows the tokens, and keeps where each lies in the weights of all.
struct Weighing {
    tokens: Arc<[TokenId]>,
    frequencies: Frequencies,
    intervals: Vec<Interval>,
}

impl Coder for Weighing {
    fn token(&mut self, index: usize, logits: &[f32]) -> Result<TokenId> {
        let token = self.tokens[index];
        self.frequencies.fill(logits);
        self.intervals.push(self.frequencies.interval(token));
        Ok(token)
    }
}
