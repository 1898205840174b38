//! The part of a request that says how tokens are drawn, made into filters.

use super::Service;
use crate::catalog::Served;
use crate::error::{Error, Result};
use crate::lm::TokenId;
use crate::sampling::{FilterSpec, Filters};

/// How tokens are drawn, as a request says it.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingSpec {
    /// 0 is greedy.
    pub temperature: f64,
    /// Among so many of the most likely.
    pub top_k: Option<usize>,
    /// Among the fewest that hold this much of the probability.
    pub top_p: Option<f64>,
    /// Among those at least this likely, as a share of the most likely one's probability.
    pub min_p: Option<f64>,
    /// Never these.
    pub banned: Vec<Word>,
    /// Whether the unknown token may be drawn.
    pub unknown: Unknown,
}

/// Whether the unknown token may be drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// Never.
    #[default]
    RuledOut,
    /// Like any other.
    Allowed,
}

/// A word, or a token's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A word that is one token.
    Text(String),
    /// A token's id.
    Token(TokenId),
}

impl Default for SamplingSpec {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: None,
            min_p: None,
            banned: Vec::new(),
            unknown: Unknown::default(),
        }
    }
}

impl Service {
    /// Checks `spec`; `param` is its path in the request, without the last key.
    pub(super) fn filters(&self, served: &Served, spec: &SamplingSpec, param: &str) -> Result<Filters> {
        let banned_max = self.limits.max_banned;
        if spec.banned.len() > banned_max {
            let message = format!(
                "`banned` has {} entries, expected at most {banned_max} (`--max-banned`)",
                spec.banned.len()
            );
            return Err(Error::invalid(format!("{param}banned"), message));
        }
        let banned = spec.banned.iter().enumerate();
        let banned = banned.map(|(index, word)| {
            token_of(served, word).map_err(|error| error.at(format!("{param}banned[{index}]")))
        });
        let mut ruled_out = banned.collect::<Result<Vec<TokenId>>>()?;
        if spec.unknown == Unknown::RuledOut {
            ruled_out.extend(served.tokenizer.unk());
        }
        let filters = Filters::new(FilterSpec {
            ruled_out: ruled_out.into(),
            temperature: spec.temperature,
            top_k: spec.top_k,
            top_p: spec.top_p.unwrap_or(1.0),
            min_p: spec.min_p.unwrap_or(0.0),
        });
        filters.map_err(|error| {
            let name = error.param.clone().unwrap_or_default();
            error.at(format!("{param}{name}"))
        })
    }
}

/// The one token that `word` is.
fn token_of(served: &Served, word: &Word) -> Result<TokenId> {
    let vocab_size = served.model.info().vocab_size;
    match word {
        Word::Token(token) if (*token as usize) < vocab_size => Ok(*token),
        Word::Token(token) => Err(Error::invalid(
            "",
            format!("token {token} is outside the vocabulary, expected an id below {vocab_size}"),
        )),
        Word::Text(text) => {
            // An entry by its name first: special tokens are no text.
            if let Some(token) = served.tokenizer.id_of(text) {
                return Ok(token);
            }
            let encoding = served.tokenizer.encode(text)?;
            match (encoding.tokens.as_slice(), encoding.unknown_count()) {
                ([token], 0) => Ok(*token),
                (_, 0) => {
                    let count = encoding.tokens.len();
                    Err(Error::invalid(
                        "",
                        format!("{text:?} is {count} tokens, expected a word that is one token"),
                    ))
                }
                _ => Err(Error::invalid(
                    "",
                    format!("{text:?} is not in the vocabulary, expected a word that is"),
                )),
            }
        }
    }
}
