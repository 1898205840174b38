//! Beam search: under any schedule it finds what a search without an engine finds, greedy decoding at width 1, and at full width what an
//! exhaustive search finds.

use std::sync::Arc;
use std::time::Duration;

use rnnlm_server::engine::jobs::{Finish, FinishedChoice, GenerationEvent};
use rnnlm_server::engine::{Start, Turn};
use rnnlm_server::lm::fake::Fake;
use rnnlm_server::lm::{Model, State, TokenId};
use rnnlm_server::sampling::{Filtering, Sampler, extensions};
use rnnlm_server::session::Snapshot;

use super::solo;
use super::world::{Limits, World, filters};

/// A request for a beam search. All hypotheses are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Beam {
    pub(crate) prompt: Vec<TokenId>,
    pub(crate) width: usize,
    pub(crate) len: usize,
    pub(crate) eos: Option<TokenId>,
    pub(crate) length_penalty: f64,
    pub(crate) deadline: Option<Duration>,
}

/// A hypothesis of the reference.
#[derive(Clone)]
pub(crate) struct Hypothesis {
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) logprob: f64,
    pub(crate) state: State,
    score: f64,
    filtering: Filtering,
}

/// A search without an engine.
pub(crate) struct Alone {
    /// The hypotheses, the best first; `None` if the model fails.
    pub(crate) found: Option<Vec<Hypothesis>>,
    /// All tokens that the model reads during the search.
    pub(crate) read: Vec<TokenId>,
}

impl Beam {
    fn root(&self, model: &dyn Model, start: &State) -> Option<Hypothesis> {
        let state = solo::read(model, start, &self.prompt)?;
        let filtering = Filtering::new(filters(), &self.prompt);
        Some(Hypothesis { tokens: Vec::new(), logprob: 0.0, state, score: 0.0, filtering })
    }

    fn has_ended(&self, hypothesis: &Hypothesis) -> bool {
        hypothesis.tokens.len() == self.len
            || self.eos.is_some() && hypothesis.tokens.last().copied() == self.eos
    }

    /// The best first; ties by the ids of the tokens.
    fn sort(&self, hypotheses: &mut [Hypothesis]) {
        let score = |one: &Hypothesis| one.score / libm::pow(one.tokens.len() as f64, self.length_penalty);
        hypotheses.sort_by(|a, b| score(b).total_cmp(&score(a)).then_with(|| a.tokens.cmp(&b.tokens)));
    }
}

impl Hypothesis {
    /// All extensions by one token, whose states are still those before it.
    fn children(&self, model: &dyn Model) -> Vec<Self> {
        let mut logits = solo::logits(model, &mut self.state.clone());
        let all = extensions(&self.filtering, &mut logits, usize::MAX >> 8).expect("no token is ruled out");
        let child = |extension: rnnlm_server::sampling::Extension| {
            let mut child = self.clone();
            child.tokens.push(extension.token);
            child.filtering.drew(extension.token);
            child.logprob += extension.logprob;
            child.score += extension.score;
            child
        };
        all.into_iter().map(child).collect()
    }

    /// The same after its last token is read.
    fn after_last(mut self, model: &dyn Model) -> Option<Self> {
        let last = &self.tokens[self.tokens.len() - 1..];
        self.state = solo::read(model, &self.state, last)?;
        Some(self)
    }
}

impl Alone {
    pub(crate) fn search(model: &dyn Model, start: &State, beam: &Beam) -> Self {
        let mut alone = Self { found: None, read: beam.prompt.clone() };
        alone.found = alone.run(model, start, beam);
        alone
    }

    fn run(&mut self, model: &dyn Model, start: &State, beam: &Beam) -> Option<Vec<Hypothesis>> {
        let mut alive = vec![beam.root(model, start)?];
        let mut ended = Vec::new();
        while !alive.is_empty() {
            let mut children: Vec<Hypothesis> = alive.iter().flat_map(|one| one.children(model)).collect();
            children.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.tokens.cmp(&b.tokens)));
            children.truncate(beam.width - ended.len());
            self.read.extend(children.iter().map(|child| child.tokens[child.tokens.len() - 1]));
            let chosen = children.into_iter().map(|child| child.after_last(model));
            let chosen: Vec<Hypothesis> = chosen.collect::<Option<_>>()?;
            let (over, going): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|one| beam.has_ended(one));
            ended.extend(over);
            alive = going;
        }
        beam.sort(&mut ended);
        Some(ended)
    }
}

