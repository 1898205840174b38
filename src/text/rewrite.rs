//! A text that rules have changed, and where each of its parts stood in the text as it was given.
//!
//! Offsets in answers count characters of the given text, whatever was dropped, replaced or lowered since.
//! It knows nothing of the rules themselves.

use std::borrow::Cow;
use std::ops::Range;

/// A rewritten text with its way back.
pub(super) struct Rewritten<'t> {
    text: Cow<'t, str>,
    /// Where the two texts do not go character by character; rising and disjoint.
    edits: Vec<Edit>,
}

/// `text[at..at + len]` stands for `chars` characters of the given text; one of the three differs from a plain character.
struct Edit {
    at: usize,
    len: usize,
    chars: usize,
}

impl Edit {
    fn end(&self) -> usize {
        self.at + self.len
    }
}

impl<'t> Rewritten<'t> {
    /// The text as it was given.
    pub(super) fn unchanged(text: &'t str) -> Self {
        Self { text: Cow::Borrowed(text), edits: Vec::new() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// A place to look up offsets from, in rising order at little cost.
    pub(super) fn origin(&self) -> Origin<'_> {
        Origin { rewritten: self, byte: 0, chars: 0, edit: 0 }
    }
}

/// Builds a rewritten text from left to right.
pub(super) struct Rewriter<'s, 't> {
    source: &'s Rewritten<'t>,
    text: String,
    edits: Vec<Edit>,
    /// How far the source has been used, in bytes and in edits.
    byte: usize,
    edit: usize,
}

impl<'s, 't> Rewriter<'s, 't> {
    pub(super) fn new(source: &'s Rewritten<'t>) -> Self {
        let text = String::with_capacity(source.text.len());
        Self { source, text, edits: Vec::new(), byte: 0, edit: 0 }
    }

    /// Keeps the source as it is up to `byte`.
    pub(super) fn keep_until(&mut self, byte: usize) {
        while let Some(edit) = self.source.edits.get(self.edit).filter(|edit| edit.at < byte) {
            self.edits.push(Edit { at: self.text.len() + (edit.at - self.byte), ..*edit });
            self.edit += 1;
        }
        self.text.push_str(&self.source.text[self.byte..byte]);
        self.byte = byte;
    }

    /// Puts `with` in the place of the next `len` bytes of the source, which hold whole edits only.
    pub(super) fn substitute(&mut self, len: usize, with: &str) {
        // What was dropped just before the place is not a part of it.
        self.keep_dropped();
        let end = self.byte + len;
        let mut chars = self.source.text[self.byte..end].chars().count();
        while let Some(edit) = self.source.edits.get(self.edit).filter(|edit| edit.at < end) {
            chars = chars + edit.chars - self.source.text[edit.at..edit.end()].chars().count();
            self.edit += 1;
        }
        if chars != 1 || with.chars().count() != 1 {
            self.edits.push(Edit { at: self.text.len(), len: with.len(), chars });
        }
        self.text.push_str(with);
        self.byte = end;
    }

    fn keep_dropped(&mut self) {
        while let Some(edit) =
            self.source.edits.get(self.edit).filter(|edit| edit.at == self.byte && edit.len == 0)
        {
            self.edits.push(Edit { at: self.text.len(), ..*edit });
            self.edit += 1;
        }
    }

    /// Keeps the rest.
    pub(super) fn finish(mut self) -> Rewritten<'t> {
        self.keep_until(self.source.text.len());
        self.keep_dropped();
        Rewritten { text: Cow::Owned(self.text), edits: self.edits }
    }
}

/// Byte offsets of a rewritten text as characters of the given one. Offsets that rise cost one pass over the text altogether.
pub(super) struct Origin<'r> {
    rewritten: &'r Rewritten<'r>,
    /// A place that both texts share: so many bytes here, so many characters there, so many edits passed.
    byte: usize,
    chars: usize,
    edit: usize,
}

