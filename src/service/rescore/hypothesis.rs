//! A hypothesis that was checked and tokenised, and its log-probability.

use std::sync::Arc;

use super::words::{WordCount, WordProbs, words_of_tokens};
use super::{Formula, Rescorer};
use crate::api::prompt::Prompt;
use crate::api::rescore::Hypothesis;
use crate::budget::Permit;
use crate::error::{Error, Result};
use crate::lm::TokenId;
use crate::service::input::{Input, Prepared, Use, field_of, input_of};
use crate::service::score::of_unknown;
use crate::service::threads::Abandoned;
use crate::text::Tail;

/// A hypothesis.
pub(super) struct Candidate {
    /// Its tokens, with the end-of-text token if that is scored.
    pub(super) tokens: Arc<[TokenId]>,
    /// The unknown token of the model.
    unk: Option<TokenId>,
    pub(super) unknown_count: usize,
    /// The number of its words, for the word penalty.
    pub(super) words: usize,
    pub(super) score: f64,
    pub(super) lm_score: f64,
    /// What another language model says.
    word_probs: Option<WordProbs>,
    /// The memory of its tokens as it came.
    _given: Option<Arc<Permit>>,
    /// The memory of its tokens as they are scored, of their words and of their scores.
    pub(super) scores: Permit,
}

impl Rescorer {
    /// Checks and tokenises a hypothesis; `path` is its path in the utterance.
    pub(super) async fn candidate(&self, hypothesis: Hypothesis, path: &str) -> Result<Candidate> {
        let Hypothesis { text, tokens, score, lm_score, word_probs } = hypothesis;
        check_score(path, "score", score)?;
        check_score(path, "lm_score", lm_score)?;
        let input = input_of(Prompt { model: None, text, tokens })
            .map_err(|error| error.at(format!("{path}.tokens")))?
            .ok_or_else(|| {
                Error::invalid(
                    path,
                    format!("`{path}` has neither `text` nor `tokens`; one of them is required"),
                )
            })?;
        let served = self.voices.served();
        let purpose = if word_probs.is_some() { Use::Listed } else { Use::Read };
        let input_path = format!("{path}.{}", field_of(&input));
        let prepared =
            self.service.prepare(served, Input { value: input, path: &input_path, purpose }).await?;
        let scores = self.service.take_for_scores(prepared.tokens.len() + usize::from(self.eos.is_some()))?;
        let words = self.words_in(&prepared).await?;
        let word_probs = match word_probs {
            Some(probs) => {
                let groups = groups_of(&prepared, words);
                let expected = groups.count + usize::from(self.eos.is_some());
                Some(WordProbs::checked(probs, groups.words, expected).map_err(|error| {
                    let param = error.param.clone().unwrap_or_default();
                    error.at(format!("{path}.{param}"))
                })?)
            }
            None => None,
        };
        Ok(Candidate {
            unk: served.tokenizer.unk(),
            unknown_count: prepared.unknown_count,
            tokens: match self.eos {
                Some(eos) => prepared.tokens.iter().copied().chain([eos]).collect(),
                None => prepared.tokens,
            },
            words,
            score,
            lm_score,
            word_probs,
            _given: prepared.held,
            scores,
        })
    }

    /// The number of words of a hypothesis. The text of token ids is made piece by piece, because it may be much larger than they are.
    async fn words_in(&self, prepared: &Prepared) -> Result<usize> {
        let mut count = WordCount::default();
        if let Some(source) = &prepared.source {
            count.read(&source.text);
            return Ok(count.words());
        }
        let mut decoder = self.voices.served().tokenizer.decoder(&Tail::default());
        let tokens = prepared.tokens.clone();
        let reading = move |abandoned: Abandoned| {
            for &token in &*tokens {
                abandoned.check()?;
                count.read(&decoder.push(token));
            }
            count.read(&decoder.finish());
            Ok(count.words())
        };
        self.service.tokenize_beside(size_of_val(&*prepared.tokens), reading).await
    }
}

/// The word of each token, and the number of words.
struct Groups {
    words: Vec<usize>,
    count: usize,
}

/// Of a text, the `words` that other language models count too; of ids, each token.
fn groups_of(prepared: &Prepared, words: usize) -> Groups {
    match &prepared.source {
        Some(source) => Groups { words: words_of_tokens(&source.text, &source.encoding.spans), count: words },
        None => Groups { words: (0..prepared.tokens.len()).collect(), count: prepared.tokens.len() },
    }
}

fn check_score(path: &str, name: &str, found: f64) -> Result<()> {
    const MAX: f64 = Hypothesis::SCORE_MAX;
    if found.abs() <= MAX {
        return Ok(());
    }
    let message = format!("`{name}` is {found}; it must be from -{MAX:e} to {MAX:e}");
    Err(Error::invalid(format!("{path}.{name}"), message))
}

impl Candidate {
    /// The natural logarithm of its probability, from the model's logprobs of its tokens; `None` is the first one of a text that no token
    /// precedes, which does not count.
    pub(super) fn logprob(&self, logprobs: impl Iterator<Item = Option<f64>>, formula: &Formula) -> f64 {
        let is_unknown = |token: TokenId| Some(token) == self.unk;
        let each = logprobs.zip(self.tokens.iter().copied());
        match &self.word_probs {
            None => each
                .filter_map(|(logprob, token)| match is_unknown(token) {
                    true => of_unknown(formula.unknown, logprob?),
                    false => logprob,
                })
                .fold(0.0, |sum, logprob| sum + logprob),
            Some(probs) => {
                let known = each.map(|(logprob, token)| logprob.filter(|_| !is_unknown(token)));
                probs.interpolated(known, formula.rescoring.lambda)
            }
        }
    }
}
