//! Use case: a file is compressed with the probabilities that a model gives to its tokens, and comes back byte for byte.
//!
//! A file is coded in pieces. The bytes of a piece are tokenised as text; each token is coded by its probability, with a flag that says
//! whether the tokenizer's text for it is what the file has there. If not, the file's bytes follow as a literal. So any file has a code:
//! words that the model does not know, spaces that the tokenizer drops, bytes that are no text.
//!
//! The pieces of a group are read side by side: each is a job of its own, and the engine runs their rows together.

mod decompress;
mod pieces;
mod watch;

use std::sync::Arc;

pub use decompress::Decompressor;
pub use pieces::{cut, divide};
pub use watch::Watch;

use self::pieces::{Told, tokens_of};
use self::watch::Watched;
use super::Service;
use super::work::Work;
use crate::catalog::Served;
use crate::coding::{
    Checksum, Content, Flagged, Frame, Frequencies, Header, Interval, Literals, Origin, Prefix, RangeEncoder,
};
use crate::engine::jobs::{Coded, Coder, Coding, CodingJob};
use crate::engine::{Reader, Start};
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{Backend, TokenId};
use crate::session::Snapshot;
use crate::text::Tail;

/// Jobs that wait together while a file is coded: one for each piece of a group.
pub const CODING_JOBS: usize = Frame::GROUP_LEN;

/// What a whole file is, before it is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Bytes of the file.
    pub len: u64,
    /// The first bytes of its SHA-256.
    pub checksum: Prefix,
}

/// Where coding stands: what both directions must agree on.
struct Standing {
    /// Where the model starts on every piece of the next group: where the last piece of tokens of the group before has led.
    snapshot: Snapshot,
    text: TextStanding,
}

/// What goes on from piece to piece.
#[derive(Clone)]
struct TextStanding {
    /// What the tokenizer's text for the next token depends on.
    tail: Tail,
    literals: Literals,
}

/// What both directions work with.
struct Context {
    service: Arc<Service>,
    served: Arc<Served>,
}

/// A file that is compressed group by group.
pub struct Compressor {
    context: Context,
    standing: Standing,
    watch: Watch,
}

impl Context {
    /// The default model of `service`.
    ///
    /// # Errors
    /// `NotSupported` for a model that is run by tract, or has too many tokens.
    fn new(service: &Arc<Service>) -> Result<Self> {
        let served = service.catalog().default().clone();
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
            text: TextStanding { tail: self.served.start_tail.clone(), literals: Literals::default() },
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
    fn code<C: Coder + 'static>(&self, at: &Snapshot, coding: Coding, coder: C) -> Result<Coming<C>> {
        let (job, plans, reader) = CodingJob::new(coding, coder);
        let start = Start::Copy(at.clone());
        let served = self.served.clone();
        let job = Box::new(job);
        let work = Work { served, start, job, plans, reader, timeout: None, rows: 1, held: None };
        self.service.submit_until(work, None).map(Coming)
    }
}

/// A coding that is under way.
struct Coming<C>(Reader<Result<Coded<C>>>);

impl<C> Coming<C> {
    async fn result(mut self) -> Result<Coded<C>> {
        let ended = || Err(Error::internal("internal error: a coding ended without a result"));
        self.0.next().await.unwrap_or_else(ended)
    }
}

impl Compressor {
    /// Compresses with the default model of `service`, and tells `watch` of the bytes of the file that are done.
    ///
    /// # Errors
    /// `NotSupported` for a model that is run by tract, or has too many tokens.
    pub fn new(service: &Arc<Service>, watch: Watch) -> Result<Self> {
        let context = Context::new(service)?;
        Ok(Self { standing: context.start(), context, watch })
    }

    /// The first bytes of the compressed file.
    pub fn header(&self, whole: Whole) -> Vec<u8> {
        let Whole { len, checksum } = whole;
        Header { origin: self.context.origin(), len, checksum }.to_bytes()
    }

