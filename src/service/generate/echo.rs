//! The input of a generation, shown again.

use crate::api::generate::{Alternative, PromptToken};
use crate::api::unknown::Unknown;
use crate::catalog::Served;
use crate::engine::jobs::ReadToken;
use crate::service::input::Prepared;
use crate::service::score::{Place, ScoredText};
use crate::service::tokens::token;
use crate::text::{Decoder, Tail};

/// An input that is shown again.
pub(super) struct Echo {
    input: Prepared,
    /// Where the input was read.
    before: Tail,
    /// The number of tokens read before it.
    tokens_before: u64,
}

impl Echo {
    pub(super) fn new(input: Prepared, before: Tail, tokens_before: u64) -> Self {
        Self { input, before, tokens_before }
    }

    /// The input as it was given, or the text that its tokens add.
    pub(super) fn text(&self, served: &Served) -> String {
        match &self.input.source {
            Some(source) => source.text.clone(),
            None => {
                let mut decoder: Decoder = served.tokenizer.decoder(&self.before);
                self.input.tokens.iter().map(|&token| decoder.push(token)).collect()
            }
        }
    }

    /// The tokens of the input with their scores.
    pub(super) fn tokens(&self, served: &Served, scores: Vec<ReadToken>) -> Vec<PromptToken> {
        let logprobs = scores.iter().map(|score| score.logprob).collect();
        let is_preceded = self.tokens_before > 0 || !served.initial_tokens.is_empty();
        let place = Place { served, tail: self.before.clone(), is_preceded };
        let scored = ScoredText::new(&place, &self.input, logprobs, Unknown::Include);
        let listed = scored.tokens(&place).into_iter().zip(&scores);
        let Place { mut tail, .. } = place;
        let each = listed.map(|(scored, ReadToken { alternatives, .. })| {
            // Without a token before it there is no distribution.
            let shown = alternatives.iter().filter(|_| scored.logprob.is_some());
            let top_logprobs = shown
                .map(|&(id, logprob)| Alternative { token: token(served, &tail, id), logprob })
                .collect();
            tail.extend(&[scored.token.token.id]);
            PromptToken { token: scored, top_logprobs }
        });
        each.collect()
    }
}
