//! How a word joins on to the text before it: whether a space is due.
//!
//! The decision depends on a tail alone, so that a text comes out the same however it is cut into requests.

use super::rules::Rules;
use super::split::{Part, Pattern};
use crate::lm::TokenId;

/// Whether the word `next` follows `before` without a space: punctuation does where that reads well, and where reading the
/// result gives the same two words again.
pub(super) fn touches(pattern: &Pattern, rules: &Rules, before: Neighbour<'_>, next: Neighbour<'_>) -> bool {
    (opens(before) || closes(next)) && stay_apart(pattern, rules, before.entry, next.entry)
}

/// A word with what a straight quote must know of the past.
#[derive(Clone, Copy)]
pub(super) struct Neighbour<'a> {
    pub(super) entry: &'a str,
    /// Whether an even number of the same word precedes it since the last line end: the next straight quote opens.
    pub(super) even: bool,
}

impl<'a> Neighbour<'a> {
    /// `token` after the tokens `past`.
    pub(super) fn new(entry: &'a str, token: TokenId, past: &[TokenId], newline: Option<TokenId>) -> Self {
        let line = past.iter().rev().take_while(|&&other| Some(other) != newline);
        Self { entry, even: line.filter(|&&other| other == token).count() % 2 == 0 }
    }
}

/// No space after it.
fn opens(word: Neighbour<'_>) -> bool {
    match word.entry {
        "(" | "[" | "{" | "“" | "‘" | "—" | "-" | "$" | "£" | "#" => true,
        "\"" | "'" => word.even,
        _ => false,
    }
}

/// No space before it.
fn closes(word: Neighbour<'_>) -> bool {
    match word.entry {
        "." | "," | ";" | ":" | "!" | "?" | ")" | "]" | "}" | "”" | "’" | "%" | "…" | "—" | "-" => {
            true
        }
        "\"" | "'" => !word.even,
        entry => entry.strip_prefix('\'').is_some_and(|rest| rest.starts_with(char::is_alphabetic)),
    }
}

/// Whether the two words written together are split where they meet: `'` and `s` would become `'s`.
fn stay_apart(pattern: &Pattern, rules: &Rules, before: &str, next: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let rewritten = rules.apply(text);
        let parts = pattern.split(rewritten.text()).map(|part| match part {
            Part::Word(range) | Part::Unmatched(range) => rewritten.text()[range].to_owned(),
        });
        parts.collect()
    };
    words(&format!("{before}{next}")) == [words(before), words(next)].concat()
}
