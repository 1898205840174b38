//! What recognisers write, as utterances: the kinds of files, and how a file is found to be of one.

use std::io::BufRead;
use std::str::FromStr;

use clap::ValueEnum;

use super::lines::{Keys, LineReader, NbestLine};
use super::objects::{Object, ObjectReader};
use crate::api::rescore::Utterance;
use crate::cli::failure::Outcome;

/// The kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// Whatever the file looks like.
    Auto,
    /// Utterances of the API.
    Ndjson,
    /// Lines whose names end in the number of the hypothesis.
    Kaldi,
    /// Lines that repeat the name of the utterance.
    Mikolov,
    /// Objects of sherpa-onnx.
    Sherpa,
    /// Objects of Vosk.
    Vosk,
}

/// The number of score columns of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Columns {
    /// As many as the first line has.
    Auto,
    /// 0, 1 or 2.
    Count(usize),
}

impl FromStr for Columns {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "0" => Ok(Self::Count(0)),
            "1" => Ok(Self::Count(1)),
            "2" => Ok(Self::Count(2)),
            _ => Err("expected `auto`, 0, 1 or 2".to_owned()),
        }
    }
}

/// The hypotheses of an utterance.
pub(super) struct Nbest {
    pub(super) utterance: Utterance,
    /// How they are written.
    pub(super) source: Source,
    /// Their bytes in the file.
    pub(super) bytes: usize,
}

/// How hypotheses are written.
pub(super) enum Source {
    /// As an utterance of the API.
    Utterance,
    /// A line each, in the order of the utterance.
    Lines(Vec<NbestLine>),
    /// In an object of a recogniser.
    Object(Object),
}

/// The utterances of a file, one after the other.
pub(super) enum Reader {
    Lines(LineReader),
    Objects(ObjectReader),
}

impl Reader {
    /// Finds out of what kind the file is.
    ///
    /// # Errors
    /// A file that cannot be read; a first line that is not one of the kind.
    pub(super) fn open(mut text: Box<dyn BufRead>, format: Format, columns: Columns) -> Outcome<Self> {
        let keys = match format {
            Format::Ndjson | Format::Sherpa | Format::Vosk => None,
            Format::Kaldi => Some(Some(Keys::Numbered)),
            Format::Mikolov => Some(Some(Keys::Repeated)),
            Format::Auto if first_byte(&mut *text)? == Some(b'{') => None,
            Format::Auto => Some(None),
        };
        Ok(match keys {
            None => Self::Objects(ObjectReader::new(text, format)),
            Some(keys) => Self::Lines(LineReader::new(text, keys, columns)?),
        })
    }
}

/// The first byte that is not white space.
fn first_byte(text: &mut dyn BufRead) -> Outcome<Option<u8>> {
    loop {
        let piece = text.fill_buf()?;
        if piece.is_empty() {
            return Ok(None);
        }
        let blank = piece.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let found = piece.get(blank).copied();
        text.consume(blank);
        if found.is_some() {
            return Ok(found);
        }
    }
}

impl Iterator for Reader {
    type Item = Outcome<Nbest>;

    fn next(&mut self) -> Option<Outcome<Nbest>> {
        match self {
            Self::Lines(lines) => lines.next(),
            Self::Objects(objects) => objects.next(),
        }
    }
}
