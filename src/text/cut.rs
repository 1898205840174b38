//! Where a text can be cut, so that a text of any length can be encoded in pieces.

use std::ops::Range;

use super::tokenizer::{Scheme, Tokenizer};

impl Tokenizer {
    /// The largest byte offset above 0 at which a text that begins with `text` can be cut: the tokens of the two parts are those
    /// of the whole, however the text continues. `None` if this is certain of no offset in `text`.
    ///
    /// Texts of words are cut after white space; if the manifest has a `pattern` of its own, which may match white space, only
    /// after a line end that is a token. Texts of characters are cut anywhere. No text is cut where a key of `replace` may match
    /// across the cut.
    ///
    /// How a `tokenizer.json` splits a text is unknown. If line ends are tokens, its texts are cut after a line end. Otherwise they
    /// are cut after a line end if the lines on both sides give the same tokens alone as together, and if none of the line ends
    /// tried is such, after the last one that is followed by text. In that last case the tokens of the parts may differ from those
    /// of the whole; the text is then read as the parts give it.
    pub fn cut(&self, text: &str) -> Option<usize> {
        let line_end = |c: char| c == '\n';
        match self.scheme() {
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
        ends.find(|&end| self.rules().allow_cuts_around(text, end..end))
    }

    fn cut_after(&self, text: &str, separates: impl Fn(char) -> bool) -> Option<usize> {
        let mut ends = text.rmatch_indices(separates).map(|(at, c)| at..at + c.len());
        ends.find(|range| self.rules().allow_cuts_around(text, range.clone())).map(|range| range.end)
    }

    fn cut_between_lines(&self, text: &str) -> Option<usize> {
        /// The number of line ends tried: if none of them is independent, trying more is unlikely to find one that is.
        const TRIED_MAX: usize = 16;
        let followed = |end: &usize| text[*end..].starts_with(|c: char| !c.is_whitespace());
        let ends = || text.rmatch_indices('\n').map(|(at, _)| at + 1).filter(followed);
        let independent = |end: &usize| {
            self.rules().allow_cuts_around(text, end - 1..*end) && self.lines_are_independent(text, *end)
        };
        ends().take(TRIED_MAX).find(independent).or_else(|| ends().next())
    }

    /// Whether the lines before and after `at`, with any empty lines between them, give the same tokens alone as together.
    fn lines_are_independent(&self, text: &str, at: usize) -> bool {
        let start = text[..at].trim_end().rfind('\n').map_or(0, |before| before + 1);
        let end = text[at..].find('\n').map_or(text.len(), |len| at + len + 1);
        let tokens = |range: Range<usize>| self.encode(&text[range]).map(|encoding| encoding.tokens);
        match (tokens(start..at), tokens(at..end), tokens(start..end)) {
            (Ok(before), Ok(after), Ok(both)) => both == [before, after].concat(),
            _ => false,
        }
    }
}
