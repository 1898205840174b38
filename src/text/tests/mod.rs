//! The behaviour of every kind of tokenizer, as tables of examples and as properties of random texts.

mod completing;
mod cutting;
mod decoding;
mod encoding;
mod growing;
mod hugging_face;
mod inverse;
mod training;

use std::sync::Arc;

use super::{Tokenizer, TokenizerKind, TokenizerSpec};
use crate::lm::TokenId;

/// A tokenizer of `kind` over `entries`, with `rules` applied to its specification.
fn tokenizer(
    kind: TokenizerKind,
    entries: &[&str],
    rules: impl FnOnce(&mut TokenizerSpec),
) -> Arc<Tokenizer> {
    let mut spec = TokenizerSpec::new(kind);
    rules(&mut spec);
    Arc::new(
        Tokenizer::new(&spec, vocabulary(entries).as_bytes()).expect("the vocabulary of a test is valid"),
    )
}

/// `entries` as a `vocab.txt`.
fn vocabulary(entries: &[&str]) -> String {
    let escaped = |entry: &&str| {
        entry.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t") + "\n"
    };
    entries.iter().map(escaped).collect()
}

/// The usual rules of a language model of words: it has an unknown token, and its line ends are the token that ends a text.
fn words_and_lines(spec: &mut TokenizerSpec) {
    spec.unk = Some("<unk>".into());
    spec.eos = Some("<eos>".into());
    spec.newline = Some("<eos>".into());
}

const BYTE_LEVEL: &str = include_str!("../../../tests/data/tokenizer-byte-level.json");
const BYTE_FALLBACK: &str = include_str!("../../../tests/data/tokenizer-byte-fallback.json");
const WORDPIECE: &str = include_str!("../../../tests/data/tokenizer-wordpiece.json");

fn hugging_face(file: &str, rules: impl FnOnce(&mut TokenizerSpec)) -> Arc<Tokenizer> {
    let mut spec = TokenizerSpec::new(TokenizerKind::HuggingFace);
    rules(&mut spec);
    Arc::new(Tokenizer::new(&spec, file.as_bytes()).expect("the fixture loads"))
}

/// The entries of the tokens of `text`.
fn entries<'t>(tokenizer: &'t Tokenizer, text: &str) -> Vec<&'t str> {
    ids(tokenizer, text).into_iter().map(|token| tokenizer.entry(token)).collect()
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<TokenId> {
    tokenizer.encode(text).expect("a text without unknown words").tokens
}

/// The characters of `text` that each of its tokens stands for.
fn spans<'t>(tokenizer: &Tokenizer, text: &'t str) -> Vec<&'t str> {
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let encoding = tokenizer.encode(text).expect("a text without unknown words");
    encoding.spans.into_iter().map(|span| &text[starts[span.start]..starts[span.end]]).collect()
}
