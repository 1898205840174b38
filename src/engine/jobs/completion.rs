//! The job that completes a half-typed word: it finds the most likely words that begin with what was typed.
//!
//! Where each token is a word, one look at the logits suffices. Otherwise a search puts words together from tokens. A word becomes
//! less likely with every token, so the search always extends the most likely beginnings, and it is over when enough words are
//! found that are at least as likely as every beginning left. A row keeps the state of a beginning for as long as an extension of it
//! is open.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::reading::ReadingFailure;
use crate::engine::{At, Ending, Feed, Flow, Job, Promise, Reader, RowPlan, Rows, Tag, promise};
use crate::error::{Error, Result};
use crate::lm::{Distribution, Logits, TokenId};
use crate::session::Snapshot;
use crate::text::{Beginning, CompletedWord, ExtraWords, Joint, Progress, Tokenizer};

/// What to complete.
pub struct CompletionPlan {
    /// Read first.
    pub tokens: Arc<[TokenId]>,
    /// How the text ends with them.
    pub joint: Joint,
    /// Where the word begins, after `tokens`.
    pub beginning: Beginning,
    /// Knows what tokens add to a word.
    pub tokenizer: Arc<Tokenizer>,
    /// Words that share the probability of the unknown token, where each token is a word.
    pub extra_words: Arc<ExtraWords>,
    /// Number of words wanted; at least one.
    pub words_max: usize,
    /// Most steps of the search, and therefore most tokens of a word.
    pub steps_max: usize,
}

/// The words that were found, most likely first.
#[derive(Clone, Debug, PartialEq)]
pub struct Completed {
    /// The words.
    pub words: Vec<Completion>,
    /// The state before the word.
    pub snapshot: Option<Snapshot>,
    /// Where the session stands, if the text was read into one.
    pub position: Option<u64>,
}

/// A word that was found. Logprobs are natural logarithms.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// As the person who types sees it.
    pub word: CompletedWord,
    /// Its tokens.
    pub tokens: Vec<TokenId>,
    /// The joint logprob of its tokens.
    pub logprob: f64,
    /// The logprob that it ends after them; 0 where each token is a word.
    pub end_logprob: f64,
    /// Whether it is an extra word, which is the unknown token to the model.
    pub is_extra: bool,
}

impl Completion {
    /// The logprob of the whole word.
    pub fn whole_logprob(&self) -> f64 {
        self.logprob + self.end_logprob
    }
}

/// The beginning of a word: tokens, the last of which has not been read yet.
#[derive(Clone, Debug)]
struct Prefix {
    /// The row that has read all tokens but the last.
    from: Tag,
    tokens: Vec<TokenId>,
    logprob: f64,
    progress: Progress,
}

/// The job. Row 0 reads the text, into a session perhaps; each further row reads the last token of a prefix.
pub struct Completing {
    plan: CompletionPlan,
    promise: Promise<Result<Completed, ReadingFailure>>,
    /// The prefixes that running rows are reading, by tag.
    reading: Vec<(Tag, Prefix)>,
    /// The prefixes to read, most likely first.
    open: Vec<Prefix>,
    found: Vec<Completion>,
    next_tag: Tag,
    /// Steps done.
    steps: usize,
    snapshot: Option<Snapshot>,
}

const ROOT: Tag = 0;

/// Open prefixes for each word wanted. More find likelier words after an unlikely beginning.
const OPEN_PER_WORD: usize = 32;

/// Rows that run together for each word wanted.
const ROWS_PER_WORD: usize = 2;

impl Completing {
    /// The job, the plan of its first row, and where its result will come out.
    pub fn new(plan: CompletionPlan) -> (Self, Vec<RowPlan>, Reader<Result<Completed, ReadingFailure>>) {
        let (promise, reader) = promise();
        let rows =
            vec![RowPlan { tag: ROOT, tokens: plan.tokens.clone(), joint: plan.joint, logits: Logits::Last }];
        let start =
            Prefix { from: ROOT, tokens: Vec::new(), logprob: 0.0, progress: plan.beginning.progress };
        let job = Self {
            plan,
            promise,
            reading: vec![(ROOT, start)],
            open: Vec::new(),
            found: Vec::new(),
            next_tag: ROOT + 1,
            steps: 0,
            snapshot: None,
        };
        (job, rows, reader)
    }

    /// Finds the most likely words that are tokens.
    fn look_for_words(&mut self, model: &Distribution<'_>) {
        let words = self.plan.tokenizer.completions().words(&self.plan.beginning.typed);
        for token in most_likely(words.iter().copied(), model, self.plan.words_max) {
            let logprob = model.logprob(token);
            self.find(Prefix { from: ROOT, tokens: vec![token], logprob, progress: Progress::InWord }, 0.0);
        }
        let CompletionPlan { tokenizer, beginning, extra_words, words_max, .. } = &self.plan;
        let Some(unk) = tokenizer.unk() else { return };
        for (text, log_share) in extra_words.beginning_with(&beginning.typed, *words_max) {
            self.found.push(Completion {
                word: tokenizer.completed_by_extra(beginning, text, unk),
                tokens: vec![unk],
                logprob: model.logprob(unk) + log_share,
                end_logprob: 0.0,
                is_extra: true,
            });
        }
    }

