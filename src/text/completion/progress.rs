//! How far a word has come that is put together from tokens.

use super::index::fold;
use super::{Completions, is_inner, is_start};
use crate::lm::TokenId;

/// What was typed of a word; white space may precede it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// Folded if case is ignored.
    text: String,
    case: Case,
}

/// Whether `A` and `a` are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// They differ.
    Kept,
    /// They are the same.
    Ignored,
}

/// How far a word has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes of what was typed are there.
    Typing(usize),
    /// A finished word; a space must follow.
    AfterWord,
    /// White space; a word must follow.
    BeforeWord,
    /// A word, which may end here.
    InWord,
}

impl Typed {
    /// What was typed.
    pub fn new(text: &str, case: Case) -> Self {
        let text = if case == Case::Ignored { fold(text) } else { text.to_owned() };
        Self { text, case }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn case(&self) -> Case {
        self.case
    }

    /// How far the word has come when everything typed is there, and then `rest`, which is not a word's end.
    fn followed_by(&self, rest: &str) -> Option<Progress> {
        let is_spaced = self.text.ends_with(char::is_whitespace);
        match rest {
            "" if is_spaced => Some(Progress::BeforeWord),
            "" => Some(Progress::InWord),
            rest if is_spaced => is_start(rest).then_some(Progress::InWord),
            rest => rest.chars().all(is_inner).then_some(Progress::InWord),
        }
    }
}

impl Progress {
    /// Where a word begins of which something was typed; where nothing was, it begins at `place`.
    pub fn start(typed: &Typed, place: Self) -> Self {
        if typed.text.is_empty() { place } else { Self::Typing(0) }
    }
}

impl Completions {
    /// Calls `each` with every token that continues a word, once, in lists of tokens with which the word has come equally far, and how far
    /// that is.
    pub fn continuations(
        &self,
        typed: &Typed,
        progress: Progress,
        mut each: impl FnMut(&[TokenId], Progress),
    ) {
        match progress {
            Progress::Typing(done) => self.typing(typed, done, each),
            Progress::InWord => each(&self.inner, Progress::InWord),
            Progress::BeforeWord => each(&self.starts, Progress::InWord),
            Progress::AfterWord => {
                each(&self.blank, Progress::BeforeWord);
                each(&self.spaced, Progress::InWord);
            }
        }
    }

    /// The tokens that agree with the rest of what was typed: those that begin with it, and those that it begins with.
    fn typing(&self, typed: &Typed, done: usize, mut each: impl FnMut(&[TokenId], Progress)) {
        let left = &typed.text[done..];
        for (rest, token) in self.index.rests(left, typed.case) {
            if let Some(progress) = typed.followed_by(rest) {
                each(&[token], progress);
            }
        }
        for len in left.char_indices().map(|(at, _)| at).skip(1) {
            each(self.index.equal_to(&left[..len], typed.case), Progress::Typing(done + len));
        }
    }
}
