//! The tokens of a completion with their log-probabilities, in the lists that OpenAI's clients read.

use crate::api::generate::{DrawnToken, PromptToken};
use crate::api::openai::{CompletionLogprobs, TopLogprobs};

/// The tokens of a choice so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    listed: CompletionLogprobs,
    /// The number of characters of the choice's text before the next token.
    offset: usize,
}

/// A token and where it ends.
struct Entry<'a> {
    text: &'a str,
    logprob: Option<f64>,
    top: Option<TopLogprobs>,
    end: usize,
}

impl Listing {
    /// The tokens of a prompt of `text_length` characters, which begins with the model's initial tokens; those add the texts `initial`.
    pub(super) fn of_prompt(initial: &[String], tokens: &[PromptToken], text_length: usize) -> Self {
        let mut listing = Self::default();
        for text in initial {
            let end = listing.offset + text.chars().count();
            listing.push(Entry { text, logprob: None, top: None, end });
        }
        let before = listing.offset;
        for PromptToken { token: scored, top_logprobs } in tokens {
            let text = &scored.token.token.text;
            // A given text is shown as it was given: what lies between two words belongs to the second.
            let end = match scored.token.end {
                Some(end) => before + end,
                None => listing.offset + text.chars().count(),
            };
            let top = scored.logprob.map(|logprob| TopLogprobs::new(top_logprobs, text, logprob));
            listing.push(Entry { text, logprob: scored.logprob, top, end });
        }
        listing.offset = text_length;
        listing
    }

    /// Adds a token that was drawn.
    pub(super) fn drawn(&mut self, DrawnToken { token, logprob, top_logprobs }: &DrawnToken) {
        let top = TopLogprobs::new(top_logprobs, &token.text, *logprob);
        let end = self.offset + token.text.chars().count();
        self.push(Entry { text: &token.text, logprob: Some(*logprob), top: Some(top), end });
    }

    /// What has been listed since the last call.
    pub(super) fn take(&mut self) -> CompletionLogprobs {
        std::mem::take(&mut self.listed)
    }

    fn push(&mut self, Entry { text, logprob, top, end }: Entry<'_>) {
        self.listed.tokens.push(text.to_owned());
        self.listed.token_logprobs.push(logprob);
        self.listed.top_logprobs.push(top);
        self.listed.text_offset.push(self.offset);
        self.offset = end;
    }
}
