//! The end of what a sequence has read, from which it follows how the next token joins on to it.

use crate::lm::TokenId;

/// The last few tokens of a sequence, and whether its text already ends in white space.
///
/// A tokenizer drops white space, so `"the old "` and `"the old"` are the same tokens; only the flag knows
/// that the next word needs no space before it. A session keeps its tail as the decoder's context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    tokens: Vec<TokenId>,
    /// How the text ends.
    pub joint: Joint,
}

/// Whether a text already separates what comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Joint {
    /// Nothing has been read, or the text ends in white space: no space is due.
    #[default]
    Open,
    /// The text ends in a token: whether a space is due is the tokenizer's decision.
    Closed,
}

impl Tail {
    /// Tokens kept: the longest context that joining a token on to a text ever looks at.
    pub const TOKENS_MAX: usize = 48;

    /// The tail of a sequence that has read `tokens` and whose text ends as `joint` says.
    pub fn new(tokens: &[TokenId], joint: Joint) -> Self {
        let mut tail = Self::default();
        tail.extend(tokens);
        tail.joint = joint;
        tail
    }

    /// The last tokens read, oldest first; at most [`Self::TOKENS_MAX`].
    pub fn tokens(&self) -> &[TokenId] {
        let excess = self.tokens.len().saturating_sub(Self::TOKENS_MAX);
        &self.tokens[excess..]
    }

    /// Appends `tokens`; the text then ends in a token.
    pub fn extend(&mut self, tokens: &[TokenId]) {
        if tokens.is_empty() {
            return;
        }
        let kept = &tokens[tokens.len().saturating_sub(Self::TOKENS_MAX)..];
        // Drained in batches of TOKENS_MAX, so that a push costs a constant on average.
        if self.tokens.len() + kept.len() > 2 * Self::TOKENS_MAX {
            let excess =
                (self.tokens.len() + kept.len()).saturating_sub(Self::TOKENS_MAX).min(self.tokens.len());
            self.tokens.drain(..excess);
        }
        let len = self.tokens.len() + kept.len();
        if len > self.tokens.capacity() {
            let capacity = len.next_power_of_two().min(2 * Self::TOKENS_MAX);
            self.tokens.reserve_exact(capacity - self.tokens.len());
        }
        self.tokens.extend_from_slice(kept);
        self.joint = Joint::Closed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_tokens_however_they_come() {
        let all: Vec<TokenId> = (0..1000).collect();
        for piece in [1, 7, 63, 64, 65, 128, 129, 1000] {
            let mut tail = Tail::default();
            all.chunks(piece).for_each(|tokens| tail.extend(tokens));
            assert_eq!(tail.tokens(), &all[1000 - Tail::TOKENS_MAX..], "in pieces of {piece}");
            assert!(tail.tokens.capacity() <= 2 * Tail::TOKENS_MAX);
        }
    }

    #[test]
    fn tokens_close_the_joint_and_nothing_leaves_it() {
        let mut tail = Tail::new(&[], Joint::Open);
        tail.extend(&[]);
        assert_eq!(tail.joint, Joint::Open);
        tail.extend(&[3]);
        assert_eq!(tail.joint, Joint::Closed);
    }
}
