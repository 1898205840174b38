//! How a word is joined to the text before it: with a space or without one.
//!
//! The decision depends only on the tail of the text, so the text does not depend on how it is divided into requests.

use super::rules::Rules;
use super::split::{Part, Pattern};
use crate::lm::TokenId;

/// Joins words to a text that splits into the same words again.
pub(super) struct WordJoiner<'a> {
    pub(super) rules: &'a Rules,
    pub(super) pattern: &'a Pattern,
}

impl WordJoiner<'_> {
    /// The separator between the words `before` and `next`: a space or nothing, as punctuation requires, unless only the other
    /// choice gives the same two words when the text is split again.
    ///
    /// If neither choice gives the same words, because a `replace` rule changes them, punctuation decides.
    pub(super) fn separator(&self, before: Neighbour<'_>, next: Neighbour<'_>) -> &'static str {
        let [usual, other] =
            if takes_no_space_after(before) || takes_no_space_before(next) { ["", " "] } else { [" ", ""] };
        if usual == " " && !self.rules.replace_white_space() {
            return usual;
        }
        let splits_back = |separator| self.splits_back(before.entry, separator, next.entry);
        if !splits_back(usual) && splits_back(other) { other } else { usual }
    }

    /// Whether the joined text splits into the two words again, at the end of a text or before a letter. `'` and `s` without a space
    /// do not, because they become `'s`; and the `'` of `d'ye` may be one word before a letter and another elsewhere.
    fn splits_back(&self, before: &str, separator: &str, next: &str) -> bool {
        let begins_with_both = |after: &str| {
            let text = format!("{before}{separator}{next}{after}");
            let rewritten = self.rules.apply(&text);
            let mut words = self.pattern.split(rewritten.text()).map(|part| match part {
                Part::Word(range) | Part::Unmatched(range) => &rewritten.text()[range],
            });
            words.next() == Some(before)
                && words.next() == Some(next)
                && (words.next().is_none() || !after.is_empty())
        };
        begins_with_both("") || begins_with_both("a")
    }
}

/// A word on one side of a separator.
#[derive(Clone, Copy)]
pub(super) struct Neighbour<'a> {
    pub(super) entry: &'a str,
    /// Whether the word, if it is a straight quote, opens a quotation: since the last line end, as far as the tail reaches, an even
    /// number of the same quotes precedes it.
    pub(super) opens_if_quote: bool,
}

impl<'a> Neighbour<'a> {
    /// The word `entry`, which is the token `token` after the tokens `past`.
    pub(super) fn new(entry: &'a str, token: TokenId, past: &[TokenId], newline: Option<TokenId>) -> Self {
        let line = past.iter().rev().take_while(|&&other| Some(other) != newline);
        let same = line.filter(|&&other| other == token).count();
        Self { entry, opens_if_quote: same.is_multiple_of(2) }
    }
}

fn takes_no_space_after(word: Neighbour<'_>) -> bool {
    match word.entry {
        "(" | "[" | "{" | "“" | "‘" | "—" | "-" | "$" | "£" | "#" => true,
        "\"" | "'" => word.opens_if_quote,
        _ => false,
    }
}

fn takes_no_space_before(word: Neighbour<'_>) -> bool {
    match word.entry {
        "." | "," | ";" | ":" | "!" | "?" | ")" | "]" | "}" | "”" | "’" | "%" | "…" | "—" | "-" => {
            true
        }
        "\"" | "'" => !word.opens_if_quote,
        entry => entry.strip_prefix('\'').is_some_and(|rest| rest.starts_with(char::is_alphabetic)),
    }
}
