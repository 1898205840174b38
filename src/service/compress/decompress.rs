//! The way back: tokens are decoded one by one, each from the logits after those before it.

use std::sync::Arc;

use super::{Context, Standing};
use crate::coding::{Checksum, Content, Flagged, Frame, Frequencies, Header, Literals, RangeDecoder};
use crate::engine::jobs::{Coder, Coding};
use crate::error::{Error, ErrorKind, Result};
use crate::lm::TokenId;
use crate::service::Service;
use crate::text::{Tail, Tokenizer};

/// A file that is decompressed piece by piece.
pub struct Decompressor {
    context: Context,
    standing: Standing,
    header: Header,
    /// Bytes that came out so far.
    len: u64,
    checksum: Checksum,
}

impl Decompressor {
    /// Decompresses a file that begins with `header`.
    ///
    /// # Errors
    /// `InvalidValue` for a header that is none, is damaged, or names another model; `NotSupported` as for compressing.
    pub fn new(service: &Arc<Service>, header: &[u8; Header::LEN]) -> Result<Self> {
        let header = Header::read(header)?;
        let context = Context::new(service)?;
        header.check(&context.origin())?;
        Ok(Self { standing: context.start(), context, header, len: 0, checksum: Checksum::default() })
    }

    /// Bytes that are still to come out.
    pub fn rest(&self) -> u64 {
        self.header.len - self.len
    }

    /// The bytes of the next piece.
    ///
    /// # Errors
    /// `InvalidValue` if the file is damaged; a model that fails on the tokens.
    pub async fn piece(&mut self, frame: Frame) -> Result<Vec<u8>> {
        let len = frame.len as usize;
        if u64::from(frame.len) > self.rest() {
            return Err(Frame::mismatch());
        }
        let bytes = match frame.content {
            Content::Stored => frame.code,
            Content::Bytes => self.standing.literals.decode_all(&mut RangeDecoder::new(frame.code), len),
            Content::Tokens => self.tokens(frame).await?,
        };
        if bytes.len() != len {
            return Err(Frame::mismatch());
        }
        self.len += bytes.len() as u64;
        self.checksum.update(&bytes);
        Ok(bytes)
    }

    /// Checks the whole, after the last piece.
    ///
    /// # Errors
    /// `InvalidValue` if what came out is not what was put in.
    pub fn finish(self) -> Result<()> {
        if self.rest() == 0 && self.checksum.finish() == self.header.checksum {
            return Ok(());
        }
        let message = "what was decompressed is not what was compressed: its checksum differs";
        Err(Error::new(ErrorKind::InvalidValue, message))
    }

    async fn tokens(&mut self, frame: Frame) -> Result<Vec<u8>> {
        let Standing { snapshot, tail, literals } = &mut self.standing;
        let decoding = Decoding {
            decoder: RangeDecoder::new(frame.code),
            frequencies: Frequencies::default(),
            literals: std::mem::take(literals),
            tokenizer: self.context.served.tokenizer.clone(),
            tail: tail.clone(),
            after_literal: false,
            bytes: Vec::new(),
            len_max: frame.len as usize,
        };
        let coding = Coding::Unknown(frame.token_count as usize);
        let coded = self.context.code(snapshot, coding, decoding).await?;
        let mut decoding = coded.coder;
        decoding.literal()?;
        *snapshot = coded.snapshot;
        *tail = decoding.tail;
        *literals = decoding.literals;
        Ok(decoding.bytes)
    }
}

/// Finds out each token, and the bytes that it stands for.
struct Decoding {
    decoder: RangeDecoder,
    frequencies: Frequencies,
    literals: Literals,
    tokenizer: Arc<Tokenizer>,
    tail: Tail,
    after_literal: bool,
    bytes: Vec<u8>,
    len_max: usize,
}

impl Coder for Decoding {
    fn token(&mut self, _index: usize, logits: &[f32]) -> Result<TokenId> {
        self.frequencies.fill(logits);
        let token = self.frequencies.decode(&mut self.decoder);
        let is_unknown = Some(token) == self.tokenizer.unk();
        let flagged = Flagged { is_unknown, after_literal: self.after_literal };
        let is_literal = self.literals.flag(&mut self.decoder, flagged, None);
        if is_literal {
            self.literal()?;
        } else {
            self.bytes.extend(self.tokenizer.piece(&self.tail, token).text.as_bytes());
        }
        self.tail.extend(&[token]);
        self.after_literal = is_literal;
        if self.bytes.len() <= self.len_max { Ok(token) } else { Err(Frame::mismatch()) }
    }
}

impl Decoding {
    fn literal(&mut self) -> Result<()> {
        let room = self.len_max.saturating_sub(self.bytes.len());
        let literal = self.literals.decode(&mut self.decoder, room).ok_or_else(Frame::mismatch)?;
        self.bytes.extend(literal);
        Ok(())
    }
}