/// Which end of a span an offset is: what stands for several characters begins at their first and ends at their last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Start,
    End,
}

impl Origin<'_> {
    /// Where a span that begins at `byte` begins in the given text.
    pub(super) fn start(&mut self, byte: usize) -> usize {
        self.seek(self.rewritten.text.floor_char_boundary(byte), Side::Start)
    }

    /// Where a span that ends at `byte` ends in the given text.
    pub(super) fn end(&mut self, byte: usize) -> usize {
        self.seek(self.rewritten.text.ceil_char_boundary(byte), Side::End)
    }

    fn seek(&mut self, byte: usize, side: Side) -> usize {
        if byte < self.byte {
            *self = self.rewritten.origin();
        }
        let count = |range: Range<usize>| self.rewritten.text[range].chars().count();
        while let Some(edit) = self.rewritten.edits.get(self.edit).filter(|edit| edit.at <= byte) {
            let passed = edit.end() < byte || edit.end() == byte && (edit.len > 0 || side == Side::Start);
            if !passed {
                let before = self.chars + count(self.byte..edit.at);
                let within = edit.at < byte && side == Side::End;
                return before + if within { edit.chars } else { 0 };
            }
            self.chars += count(self.byte..edit.at) + edit.chars;
            self.byte = edit.end();
            self.edit += 1;
        }
        self.chars += count(self.byte..byte);
        self.byte = byte;
        self.chars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `given` with `(at, len, with)` put in, and the given characters of the span `of`.
    fn span(given: &str, edits: &[(usize, usize, &str)], of: &str) -> (String, Range<usize>) {
        let source = Rewritten::unchanged(given);
        let mut rewriter = Rewriter::new(&source);
        for &(at, len, with) in edits {
            rewriter.keep_until(at);
            rewriter.substitute(len, with);
        }
        let rewritten = rewriter.finish();
        let at = rewritten.text().find(of).unwrap();
        let mut origin = rewritten.origin();
        let range = origin.start(at)..origin.end(at + of.len());
        (rewritten.text().to_owned(), range)
    }

    #[test]
    fn spans_are_those_of_the_given_text() {
        assert_eq!(span("aé b", &[], "b"), ("aé b".into(), 3..4));
        assert_eq!(
            span("a\r\nb", &[(1, 1, "")], "\n"),
            ("a\nb".into(), 2..3),
            "what is dropped is in no span"
        );
        assert_eq!(span("a\r\nb", &[(1, 1, "")], "a"), ("a\nb".into(), 0..1));
        assert_eq!(span("a\rb", &[(1, 1, "")], "ab"), ("ab".into(), 0..3), "but between two that are");
        assert_eq!(span("x...y", &[(1, 3, "…")], "…"), ("x…y".into(), 1..4));
        assert_eq!(span("x…y", &[(1, 3, "...")], "y"), ("x...y".into(), 2..3));
        assert_eq!(span("x…y", &[(1, 3, "abc")], "b"), ("xabcy".into(), 1..2), "a part stands for the whole");
    }

    #[test]
    fn two_rounds_add_up() {
        let given = Rewritten::unchanged("\ra\r\rb\rc\r");
        let mut dropping = Rewriter::new(&given);
        for at in [0, 2, 3, 5, 7] {
            dropping.keep_until(at);
            dropping.substitute(1, "");
        }
        let dropped = dropping.finish();
        assert_eq!(dropped.text(), "abc");
        let mut joining = Rewriter::new(&dropped);
        joining.substitute(2, "z");
        let joined = joining.finish();
        assert_eq!(joined.text(), "zc");
        let mut origin = joined.origin();
        assert_eq!((origin.start(0), origin.end(1)), (1, 5));
        assert_eq!((origin.start(1), origin.end(2)), (6, 7));
        assert_eq!((origin.start(0), origin.end(1)), (1, 5), "going back is allowed");
    }
}
