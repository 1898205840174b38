//! A question about the distribution over the next token, and its answer.

use std::sync::Arc;

use super::{Filtering, NothingLeft};
use crate::lm::{Distribution, TokenId};

/// What is asked about the distribution over the next token.
#[derive(Clone, Debug)]
pub struct NextQuery {
    /// Length of the list of the most likely tokens.
    pub top_k: usize,
    /// Tokens that the list leaves out; they keep their share of the probability.
    pub hidden: Vec<TokenId>,
    /// Continuations, each of at least one token, whose probability is asked for.
    pub candidates: Vec<Arc<[TokenId]>>,
    /// Whether the logprob of every token is asked for.
    pub full: bool,
    /// Filters to apply first; without them the distribution is the model's own.
    pub filters: Option<Filtering>,
}

/// What was asked about the distribution over the next token. Logarithms are natural.
#[derive(Clone, Debug, PartialEq)]
pub struct NextAnswer {
    /// The most likely tokens, most likely first.
    pub distribution: Vec<Ranked>,
    /// In the order asked.
    pub candidates: Vec<CandidateAnswer>,
    /// Nats.
    pub entropy: f64,
    /// The probability of all tokens in the list together.
    pub top_mass: f64,
    /// `ln sum exp(logits)`, by which the logits became logprobs.
    pub logsumexp: f64,
    /// Logprobs `[vocab_size]`; `-inf` where the filters rule a token out.
    pub logprobs: Option<Vec<f64>>,
}

/// A token and how likely it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// The token.
    pub token: TokenId,
    /// `ln P(token)`.
    pub logprob: f64,
    /// Its place among all tokens, from 1.
    pub rank: usize,
}

/// How likely a candidate is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CandidateAnswer {
    /// The joint logprob of its tokens; `-inf` when the filters rule one out.
    pub logprob: f64,
    /// Its place among all tokens, from 1; only for a candidate of one token that is not ruled out.
    pub rank: Option<usize>,
}

impl NextQuery {
    /// The distribution that the query is about, after the tokens `read` of a candidate; `logits` `[vocab_size]` may be overwritten.
    ///
    /// # Errors
    /// When the filters leave no token.
    pub fn view<'a>(&self, logits: &'a mut [f32], read: &[TokenId]) -> Result<Distribution<'a>, NothingLeft> {
        match &self.filters {
            None => Ok(Distribution::new(logits)),
            Some(filtering) if read.is_empty() => filtering.apply(logits),
            Some(filtering) => {
                let mut filtering = filtering.clone();
                read.iter().for_each(|&token| filtering.drew(token));
                filtering.apply(logits)
            }
        }
    }

    /// The answer. Of a candidate of several tokens it has the logprob of the first only; the others are still to be read.
    pub fn answer(&self, view: &Distribution<'_>) -> NextAnswer {
        let ranked = view.top_k(self.top_k + self.hidden.len()).into_iter().zip(1..);
        let shown = ranked.filter(|(token, _)| !self.hidden.contains(token)).take(self.top_k);
        let distribution: Vec<Ranked> =
            shown.map(|(token, rank)| Ranked { token, logprob: view.logprob(token), rank }).collect();
        let all = 0..view.logits().len() as TokenId;
        NextAnswer {
            candidates: self.first_of_candidates(view),
            entropy: view.entropy(),
            // Not `sum`, which is -0 for an empty list.
            top_mass: distribution.iter().fold(0.0, |mass, ranked| mass + libm::exp(ranked.logprob)),
            logsumexp: view.logsumexp(),
            logprobs: self.full.then(|| all.map(|token| view.logprob(token)).collect()),
            distribution,
        }
    }

    /// The answers about the candidates, each of which is scored up to its first token.
    fn first_of_candidates(&self, view: &Distribution<'_>) -> Vec<CandidateAnswer> {
        let is_ranked = |tokens: &[TokenId]| tokens.len() == 1 && view.logprob(tokens[0]) > f64::NEG_INFINITY;
        let ranked = self.candidates.iter().filter(|tokens| is_ranked(tokens)).map(|tokens| tokens[0]);
        let mut ranks = view.ranks(&ranked.collect::<Vec<_>>()).into_iter();
        let answers = self.candidates.iter().map(|tokens| CandidateAnswer {
            logprob: view.logprob(tokens[0]),
            rank: if is_ranked(tokens) { ranks.next() } else { None },
        });
        answers.collect()
    }
}
