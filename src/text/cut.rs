//! Where a text of any length may be cut, so that it can be read in pieces.

use std::ops::Range;

use super::tokenizer::{Scheme, Tokenizer};

impl Tokenizer {
    /// The largest byte offset, above 0, at which a text that begins with `text` may be cut: encoding both parts gives the
    /// tokens of the whole, however the text goes on. `None` when no place in `text` is sure.
    ///
    /// Words are cut after white space (with a `pattern` of the manifest's own, which may match white space: only after a line end that
    /// is a token), characters anywhere, both where no key of `replace` can reach over the cut.
    ///
    /// The rule of a `tokenizer.json` cannot be known: without a `newline` token it is cut after a line end where the lines on
    /// both sides give the same tokens alone as together, and where that holds nowhere, after the last line end that is followed by
    /// text. The pieces are then what is read.
    pub fn cut(&self, text: &str) -> Option<usize> {
        let line_end = |c: char| c == '\n';
        match &self.scheme() {
            Scheme::Char => self.cut_between_chars(text),
            Scheme::Whitespace => self.cut_after(text, char::is_whitespace),
            Scheme::Word(pattern) if pattern.stops_at_white_space() => {
                self.cut_after(text, char::is_whitespace)
            }
            Scheme::Word(_) => self.newline().and_then(|_| self.cut_after(text, line_end)),
            Scheme::HuggingFace(_) if self.newline().is_some() => self.cut_after(text, line_end),
            Scheme::HuggingFace(_) => self.cut_between_lines(text),
        }
    }

    fn cut_between_chars(&self, text: &str) -> Option<usize> {
        let mut ends = text.char_indices().rev().map(|(at, c)| at + c.len_utf8());
        ends.find(|&end| self.rules().leave_alone(text, end..end))
    }

    fn cut_after(&self, text: &str, separates: impl Fn(char) -> bool) -> Option<usize> {
        let mut ends = text.rmatch_indices(separates).map(|(at, c)| at..at + c.len());
        ends.find(|range| self.rules().leave_alone(text, range.clone())).map(|range| range.end)
    }

    fn cut_between_lines(&self, text: &str) -> Option<usize> {
        /// Line ends looked at: more would not find what so many did not have.
        const TRIED_MAX: usize = 16;
        let followed = |end: &usize| text[*end..].starts_with(|c: char| !c.is_whitespace());
        let ends = || text.rmatch_indices('\n').map(|(at, _)| at + 1).filter(followed);
        let sure = |end: &usize| self.rules().leave_alone(text, end - 1..*end) && self.same_apart(text, *end);
        ends().take(TRIED_MAX).find(sure).or_else(|| ends().next())
    }

    /// Whether the lines before and after `at`, with the empty ones between them, give the same tokens alone as together.
    fn same_apart(&self, text: &str, at: usize) -> bool {
        let start = text[..at].trim_end().rfind('\n').map_or(0, |before| before + 1);
        let end = text[at..].find('\n').map_or(text.len(), |len| at + len + 1);
        let tokens = |range: Range<usize>| self.encode(&text[range]).map(|encoding| encoding.tokens);
        match (tokens(start..at), tokens(at..end), tokens(start..end)) {
            (Ok(before), Ok(after), Ok(both)) => both == [before, after].concat(),
            _ => false,
        }
    }
}