/// Every continuation, the best first.
fn exhaustive(model: &dyn Model, start: &State, beam: &Beam) -> Vec<Hypothesis> {
    let mut ended = Vec::new();
    let mut open = vec![beam.root(model, start).unwrap()];
    while let Some(one) = open.pop() {
        for child in one.children(model) {
            let child = child.after_last(model).unwrap();
            let list = if beam.has_ended(&child) { &mut ended } else { &mut open };
            list.push(child);
        }
    }
    beam.sort(&mut ended);
    ended
}

/// The ids of the tokens of a choice.
pub(crate) fn ids(choice: &FinishedChoice) -> Vec<TokenId> {
    choice.unsent.iter().map(|event| event.token).collect()
}

/// Checks that a choice is this hypothesis.
pub(crate) fn assert_is(choice: &FinishedChoice, expected: &Hypothesis) {
    assert_eq!((ids(choice), choice.logprob), (expected.tokens.clone(), expected.logprob));
    assert_eq!(choice.token_count, expected.tokens.len());
    let snapshot = choice.snapshot.as_ref().expect("ends are asked for");
    assert_eq!(snapshot.state, expected.state);
}

fn found(world: &mut World, start: Snapshot, beam: &Beam) -> Vec<FinishedChoice> {
    let mut reader = world.beam(Start::Copy(start), beam);
    world.run();
    match reader.try_next() {
        Some(GenerationEvent::Done(finished)) => finished.choices,
        other => panic!("{other:?}"),
    }
}

fn world(vocab_size: usize, limits: &Limits) -> World {
    World::new(Arc::new(Fake::new(vocab_size)), 1, limits)
}

#[test]
fn a_beam_finds_the_same_however_few_of_its_rows_fit_into_a_batch() {
    for rows_max in 1..=6 {
        for eos in [None, Some(3)] {
            let mut world = world(12, &Limits { rows_max, ..Limits::default() });
            let beam =
                Beam { prompt: vec![1, 2], width: 5, len: 6, eos, length_penalty: 0.7, deadline: None };
            let start = world.snapshot(0);
            let expected = Alone::search(&*world.model, &start.state, &beam).found.unwrap();
            let choices = found(&mut world, start, &beam);
            assert_eq!(choices.len(), expected.len());
            choices.iter().zip(&expected).for_each(|(choice, expected)| assert_is(choice, expected));
            for choice in &choices {
                let ends = eos.is_some() && ids(choice).last().copied() == eos;
                assert_eq!(choice.finish, if ends { Finish::Eos } else { Finish::Length });
            }
        }
    }
}

#[test]
fn a_beam_as_wide_as_all_continuations_finds_what_an_exhaustive_search_finds() {
    for (eos, length_penalty) in [(None, 0.0), (Some(2), 0.0), (Some(2), 1.0), (Some(0), -1.5)] {
        let mut world = world(4, &Limits::default());
        // At most 4^4 continuations.
        let beam = Beam { prompt: vec![3, 1], width: 256, len: 4, eos, length_penalty, deadline: None };
        let start = world.snapshot(0);
        let expected = exhaustive(&*world.model, &start.state, &beam);
        let choices = found(&mut world, start, &beam);
        assert_eq!(choices.len(), expected.len());
        choices.iter().zip(&expected).for_each(|(choice, expected)| assert_is(choice, expected));
    }
}

