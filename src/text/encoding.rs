//! What encoding a text gives.

use std::ops::Range;

use crate::lm::{Joint, Tail, TokenId};

/// A text as tokens, and where each came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// The tokens' ids.
    pub tokens: Vec<TokenId>,
    /// For each token the characters of the text, as it was given, that it stands for.
    pub spans: Vec<Range<usize>>,
    /// Which of the tokens stand for a word outside the vocabulary (or for a literal unknown token): rising indices.
    pub unknown: Vec<usize>,
    /// How the text ends, for what is joined on to it.
    pub joint: Joint,
    /// Length of the text as it was given, in characters.
    pub char_count: usize,
}

impl Encoding {
    /// How many words were outside the vocabulary.
    pub fn unknown_count(&self) -> usize {
        self.unknown.len()
    }

    /// Moves `tail` past this text. A text of white space alone moves the joint, an empty one nothing.
    pub fn extend(&self, tail: &mut Tail) {
        if self.char_count > 0 {
            tail.extend(&self.tokens);
            tail.joint = self.joint;
        }
    }
}
