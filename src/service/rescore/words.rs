//! The probabilities that another language model gives to the words of a hypothesis, interpolated with those of this one.
//!
//! Other models count words; this one has tokens, of which a word may have several. A word's probability is then the product of those of
//! its tokens.

use std::ops::Range;
use std::str::Chars;

use crate::error::{Error, Result};

/// The probabilities of words, and the words that tokens belong to.
pub(super) struct WordProbs {
    /// Of each word, and of the end of the text if it is scored.
    probs: Vec<f64>,
    /// For each token but an end-of-text token, the index of its word.
    words: Vec<usize>,
}

impl WordProbs {
    /// # Errors
    /// A number of probabilities other than `expected`; one that is 0 or not a probability. `param` is a path within the hypothesis.
    pub(super) fn checked(probs: Vec<f64>, words: Vec<usize>, expected: usize) -> Result<Self> {
        if probs.len() != expected {
            let found = probs.len();
            let message = format!(
                "`word_probs` has {found} entries; expected {expected}: one for each word, and one for the end of the text if it is scored"
            );
            return Err(Error::invalid("word_probs", message));
        }
        if let Some(index) = probs.iter().position(|&prob| !(prob > 0.0 && prob <= 1.0)) {
            let message = format!("the probability is {}; it must be above 0 and at most 1", probs[index]);
            return Err(Error::invalid(format!("word_probs[{index}]"), message));
        }
        Ok(Self { probs, words })
    }

    /// `sum ln(lambda * p_model + (1 - lambda) * p)`. `logprobs` has those of the tokens, an end-of-text token included; a word with a
    /// token that has none counts by `p` alone.
    pub(super) fn interpolated(&self, logprobs: impl Iterator<Item = Option<f64>>, lambda: f64) -> f64 {
        let Some(last) = self.probs.len().checked_sub(1) else {
            // White space alone: no word, and no end.
            return logprobs.flatten().fold(0.0, |sum, logprob| sum + logprob);
        };
        let mut own: Vec<Option<f64>> = vec![Some(0.0); self.probs.len()];
        for (index, logprob) in logprobs.enumerate() {
            // White space after the last word belongs to the end.
            let word = self.words.get(index).copied().unwrap_or(last).min(last);
            own[word] = own[word].and_then(|sum| Some(sum + logprob?));
        }
        let each = own.into_iter().zip(&self.probs);
        each.map(|(own, &prob)| {
            own.map_or_else(|| libm::log(prob), |own| mixed(lambda, own, libm::log(prob)))
        })
        .fold(0.0, |sum, logprob| sum + logprob)
    }
}

/// `ln(lambda * exp(own) + (1 - lambda) * exp(other))`, also where `exp(own)` is 0 as a number.
fn mixed(lambda: f64, own: f64, other: f64) -> f64 {
    let largest = match lambda {
        0.0 => return other,
        1.0 => return own,
        _ => own.max(other),
    };
    largest + libm::log(lambda * libm::exp(own - largest) + (1.0 - lambda) * libm::exp(other - largest))
}

/// Counts the words of a text as it is read.
#[derive(Default)]
pub(super) struct WordCount {
    begun: usize,
    is_inside: bool,
}

impl WordCount {
    /// Reads more of the text.
    pub(super) fn read(&mut self, text: &str) {
        text.chars().for_each(|character| _ = self.pass(character));
    }

    /// The number of words so far.
    pub(super) fn words(&self) -> usize {
        self.begun
    }

    /// Reads a character, and returns the index of the word in which it lies. White space belongs to the word after it.
    fn pass(&mut self, character: char) -> usize {
        let is_word = !character.is_whitespace();
        self.begun += usize::from(is_word && !self.is_inside);
        self.is_inside = is_word;
        if is_word { self.begun - 1 } else { self.begun }
    }
}

/// For each token, given by the characters that it stands for, the index of the word in `text` in which its last character lies. White
/// space belongs to the word after it.
pub(super) fn words_of_tokens(text: &str, spans: &[Range<usize>]) -> Vec<usize> {
    let mut place = Place::at_start(text);
    spans.iter().map(|span| place.word_at(span.end.saturating_sub(1))).collect()
}

/// A place in a text that moves with the tokens, whose places rise as a rule: so nothing is noted for each character.
struct Place<'t> {
    text: &'t str,
    rest: Chars<'t>,
    /// The number of characters before `rest`.
    passed: usize,
    /// The word of the last of them.
    word: usize,
    count: WordCount,
}

impl<'t> Place<'t> {
    fn at_start(text: &'t str) -> Self {
        Self { text, rest: text.chars(), passed: 0, word: 0, count: WordCount::default() }
    }

    /// The word in which the character `index` lies, or the last one of the text.
    fn word_at(&mut self, index: usize) -> usize {
        if index + 1 < self.passed {
            *self = Self::at_start(self.text);
        }
        let ahead = index + 1 - self.passed;
        for character in self.rest.by_ref().take(ahead) {
            self.word = self.count.pass(character);
            self.passed += 1;
        }
        self.word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_belong_to_the_word_in_which_they_end() {
        // The, space and comma, and a character at a time.
        assert_eq!(words_of_tokens("the sea, man", &[0..3, 3..7, 7..8, 9..12]), [0, 1, 1, 2]);
        assert_eq!(words_of_tokens(" é b ", &[0..1, 1..2, 2..3, 3..4, 4..5]), [0, 0, 1, 1, 2]);
        // Of a token without characters, and of places that do not rise.
        assert_eq!(words_of_tokens("the sea", &[0..0, 6..7, 0..1, 4..4]), [0, 1, 0, 1]);
        assert_eq!(words_of_tokens("", std::slice::from_ref(&(0..0))), [0]);
    }

    #[test]
    fn words_are_counted_as_a_text_arrives() {
        let mut count = WordCount::default();
        for (part, words) in [(" th", 1), ("e", 1), ("", 1), (" ", 1), ("\u{3000}old man\n", 3)] {
            count.read(part);
            assert_eq!(count.words(), words, "{part:?}");
        }
    }

    #[test]
    fn a_word_has_the_product_of_its_tokens_and_an_unknown_one_the_other_probability() {
        let probs = WordProbs::checked(vec![0.5, 0.25, 0.125, 0.5], vec![0, 0, 1, 2], 4).unwrap();
        let ln = libm::log;
        let own = [Some(ln(0.5)), Some(ln(0.5)), None, Some(ln(0.25)), Some(ln(0.1))];
        let found = probs.interpolated(own.into_iter(), 0.75);
        let expected = ln(0.75 * 0.25 + 0.25 * 0.5)
            + ln(0.25)
            + ln(0.75 * 0.25 + 0.25 * 0.125)
            + ln(0.75 * 0.1 + 0.25 * 0.5);
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    #[test]
    fn the_ends_of_lambda_are_exact_and_a_tiny_probability_is_no_0() {
        assert_eq!((mixed(0.0, -3.0, -2.0), mixed(1.0, -3.0, -2.0)), (-2.0, -3.0));
        assert!(
            (mixed(0.5, -2000.0, -2001.0) - (-2000.0 + libm::log(0.5 + 0.5 * libm::exp(-1.0)))).abs() < 1e-9
        );
        assert!(WordProbs::checked(vec![0.0], vec![], 1).is_err());
        assert!(WordProbs::checked(vec![1.5], vec![], 1).is_err());
        assert!(WordProbs::checked(vec![0.5], vec![], 2).is_err());
    }
}
