//! How tokens are drawn: from the request to the filters of the sampler.

use super::Service;
use super::bounds::Bound;
use super::input::check_token;
use crate::api::prompt::Word;
use crate::api::sampling::{LogitBias, Sampling};
use crate::catalog::Served;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::TokenId;
use crate::sampling::{Bias, FilterSpec, Filters, NothingLeft, Penalties};

const _: () = assert!(Sampling::TEMPERATURE_MAX == Filters::TEMPERATURE_MAX);

impl Service {
    /// Checks `sampling`; `path` is its path in the request, with a final dot.
    pub(super) fn filters(&self, served: &Served, sampling: &Sampling, path: &str) -> Result<Filters> {
        let max = self.config.limits.max_banned;
        Bound { param: &format!("{path}banned"), max, option: "--max-banned" }
            .entries(sampling.banned.len())?;
        let banned = sampling.banned.iter().enumerate();
        let banned =
            banned.map(|(index, word)| self.banned_token(served, word, &format!("{path}banned[{index}]")));
        let mut ruled_out = banned.collect::<Result<Vec<TokenId>>>()?;
        if !sampling.allow_unknown {
            ruled_out.extend(served.tokenizer.unk());
        }
        let vocab_size = served.model.info().vocab_size;
        // Found out now, because after the prompt its session would have moved.
        ruled_out.sort_unstable();
        ruled_out.dedup();
        if ruled_out.len() >= vocab_size {
            return Err(Error::from(NothingLeft).at(format!("{path}banned")));
        }
        let filters = Filters::new(FilterSpec {
            ruled_out: ruled_out.into(),
            biases: self.biases(served, &sampling.logit_bias, path)?.into(),
            penalties: Penalties {
                repetition: sampling.repetition_penalty,
                presence: sampling.presence_penalty,
                frequency: sampling.frequency_penalty,
            },
            temperature: sampling.temperature,
            top_k: top_k(sampling.top_k, vocab_size, &format!("{path}top_k"))?,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            typical_p: sampling.typical_p,
        });
        filters.map_err(|error| {
            let name = error.param.clone().unwrap_or_default();
            error.at(format!("{path}{name}"))
        })
    }

    fn biases(&self, served: &Served, biases: &LogitBias, path: &str) -> Result<Vec<Bias>> {
        let max = self.config.limits.max_logit_bias;
        Bound { param: &format!("{path}logit_bias"), max, option: "--max-logit-bias" }
            .entries(biases.0.len())?;
        let bias = |(&token, &amount): (&TokenId, &f64)| {
            let refused = |error| invalid(error).at(format!("{path}logit_bias.{token}"));
            check_token(token, served).map(|()| Bias { token, amount }).map_err(refused)
        };
        biases.0.iter().map(bias).collect()
    }

    /// The single token that `word` names; `path` is its path in the request.
    fn banned_token(&self, served: &Served, word: &Word, path: &str) -> Result<TokenId> {
        // First by the entry's name: special tokens have no text.
        let named = match word {
            Word::Text(text) => served.tokenizer.id_of(text),
            Word::Id(_) => None,
        };
        named.map_or_else(|| self.single_token(served, word, path).map_err(invalid), Ok)
    }
}

/// The number of tokens that `top_k` keeps; `None` if it keeps all. Other servers write that 0 or -1.
fn top_k(asked: Option<i64>, vocab_size: usize, param: &str) -> Result<Option<usize>> {
    match asked {
        None | Some(0 | -1) => Ok(None),
        Some(found) => match usize::try_from(found) {
            Ok(kept) => Ok(Some(kept).filter(|kept| *kept < vocab_size)),
            Err(_) => {
                let message =
                    format!("`{param}` is {found}; the minimum is -1, which keeps all tokens as 0 does");
                Err(Error::invalid(param, message))
            }
        },
    }
}

/// A token that is named beside the input is a value of its field, not a part of the input.
fn invalid(error: Error) -> Error {
    match error.kind {
        ErrorKind::UnknownToken | ErrorKind::TokenOutOfRange | ErrorKind::EmptyInput => {
            Error { kind: ErrorKind::InvalidValue, ..error }
        }
        _ => error,
    }
}
