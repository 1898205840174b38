//! The search, driven without an engine: compared with one that sorts all that it knows, and held to what it is counted for.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::engine::row::{ActiveRow, Place, Stage};
use crate::lm::State;
use crate::lm::test_logits::gaussian;
use crate::text::{Case, Tail, TokenizerKind, TokenizerSpec};

/// What a search has found, and the most states that it kept at once.
struct Searched {
    words: Vec<Completion>,
    states: usize,
}

/// Runs the job to its end. The state of a row is what it has read.
fn search(plan: CompletionPlan, logits: impl Fn(&[f32]) -> Vec<f32>) -> Searched {
    let (mut job, plans, mut reader) = Completing::new(plan);
    let start = Snapshot::at_start(State::from(Vec::new()), "weights".into());
    let mut rows: Vec<ActiveRow> =
        plans.into_iter().map(|plan| ActiveRow::new(plan, Place::Copy(start.clone()))).collect();
    let mut states = 0;
    while !rows.is_empty() {
        // With the state before the word.
        states = states.max(rows.len() + 1);
        for row in rows.iter_mut().filter(|row| row.stage == Stage::Running) {
            let tag = row.tag;
            let len = row.tokens().len();
            let (state, tokens) = row.state_and_tokens(len);
            let read = tokens.iter().map(|&token| token as f32);
            *state = State::from(state.as_slice().iter().copied().chain(read).collect::<Vec<f32>>());
            job.look(tag, At::End, &mut logits(state.as_slice())).unwrap();
            row.commit(len);
        }
        let mut decided = Rows::new(&rows);
        job.decide(&mut decided).unwrap();
        for decision in decided.into_decisions() {
            decision.carry_out(&mut rows).unwrap();
        }
        rows.retain(|row| row.stage != Stage::Finished);
    }
    Box::new(job).close(Ending::Done, None);
    Searched { words: reader.try_next().unwrap().unwrap().words, states }
}

/// The same by the definition: every continuation of every beginning is kept until all of them have been sorted.
fn defined(plan: &CompletionPlan, logits: impl Fn(&[f32]) -> Vec<f32>) -> Vec<Completion> {
    let completions = plan.tokenizer.completions();
    let mut found: Vec<Completion> = Vec::new();
    let mut open: Vec<Prefix> = Vec::new();
    let mut reading =
        vec![Prefix { from: 0, tokens: Vec::new(), logprob: 0.0, progress: plan.beginning.progress }];
    let mut row = 0;
    for step in 0.. {
        for prefix in reading {
            let read: Vec<f32> =
                plan.tokens.iter().chain(&prefix.tokens).map(|&token| token as f32).collect();
            let logits = logits(&read);
            let model = Distribution::new(&logits);
            let mut after = BTreeMap::new();
            completions.continuations(&plan.beginning.typed, prefix.progress, |tokens, progress| {
                after.extend(tokens.iter().map(|&token| (token, progress)));
            });
            let logit = |token: TokenId| logits[token as usize];
            let mut next: Vec<TokenId> = after.keys().copied().collect();
            next.retain(|&token| logit(token) > f32::NEG_INFINITY);
            next.sort_by(|&a, &b| logit(b).total_cmp(&logit(a)).then(a.cmp(&b)));
            next.truncate(plan.words_max * OPEN_PER_WORD);
            open.extend(next.into_iter().map(|token| Prefix {
                from: row,
                tokens: [&prefix.tokens[..], &[token]].concat(),
                logprob: prefix.logprob + model.logprob(token),
                progress: after[&token],
            }));
            row += 1;
            let ends: f64 = completions.ends().iter().map(|&token| libm::exp(model.logprob(token))).sum();
            if prefix.progress == Progress::InWord && ends > 0.0 {
                let Prefix { tokens, logprob, .. } = prefix;
                let word = plan.tokenizer.completed(&plan.beginning, &tokens);
                let end_logprob = libm::log(ends).min(0.0);
                found.push(Completion { word, tokens, logprob, end_logprob, is_extra: false });
            }
        }
        found.sort_by(Completion::likelier_first);
        let mut texts = HashSet::new();
        found.retain(|completion| texts.insert(completion.word.text.clone()));
        open.sort_by(Prefix::likelier_first);
        open.truncate(plan.words_max * OPEN_PER_WORD);
        let worst = found.get(plan.words_max - 1).map(Completion::whole_logprob);
        let is_left = open.first().is_some_and(|best| worst.is_none_or(|worst| best.logprob > worst));
        if step == plan.steps_max || !is_left {
            break;
        }
        reading = open.drain(..open.len().min(plan.words_max * RUNNING_PER_WORD)).collect();
        let mut held: Vec<Tag> = open.iter().map(|prefix| prefix.from).collect();
        let mut seen = HashSet::new();
        held.retain(|row| seen.insert(*row));
        held.truncate(plan.words_max * HELD_PER_WORD);
        open.retain(|prefix| held.contains(&prefix.from));
    }
    found.truncate(plan.words_max);
    found
}

