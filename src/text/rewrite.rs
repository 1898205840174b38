//! A rewritten text, and where each of its parts stood in the given text.
//!
//! Offsets in answers count characters of the given text, although parts of it were dropped, replaced or lowercased.
//! This file knows nothing of the rules that rewrite a text.

use std::borrow::Cow;
use std::ops::Range;

use super::memory::{Memory, room_for_one, room_in_text};
use crate::error::{Error, Result};

/// A rewritten text, and the edits that lead back to the given text.
pub(super) struct Rewritten<'t> {
    text: Cow<'t, str>,
    /// The places at which one character does not stand for one character; in rising order, and disjoint.
    edits: Vec<Edit>,
}

/// `text[at..at + len]` stands for `chars` characters of the given text. Not both sides are a single character.
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
    /// The given text, without edits.
    pub(super) fn unchanged(text: &'t str) -> Self {
        Self { text: Cow::Borrowed(text), edits: Vec::new() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Looks up offsets in the given text.
    pub(super) fn source_offsets(&self) -> SourceOffsets<'_> {
        SourceOffsets { rewritten: self, byte: 0, chars: 0, edit: 0 }
    }
}

/// Rewrites a text from left to right.
pub(super) struct Rewriter<'s, 't> {
    source: &'s Rewritten<'t>,
    memory: &'s mut dyn Memory,
    /// Why there was no memory for more of the text. Nothing more is written then.
    refused: Option<Error>,
    text: String,
    edits: Vec<Edit>,
    /// The bytes of the source, and its edits, that have been read so far.
    byte: usize,
    edit: usize,
}

impl<'s, 't> Rewriter<'s, 't> {
    pub(super) fn new(source: &'s Rewritten<'t>, memory: &'s mut dyn Memory) -> Self {
        let mut text = String::new();
        let refused = room_in_text(&mut text, source.text.len(), memory).err();
        Self { source, memory, refused, text, edits: Vec::new(), byte: 0, edit: 0 }
    }

    fn push(&mut self, text: &str) {
        if self.refused.is_none() {
            match room_in_text(&mut self.text, text.len(), self.memory) {
                Ok(()) => self.text.push_str(text),
                Err(error) => self.refused = Some(error),
            }
        }
    }

    fn push_edit(&mut self, edit: Edit) {
        if self.refused.is_none() {
            match room_for_one(&mut self.edits, self.memory) {
                Ok(()) => self.edits.push(edit),
                Err(error) => self.refused = Some(error),
            }
        }
    }

    /// Copies the source up to `byte`.
    pub(super) fn keep_until(&mut self, byte: usize) {
        let source = self.source;
        while let Some(edit) = source.edits.get(self.edit).filter(|edit| edit.at < byte) {
            self.push_edit(Edit { at: self.text.len() + (edit.at - self.byte), ..*edit });
            self.edit += 1;
        }
        self.push(&source.text[self.byte..byte]);
        self.byte = byte;
    }

    /// Replaces the next `len` bytes of the source by `with`. No edit of the source may lie only partly in them.
    pub(super) fn substitute(&mut self, len: usize, with: &str) {
        // Characters that were dropped just before these bytes are not a part of them.
        self.keep_dropped();
        let end = self.byte + len;
        let mut chars = self.source.text[self.byte..end].chars().count();
        while let Some(edit) = self.source.edits.get(self.edit).filter(|edit| edit.at < end) {
            chars = chars + edit.chars - self.source.text[edit.at..edit.end()].chars().count();
            self.edit += 1;
        }
        if chars != 1 || with.chars().count() != 1 {
            self.push_edit(Edit { at: self.text.len(), len: with.len(), chars });
        }
        self.push(with);
        self.byte = end;
    }

    fn keep_dropped(&mut self) {
        let source = self.source;
        while let Some(edit) =
            source.edits.get(self.edit).filter(|edit| edit.at == self.byte && edit.len == 0)
        {
            self.push_edit(Edit { at: self.text.len(), ..*edit });
            self.edit += 1;
        }
    }

    /// Copies the rest of the source.
    ///
    /// # Errors
    /// If there was no memory for the text.
    pub(super) fn finish(mut self) -> Result<Rewritten<'t>> {
        self.keep_until(self.source.text.len());
        self.keep_dropped();
        match self.refused {
            Some(error) => Err(error),
            None => Ok(Rewritten { text: Cow::Owned(self.text), edits: self.edits }),
        }
    }
}