    /// The code of the next pieces of the file: [`Frame::GROUP_LEN`], or fewer at its end, each of at least 1 and at most [`Frame::LEN_MAX`]
    /// bytes; [`divide`] says what they are.
    ///
    /// # Errors
    /// A model that fails on the tokens.
    pub async fn group(&mut self, pieces: &[&[u8]]) -> Result<Vec<u8>> {
        assert!(pieces.len() <= Frame::GROUP_LEN, "bug: {} pieces in a group", pieces.len());
        let begun: Vec<Begun<'_>> = pieces.iter().map(|piece| self.begin(piece)).collect::<Result<_>>()?;
        let mut code = Vec::new();
        let mut led = None;
        for Begun { bytes, coming } in begun {
            let weighed = match coming {
                Some(coming) => Some(coming.result().await?),
                None => None,
            };
            let mut text = self.standing.text.clone();
            let frame = match &weighed {
                Some(weighed) => self.tokens(bytes, &weighed.coder, &mut text),
                None => Frame::of_bytes(bytes, &mut text.literals),
            };
            let frame = if frame.code.len() < bytes.len() {
                self.standing.text = text;
                led = weighed.as_ref().map(|weighed| weighed.snapshot.clone()).or(led);
                frame
            } else {
                // Nothing was gained: what the models have learned of it is forgotten on both sides.
                Frame::stored(bytes)
            };
            code.extend(frame.to_bytes());
            let watched = weighed.map_or_else(|| self.watch.of(bytes.len()), |weighed| weighed.coder.watched);
            watched.finish();
        }
        if let Some(snapshot) = led {
            self.standing.snapshot = snapshot;
        }
        Ok(code)
    }

    /// Has the model read the tokens of a piece, if it is a text.
    fn begin<'b>(&self, bytes: &'b [u8]) -> Result<Begun<'b>> {
        let Some(told) = tokens_of(&self.context.served.tokenizer, bytes) else {
            return Ok(Begun { bytes, coming: None });
        };
        let tokens = told.iter().map(|told| told.token).collect();
        let intervals = Vec::with_capacity(told.len());
        let watched = self.watch.of(bytes.len());
        let weighing = Weighing { told, frequencies: Frequencies::default(), intervals, watched };
        let coming = self.context.code(&self.standing.snapshot, Coding::Known(tokens), weighing)?;
        Ok(Begun { bytes, coming: Some(coming) })
    }

    /// The frame of a piece whose tokens were weighed.
    fn tokens(&self, bytes: &[u8], weighed: &Weighing, text: &mut TextStanding) -> Frame {
        let tokenizer = &self.context.served.tokenizer;
        let TextStanding { tail, literals } = text;
        let mut tokens = RangeEncoder::default();
        let mut rest = RangeEncoder::default();
        let mut after_literal = false;
        let mut at = 0;
        for (told, interval) in weighed.told.iter().zip(&weighed.intervals) {
            interval.encode(&mut tokens);
            let said = tokenizer.piece(tail, told.token).text;
            tail.extend(&[told.token]);
            let is_literal = !bytes[at..].starts_with(said.as_bytes());
            let is_unknown = Some(told.token) == tokenizer.unk();
            literals.flag(&mut rest, Flagged { is_unknown, after_literal }, Some(is_literal));
            let end = if is_literal { told.end.max(at) } else { at + said.len() };
            if is_literal {
                literals.encode(&mut rest, &bytes[at..end]);
            }
            at = end;
            after_literal = is_literal;
        }
        literals.encode(&mut rest, &bytes[at..]);
        let mut code = tokens.finish();
        let tokens_len = code.len() as u32;
        code.extend(rest.finish());
        let token_count = weighed.told.len() as u32;
        Frame { content: Content::Tokens, token_count, len: bytes.len() as u32, tokens_len, code }
    }
}

/// A piece whose tokens are being read.
struct Begun<'b> {
    bytes: &'b [u8],
    /// `None` for a piece that is hardly a text.
    coming: Option<Coming<Weighing>>,
}

/// Knows the tokens, and keeps where each lies in the weights of all.
struct Weighing {
    told: Vec<Told>,
    frequencies: Frequencies,
    intervals: Vec<Interval>,
    watched: Watched,
}

impl Coder for Weighing {
    fn token(&mut self, index: usize, logits: &[f32]) -> Result<TokenId> {
        let Told { token, end } = self.told[index];
        self.frequencies.fill(logits);
        self.intervals.push(self.frequencies.interval(token));
        self.watched.reach(end);
        Ok(token)
    }
}
