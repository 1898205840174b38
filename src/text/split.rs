//! Where a text falls into tokens, by kind. It knows no vocabulary.

use std::ops::Range;

use regex::Regex;

use super::spec::DEFAULT_PATTERN;
use crate::error::{Error, Result};

/// A part of a text, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// To be looked up.
    Word(Range<usize>),
    /// What the pattern has no word for.
    Unmatched(Range<usize>),
}

/// The runs between white space.
pub(super) fn whitespace(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + text[rest..].find(|c: char| !c.is_whitespace())?;
        let end = text[start..].find(char::is_whitespace).map_or(text.len(), |len| start + len);
        rest = end;
        Some(start..end)
    })
}

/// The characters.
pub(super) fn chars(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.char_indices().map(|(at, c)| at..at + c.len_utf8())
}

/// The regular expression of a word tokenizer.
pub(super) struct Pattern {
    regex: Regex,
    /// Whether no match ever reaches over white space, nor looks further than to it.
    stops_at_white_space: bool,
}

impl Pattern {
    /// The pattern of a manifest, or the default.
    ///
    /// # Errors
    /// `Load` for what is no regular expression.
    pub(super) fn new(pattern: Option<&str>) -> Result<Self> {
        let source = pattern.unwrap_or(DEFAULT_PATTERN);
        let regex = Regex::new(source).map_err(|error| {
            Error::load(format!("`pattern` is `{source}`; expected a regular expression: {error}"))
        })?;
        Ok(Self { regex, stops_at_white_space: source == DEFAULT_PATTERN })
    }

    /// The pattern as written.
    pub(super) fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// Whether a text may be cut at any white space; of a pattern from a manifest nobody knows.
    pub(super) fn stops_at_white_space(&self) -> bool {
        self.stops_at_white_space
    }

    /// All leftmost-first matches, and each run of other characters between them that are not white space.
    pub(super) fn split<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Part> {
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
    fn white_space_is_unicodes() {
        assert_eq!(words(" a\u{a0}b\u{3000}c\x0bd\u{85}e\u{2028}f "), ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(words("a\x1cb\u{200b}c"), ["a\x1cb\u{200b}c"], "separators and zero width are not");
        assert_eq!(words(" \t"), [""; 0]);
    }

    #[test]
    fn words_clitics_numbers_and_marks() {
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
    fn what_a_pattern_leaves_out_is_one_part_a_run() {
        assert_eq!(parts(Some(r"[a-z]+"), " ab?! -cd 12 "), ["ab", "??!", "?-", "cd", "?12"]);
        assert_eq!(parts(Some(r"[a-z]*"), "a b"), ["a", "b"], "empty matches are none");
        assert_eq!(parts(Some(r"\s|x"), "x y"), ["x", " ", "?y"]);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let message = Pattern::new(Some("[a")).err().unwrap().message;
        assert!(message.starts_with("`pattern` is `[a`; expected a regular expression: "), "{message}");
    }
}