/// Turns byte offsets in a rewritten text into character offsets in the given text. Looking up offsets in rising order costs one
/// pass over the text in total.
pub(super) struct SourceOffsets<'r> {
    rewritten: &'r Rewritten<'r>,
    /// A position known in both texts: the bytes of the rewritten text, the characters of the given text and the edits before it.
    byte: usize,
    chars: usize,
    edit: usize,
}

/// Which end of a span an offset is. Text that stands for several characters starts at the first of them and ends at the last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Start,
    End,
}

impl SourceOffsets<'_> {
    /// The start, in the given text, of a span that starts at `byte`.
    pub(super) fn start(&mut self, byte: usize) -> usize {
        self.seek(self.rewritten.text.floor_char_boundary(byte), Side::Start)
    }

    /// The end, in the given text, of a span that ends at `byte`.
    pub(super) fn end(&mut self, byte: usize) -> usize {
        self.seek(self.rewritten.text.ceil_char_boundary(byte), Side::End)
    }

    fn seek(&mut self, byte: usize, side: Side) -> usize {
        if byte < self.byte {
            *self = self.rewritten.source_offsets();
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
    use super::super::memory::Unbounded;
    use super::*;

    /// `given`, with the bytes at `range` replaced by `with`.
    fn replaced<'t>(given: &Rewritten<'t>, range: Range<usize>, with: &str) -> Rewritten<'t> {
        let mut memory = Unbounded;
        let mut rewriter = Rewriter::new(given, &mut memory);
        rewriter.keep_until(range.start);
        rewriter.substitute(range.len(), with);
        rewriter.finish().unwrap()
    }

    /// The range of given characters that the first occurrence of `part` stands for.
    fn span(rewritten: &Rewritten<'_>, part: &str) -> Range<usize> {
        let at = rewritten.text().find(part).unwrap();
        let mut offsets = rewritten.source_offsets();
        offsets.start(at)..offsets.end(at + part.len())
    }

    #[test]
    fn spans_of_an_unchanged_text_count_characters() {
        assert_eq!(span(&Rewritten::unchanged("aé b"), "b"), 3..4);
    }

    #[test]
    fn a_dropped_character_is_only_in_spans_that_enclose_it() {
        let given = Rewritten::unchanged("a\r\nb");
        let dropped = replaced(&given, 1..2, "");
        assert_eq!(dropped.text(), "a\nb");
        assert_eq!(span(&dropped, "a"), 0..1);
        assert_eq!(span(&dropped, "\n"), 2..3);
        assert_eq!(span(&dropped, "a\n"), 0..3);
    }

    #[test]
    fn a_part_of_a_replacement_stands_for_all_that_was_replaced() {
        let shorter = replaced(&Rewritten::unchanged("x...y"), 1..4, "…");
        assert_eq!((shorter.text(), span(&shorter, "…")), ("x…y", 1..4));
        let longer = replaced(&Rewritten::unchanged("x…y"), 1..4, "abc");
        assert_eq!(longer.text(), "xabcy");
        assert_eq!(span(&longer, "b"), 1..2);
        assert_eq!(span(&longer, "y"), 2..3);
    }

    #[test]
    fn spans_after_two_rewrites_are_those_of_the_first_text() {
        let given = Rewritten::unchanged("\ra\r\rb\rc\r");
        let mut memory = Unbounded;
        let mut dropping = Rewriter::new(&given, &mut memory);
        for at in [0, 2, 3, 5, 7] {
            dropping.keep_until(at);
            dropping.substitute(1, "");
        }
        let dropped = dropping.finish().unwrap();
        assert_eq!(dropped.text(), "abc");
        let mut memory = Unbounded;
        let mut joining = Rewriter::new(&dropped, &mut memory);
        joining.substitute(2, "z");
        let joined = joining.finish().unwrap();
        assert_eq!(joined.text(), "zc");
        let mut offsets = joined.source_offsets();
        assert_eq!((offsets.start(0), offsets.end(1)), (1, 5));
        assert_eq!((offsets.start(1), offsets.end(2)), (6, 7));
        assert_eq!((offsets.start(0), offsets.end(1)), (1, 5), "a lower offset may follow a higher one");
    }
}
