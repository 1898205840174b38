//! Text to tokens and back: the tokenizers, and the decoder that turns a stream of tokens into a stream of text.
//!
//! This module knows neither models nor folders: a tokenizer is built from the bytes of its file and a [`TokenizerSpec`].

mod completion;
mod cut;
mod decoder;
mod encoding;
mod escape;
mod hugging_face;
mod join;
mod memory;
mod rewrite;
mod rules;
mod spec;
mod split;
mod stop;
mod tail;
mod tokenizer;
mod utf8;
mod vocabulary;

pub use completion::{
    Beginning, Case, CompletedWord, Completions, ExtraWords, HalfTyped, Progress, Typed, WeightedWord,
};
pub use decoder::{Decoder, Piece};
pub use encoding::{Encoding, Wanted};
pub(crate) use escape::escape_invisible;
pub use memory::{Memory, room_for};
pub use spec::{DEFAULT_PATTERN, TokenizerKind, TokenizerSpec};
pub use stop::{Passed, StopStrings};
pub use tail::{Joint, Tail};
pub use tokenizer::Tokenizer;

#[cfg(test)]
mod tests;
