//! The question what comes next: from the request to the engine's query, and from the engine's answer to the client's.

use std::sync::Arc;

use super::Service;
use super::bounds::Bound;
use super::input::check_token;
use super::tokens::token;
use crate::api::prompt::Word;
use crate::api::question::{Candidate, Distribution, Question, RankedToken, View};
use crate::catalog::Served;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::TokenId;
use crate::sampling::{CandidateAnswer, Filtering, NextAnswer, NextQuery, Ranked};
use crate::text::Tail;

/// A question that was checked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// As the client asked it.
    question: Question,
    /// As the engine answers it.
    pub(super) query: NextQuery,
}

impl Service {
    /// Checks a question; `path` is its path in the request, with a final dot.
    pub(super) fn check_question(&self, served: &Served, question: Question, path: &str) -> Result<Asked> {
        let limits = &self.config.limits;
        let at = |name: &str| format!("{path}{name}");
        let shown = &question.shown;
        let top_k = shown.top_k_or_default(limits.max_top_k);
        Bound { param: &at("top_k"), max: limits.max_top_k, option: "--max-top-k" }.number(top_k)?;
        Bound { param: &at("candidates"), max: limits.max_candidates, option: "--max-candidates" }
            .entries(question.candidates.len())?;
        let tokens = |(index, word)| {
            candidate_tokens(served, word).map_err(|error| error.at(at(&format!("candidates[{index}]"))))
        };
        let filters =
            question.sampling.as_ref().map(|sampling| self.filters(served, sampling, &at("sampling.")));
        let query = NextQuery {
            top_k: top_k.min(served.model.info().vocab_size),
            hidden: if shown.special { Vec::new() } else { special_tokens(served) },
            candidates: question.candidates.iter().enumerate().map(tokens).collect::<Result<_>>()?,
            full: shown.full,
            filters: filters.transpose()?.map(|filters| Filtering::new(filters, &[])),
        };
        Ok(Asked { question, query })
    }
}

/// The unknown token and the end-of-text token, where the model has them.
fn special_tokens(served: &Served) -> Vec<TokenId> {
    let mut special: Vec<TokenId> =
        [served.tokenizer.unk(), served.tokenizer.eos()].into_iter().flatten().collect();
    special.dedup();
    special
}

/// The token that a word or an id names.
///
/// # Errors
/// When it is not in the vocabulary, or is not one token.
pub(super) fn single_token(served: &Served, word: &Word, path: &str) -> Result<TokenId> {
    let tokens = candidate_tokens(served, word).map_err(|error| error.at(path))?;
    match (word, &tokens[..]) {
        (Word::Text(text), &[token]) if Some(token) == served.tokenizer.unk() => {
            let message = format!("`{path}` is {text:?}, which is not in the vocabulary");
            Err(Error::new(ErrorKind::UnknownToken, message).at(path))
        }
        (_, &[token]) => Ok(token),
        (Word::Text(text), tokens) => {
            let found = tokens.len();
            let message = format!("`{path}` is {text:?}, which has {found} tokens; one token is accepted");
            Err(Error::invalid(path, message))
        }
        (Word::Id(_), _) => Err(Error::internal("internal error: an id names several tokens")),
    }
}

fn candidate_tokens(served: &Served, candidate: &Word) -> Result<Arc<[TokenId]>> {
    match candidate {
        Word::Id(token) => check_token(*token, served).map(|()| [*token].into()),
        Word::Text(text) => {
            let tokens = served.tokenizer.encode(text)?.tokens;
            if tokens.is_empty() {
                let message = format!("candidate {text:?} has no tokens; at least one is required");
                return Err(Error::new(ErrorKind::EmptyInput, message));
            }
            Ok(tokens.into())
        }
    }
}

impl Asked {
    /// The same question after the tokens `read` of the request, which penalties count.
    pub(super) fn after(self, read: &[TokenId]) -> Self {
        let Self { question, query } = self;
        let filters = query.filters.map(|filters| filters.after(read));
        Self { question, query: NextQuery { filters, ..query } }
    }

    /// What the client sees of the engine's answer, for a text that ends with `tail`.
    pub(super) fn answered(
        self,
        served: &Served,
        tail: &Tail,
        answer: Option<NextAnswer>,
    ) -> Result<Distribution> {
        let answer = answer.ok_or_else(|| Error::internal("internal error: a question was not answered"))?;
        let ranked_token = |ranked: Ranked| ranked_token(served, tail, ranked);
        let Self { question, query } = self;
        let candidates = question.candidates.into_iter().zip(query.candidates).zip(answer.candidates);
        Ok(Distribution {
            distribution: answer.distribution.into_iter().map(ranked_token).collect(),
            candidates: candidates
                .map(|((word, tokens), answer)| candidate(served, Weighed { word, tokens: &tokens, answer }))
                .collect(),
            entropy: answer.entropy,
            top_mass: answer.top_mass,
            logsumexp: answer.logsumexp,
            view: if question.sampling.is_some() { View::Sampled } else { View::Model },
            logprobs: answer.logprobs.map(|logprobs| logprobs.into_iter().map(finite).collect()),
        })
    }
}

/// What a client sees of a token and its probability after `tail`.
pub(super) fn ranked_token(served: &Served, tail: &Tail, ranked: Ranked) -> RankedToken {
    RankedToken {
        token: token(served, tail, ranked.token),
        prob: libm::exp(ranked.logprob),
        logprob: ranked.logprob,
        rank: ranked.rank,
    }
}

/// A candidate and what the engine has found out about it.
struct Weighed<'a> {
    word: Word,
    tokens: &'a [TokenId],
    answer: CandidateAnswer,
}

fn candidate(served: &Served, Weighed { word, tokens, answer }: Weighed<'_>) -> Candidate {
    let (text, id) = match word {
        Word::Text(text) => (Some(text), None),
        Word::Id(id) => (None, Some(id)),
    };
    let unk = served.tokenizer.unk();
    let unknown_count = tokens.iter().filter(|&&token| Some(token) == unk).count();
    Candidate {
        text,
        id,
        tokens: tokens.to_vec(),
        unknown: unknown_count > 0,
        unknown_count,
        prob: libm::exp(answer.logprob),
        logprob: finite(answer.logprob),
        rank: answer.rank,
    }
}

/// A log-probability as JSON has it: null for probability 0.
fn finite(logprob: f64) -> Option<f64> {
    logprob.is_finite().then_some(logprob)
}
