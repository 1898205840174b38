//! The question what comes next: from the request to the engine's query, and from the engine's answer to the client's.

use std::sync::Arc;

use super::Service;
use super::bounds::Bound;
use super::input::{Input, Prepared, Use, check_token};
use super::tokens::token;
use crate::api::prompt::{TextOrIds, Word};
use crate::api::question::{Candidate, Distribution, Question, RankedToken, View};
use crate::catalog::Served;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::TokenId;
use crate::sampling::{CandidateAnswer, Filtering, NextAnswer, NextQuery, Ranked};
use crate::text::Tail;

/// A question that was checked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Continuations whose probability is asked for. They hold the memory of their tokens until the question is answered.
    candidates: Vec<Prepared>,
    /// Which distribution the answer shows.
    view: View,
    /// As the engine answers it.
    pub(super) query: NextQuery,
}

impl Service {
    /// Checks a question; `path` is its path in the request, with a final dot.
    pub(super) async fn check_question(
        &self,
        served: &Arc<Served>,
        question: Question,
        path: &str,
    ) -> Result<Asked> {
        let Question { shown, candidates, sampling } = question;
        let limits = &self.config.limits;
        let at = |name: &str| format!("{path}{name}");
        let top_k = shown.top_k_or_default(limits.max_top_k);
        Bound { param: &at("top_k"), max: limits.max_top_k, option: "--max-top-k" }.number(top_k)?;
        let filters = sampling.as_ref().map(|sampling| self.filters(served, sampling, &at("sampling.")));
        let filters = filters.transpose()?;
        let candidates = self.prepare_candidates(served, candidates, &at("candidates")).await?;
        let query = NextQuery {
            top_k: top_k.min(served.model.info().vocab_size),
            hidden: if shown.special { Vec::new() } else { special_tokens(served) },
            candidates: candidates.iter().map(|candidate| candidate.tokens.clone()).collect(),
            full: shown.full,
            filters: filters.map(|filters| Filtering::new(filters, &[])),
        };
        let view = if sampling.is_some() { View::Sampled } else { View::Model };
        Ok(Asked { candidates, view, query })
    }

    /// Checks the question beside a write, if there is one.
    pub(super) async fn check_question_beside(
        &self,
        served: &Arc<Served>,
        question: Option<Question>,
    ) -> Result<Option<Asked>> {
        match question {
            Some(question) => self.check_question(served, question, "next.").await.map(Some),
            None => Ok(None),
        }
    }

    /// Tokenises and checks candidates, and takes the room of what the answer says of their tokens; `path` is that of their list.
    async fn prepare_candidates(
        &self,
        served: &Arc<Served>,
        words: Vec<Word>,
        path: &str,
    ) -> Result<Vec<Prepared>> {
        Bound { param: path, max: self.config.limits.max_candidates, option: "--max-candidates" }
            .entries(words.len())?;
        let mut candidates = Vec::with_capacity(words.len());
        let mut tokens = 0;
        for (index, word) in words.into_iter().enumerate() {
            let candidate = self.prepare_candidate(served, word, &format!("{path}[{index}]")).await?;
            tokens += candidate.tokens.len();
            self.check_together(tokens, "the candidates").map_err(|error| error.at(path))?;
            candidates.push(candidate);
        }
        // The room of the whole answer has a place for one token of each.
        let more = tokens - candidates.len();
        if more > 0 {
            self.keep(self.room_for_ids(served, more, 0).map_err(|error| error.at(path))?);
        }
        Ok(candidates)
    }

    async fn prepare_candidate(&self, served: &Arc<Served>, word: Word, path: &str) -> Result<Prepared> {
        let text = match word {
            Word::Id(token) => {
                check_token(token, served).map_err(|error| error.at(path))?;
                return Ok(Prepared::of_tokens([token].into()));
            }
            Word::Text(text) => text,
        };
        let input = Input { value: TextOrIds::Text(text), path, purpose: Use::Read };
        let candidate = self.prepare(served, input).await?;
        if candidate.is_empty() {
            let message = format!("`{path}` has no tokens; at least one is required");
            return Err(Error::new(ErrorKind::EmptyInput, message).at(path));
        }
        Ok(candidate)
    }
}

/// The unknown token and the end-of-text token, where the model has them.
fn special_tokens(served: &Served) -> Vec<TokenId> {
    let mut special: Vec<TokenId> =
        [served.tokenizer.unk(), served.tokenizer.eos()].into_iter().flatten().collect();
    special.dedup();
    special
}

impl Asked {
    /// The same question after the tokens `read` of the request, which penalties count.
    pub(super) fn after(self, read: &[TokenId]) -> Self {
        let filters = self.query.filters.map(|filters| filters.after(read));
        Self { query: NextQuery { filters, ..self.query }, ..self }
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
        let candidates = self.candidates.into_iter().zip(answer.candidates);
        Ok(Distribution {
            distribution: answer.distribution.into_iter().map(ranked_token).collect(),
            candidates: candidates.map(|(asked, answer)| candidate(served, asked, answer)).collect(),
            entropy: answer.entropy,
            top_mass: answer.top_mass,
            logsumexp: answer.logsumexp,
            view: self.view,
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

/// What a client sees of a candidate, and of what the engine has found out about it.
fn candidate(served: &Served, asked: Prepared, answer: CandidateAnswer) -> Candidate {
    let tokens = &asked.tokens;
    let id = tokens.first().copied().filter(|_| asked.source.is_none());
    let unk = served.tokenizer.unk();
    let unknown_count = tokens.iter().filter(|&&token| Some(token) == unk).count();
    Candidate {
        text: asked.source.map(|source| source.text),
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
