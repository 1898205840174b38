//! A search on a session: the simplest job that decides for all of its rows together.

use std::sync::Arc;

use rnnlm_server::engine::{At, Ending, Feed, Flow, Job, Outlet, Reader, RowPlan, Rows, Tag, outlet};
use rnnlm_server::error::Result;
use rnnlm_server::lm::{Distribution, Logits, Model, State, TokenId};
use rnnlm_server::session::Snapshot;
use rnnlm_server::text::Joint;

use super::solo;

/// A request for the `width` most likely continuations of `len` tokens that a beam of this width finds.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) prompt: Vec<TokenId>,
    pub(crate) width: usize,
    pub(crate) len: usize,
}

/// A continuation of the prompt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hypothesis {
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) logprob: f64,
}

/// The result of a search: the hypotheses, the best first, and the snapshot after the best one unless the session has it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) best: Vec<Hypothesis>,
    pub(crate) snapshot: Option<Snapshot>,
}

/// A hypothesis extended by a token.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Extension {
    /// The index of the hypothesis in the beam.
    parent: usize,
    token: TokenId,
    /// The log-probability of the hypothesis with the token.
    logprob: f64,
}

/// The job. Row 0 reads the prompt, on a session perhaps, and then waits; row `1 + i` is the `i`-th hypothesis. In the end row 0 takes
/// the state of the best hypothesis.
pub(crate) struct JointSearch {
    search: Search,
    hypotheses: Vec<Hypothesis>,
    /// The extensions of the rows that have run since the job's last decision.
    extensions: Vec<Extension>,
    outlet: Outlet<Result<Found>>,
    snapshot: Option<Snapshot>,
}

const ROOT: Tag = 0;

impl JointSearch {
    pub(crate) fn new(search: Search) -> (Self, Vec<RowPlan>, Reader<Result<Found>>) {
        let (outlet, reader) = outlet(1);
        let plan = RowPlan {
            tag: ROOT,
            tokens: search.prompt.as_slice().into(),
            joint: Joint::Closed,
            logits: Logits::Last,
        };
        let nothing = Hypothesis { tokens: Vec::new(), logprob: 0.0 };
        let hypotheses = vec![nothing];
        (Self { search, hypotheses, extensions: Vec::new(), outlet, snapshot: None }, vec![plan], reader)
    }

    /// Extends the hypotheses by one token each.
    fn grow(&mut self, rows: &mut Rows<'_>) {
        let parent_row = |parent: usize| if self.hypotheses[0].tokens.is_empty() { ROOT } else { 1 + parent };
        let chosen = choose(std::mem::take(&mut self.extensions), self.search.width);
        let is_last = self.hypotheses[0].tokens.len() + 1 == self.search.len;
        let logits = if is_last { Logits::None } else { Logits::Last };
        for (index, extension) in chosen.iter().enumerate() {
            let from = parent_row(extension.parent);
            rows.feed(1 + index, Feed { from, token: extension.token, logits });
        }
        for surplus in rows.ready().filter(|&row| row > chosen.len()) {
            rows.finish(surplus);
        }
        self.hypotheses = grown(&self.hypotheses, &chosen);
    }
}

impl Job for JointSearch {
    fn look(&mut self, row: Tag, _at: At, logits: &mut [f32]) -> Result<()> {
        let parent = row.saturating_sub(1);
        let before = self.hypotheses[parent].logprob;
        self.extensions.extend(extensions(logits, self.search.width).map(|(token, logprob)| Extension {
            parent,
            token,
            logprob: before + logprob,
        }));
        Ok(())
    }

    fn decide(&mut self, rows: &mut Rows<'_>) -> Result<()> {
        let is_grown = self.hypotheses[0].tokens.len() == self.search.len;
        match rows.all_ready() {
            // Siblings that did not fit into the batch have not run yet.
            false => {}
            true if !is_grown => self.grow(rows),
            true if rows.ready().count() > 1 => settle(rows),
            true => self.snapshot = rows.finish(ROOT),
        }
        Ok(())
    }

    fn close(self: Box<Self>, ending: Ending, _position: Option<u64>) {
        self.outlet.close(match ending.into_error() {
            None => Ok(Found { best: self.hypotheses, snapshot: self.snapshot }),
            Some(error) => Err(error),
        });
    }

    fn flow(&self) -> Flow {
        self.outlet.flow()
    }
}

/// Gives row 0 the state of the best hypothesis.
fn settle(rows: &mut Rows<'_>) {
    let nothing = RowPlan { tag: ROOT, tokens: Arc::default(), joint: Joint::Closed, logits: Logits::None };
    rows.read(1, nothing);
    for row in rows.ready().filter(|&row| row != ROOT) {
        rows.finish(row);
    }
}

fn extensions(logits: &[f32], width: usize) -> impl Iterator<Item = (TokenId, f64)> {
    let distribution = Distribution::new(logits);
    let best = distribution.top_k(width);
    best.into_iter().map(|token| (token, distribution.logprob(token))).collect::<Vec<_>>().into_iter()
}

/// The `width` most likely extensions, whatever the order they were found in.
fn choose(mut extensions: Vec<Extension>, width: usize) -> Vec<Extension> {
    extensions
        .sort_by(|a, b| b.logprob.total_cmp(&a.logprob).then((a.parent, a.token).cmp(&(b.parent, b.token))));
    extensions.truncate(width);
    extensions
}

fn grown(hypotheses: &[Hypothesis], chosen: &[Extension]) -> Vec<Hypothesis> {
    let grow = |&Extension { parent, token, logprob }: &Extension| {
        let mut tokens = hypotheses[parent].tokens.clone();
        tokens.push(token);
        Hypothesis { tokens, logprob }
    };
    chosen.iter().map(grow).collect()
}

/// A search without an engine.
pub(crate) struct Alone {
    /// The hypotheses; `None` if the model fails.
    pub(crate) found: Option<Vec<Hypothesis>>,
    /// All tokens that the model reads during the search.
    pub(crate) read: Vec<TokenId>,
}

impl Alone {
    /// Runs the same search, one hypothesis after the other.
    pub(crate) fn search(model: &dyn Model, start: &State, search: &Search) -> Self {
        let mut alone = Self { found: None, read: search.prompt.clone() };
        alone.found = alone.run(model, start, search);
        alone
    }

    fn run(&mut self, model: &dyn Model, start: &State, search: &Search) -> Option<Vec<Hypothesis>> {
        let mut hypotheses = vec![Hypothesis { tokens: Vec::new(), logprob: 0.0 }];
        let mut states = vec![solo::read(model, start, &search.prompt)?];
        for _ in 0..search.len {
            let mut found = Vec::new();
            for (parent, state) in states.iter().enumerate() {
                let before = hypotheses[parent].logprob;
                let logits = solo::logits(model, &mut state.clone());
                found.extend(extensions(&logits, search.width).map(|(token, logprob)| Extension {
                    parent,
                    token,
                    logprob: before + logprob,
                }));
            }
            let chosen = choose(found, search.width);
            self.read.extend(chosen.iter().map(|extension| extension.token));
            let next = chosen.iter().map(|chosen| solo::read(model, &states[chosen.parent], &[chosen.token]));
            states = next.collect::<Option<_>>()?;
            hypotheses = grown(&hypotheses, &chosen);
        }
        Some(hypotheses)
    }
}
