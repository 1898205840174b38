//! Use case: the distribution over the next token.

use std::sync::Arc;

use futures_util::future::join_all;

use super::input::check_context;
use super::tokens::token_text;
use super::{Input, SamplingSpec, Service, Source, TokenText};
use crate::catalog::Served;
use crate::engine::Start;
use crate::engine::jobs::{CandidateAnswer, NextAnswer, NextQuery, Ranked, ReadingPlan, Vector};
use crate::error::{Error, ErrorKind, Result};
use crate::lm::{Tail, TokenId};

/// What comes next, after reading `input` at `source`?
#[derive(Clone, Debug, PartialEq)]
pub struct NextRequest {
    /// Where to start. A session is not moved.
    pub source: Source,
    /// Read ahead.
    pub input: Input,
    /// What is asked.
    pub query: Query,
}

/// What is asked about the next token.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Length of the list.
    pub top_k: usize,
    /// Continuations whose probability is asked for.
    pub candidates: Vec<Candidate>,
    /// Whether the list shows the unknown token and the end of text.
    pub specials: Specials,
    /// Whether every token's logprob is asked for.
    pub vector: Vector,
    /// The distribution after these filters, instead of the model's own.
    pub sampling: Option<SamplingSpec>,
}

/// A continuation whose probability is asked for.
pub type Candidate = super::Word;

/// Whether the list shows the unknown token and the end of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Specials {
    /// Like all others.
    #[default]
    Shown,
    /// Left out; they keep their share of the probability.
    Hidden,
}

impl Query {
    /// Length of the list if a request does not say.
    pub const TOP_K: usize = 10;
}

impl Default for Query {
    fn default() -> Self {
        let (candidates, specials, vector) = (Vec::new(), Specials::default(), Vector::default());
        Self { top_k: Self::TOP_K, candidates, specials, vector, sampling: None }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct NextResponse {
    /// The model's name.
    pub model: Arc<str>,
    /// The vocabulary's size.
    pub vocab_size: usize,
    /// Tokens read since the model's start.
    pub position: u64,
    /// Words of the input outside the vocabulary.
    pub unknown_count: usize,
    /// The distribution.
    pub next: NextView,
}

/// The distribution over the next token, as a client sees it. Logarithms are natural.
#[derive(Clone, Debug, PartialEq)]
pub struct NextView {
    /// The most likely tokens, most likely first.
    pub distribution: Vec<ViewedToken>,
    /// In the order asked.
    pub candidates: Vec<ViewedCandidate>,
    /// Nats.
    pub entropy: f64,
    /// The probability of all listed tokens together.
    pub top_mass: f64,
    /// `ln sum exp(logits)`.
    pub logsumexp: f64,
    /// Whether filters were applied.
    pub filtered: bool,
    /// Logprobs `[vocab_size]`.
    pub logprobs: Option<Vec<f64>>,
}

/// A listed token.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewedToken {
    /// The token.
    pub token: TokenText,
    /// How likely it is.
    pub ranked: Ranked,
}

/// A candidate's probability.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewedCandidate {
    /// As it was asked.
    pub candidate: Candidate,
    /// Its tokens.
    pub tokens: Arc<[TokenId]>,
    /// How likely it is.
    pub answer: CandidateAnswer,
}

impl Service {
    /// Answers one request.
    ///
    /// # Errors
    /// Whatever is wrong with the request, a full queue, a timeout.
    pub async fn next(&self, request: NextRequest) -> Result<NextResponse> {
        let (served, snapshot) = self.open(&request.source)?;
        let prepared = self.prepare(served, request.input, "").await?;
        let position = snapshot.position + prepared.tokens.len() as u64;
        check_context(served, position)?;
        let query = self.resolve(served, &request.query, "")?;
        let tail = prepared.tail_after(&snapshot.tail);
        let plan = ReadingPlan {
            tokens: prepared.tokens.clone(),
            joint: tail.joint,
            next: Some(query.clone()),
            ..Default::default()
        };
        let result = self.read(served, Start::Copy(snapshot), plan).await.map_err(|failure| failure.error)?;
        Ok(NextResponse {
            model: served.name.clone(),
            vocab_size: served.model.info().vocab_size,
            position,
            unknown_count: prepared.unknown_count,
            next: view(served, &tail, (&request.query, &query), result.next)?,
        })
    }

