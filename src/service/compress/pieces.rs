//! How a file is divided into pieces, and a piece into tokens.

use crate::coding::Frame;
use crate::lm::TokenId;
use crate::text::Tokenizer;

/// A token, and where the bytes that it stands for end in the piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) token: TokenId,
    pub(super) end: usize,
}

/// Where to cut `bytes`, which are the next of a file and at most [`Frame::LEN_MAX`], unless they end it: before the last white space after a
/// word, because a tokenizer says most spaces with the word that follows; else between two characters. At least 1.
pub fn cut(bytes: &[u8]) -> usize {
    let is_cut = |at: &usize| bytes[*at].is_ascii_whitespace() && !bytes[*at - 1].is_ascii_whitespace();
    let begins_character = |at: &usize| bytes[*at] & 0xc0 != 0x80;
    let places = || (1..bytes.len()).rev();
    places().find(is_cut).or_else(|| places().take(4).find(begins_character)).unwrap_or(bytes.len())
}

/// The pieces of the next group of a file. `bytes` are its next [`Frame::GROUP_BYTES`], or all that are left if these are fewer.
pub fn divide(bytes: &[u8]) -> Vec<&[u8]> {
    let is_end = bytes.len() < Frame::GROUP_BYTES;
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while pieces.len() < Frame::GROUP_LEN && !rest.is_empty() {
        let next = &rest[..rest.len().min(Frame::LEN_MAX)];
        let is_last = is_end && next.len() == rest.len();
        let (piece, after) = rest.split_at(if is_last { next.len() } else { cut(next) });
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// The tokens of a piece, or `None` if it is hardly a text.
pub(super) fn tokens_of(tokenizer: &Tokenizer, bytes: &[u8]) -> Option<Vec<Told>> {
    let source = Source::new(bytes)?;
    let mut told = Vec::new();
    source.tokens(tokenizer, 0..source.starts.len() - 1, &mut told);
    let is_usable = !told.is_empty() && told.len() <= Frame::TOKENS_MAX;
    is_usable.then_some(told)
}

/// A piece as text: what is not UTF-8 is replaced, character by character.
struct Source {
    text: String,
    /// Where each character of `text` starts in it and in the piece; at the end, their lengths.
    starts: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    in_text: usize,
    in_piece: usize,
}

impl Source {
    /// `None` if more than a twentieth of the characters are no text.
    fn new(bytes: &[u8]) -> Option<Self> {
        let mut source = Self { text: String::new(), starts: Vec::new() };
        let mut at = 0;
        let mut replaced = 0;
        for chunk in bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                source.push(character, at);
                at += character.len_utf8();
                replaced += usize::from(character == '\0');
            }
            if !chunk.invalid().is_empty() {
                source.push(char::REPLACEMENT_CHARACTER, at);
                at += chunk.invalid().len();
                replaced += 1;
            }
        }
        let count = source.starts.len();
        source.starts.push(Place { in_text: source.text.len(), in_piece: at });
        (20 * replaced <= count).then_some(source)
    }

    fn push(&mut self, character: char, in_piece: usize) {
        self.starts.push(Place { in_text: self.text.len(), in_piece });
        self.text.push(character);
    }

    /// Adds the tokens of a range of characters. What the vocabulary cannot say at all has none, and becomes part of the literal after it.
    fn tokens(&self, tokenizer: &Tokenizer, chars: std::ops::Range<usize>, told: &mut Vec<Told>) {
        let text = &self.text[self.starts[chars.start].in_text..self.starts[chars.end].in_text];
        if let Ok(encoding) = tokenizer.encode(text) {
            let ends = encoding.spans.iter().map(|span| self.starts[chars.start + span.end].in_piece);
            told.extend(encoding.tokens.iter().zip(ends).map(|(&token, end)| Told { token, end }));
        } else if chars.len() > 1 {
            let middle = chars.start + chars.len() / 2;
            self.tokens(tokenizer, chars.start..middle, told);
            self.tokens(tokenizer, middle..chars.end, told);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{TokenizerKind, TokenizerSpec};

    #[test]
    fn a_cut_is_before_white_space_or_between_characters() {
        for (bytes, expected) in [
            (&b"the old man"[..], 7),
            (b"the old  ", 7),
            (b"the", 2),
            (b"t", 1),
            ("aé".as_bytes(), 1),
            ("éé".as_bytes(), 2),
            (&[0x80; 9], 9),
            (b"   ", 2),
        ] {
            assert_eq!(cut(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_group_has_all_of_its_pieces_unless_the_file_ends() {
        let text = b"the sea ".repeat(Frame::GROUP_BYTES / 8);
        let whole = divide(&text);
        assert_eq!(whole.len(), Frame::GROUP_LEN);
        assert!(
            whole.iter().all(|piece| piece.len() == Frame::LEN_MAX - 1 || piece.len() == Frame::LEN_MAX - 4)
        );
        assert!(text.starts_with(&whole.concat()));
        let end = &text[whole.concat().len()..];
        assert_eq!(divide(end), [end]);
        assert_eq!(divide(&text[..Frame::LEN_MAX]), [&text[..Frame::LEN_MAX]]);
        assert!(divide(b"").is_empty());
    }

    #[test]
    fn what_the_vocabulary_cannot_say_has_no_token_and_bytes_that_are_no_text_none_at_all() {
        let spec = TokenizerSpec::new(TokenizerKind::Char);
        let tokenizer = Tokenizer::new(&spec, b"a\nb").unwrap();
        let told = |bytes: &[u8]| tokens_of(&tokenizer, bytes);
        let token = |token, end| Told { token, end };
        assert_eq!(told(b"ab"), Some(vec![token(0, 1), token(1, 2)]));
        assert_eq!(told("aéxb".as_bytes()), Some(vec![token(0, 1), token(1, 5)]));
        assert_eq!(told(b"xyz"), None);
        assert_eq!(told(&[b'a', 0xff]), None, "half of it is no text");
        let mut text = b"ab".repeat(20);
        text[20] = 0xff;
        let expected = (0..40).filter(|at| *at != 20).map(|at| token(at as u32 % 2, at + 1)).collect();
        assert_eq!(told(&text), Some(expected));
    }
}
