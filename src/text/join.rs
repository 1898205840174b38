//! How a word is joined to the text before it, so that the text splits into the same words again.
//!
//! Punctuation decides, unless the text would then split into other words: `.` after `..` would become `…` by a rule of `replace`, and
//! `clock` after `o'` one word. Each choice looks at the few words before it whose joints could depend on each other. It depends
//! only on the tail of the text, so the text does not depend on how it is divided into requests.
//!
//! What was written cannot be revised, so a choice that is right for what usually follows can be wrong for what does: after `d`, an
//! apostrophe is joined as in `d'ye`, and if `Arc` follows it, the three are one word of the shipped pattern, as in `D'Arcy`.

use super::rules::Rules;
use super::split::{Pattern, whitespace};
use crate::lm::TokenId;

/// Joins words to a line of text.
pub(super) struct Joiner<'a> {
    pub(super) rules: &'a Rules,
    pub(super) words: Words<'a>,
}

/// How a line is split into words.
#[derive(Clone, Copy)]
pub(super) enum Words<'a> {
    Pattern(&'a Pattern),
    WhiteSpace,
}

/// A word: a token that adds text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) token: TokenId,
    pub(super) entry: &'a str,
}

/// The end of a line of text.
pub(super) struct Line<'a> {
    /// Its last words, oldest first.
    pub(super) words: Vec<Word<'a>>,
    /// Whether these are all of its words, after a line end.
    pub(super) follows_line_end: bool,
}

/// The number of words before a joint that are looked at. With [`QUOTES_MAX`] more for each of them, this is what a tail holds.
const RUN_MAX: usize = 16;

/// The number of words before a quote in which others like it are counted.
const QUOTES_MAX: usize = super::Tail::TOKENS_MAX - RUN_MAX;

/// What may stand between two words. The tab is the last resort: no rule that people write for spaces applies to it.
type Separator = &'static str;

impl Joiner<'_> {
    /// What separates `next` from `line`. If with every separator the text splits into other words, because a rule changes them,
    /// punctuation decides.
    pub(super) fn separator<'w>(&self, mut line: Line<'w>, next: Word<'w>) -> Separator {
        let next_at = line.words.len();
        line.words.push(next);
        if next_at > 0 && self.is_surely_a_space(&line.words, next_at) {
            return " ";
        }
        let first =
            (0..next_at).rev().take(RUN_MAX).find(|&at| at > 0 && self.is_surely_a_space(&line.words, at));
        let first = first.unwrap_or(next_at.saturating_sub(RUN_MAX));
        let at_line_end = line.follows_line_end && first == 0;
        let mut run = Run { joiner: self, text: String::new(), words: Vec::new(), at_line_end };
        if at_line_end {
            run.text.push('\n');
        }
        let mut separator = "";
        for at in first..=next_at {
            let is_open = at == first && !at_line_end;
            separator =
                if is_open { "" } else { run.separator(self.usual(&line.words, at), line.words[at].entry) };
            run.push(separator, line.words[at].entry);
        }
        separator
    }

    /// Whether the words at `at - 1` and `at` are joined by a space whatever else the text contains.
    fn is_surely_a_space(&self, words: &[Word<'_>], at: usize) -> bool {
        // A word that is joined to the one before it may end otherwise before a space: `s0` after a `'` is not `s` after it.
        let ends_surely = at == 1
            || !words[at - 1].entry.starts_with(char::is_alphanumeric)
            || self.may_be_a_space(words, at - 1);
        self.may_be_a_space(words, at) && ends_surely
    }

    /// Whether a space usually joins the words at `at - 1` and `at`, and they are split there again.
    fn may_be_a_space(&self, words: &[Word<'_>], at: usize) -> bool {
        let before = words[at - 1].entry;
        let next = words[at].entry;
        if self.usual(words, at) != " " || self.rules.may_replace_space_between(before, next) {
            return false;
        }
        if matches!(self.words, Words::WhiteSpace) && self.rules.keep_words() {
            // The common case, which the split below would decide in the same way.
            return [before, next].into_iter().all(is_without_white_space);
        }
        let text = format!("{before} {next}");
        self.split(self.rules.apply(&text).text()) == [before, next]
    }

    /// What usually separates the words at `at - 1` and `at`.
    fn usual(&self, words: &[Word<'_>], at: usize) -> Separator {
        let Some(before) = at.checked_sub(1) else { return "" };
        match self.words {
            Words::WhiteSpace => " ",
            Words::Pattern(_) if takes_no_space_after(words, before) || takes_no_space_before(words, at) => {
                ""
            }
            Words::Pattern(_) => " ",
        }
    }

    fn split<'t>(&self, line: &'t str) -> Vec<&'t str> {
        match self.words {
            Words::Pattern(pattern) => pattern.split(line).map(|part| &line[part.into_range()]).collect(),
            Words::WhiteSpace => whitespace(line).map(|range| &line[range]).collect(),
        }
    }
}

