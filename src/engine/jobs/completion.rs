//! The job that completes a half-typed word: it finds the most likely words that begin with what was typed.
//!
//! Where each token is a word, one look at the logits suffices. Otherwise a search puts words together from tokens. A word becomes
//! less likely with every token, so the search always extends the most likely beginnings, and it is over when enough words are
//! found that are at least as likely as every beginning left. A row keeps the state of a beginning for as long as an extension of it
//! is open. How many rows there are is bounded ([`CompletionPlan::rows_max`]): the likeliest extensions decide which beginnings are kept, and
//! the extensions of others are dropped.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::likeliest::{Likeliest, Next, keep_first};
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
    /// The prefixes to read, at most [`Self::open_max`]; between two steps, most likely first.
    open: Vec<Prefix>,
    /// A prefix that is less likely has no place among `open`.
    floor: f64,
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
const RUNNING_PER_WORD: usize = 2;

/// Rows beside them for each word wanted, which open prefixes continue.
const HELD_PER_WORD: usize = 6;

impl CompletionPlan {
    /// How many states it keeps at most: those of its rows, and the one before the word.
    pub fn rows_max(&self) -> usize {
        match self.tokenizer.completions().words_are_tokens() {
            true => 1,
            false => self.words_max.saturating_mul(RUNNING_PER_WORD + HELD_PER_WORD).saturating_add(1),
        }
    }
}

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
            floor: f64::NEG_INFINITY,
            found: Vec::new(),
            next_tag: ROOT + 1,
            steps: 0,
            snapshot: None,
        };
        (job, rows, reader)
    }

    /// Finds the most likely words that are tokens.
    fn look_for_words(&mut self, model: &Distribution<'_>) {
        let mut likeliest = Likeliest::new(self.plan.words_max);
        for &token in self.plan.tokenizer.completions().words(&self.plan.beginning.typed) {
            likeliest.add(Next { token, logit: model.logits()[token as usize], progress: Progress::InWord });
        }
        for Next { token, progress, .. } in likeliest.into_vec() {
            let logprob = model.logprob(token);
            self.find(Prefix { from: ROOT, tokens: vec![token], logprob, progress }, 0.0);
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
        let logprob = |token| prefix.logprob + model.logprob(token);
        let mut likeliest = Likeliest::new(self.open_max());
        completions.continuations(&self.plan.beginning.typed, prefix.progress, |tokens, progress| {
            for &token in tokens.iter().filter(|&&token| logprob(token) >= self.floor) {
                likeliest.add(Next { token, logit: model.logits()[token as usize], progress });
            }
        });
        self.open.extend(likeliest.into_vec().into_iter().map(|Next { token, progress, .. }| Prefix {
            from: row,
            tokens: [&prefix.tokens[..], &[token]].concat(),
            logprob: logprob(token),
            progress,
        }));
        self.cut_open();
        if prefix.progress == Progress::InWord {
            // Rounding must not make a word likelier than its beginning.
            self.find(prefix, model.logprob_of_any(completions.ends()).min(0.0));
        }
    }

    /// Leaves the most likely of the open prefixes.
    fn cut_open(&mut self) {
        let count = self.open_max();
        if self.open.len() >= count {
            keep_first(&mut self.open, count, Prefix::likelier_first);
            self.floor = self.open[count - 1].logprob;
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

    /// Orders what was found and what is open. Leaves one of the words that have the same text, the words wanted, and the prefixes that may
    /// become one of them.
    fn settle(&mut self) {
        self.found.sort_by(Completion::likelier_first);
        let mut texts = HashSet::new();
        self.found.retain(|completion| texts.insert(completion.word.text.clone()));
        self.found.truncate(self.plan.words_max);
        self.open.sort_by(Prefix::likelier_first);
        self.floor = self.worst_wanted();
        self.open.truncate(self.open.partition_point(|prefix| prefix.logprob >= self.floor));
    }

    /// The logprob of the least likely of the words wanted, if that many are found.
    fn worst_wanted(&self) -> f64 {
        self.found.get(self.plan.words_max - 1).map_or(f64::NEG_INFINITY, Completion::whole_logprob)
    }

    fn open_max(&self) -> usize {
        self.plan.words_max * OPEN_PER_WORD
    }

    /// Whether no open prefix can become one of the words wanted, or there is no step left.
    fn is_over(&self) -> bool {
        let Some(best) = self.open.first() else { return true };
        self.steps == self.plan.steps_max || self.worst_wanted() >= best.logprob
    }

    /// Has the most likely prefixes read their last tokens, and ends the rows that no open prefix needs any more.
    fn advance(&mut self, rows: &mut Rows<'_>) {
        self.settle();
        if self.is_over() {
            rows.ready().for_each(|row| drop(rows.finish(row)));
            return;
        }
        self.steps += 1;
        let count = self.open.len().min(self.plan.words_max * RUNNING_PER_WORD);
        for prefix in self.open.drain(..count) {
            let token = prefix.tokens[prefix.tokens.len() - 1];
            rows.feed(self.next_tag, Feed { from: prefix.from, token, logits: Logits::Last });
            self.reading.push((self.next_tag, prefix));
            self.next_tag += 1;
        }
        let held = self.hold();
        rows.ready().filter(|row| !held.contains(row)).for_each(|row| drop(rows.finish(row)));
    }

    /// The rows that the open prefixes continue, the most likely ones of which decide which rows these are. Drops the prefixes of others.
    fn hold(&mut self) -> BTreeSet<Tag> {
        let held_max = self.plan.words_max * HELD_PER_WORD;
        let mut held = BTreeSet::new();
        self.open.retain(|prefix| {
            held.contains(&prefix.from) || held.len() < held_max && held.insert(prefix.from)
        });
        held
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

#[cfg(test)]
mod tests;
