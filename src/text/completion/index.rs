//! Tokens by the beginning of their text: two sorted lists, one of the texts as they are and one without regard to case.

use std::ops::Range;

use super::progress::Case;
use crate::lm::TokenId;

/// The tokens of a vocabulary, sorted by their text.
#[derive(Default)]
pub(super) struct PrefixIndex {
    exact: Sorted,
    folded: Sorted,
}

#[derive(Default)]
struct Sorted {
    texts: Vec<Box<str>>,
    tokens: Vec<TokenId>,
}

impl PrefixIndex {
    pub(super) fn new(shown: Vec<(Box<str>, TokenId)>) -> Self {
        let folded = shown.iter().map(|(text, token)| (fold(text).into(), *token)).collect();
        Self { exact: Sorted::new(shown), folded: Sorted::new(folded) }
    }

    /// The tokens whose text begins with `text`, in the order of their texts. `text` is folded if case is ignored.
    pub(super) fn beginning_with(&self, text: &str, case: Case) -> &[TokenId] {
        let sorted = self.sorted(case);
        &sorted.tokens[sorted.range(text)]
    }

    /// The tokens whose text is `text`.
    pub(super) fn equal_to(&self, text: &str, case: Case) -> &[TokenId] {
        let sorted = self.sorted(case);
        let start = sorted.texts.partition_point(|other| **other < *text);
        let len = sorted.texts[start..].partition_point(|other| **other == *text);
        &sorted.tokens[start..start + len]
    }

    /// The rests of the texts that begin with `text`, and their tokens.
    pub(super) fn rests<'a>(&'a self, text: &'a str, case: Case) -> impl Iterator<Item = (&'a str, TokenId)> {
        let sorted = self.sorted(case);
        let range = sorted.range(text);
        let rests = sorted.texts[range.clone()].iter().map(|whole| &whole[text.len()..]);
        rests.zip(sorted.tokens[range].iter().copied())
    }

    fn sorted(&self, case: Case) -> &Sorted {
        match case {
            Case::Kept => &self.exact,
            Case::Ignored => &self.folded,
        }
    }
}

impl Sorted {
    fn new(mut shown: Vec<(Box<str>, TokenId)>) -> Self {
        shown.sort_unstable();
        let (texts, tokens) = shown.into_iter().unzip();
        Self { texts, tokens }
    }

    /// Where the texts are that begin with `text`.
    fn range(&self, text: &str) -> Range<usize> {
        let start = self.texts.partition_point(|other| **other < *text);
        let len = self.texts[start..].partition_point(|other| other.starts_with(text));
        start..start + len
    }
}

/// `text` without regard to case. Every character becomes one character, so that the rest of a word can be counted in characters.
pub(super) fn fold(text: &str) -> String {
    text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}
