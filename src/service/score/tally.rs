//! The figures of a scored text: counted as it is read, then divided.

use crate::api::score::{Score, Tally};

/// Adds the counts and the log-probability of another text.
pub fn add_tally(total: &mut Tally, other: &Tally) {
    total.token_count += other.token_count;
    total.scored_count += other.scored_count;
    total.unknown_count += other.unknown_count;
    total.word_count += other.word_count;
    total.char_count += other.char_count;
    total.byte_count += other.byte_count;
    total.logprob += other.logprob;
}

/// The score that follows from a tally.
pub fn figures(tally: Tally) -> Score {
    Score {
        tally,
        // As ARPA tools count.
        logprob_base10: tally.logprob / std::f64::consts::LN_10,
        perplexity: nats_per(&tally, tally.scored_count).and_then(exp),
        word_perplexity: nats_per(&tally, tally.word_count).and_then(exp),
        bits_per_token: nats_per(&tally, tally.scored_count).map(to_bits),
        bits_per_char: nats_per(&tally, tally.char_count).map(to_bits),
        bits_per_byte: nats_per(&tally, tally.byte_count).map(to_bits),
        token_logprobs: None,
    }
}

/// Nats for each of `count`; nothing if nothing was scored.
fn nats_per(tally: &Tally, count: usize) -> Option<f64> {
    // Subtracted from 0: a text that is certain has 0 bits, not -0.
    (tally.scored_count > 0 && count > 0).then(|| (0.0 - tally.logprob) / count as f64)
}

/// Nothing where no number is large enough: a single word of many tokens can be that unlikely.
fn exp(nats: f64) -> Option<f64> {
    Some(libm::exp(nats)).filter(|value| value.is_finite())
}

fn to_bits(nats: f64) -> f64 {
    nats / std::f64::consts::LN_2
}

/// Counts a text that may come in pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter {
    tally: Tally,
    is_inside_word: bool,
}

impl Counter {
    /// The next tokens were read, of which those with a log-probability were scored.
    pub(super) fn tokens(&mut self, logprobs: &[Option<f64>]) {
        self.tally.token_count += logprobs.len();
        for logprob in logprobs.iter().flatten() {
            self.tally.scored_count += 1;
            self.tally.logprob += logprob;
        }
    }

    /// Of the tokens read, so many stand for words that are not in the vocabulary.
    pub(super) fn unknown(&mut self, count: usize) {
        self.tally.unknown_count += count;
    }

    /// The next piece of the scored part of the text.
    pub(super) fn text(&mut self, piece: &str) {
        self.tally.byte_count += piece.len();
        for character in piece.chars() {
            self.tally.char_count += 1;
            let is_word = !character.is_whitespace();
            self.tally.word_count += usize::from(is_word && !self.is_inside_word);
            self.is_inside_word = is_word;
        }
    }

    /// What was counted so far.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn what_is_not_scored_has_a_sum_of_0_and_no_ratios() {
        let tally = Tally { token_count: 1, unknown_count: 1, ..Tally::default() };
        let expected = json!({"token_count": 1, "scored_count": 0, "unknown_count": 1, "word_count": 0,
            "char_count": 0, "byte_count": 0, "logprob": 0.0, "logprob_base10": 0.0, "perplexity": null,
            "word_perplexity": null, "bits_per_token": null, "bits_per_char": null, "bits_per_byte": null});
        assert_eq!(to_value(figures(tally)).unwrap(), expected);
    }

    #[test]
    fn a_certain_text_has_perplexity_1_and_no_bits() {
        let tally = Tally { token_count: 2, scored_count: 2, word_count: 1, ..Tally::default() };
        let score = to_value(figures(tally)).unwrap();
        assert_eq!((&score["perplexity"], &score["bits_per_char"]), (&json!(1.0), &json!(null)));
        assert_eq!(score["bits_per_token"].to_string(), "0.0", "without a sign");
    }

    #[test]
    fn a_word_that_is_split_over_pieces_counts_once() {
        let mut counter = Counter::default();
        for piece in ["the s", "ea ", " of", " ", "stars"] {
            counter.text(piece);
        }
        let Tally { word_count, char_count, .. } = counter.tally();
        assert_eq!((word_count, char_count), (4, 17));
    }
}
