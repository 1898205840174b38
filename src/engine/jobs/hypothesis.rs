//! A hypothesis of a beam search: a path of tokens, which shares its beginning with other hypotheses.

use std::cmp::Ordering;
use std::sync::Arc;

use super::continuation::{Beginning, Written};
use super::event::{Alternatives, Finish, FinishedChoice, TokenEvent};
use crate::lm::TokenId;
use crate::sampling::{Extension, Filtering};
use crate::session::Snapshot;

/// A hypothesis, alive or ended.
#[derive(Clone)]
pub(super) struct Hypothesis {
    pub(super) filtering: Filtering,
    written: Written,
    path: Path,
    pub(super) len: usize,
    /// What the search ranks by.
    pub(super) score: f64,
    logprob: f64,
    /// Why it has ended; `None` while it is alive.
    pub(super) finish: Option<Finish>,
    pub(super) snapshot: Option<Snapshot>,
}

/// The tokens of a hypothesis, the last one first.
#[derive(Clone, Default)]
struct Path(Option<Arc<Link>>);

struct Link {
    before: Path,
    token: TokenId,
    text: String,
    logprob: f64,
    alternatives: Alternatives,
}

impl Hypothesis {
    /// The hypothesis without a token.
    pub(super) fn new(beginning: Beginning) -> Self {
        let Beginning { filtering, written } = beginning;
        let path = Path::default();
        Self { filtering, written, path, len: 0, score: 0.0, logprob: 0.0, finish: None, snapshot: None }
    }

    /// The same with a token more. `alternatives` are those at its place.
    pub(super) fn extended(&self, by: Extension, alternatives: Alternatives) -> Self {
        let mut longer = self.clone();
        let added = longer.written.push(by.token);
        longer.filtering.drew(by.token);
        longer.len += 1;
        longer.score += by.score;
        longer.logprob += by.logprob;
        longer.finish = added.finish;
        longer.path = Path(Some(Arc::new(Link {
            before: self.path.clone(),
            token: by.token,
            text: added.text,
            logprob: by.logprob,
            alternatives,
        })));
        longer
    }

    /// The ids of its tokens.
    pub(super) fn tokens(&self) -> Vec<TokenId> {
        self.path.links().into_iter().map(|link| link.token).collect()
    }

    /// The order of hypotheses of equal scores: by the ids of their tokens.
    pub(super) fn by_ids(&self, other: &Self) -> Ordering {
        self.tokens().cmp(&other.tokens())
    }

    /// As choice `choice` of the answer.
    pub(super) fn into_choice(self, choice: usize, finish: Finish) -> FinishedChoice {
        let event = |(index, link): (usize, &Link)| TokenEvent {
            choice,
            index,
            token: link.token,
            text: link.text.clone(),
            logprob: link.logprob,
            alternatives: link.alternatives.clone(),
        };
        FinishedChoice {
            finish,
            unsent: self.path.links().into_iter().enumerate().map(event).collect(),
            text: self.written.rest(finish),
            token_count: self.len,
            logprob: self.logprob,
            snapshot: self.snapshot,
        }
    }
}

impl Path {
    /// From the first token to the last.
    fn links(&self) -> Vec<&Link> {
        let mut links: Vec<&Link> =
            std::iter::successors(self.0.as_deref(), |link| link.before.0.as_deref()).collect();
        links.reverse();
        links
    }
}

/// Link by link: dropping a long path must not need a deep stack.
impl Drop for Path {
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(mut link) = next.and_then(Arc::into_inner) {
            next = link.before.0.take();
        }
    }
}
