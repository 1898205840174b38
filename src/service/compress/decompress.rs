//! The way back: tokens are decoded one by one, each from the logits after those before it; then the text that they stand for.

use std::sync::Arc;

use super::watch::{Watch, Watched};
use super::{Coming, Context, Standing, TextStanding};
use crate::coding::{Checksum, Content, Flagged, Frame, Frequencies, Header, RangeDecoder};
use crate::engine::jobs::{Coded, Coder, Coding};
use crate::error::{Error, ErrorKind, Result};
use crate::lm::TokenId;
use crate::service::Service;
use crate::text::Tokenizer;

/// A file that is decompressed group by group.
pub struct Decompressor {
    context: Context,
    standing: Standing,
    header: Header,
    /// Bytes that came out so far.
    len: u64,
    checksum: Checksum,
    watch: Watch,
}

impl Decompressor {
    /// Decompresses a file that begins with `header`, and tells `watch` of the bytes of code that are done.
    ///
    /// # Errors
    /// `InvalidValue` for a header that is none, is damaged, or names another model; `NotSupported` as for compressing.
    pub fn new(service: &Arc<Service>, header: &[u8; Header::LEN], watch: Watch) -> Result<Self> {
        let header = Header::read(header)?;
        let context = Context::new(service)?;
        header.check(&context.origin())?;
        Ok(Self { standing: context.start(), context, header, len: 0, checksum: Checksum::default(), watch })
    }

    /// Bytes that are still to come out.
    pub fn rest(&self) -> u64 {
        self.header.len - self.len
    }

    /// The bytes of the next frames: [`Frame::GROUP_LEN`] of them, or all that are left.
    ///
    /// # Errors
    /// `InvalidValue` if the file is damaged; a model that fails on the tokens.
    pub async fn group(&mut self, frames: Vec<Frame>) -> Result<Vec<u8>> {
        assert!(frames.len() <= Frame::GROUP_LEN, "bug: {} frames in a group", frames.len());
        if frames.iter().map(|frame| u64::from(frame.len)).sum::<u64>() > self.rest() {
            return Err(Frame::mismatch());
        }
        let begun: Vec<Begun> = frames.into_iter().map(|frame| self.begin(frame)).collect::<Result<_>>()?;
        let mut bytes = Vec::new();
        let mut led = None;
        for Begun { content, len, code, coming } in begun {
            let watched = self.watch.of(code.len());
            let TextStanding { literals, .. } = &mut self.standing.text;
            let (piece, watched) = match (content, coming) {
                (_, Some(coming)) => {
                    let Coded { coder, snapshot } = coming.result().await?;
                    led = Some(snapshot);
                    let said = Said { tokens: &coder.tokens, literals: code, len };
                    (self.standing.text.written(&self.context.served.tokenizer, said)?, coder.watched)
                }
                (Content::Bytes, None) => (literals.decode_all(&mut RangeDecoder::new(code), len), watched),
                (_, None) => (code, watched),
            };
            if piece.len() != len {
                return Err(Frame::mismatch());
            }
            bytes.extend(piece);
            watched.finish();
        }
        self.standing.snapshot = led.unwrap_or_else(|| self.standing.snapshot.clone());
        self.len += bytes.len() as u64;
        self.checksum.update(&bytes);
        Ok(bytes)
    }

    /// Checks the whole, after the last group.
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

    /// Has the model find out the tokens of a frame, if it is of tokens.
    fn begin(&self, frame: Frame) -> Result<Begun> {
        let Frame { content, token_count, len, .. } = frame;
        let watched = self.watch.of(frame.code.len());
        let [tokens, code] = frame.into_codes();
        let coming = match content {
            Content::Bytes | Content::Stored => None,
            Content::Tokens => {
                let code_len = tokens.len();
                let decoder = RangeDecoder::new(tokens);
                let frequencies = Frequencies::default();
                let decoding = Decoding { decoder, code_len, frequencies, tokens: Vec::new(), watched };
                let coding = Coding::Unknown(token_count as usize);
                Some(self.context.code(&self.standing.snapshot, coding, decoding)?)
            }
        };
        Ok(Begun { content, len: len as usize, code, coming })
    }
}

/// A frame whose tokens are being found out.
struct Begun {
    content: Content,
    /// Bytes that are to come out.
    len: usize,
    /// What is not the code of tokens.
    code: Vec<u8>,
    /// `None` for a frame of no tokens.
    coming: Option<Coming<Decoding>>,
}

/// Finds out each token.
struct Decoding {
    decoder: RangeDecoder,
    /// Bytes of the code.
    code_len: usize,
    frequencies: Frequencies,
    tokens: Vec<TokenId>,
    watched: Watched,
}

impl Coder for Decoding {
    fn token(&mut self, _index: usize, logits: &[f32]) -> Result<TokenId> {
        self.frequencies.fill(logits);
        let token = self.frequencies.decode(&mut self.decoder);
        self.tokens.push(token);
        self.watched.reach(self.code_len - self.decoder.rest());
        Ok(token)
    }
}

/// What a piece says.
struct Said<'a> {
    tokens: &'a [TokenId],
    /// The code of what its tokens do not say.
    literals: Vec<u8>,
    /// Bytes of the piece.
    len: usize,
}

impl TextStanding {
    /// The bytes of a piece.
    fn written(&mut self, tokenizer: &Tokenizer, said: Said<'_>) -> Result<Vec<u8>> {
        let Said { tokens, literals, len } = said;
        let mut decoder = RangeDecoder::new(literals);
        let mut bytes = Vec::with_capacity(len);
        let mut after_literal = false;
        for &token in tokens {
            let is_unknown = Some(token) == tokenizer.unk();
            let is_literal = self.literals.flag(&mut decoder, Flagged { is_unknown, after_literal }, None);
            if is_literal {
                self.literal(&mut decoder, &mut bytes, len)?;
            } else {
                bytes.extend(tokenizer.piece(&self.tail, token).text.as_bytes());
            }
            self.tail.extend(&[token]);
            after_literal = is_literal;
            if bytes.len() > len {
                return Err(Frame::mismatch());
            }
        }
        self.literal(&mut decoder, &mut bytes, len)?;
        Ok(bytes)
    }

    /// Adds a literal to `bytes`, which become at most `len_max`.
    fn literal(&mut self, decoder: &mut RangeDecoder, bytes: &mut Vec<u8>, len_max: usize) -> Result<()> {
        let room = len_max.saturating_sub(bytes.len());
        bytes.extend(self.literals.decode(decoder, room).ok_or_else(Frame::mismatch)?);
        Ok(())
    }
}
