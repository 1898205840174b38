//! The splitting of a text into words, by kind of tokenizer. It does not know the vocabulary.

use std::ops::Range;

use regex::Regex;

use super::spec::DEFAULT_PATTERN;
use crate::error::{Error, Result};

/// A part of a text, as a range of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A match of the pattern, to be looked up in the vocabulary.
    Word(Range<usize>),
    /// A run of characters that the pattern does not match.
    Unmatched(Range<usize>),
}

impl Part {
    pub(super) fn into_range(self) -> Range<usize> {
        let (Self::Word(range) | Self::Unmatched(range)) = self;
        range
    }

    /// The part, `offset` bytes further on.
    fn moved(self, offset: usize) -> Self {
        let moved = |range: Range<usize>| range.start + offset..range.end + offset;
        match self {
            Self::Word(range) => Self::Word(moved(range)),
            Self::Unmatched(range) => Self::Unmatched(moved(range)),
        }
    }
}

/// The runs of characters that are not white space.
pub(super) fn whitespace(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + text[rest..].find(|c: char| !c.is_whitespace())?;
        let end = text[start..].find(char::is_whitespace).map_or(text.len(), |len| start + len);
        rest = end;
        Some(start..end)
    })
}

/// The single characters.
pub(super) fn chars(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.char_indices().map(|(at, c)| at..at + c.len_utf8())
}

/// The regular expression of a word tokenizer.
pub(super) struct Pattern {
    regex: Regex,
    /// A string that is a word wherever it occurs, although the regular expression would split it.
    literal: Option<String>,
    /// Whether no match contains white space or depends on text beyond it.
    stops_at_white_space: bool,
}

impl Pattern {
    /// The pattern of a manifest, or the default.
    ///
    /// # Errors
    /// `Load` if `pattern` is not a regular expression.
    pub(super) fn new(pattern: Option<&str>) -> Result<Self> {
        let source = pattern.unwrap_or(DEFAULT_PATTERN);
        let regex = Regex::new(source).map_err(|error| {
            Error::load(format!("`pattern` is `{source}`; expected a regular expression: {error}"))
        })?;
        Ok(Self { regex, literal: None, stops_at_white_space: source == DEFAULT_PATTERN })
    }

    /// The pattern by which `entry` is always a word.
    pub(super) fn with_literal(mut self, entry: &str) -> Self {
        let is_word = self.split(entry).eq([Part::Word(0..entry.len())]);
        self.literal = Some(entry.to_owned()).filter(|_| !is_word && !entry.is_empty());
        self
    }

    /// The string that is a word wherever it occurs, although the pattern as written would split it.
    pub(super) fn literal(&self) -> Option<&str> {
        self.literal.as_deref()
    }

    /// The pattern as written.
    pub(super) fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// Whether a text may be cut at any white space. This is known only of the default pattern.
    pub(super) fn stops_at_white_space(&self) -> bool {
        self.stops_at_white_space
    }

    /// All leftmost-first matches, and between them each run of other characters that are not white space. The text is first
    /// divided at each occurrence of the literal.
    pub(super) fn split<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Part> {
        let mut done = 0;
        let found = self.literal().into_iter().flat_map(|literal| text.match_indices(literal));
        let found = found.map(|(at, literal)| Some(at..at + literal.len())).chain([None]);
        found.flat_map(move |literal| {
            let start = done;
            let end = literal.as_ref().map_or(text.len(), |range| range.start);
            done = literal.as_ref().map_or(text.len(), |range| range.end);
            let parts = self.split_between(&text[start..end]).map(move |part| part.moved(start));
            parts.chain(literal.map(Part::Word))
        })
    }

    /// The parts of a text without the literal.
    fn split_between<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Part> {
        let mut done = 0;
        let matches = self.regex.find_iter(text).map(|found| found.range()).filter(|range| !range.is_empty());
        matches.map(Some).chain([None]).flat_map(move |found| {
            let gap = done..found.as_ref().map_or(text.len(), |range| range.start);
            done = found.as_ref().map_or(text.len(), |range| range.end);
            let start = gap.start;
            let unmatched =
                whitespace(&text[gap]).map(move |run| Part::Unmatched(start + run.start..start + run.end));
            unmatched.chain(found.map(Part::Word))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        whitespace(text).map(|range| &text[range]).collect()
    }

    fn parts(pattern: Option<&str>, text: &str) -> Vec<String> {
        let pattern = Pattern::new(pattern).unwrap();
        let shown = pattern.split(text).map(|part| match part {
            Part::Word(range) => text[range].to_owned(),
            Part::Unmatched(range) => format!("?{}", &text[range]),
        });
        shown.collect()
    }

    #[test]
    fn white_space_is_that_of_unicode() {
        assert_eq!(words(" a\u{a0}b\u{3000}c\x0bd\u{85}e\u{2028}f "), ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(
            words("a\x1cb\u{200b}c"),
            ["a\x1cb\u{200b}c"],
            "information separators and zero-width spaces are not white space"
        );
        assert_eq!(words(" \t"), [""; 0]);
    }

    #[test]
    fn the_default_pattern_splits_words_clitics_numbers_and_punctuation() {
        assert_eq!(
            parts(None, "It's 5 O'Clock, ma'am—they'll don't"),
            ["It", "'s", "5", "O'Clock", ",", "ma'am", "—", "they", "'ll", "don", "'t"]
        );
        assert_eq!(
            parts(None, "'tis 'twas dogs' cafe\u{301} 3rd 😀!"),
            ["'", "tis", "'", "twas", "dogs", "'", "cafe\u{301}", "3", "rd", "😀", "!"]
        );
    }

    #[test]
    fn a_literal_is_a_word_wherever_it_occurs() {
        let split = |literal: &str, text: &str| -> Vec<String> {
            let pattern = Pattern::new(None).unwrap().with_literal(literal);
            pattern.split(text).map(|part| text[part.into_range()].to_owned()).collect()
        };
        assert_eq!(
            split("<unk>", "<unk>, a<unk><unk>s <unk"),
            ["<unk>", ",", "a", "<unk>", "<unk>", "s", "<", "unk"]
        );
        assert_eq!(split("unk", "drunken unk"), ["drunken", "unk"], "a word needs no help");
    }

    #[test]
    fn each_run_that_a_pattern_does_not_match_is_one_part() {
        assert_eq!(parts(Some(r"[a-z]+"), " ab?! -cd 12 "), ["ab", "??!", "?-", "cd", "?12"]);
        assert_eq!(parts(Some(r"[a-z]*"), "a b"), ["a", "b"], "empty matches are ignored");
        assert_eq!(parts(Some(r"\s|x"), "x y"), ["x", " ", "?y"]);
    }

    #[test]
    fn an_invalid_pattern_is_refused() {
        let message = Pattern::new(Some("[a")).err().unwrap().message;
        assert!(message.starts_with("`pattern` is `[a`; expected a regular expression: "), "{message}");
    }
}
