//! How a word joins on to the text before it: whether a space is due.
//!
//! The decision depends on a tail alone, so that a text comes out the same however it is cut into requests.

use super::rules::Rules;
use super::split::{Part, Pattern};
use crate::lm::TokenId;

/// How texts fall into words, as joining words must know it.
pub(super) struct Words<'a> {
    pub(super) rules: &'a Rules,
    pub(super) pattern: &'a Pattern,
}

impl Words<'_> {
    /// What stands between the words `before` and `next`: nothing or a space, whichever reads well, unless only the other one gives
    /// the same two words when the text is read again.
    ///
    /// Words that read back neither way, because a `replace` rule turns them into others, come out as they read well.
    pub(super) fn separator(&self, before: Neighbour<'_>, next: Neighbour<'_>) -> &'static str {
        let [fitting, other] = if opens(before) || closes(next) { ["", " "] } else { [" ", ""] };
        if fitting == " " && !self.rules.replace_white_space() {
            return fitting;
        }
        let reads_back = |separator| self.read_back(before.entry, separator, next.entry);
        if !reads_back(fitting) && reads_back(other) { other } else { fitting }
    }

    /// Whether the two words are split where they meet, by themselves or with a letter after them: `'` and `s` would become `'s`,
    /// and the `'` of `d'ye` may be one word before a letter and another before anything else.
    fn read_back(&self, before: &str, separator: &str, next: &str) -> bool {
        let begin_with_both = |after: &str| {
            let text = format!("{before}{separator}{next}{after}");
            let rewritten = self.rules.apply(&text);
            let mut words = self.pattern.split(rewritten.text()).map(|part| match part {
                Part::Word(range) | Part::Unmatched(range) => &rewritten.text()[range],
            });
            words.next() == Some(before)
                && words.next() == Some(next)
                && (words.next().is_none() || !after.is_empty())
        };
        begin_with_both("") || begin_with_both("a")
    }
}

/// A word with what a straight quote must know of the past.
#[derive(Clone, Copy)]
pub(super) struct Neighbour<'a> {
    pub(super) entry: &'a str,
    /// Whether an even number of the same word precedes it since the last line end, as far as the tail reaches: a straight quote
    /// then opens.
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