/// Logits `[vocab_size]` that follow from what was read. Many are equal, and some are ruled out.
fn coarse_logits(read: &[f32], vocab_size: usize) -> Vec<f32> {
    let seed = read.iter().fold(7, |seed: u64, token| seed.wrapping_mul(1_000_003) ^ *token as u64);
    let mut logits = gaussian(seed, vocab_size, 2.0);
    logits.iter_mut().for_each(|logit| *logit = (2.0 * *logit).round() / 2.0);
    logits.iter_mut().filter(|logit| **logit < -4.0).for_each(|logit| *logit = f32::NEG_INFINITY);
    logits
}

fn letters() -> Arc<Tokenizer> {
    let entries: Vec<String> =
        ('a'..='p').map(String::from).chain([" ", "\\n", "."].map(String::from)).collect();
    let spec = TokenizerSpec::new(TokenizerKind::Char);
    Arc::new(Tokenizer::new(&spec, entries.join("\n").as_bytes()).unwrap())
}

fn subwords() -> Arc<Tokenizer> {
    let file = include_bytes!("../../../../tests/data/tokenizer-byte-level.json");
    Arc::new(Tokenizer::new(&TokenizerSpec::new(TokenizerKind::HuggingFace), file).unwrap())
}

fn plan(tokenizer: Arc<Tokenizer>, typed: &str) -> CompletionPlan {
    let tail = Tail::new(&[1, 2], Joint::Closed);
    CompletionPlan {
        tokens: [1, 2].into(),
        joint: Joint::Closed,
        beginning: tokenizer.beginning(&tail, typed, Case::Ignored),
        tokenizer,
        extra_words: Arc::default(),
        words_max: 1,
        steps_max: 12,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_is_found_is_what_a_search_by_the_definition_finds(
        is_letters: bool,
        typed in prop::sample::select(vec!["", " ", " a", "o", " The"]),
        words_max in 1..7usize,
        steps_max in 1..12usize,
        salt in 0..1000u32,
    ) {
        let tokenizer = if is_letters { letters() } else { subwords() };
        let vocab_size = tokenizer.vocab_size();
        let logits = |read: &[f32]| coarse_logits(&[&[salt as f32][..], read].concat(), vocab_size);
        let plan = || CompletionPlan { words_max, steps_max, ..plan(tokenizer.clone(), typed) };
        let Searched { words, states } = search(plan(), logits);
        prop_assert!(states <= plan().rows_max(), "{} states are kept", states);
        prop_assert_eq!(words, defined(&plan(), logits));
    }
}

/// Words of one letter are rare, so that much is open.
#[test]
fn a_search_keeps_as_many_states_as_it_is_counted_for() {
    let tokenizer = letters();
    let logits = |read: &[f32]| {
        let mut logits = gaussian(read.iter().map(|&token| token as u64 + 1).product(), 19, 0.1);
        logits[16..].fill(-20.0);
        logits
    };
    let plan = CompletionPlan { words_max: 2, ..plan(tokenizer, " ") };
    let counted = plan.rows_max();
    assert_eq!(search(plan, logits).states, counted);
}