    /// Extends a prefix by each of its likely continuations, and ends it if a word may end there.
    fn extend(&mut self, row: Tag, prefix: Prefix, model: &Distribution<'_>) {
        let tokenizer = self.plan.tokenizer.clone();
        let completions = tokenizer.completions();
        let mut after: BTreeMap<TokenId, Progress> = BTreeMap::new();
        completions.continuations(&self.plan.beginning.typed, prefix.progress, |token, progress| {
            after.insert(token, progress);
        });
        let likely = most_likely(after.keys().copied(), model, self.open_max());
        self.open.extend(likely.into_iter().map(|token| Prefix {
            from: row,
            tokens: [&prefix.tokens[..], &[token]].concat(),
            logprob: prefix.logprob + model.logprob(token),
            progress: after[&token],
        }));
        if prefix.progress == Progress::InWord {
            let ends: f64 = completions.ends().iter().map(|&token| libm::exp(model.logprob(token))).sum();
            self.find(prefix, libm::log(ends));
        }
    }

    /// Adds a word, unless it cannot end here.
    fn find(&mut self, prefix: Prefix, end_logprob: f64) {
        let Prefix { tokens, logprob, .. } = prefix;
        if end_logprob > f64::NEG_INFINITY {
            let word = self.plan.tokenizer.completed(&self.plan.beginning, &tokens);
            self.found.push(Completion { word, tokens, logprob, end_logprob, is_extra: false });
        }
    }

    /// Orders what was found, and leaves one of the words that have the same text.
    fn settle(&mut self) {
        self.found.sort_by(Completion::likelier_first);
        let mut texts = HashSet::new();
        self.found.retain(|completion| texts.insert(completion.word.text.clone()));
    }

    fn open_max(&self) -> usize {
        self.plan.words_max * OPEN_PER_WORD
    }

    /// Whether no open prefix can become one of the words wanted, or there is no step left.
    fn is_over(&self) -> bool {
        let Some(best) = self.open.first() else { return true };
        let worst = self.found.get(self.plan.words_max - 1);
        self.steps == self.plan.steps_max || worst.is_some_and(|worst| worst.whole_logprob() >= best.logprob)
    }

    /// Has the most likely prefixes read their last tokens, and ends the rows that no open prefix needs any more.
    fn advance(&mut self, rows: &mut Rows<'_>) {
        self.settle();
        self.open.sort_by(Prefix::likelier_first);
        self.open.truncate(self.open_max());
        if self.is_over() {
            rows.ready().for_each(|row| drop(rows.finish(row)));
            self.found.truncate(self.plan.words_max);
            return;
        }
        self.steps += 1;
        let count = self.open.len().min(self.plan.words_max * ROWS_PER_WORD);
        for prefix in self.open.drain(..count) {
            let token = prefix.tokens[prefix.tokens.len() - 1];
            rows.feed(self.next_tag, Feed { from: prefix.from, token, logits: Logits::Last });
            self.reading.push((self.next_tag, prefix));
            self.next_tag += 1;
        }
        let is_needed = |row: Tag| self.open.iter().any(|prefix| prefix.from == row);
        rows.ready().filter(|&row| !is_needed(row)).for_each(|row| drop(rows.finish(row)));
    }
}

impl Job for Completing {
    fn look(&mut self, row: Tag, _at: At, logits: &mut [f32]) -> Result<()> {
        let model = Distribution::new(logits);
        let index = self.reading.iter().position(|(tag, _)| *tag == row);
        let index = index.ok_or_else(|| Error::internal("internal error: a row has no prefix"))?;
        let (_, prefix) = self.reading.swap_remove(index);
        if self.plan.tokenizer.completions().words_are_tokens() {
            self.look_for_words(&model);
        } else {
            self.extend(row, prefix, &model);
        }
        Ok(())
    }

    fn decide(&mut self, rows: &mut Rows<'_>) -> Result<()> {
        if !rows.all_ready() {
            return Ok(());
        }
        if self.snapshot.is_none() {
            self.snapshot = Some(rows.snapshot(ROOT).clone());
        }
        self.advance(rows);
        Ok(())
    }

    fn close(self: Box<Self>, ending: Ending, position: Option<u64>) {
        self.promise.keep(match ending.into_error() {
            None => Ok(Completed { words: self.found, snapshot: self.snapshot, position }),
            Some(error) => Err(ReadingFailure { error, position }),
        });
    }

    fn flow(&self) -> Flow {
        self.promise.flow()
    }
}

/// The `count` most likely of `tokens`, whatever their order: the most likely first, equal ones by id.
fn most_likely(
    tokens: impl Iterator<Item = TokenId>,
    model: &Distribution<'_>,
    count: usize,
) -> Vec<TokenId> {
    let logits = model.logits();
    let logit = |token: TokenId| logits[token as usize];
    let order = |a: TokenId, b: TokenId| logit(b).total_cmp(&logit(a)).then(a.cmp(&b));
    let mut best: Vec<TokenId> = Vec::new();
    // A token that the model rules out begins no word.
    for token in tokens.filter(|&token| logit(token) > f32::NEG_INFINITY) {
        let is_among = |last: &TokenId| order(token, *last) == Ordering::Less;
        if best.len() < count || best.last().is_some_and(is_among) {
            let place = best.partition_point(|&other| order(other, token) == Ordering::Less);
            best.insert(place, token);
            best.truncate(count);
        }
    }
    best
}

impl Prefix {
    fn likelier_first(&self, other: &Self) -> Ordering {
        other.logprob.total_cmp(&self.logprob).then_with(|| self.tokens.cmp(&other.tokens))
    }
}

impl Completion {
    fn likelier_first(&self, other: &Self) -> Ordering {
        let order = other.whole_logprob().total_cmp(&self.whole_logprob());
        order.then_with(|| self.tokens.cmp(&other.tokens))
    }
}
