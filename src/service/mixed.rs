//! The distribution of a mixture over the next token: every model gives its whole distribution, and the question is answered from
//! their sum.

use std::cmp::Ordering;

use super::Service;
use super::voices::{Standing, Voices};
use crate::engine::jobs::ReadingPlan;
use crate::error::{Error, Result};
use crate::lm::TokenId;
use crate::lm::ranks::ranks;
use crate::sampling::{CandidateAnswer, NextAnswer, NextQuery, Ranked};
use crate::session::Snapshot;

/// The answer to a question.
#[derive(Default)]
pub(super) struct VoicesAnswer {
    pub(super) next: Option<NextAnswer>,
    /// Where the reading has led, of a single model.
    pub(super) snapshot: Option<Snapshot>,
}

impl Service {
    /// The answer to the question of `plan`, which the voices read from where they stand.
    ///
    /// # Errors
    /// The first failure of a voice.
    pub(super) async fn ask_voices(
        &self,
        voices: &Voices,
        standing: Standing,
        plan: ReadingPlan,
    ) -> Result<VoicesAnswer> {
        let query = match &plan.next {
            Some(query) if voices.are_several() => query.clone(),
            _ => {
                let mut results = self.read_each(voices, standing, &plan).await?;
                let only =
                    results.pop().map(|result| VoicesAnswer { next: result.next, snapshot: result.snapshot });
                return Ok(only.unwrap_or_default());
            }
        };
        let whole =
            NextQuery { top_k: 0, hidden: Vec::new(), candidates: Vec::new(), full: true, filters: None };
        // A candidate's first token is scored with the distribution itself.
        let branches: Vec<_> = query.candidates.iter().filter(|tokens| tokens.len() > 1).cloned().collect();
        let _scores = self.take_for_scores(branches.iter().map(|tokens| tokens.len()).sum())?;
        let plan = ReadingPlan { next: Some(whole), branches: branches.clone(), ..plan };
        let results = self.read_each(voices, standing, &plan).await?;
        let own = results.iter().filter_map(|result| result.next.as_ref()?.logprobs.as_deref());
        let own: Vec<&[f64]> = own.collect();
        if own.len() != results.len() {
            return Err(Error::internal("internal error: a model of a mixture gave no distribution"));
        }
        let mixed = Mixed { logprobs: voices.joined(&own) };
        let joint = (0..branches.len()).map(|branch| {
            let own: Vec<&[f64]> = results.iter().map(|result| result.branches[branch].as_slice()).collect();
            voices.joined(&own).iter().fold(0.0, |sum, logprob| sum + logprob)
        });
        Ok(VoicesAnswer { next: Some(mixed.answer(&query, joint)), snapshot: None })
    }
}

/// The distribution of a mixture.
struct Mixed {
    /// By token, `[vocab_size]`.
    logprobs: Vec<f64>,
}

impl Mixed {
    /// The answer to `query`; `joint` has the logprobs of its candidates of several tokens.
    fn answer(self, query: &NextQuery, mut joint: impl Iterator<Item = f64>) -> NextAnswer {
        let top = self.top(query.top_k + query.hidden.len());
        let shown = top.into_iter().zip(1..).filter(|(token, _)| !query.hidden.contains(token));
        let distribution: Vec<Ranked> = shown
            .take(query.top_k)
            .map(|(token, rank)| Ranked { token, logprob: self.logprobs[token as usize], rank })
            .collect();
        let is_ranked = |tokens: &[TokenId]| tokens.len() == 1 && self.is_possible(tokens[0]);
        let ranked = query.candidates.iter().filter(|tokens| is_ranked(tokens)).map(|tokens| tokens[0]);
        let mut ranks = self.ranks(&ranked.collect::<Vec<_>>()).into_iter();
        let candidates = query.candidates.iter().map(|tokens| match **tokens {
            [token] => CandidateAnswer {
                logprob: self.logprobs[token as usize],
                rank: if self.is_possible(token) { ranks.next() } else { None },
            },
            _ => CandidateAnswer { logprob: joint.next().unwrap_or(f64::NEG_INFINITY), rank: None },
        });
        let share = |logprob: &f64| {
            let prob = libm::exp(*logprob);
            if prob > 0.0 { prob * logprob } else { 0.0 }
        };
        NextAnswer {
            candidates: candidates.collect(),
            entropy: 0.0 - self.logprobs.iter().map(share).fold(0.0, |sum, share| sum + share),
            top_mass: distribution.iter().fold(0.0, |mass, ranked| mass + libm::exp(ranked.logprob)),
            // A mixture has no logits but its logprobs, which are normalised.
            logsumexp: 0.0,
            distribution,
            logprobs: query.full.then_some(self.logprobs),
        }
    }

    /// The `k` most likely tokens, the most likely first, equal ones by id. Those that every model rules out are not among them.
    fn top(&self, k: usize) -> Vec<TokenId> {
        let mut tokens: Vec<TokenId> =
            (0..self.logprobs.len() as TokenId).filter(|&token| self.is_possible(token)).collect();
        let k = k.min(tokens.len());
        if k == 0 {
            return Vec::new();
        }
        tokens.select_nth_unstable_by(k - 1, |a, b| self.order(*a, *b));
        tokens.truncate(k);
        tokens.sort_unstable_by(|a, b| self.order(*a, *b));
        tokens
    }

    fn order(&self, a: TokenId, b: TokenId) -> Ordering {
        self.logprobs[b as usize].total_cmp(&self.logprobs[a as usize]).then(a.cmp(&b))
    }

    /// The place of each of `tokens` in the order of [`Self::top`], from 1.
    fn ranks(&self, tokens: &[TokenId]) -> Vec<usize> {
        ranks(tokens, 0..self.logprobs.len() as TokenId, |&a, &b| self.order(a, b))
    }

    fn is_possible(&self, token: TokenId) -> bool {
        self.logprobs[token as usize] > f64::NEG_INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_every_model_rules_out_is_neither_listed_nor_ranked() {
        let half = libm::log(0.5);
        let mixed = Mixed { logprobs: vec![f64::NEG_INFINITY, half, f64::NEG_INFINITY, half] };
        let query = NextQuery {
            top_k: 4,
            hidden: vec![1],
            candidates: vec![[0].into(), [3].into()],
            full: false,
            filters: None,
        };
        let answer = mixed.answer(&query, std::iter::empty());
        assert_eq!(answer.distribution, [Ranked { token: 3, logprob: half, rank: 2 }]);
        let ruled_out = CandidateAnswer { logprob: f64::NEG_INFINITY, rank: None };
        assert_eq!(answer.candidates, [ruled_out, CandidateAnswer { logprob: half, rank: Some(2) }]);
    }
}
