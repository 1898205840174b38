//! Use case: texts to tokens and back where special tokens stand in the text by their names.

use crate::api::openai::{
    DetokenizePromptRequest, DetokenizedPrompt, TokenizePromptRequest, TokenizedPrompt, TokenizerInfo,
};
use crate::api::prompt::TextOrIds;
use crate::catalog::Served;
use crate::error::{Error, ErrorKind, Result};
use crate::lm::TokenId;
use crate::service::Service;
use crate::service::input::{Input, Use};
use crate::text::Tail;

/// A part of a text.
#[derive(Debug, PartialEq)]
enum Part<'t> {
    /// A special token, by its name.
    Special(TokenId),
    /// Text between special tokens, and the number of characters before it.
    Text { text: &'t str, start: usize },
}

impl Service {
    /// The tokenizer of a model.
    ///
    /// # Errors
    /// Unknown model.
    pub fn tokenizer_info(&self, model: Option<&str>) -> Result<TokenizerInfo> {
        let served = &self.named_model(model)?;
        let tokenizer = &served.tokenizer;
        let entry = |token| tokenizer.entry(token).to_owned();
        let first = match served.initial_tokens.as_slice() {
            [token] => Some(*token),
            _ => None,
        };
        Ok(TokenizerInfo {
            model: served.name.to_string(),
            tokenizer_kind: tokenizer.kind().name(),
            tokenizer_sha256: tokenizer.sha256().to_owned(),
            vocab_size: tokenizer.vocab_size(),
            bos_token: first.map(entry),
            eos_token: tokenizer.eos().map(entry),
            unk_token: tokenizer.unk().map(entry),
            pad_token: None,
            chat_template: None,
        })
    }

    /// The tokens of a text in which special tokens stand by their names.
    ///
    /// # Errors
    /// Unknown model; text too long; an unknown word where the model has no unknown token.
    pub async fn tokenize_prompt(&self, request: TokenizePromptRequest) -> Result<TokenizedPrompt> {
        let served = &self.named_model(request.model.as_deref())?;
        let text_max = self.config.limits.max_text;
        let text = &request.prompt;
        if text.len() > text_max.0 {
            let found = text.len();
            let message = format!("`prompt` has {found} bytes; the maximum is {text_max} (`--max-text`)");
            return Err(Error::new(ErrorKind::TextTooLong, message).at("prompt"));
        }
        let mut tokens = Vec::new();
        if request.add_special_tokens {
            tokens.extend_from_slice(&served.initial_tokens);
        }
        let tokens_max = self.config.limits.max_prompt_tokens;
        for part in parts(text, &specials(served)) {
            match part {
                Part::Special(token) => tokens.push(token),
                Part::Text { text, start } => {
                    let value = TextOrIds::Text(text.to_owned());
                    let input = Input { value, path: "prompt", purpose: Use::Read };
                    let prepared = self.prepare(served, input).await;
                    tokens.extend_from_slice(&prepared.map_err(|error| counted_from(start, error))?.tokens);
                }
            }
            if tokens.len() > tokens_max {
                let message = format!(
                    "`prompt` has more than {tokens_max} tokens; the maximum is {tokens_max} (`--max-prompt-tokens`)"
                );
                return Err(Error::new(ErrorKind::TextTooLong, message).at("prompt"));
            }
        }
        self.keep(self.room_for_ids(served, tokens.len(), 0).map_err(|error| error.at("prompt"))?);
        Ok(TokenizedPrompt { count: tokens.len(), tokens })
    }

    /// The text of tokens, in which special tokens that add no text stand by their names.
    ///
    /// # Errors
    /// Unknown model; a token out of range; too many tokens.
    pub async fn detokenize_prompt(&self, request: DetokenizePromptRequest) -> Result<DetokenizedPrompt> {
        let served = &self.named_model(request.model.as_deref())?;
        let input = Input { value: TextOrIds::Ids(request.tokens), path: "tokens", purpose: Use::Read };
        let prepared = self.prepare(served, input).await?;
        let tokenizer = &served.tokenizer;
        let entries = prepared.tokens.iter().map(|&token| tokenizer.entry(token).len() + 1);
        self.keep(self.room_for_text(entries.sum())?);
        let mut silent = specials(served);
        silent.retain(|special| tokenizer.decode(&[special.token]).is_empty());
        let mut decoder = tokenizer.decoder(&Tail::default());
        let mut prompt = String::new();
        for &token in &*prepared.tokens {
            prompt.push_str(&decoder.push(token));
            if let Some(special) = silent.iter().find(|special| special.token == token) {
                prompt.push_str(special.name);
            }
        }
        prompt.push_str(&decoder.finish());
        Ok(DetokenizedPrompt { prompt })
    }
}