#[test]
fn a_beam_of_width_1_is_greedy() {
    for first in 0..12 {
        let mut world = world(12, &Limits::default());
        let prompt = vec![first];
        let beam = Beam {
            prompt: prompt.clone(),
            width: 1,
            len: 20,
            eos: None,
            length_penalty: 1.0,
            deadline: None,
        };
        let start = world.snapshot(0);
        let mut state = solo::read(&*world.model, &start.state, &prompt).unwrap();
        let mut filtering = Filtering::new(filters(), &prompt);
        let mut greedy = Vec::new();
        for position in 0..20 {
            let mut logits = solo::logits(&*world.model, &mut state);
            let drawn = Sampler::Greedy.draw(&filtering, &mut logits, position).unwrap();
            greedy.push(drawn.token);
            filtering.drew(drawn.token);
            state = solo::read(&*world.model, &state, &[drawn.token]).unwrap();
        }
        assert_eq!(ids(&found(&mut world, start, &beam)[0]), greedy);
    }
}

#[test]
fn a_search_that_stops_early_has_found_the_best_and_read_less() {
    let mut stopped = 0;
    for (length_penalty, choices) in [(-1.5, 1), (0.0, 1), (0.0, 3), (0.5, 2), (1.0, 1)] {
        for first in 0..8 {
            let prompt = vec![first, 2];
            let beam = Beam { prompt, width: 4, len: 12, eos: Some(3), length_penalty, deadline: None };
            let turns = |choices: usize| {
                let mut world = world(8, &Limits::default());
                let start = world.snapshot(0);
                let expected = Alone::search(&*world.model, &start.state, &beam).found.unwrap();
                let mut reader = world.best_of_beam(Start::Copy(start), &beam, choices);
                let mut turns = 0;
                while world.engine.turn() == Turn::Ran {
                    turns += 1;
                }
                let Some(GenerationEvent::Done(finished)) = reader.try_next() else { panic!("no result") };
                assert_eq!(finished.choices.len(), choices.min(expected.len()));
                let each = finished.choices.iter().zip(&expected);
                each.for_each(|(choice, expected)| assert_is(choice, expected));
                turns
            };
            stopped += usize::from(turns(choices) < turns(beam.width));
        }
    }
    assert!(stopped > 5, "only {stopped} of 40 searches were over early");
}

#[test]
fn a_beam_whose_time_is_up_gives_what_it_has_and_where_that_stands() {
    for turns in 1..30 {
        let mut world = world(12, &Limits { rows_max: 2, ..Limits::default() });
        let deadline = Some(Duration::from_secs(1));
        let beam = Beam { prompt: vec![1, 2], width: 3, len: 8, eos: Some(4), length_penalty: 1.0, deadline };
        let start = world.snapshot(0);
        let mut reader = world.beam(Start::Copy(start.clone()), &beam);
        (0..turns).for_each(|_| _ = world.engine.turn());
        world.clock.advance(Duration::from_secs(1));
        world.run();
        let choices = match reader.try_next() {
            Some(GenerationEvent::Done(finished)) => finished.choices,
            Some(GenerationEvent::Failed { error, .. }) => {
                assert!(turns < 3 && error.message.contains("within its time"), "{turns}: {}", error.message);
                continue;
            }
            other => panic!("{other:?}"),
        };
        assert!(!choices.is_empty() && choices.len() <= 3);
        for choice in choices {
            check_path(&*world.model, &start, &beam, &choice);
        }
    }
}

/// Checks that the logprob and the end of a choice are those of reading its tokens.
pub(crate) fn check_path(model: &dyn Model, start: &Snapshot, beam: &Beam, choice: &FinishedChoice) {
    let prompted = solo::read(model, &start.state, &beam.prompt).unwrap();
    let tokens = ids(choice);
    let logprobs = solo::logprobs(model, &prompted, &tokens).unwrap();
    assert_eq!(choice.logprob, logprobs.iter().fold(0.0, |sum, logprob| sum + logprob));
    let snapshot = choice.snapshot.as_ref().expect("ends are asked for");
    assert_eq!(Some(&snapshot.state), solo::read(model, &prompted, &tokens).as_ref());
    assert_eq!(snapshot.position, start.position + (beam.prompt.len() + tokens.len()) as u64);
}
