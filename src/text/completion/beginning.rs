//! Where a word begins that is to be completed: what was typed of it, and the text before it.

use super::super::split::Part;
use super::super::tail::{Joint, Tail};
use super::super::tokenizer::{Scheme, Tokenizer};
use super::{Case, Progress, Typed, is_inner};
use crate::lm::TokenId;

/// A text, divided before its unfinished last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfTyped<'t> {
    /// The finished words.
    pub finished: &'t str,
    /// The unfinished word, with the white space before it where a token may contain both.
    pub typed: &'t str,
}

/// Where a word begins after the text that ends with a tail.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// What was typed, as tokens have it.
    pub typed: Typed,
    /// How far the word has come.
    pub progress: Progress,
    tail: Tail,
    /// How many characters of the word's text were typed.
    typed_chars: usize,
    /// Whether white space that the word's text begins with was typed.
    has_space: bool,
}

/// A word as the person who types sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedWord {
    /// The whole word.
    pub text: String,
    /// What is to be appended to what was typed.
    pub append: String,
}

impl Tokenizer {
    /// Divides a text before its unfinished last word. If the text does not end within a word, nothing of the next one is typed.
    pub fn half_typed<'t>(&self, text: &'t str) -> HalfTyped<'t> {
        let start = match self.scheme() {
            Scheme::Whitespace => text.trim_end_matches(|c: char| !c.is_whitespace()).len(),
            Scheme::Word(pattern) => {
                let run = text.trim_end_matches(|c: char| !c.is_whitespace()).len();
                let last = pattern.split(&text[run..]).last().map(|part| match part {
                    Part::Word(range) | Part::Unmatched(range) => run + range.start,
                });
                last.filter(|&at| text[at..].contains(char::is_alphanumeric)).unwrap_or(text.len())
            }
            Scheme::Char => text.trim_end_matches(is_inner).len(),
            Scheme::HuggingFace(_) => {
                let finished = text.trim_end_matches(is_inner);
                finished.strip_suffix(' ').unwrap_or(finished).len()
            }
        };
        HalfTyped { finished: &text[..start], typed: &text[start..] }
    }

    /// Where the word begins of which `typed` was typed after a text that ends with `tail`.
    pub fn beginning(&self, tail: &Tail, typed: &str, case: Case) -> Beginning {
        let rewritten = self.rules().apply(typed);
        let word = rewritten.text().trim_start();
        let has_space = word.len() < rewritten.text().len();
        let (text, typed_chars) = match self.scheme() {
            Scheme::Whitespace | Scheme::Word(_) => (word.to_owned(), word.chars().count()),
            Scheme::HuggingFace(_) if self.space_is_implied(tail) => {
                (format!(" {word}"), word.chars().count())
            }
            _ => (rewritten.text().to_owned(), rewritten.text().chars().count()),
        };
        let typed = Typed::new(&text, case);
        let place = if self.is_apart(tail) { Progress::BeforeWord } else { Progress::AfterWord };
        let progress = Progress::start(&typed, place);
        Beginning { typed, progress, tail: tail.clone(), typed_chars, has_space }
    }

    /// Whether the text that ends with `tail` ends in white space, or is empty.
    fn is_apart(&self, tail: &Tail) -> bool {
        let Some(&last) = tail.tokens().last() else { return true };
        let text =
            self.piece(&Tail::new(&tail.tokens()[..tail.tokens().len() - 1], Joint::Closed), last).text;
        tail.joint == Joint::Open || text.ends_with(char::is_whitespace) || self.adds_no_text(last)
    }

    /// The word of `tokens`, which were chosen after `beginning`.
    pub fn completed(&self, beginning: &Beginning, tokens: &[TokenId]) -> CompletedWord {
        let mut tail = beginning.tail.clone();
        let mut text = String::new();
        for &token in tokens {
            text += &self.piece(&tail, token).text;
            tail.extend(&[token]);
        }
        self.shown(beginning, &text)
    }

    /// The extra word `word`, which is the unknown token `unk` to the model.
    pub fn completed_by_extra(&self, beginning: &Beginning, word: &str, unk: TokenId) -> CompletedWord {
        let piece = self.piece(&beginning.tail, unk).text;
        let separator = piece.strip_suffix(self.entry(unk)).unwrap_or_default();
        self.shown(beginning, &format!("{separator}{word}"))
    }

    /// What is shown of `text`, which follows the text before the word.
    fn shown(&self, beginning: &Beginning, text: &str) -> CompletedWord {
        let word = text.trim_start();
        let words_are_tokens = matches!(self.scheme(), Scheme::Whitespace | Scheme::Word(_));
        let is_begun = beginning.has_space || beginning.typed_chars > 0;
        let after = if words_are_tokens && is_begun { word } else { text };
        CompletedWord { append: after.chars().skip(beginning.typed_chars).collect(), text: word.to_owned() }
    }
}