/// A token and the name by which it stands in a text.
#[derive(Clone, Copy, Debug)]
struct Special<'a> {
    token: TokenId,
    name: &'a str,
}

/// The tokens that a text can name: those that end a text, stand for unknown words, or are read first. White space names none.
fn specials(served: &Served) -> Vec<Special<'_>> {
    let tokenizer = &served.tokenizer;
    let mut tokens = served.initial_tokens.clone();
    tokens.extend(tokenizer.eos());
    tokens.extend(tokenizer.unk());
    tokens.sort_unstable();
    tokens.dedup();
    let each = tokens.into_iter().map(|token| Special { token, name: tokenizer.entry(token) });
    each.filter(|special| !special.name.trim().is_empty()).collect()
}

/// Cuts `text` at the names of `specials`. Of two names that begin at one place, the longer is meant.
fn parts<'t>(text: &'t str, specials: &[Special<'_>]) -> Vec<Part<'t>> {
    let find = |special: &Special<'_>, from: usize| text[from..].find(special.name).map(|at| from + at);
    // Where each name occurs next; found anew only when it lies behind, so that the text is searched once for each.
    let mut next: Vec<(Option<usize>, Special<'_>)> =
        specials.iter().map(|special| (find(special, 0), *special)).collect();
    let mut parts = Vec::new();
    // The end of what was cut off, in bytes and in characters.
    let mut end = 0;
    let mut start = 0;
    loop {
        for (at, special) in &mut next {
            if at.is_some_and(|at| at < end) {
                *at = find(&*special, end);
            }
        }
        let nearest = next.iter().filter_map(|(at, special)| Some((at.as_ref()?, special)));
        let nearest = nearest.min_by_key(|(at, special)| (**at, usize::MAX - special.name.len()));
        let before = &text[end..nearest.map_or(text.len(), |(&at, _)| at)];
        if !before.is_empty() {
            parts.push(Part::Text { text: before, start });
        }
        let Some((&at, special)) = nearest else { return parts };
        parts.push(Part::Special(special.token));
        start += before.chars().count() + special.name.chars().count();
        end = at + special.name.len();
    }
}

/// The same error about a part of the text that begins after `start` characters.
fn counted_from(start: usize, error: Error) -> Error {
    match error.kind {
        ErrorKind::UnknownToken if start > 0 => {
            let message = format!(
                "{}; counted from character {start} of `prompt`, where a special token ends",
                error.message
            );
            Error { message, ..error }
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_names_and_the_longer_of_two_is_meant() {
        let specials = [
            Special { token: 0, name: "<e>" },
            Special { token: 1, name: "<e>x" },
            Special { token: 2, name: "é" },
        ];
        let text = |text, start| Part::Text { text, start };
        for (given, expected) in [
            ("", vec![]),
            ("a b", vec![text("a b", 0)]),
            ("<e>", vec![Part::Special(0)]),
            ("<e>xé", vec![Part::Special(1), Part::Special(2)]),
            (
                "ü<e> <e<e>xy",
                vec![text("ü", 0), Part::Special(0), text(" <e", 4), Part::Special(1), text("y", 11)],
            ),
        ] {
            assert_eq!(parts(given, &specials), expected, "{given}");
        }
    }

    #[test]
    fn the_place_of_an_unknown_word_is_counted_from_a_special_token() {
        let error = || Error::new(ErrorKind::UnknownToken, "`z` at character 1 is not known");
        assert_eq!(counted_from(0, error()).message, error().message);
        let message = counted_from(7, error()).message;
        assert!(
            message.ends_with("counted from character 7 of `prompt`, where a special token ends"),
            "{message}"
        );
    }
}