    /// Answers many requests, in their order: what is wrong with one does not touch the others.
    ///
    /// # Errors
    /// `InvalidValue` when there are more than `--max-requests`.
    pub async fn next_each(&self, requests: Vec<Result<NextRequest>>) -> Result<Vec<Result<NextResponse>>> {
        let (found, requests_max) = (requests.len(), self.limits.max_requests);
        if found > requests_max {
            let message =
                format!("`requests` has {found} entries, expected at most {requests_max} (`--max-requests`)");
            return Err(Error::invalid("requests", message));
        }
        let answers = requests.into_iter().map(async |request| self.next(request?).await);
        Ok(join_all(answers).await)
    }

    /// Checks a query; `param` is its path in the request, without the last key.
    pub(super) fn resolve(&self, served: &Served, query: &Query, param: &str) -> Result<NextQuery> {
        let (top_k_max, candidates_max) = (self.limits.max_top_k, self.limits.max_candidates);
        if query.top_k > top_k_max {
            let message = format!("`top_k` is {}, expected at most {top_k_max} (`--max-top-k`)", query.top_k);
            return Err(Error::invalid(format!("{param}top_k"), message));
        }
        if query.candidates.len() > candidates_max {
            let found = query.candidates.len();
            let message = format!(
                "`candidates` has {found} entries, expected at most {candidates_max} (`--max-candidates`)"
            );
            return Err(Error::invalid(format!("{param}candidates"), message));
        }
        let tokens = |(index, candidate)| {
            candidate_tokens(served, candidate)
                .map_err(|error| error.at(format!("{param}candidates[{index}]")))
        };
        let tokenizer = &served.tokenizer;
        let specials = [tokenizer.unk(), tokenizer.eos()]
            .into_iter()
            .flatten()
            .filter(|_| query.specials == Specials::Hidden);
        let mut hidden: Vec<TokenId> = specials.collect();
        hidden.dedup();
        let filters =
            query.sampling.as_ref().map(|spec| self.filters(served, spec, &format!("{param}sampling.")));
        Ok(NextQuery {
            top_k: query.top_k.min(served.model.info().vocab_size),
            hidden,
            candidates: query.candidates.iter().enumerate().map(tokens).collect::<Result<_>>()?,
            vector: query.vector,
            filters: filters.transpose()?,
        })
    }
}

fn candidate_tokens(served: &Served, candidate: &Candidate) -> Result<Arc<[TokenId]>> {
    let vocab_size = served.model.info().vocab_size;
    match candidate {
        Candidate::Token(token) if (*token as usize) < vocab_size => Ok([*token].into()),
        Candidate::Token(token) => {
            let message =
                format!("token {token} is outside the vocabulary, expected an id below {vocab_size}");
            Err(Error::new(ErrorKind::TokenOutOfRange, message))
        }
        Candidate::Text(text) => {
            let tokens = served.tokenizer.encode(text)?.tokens;
            if tokens.is_empty() {
                return Err(Error::new(
                    ErrorKind::EmptyInput,
                    format!("candidate {text:?} holds no token, expected at least one"),
                ));
            }
            Ok(tokens.into())
        }
    }
}

/// What a client sees of an answer to `query` (as asked, and as resolved), at `tail`.
pub(super) fn view(
    served: &Served,
    tail: &Tail,
    query: (&Query, &NextQuery),
    answer: Option<NextAnswer>,
) -> Result<NextView> {
    let (asked, resolved) = query;
    let answer = answer.ok_or_else(|| Error::internal("a bug in the server: a question was not answered"))?;
    let viewed = |ranked: Ranked| ViewedToken { token: token_text(served, tail, ranked.token), ranked };
    let candidates = asked.candidates.iter().zip(&resolved.candidates).zip(answer.candidates);
    Ok(NextView {
        distribution: answer.distribution.into_iter().map(viewed).collect(),
        candidates: candidates
            .map(|((asked, tokens), answer)| ViewedCandidate {
                candidate: asked.clone(),
                tokens: tokens.clone(),
                answer,
            })
            .collect(),
        entropy: answer.entropy,
        top_mass: answer.top_mass,
        logsumexp: answer.logsumexp,
        filtered: asked.sampling.is_some(),
        logprobs: answer.logprobs,
    })
}