fn is_without_white_space(word: &str) -> bool {
    !word.is_empty() && !word.contains(char::is_whitespace)
}

/// Words that were joined.
struct Run<'r> {
    joiner: &'r Joiner<'r>,
    text: String,
    words: Vec<&'r str>,
    /// Whether the text begins with the line end before the first word.
    at_line_end: bool,
}

impl<'r> Run<'r> {
    /// What separates `next` from the run, if possible `usual`.
    fn separator(&self, usual: Separator, next: &str) -> Separator {
        let mut separators = vec![usual];
        separators.extend(["", " ", "\t"].into_iter().filter(|other| *other != usual));
        if matches!(self.joiner.words, Words::WhiteSpace) && !self.words.is_empty() {
            separators.retain(|separator| !separator.is_empty());
        }
        let splits_before = |follows: &[&str]| {
            let splits_back = |separator: &Separator| {
                follows.iter().all(|follow| self.splits_back(separator, next, follow))
            };
            separators.iter().copied().find(splits_back)
        };
        // How a punctuation mark splits may depend on what follows, which is not known yet.
        let is_mark = !next.ends_with(char::is_alphanumeric);
        let surely = if is_mark { splits_before(&["", "a"]) } else { None };
        let before_space = || splits_before(&[""]);
        let before_letter = || if is_mark { splits_before(&["a"]) } else { None };
        // Some words are words only before a digit: `'s0` is `'`, `s` and `0`, but `'s` is a clitic.
        let before_digit = || splits_before(&["0"]);
        surely.or_else(before_space).or_else(before_letter).or_else(before_digit).unwrap_or(usual)
    }

    /// Whether the run with `next` splits into its words again, before `follow`.
    fn splits_back(&self, separator: &str, next: &str, follow: &str) -> bool {
        let text = [&self.text, separator, next, follow].concat();
        let rewritten = self.joiner.rules.apply(&text);
        let line = match self.at_line_end {
            true => rewritten.text().strip_prefix('\n'),
            false => Some(rewritten.text()),
        };
        let Some(words) = line.map(|line| self.joiner.split(line)) else { return false };
        let expected = self.words.len() + 1;
        words.len() == expected + usize::from(!follow.is_empty())
            && words[..expected - 1] == self.words
            && words[expected - 1] == next
    }

    fn push(&mut self, separator: &str, word: &'r str) {
        self.text += separator;
        self.text += word;
        self.words.push(word);
    }
}

fn takes_no_space_after(words: &[Word<'_>], at: usize) -> bool {
    match words[at].entry {
        "(" | "[" | "{" | "“" | "‘" | "—" | "-" | "$" | "£" | "#" => true,
        "\"" | "'" => opens_if_quote(words, at),
        _ => false,
    }
}

fn takes_no_space_before(words: &[Word<'_>], at: usize) -> bool {
    match words[at].entry {
        "." | "," | ";" | ":" | "!" | "?" | ")" | "]" | "}" | "”" | "’" | "%" | "…" | "—" | "-" => {
            true
        }
        "\"" | "'" => !opens_if_quote(words, at),
        entry => entry.strip_prefix('\'').is_some_and(|rest| rest.starts_with(char::is_alphabetic)),
    }
}

/// Whether a straight quote opens a quotation: an even number of the same quotes precedes it on its line.
fn opens_if_quote(words: &[Word<'_>], at: usize) -> bool {
    let before = &words[at.saturating_sub(QUOTES_MAX)..at];
    before.iter().filter(|word| word.token == words[at].token).count().is_multiple_of(2)
}
