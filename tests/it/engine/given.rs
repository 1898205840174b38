//! A job of a random schedule: what it was asked for, what it answered, and the comparison with a run of the job alone.

use rnnlm_server::engine::Reader;
use rnnlm_server::engine::jobs::{
    Finish, FinishedChoice, GenerationEvent, ReadingFailure, ReadingPlan, ReadingResult,
};
use rnnlm_server::error::Result;
use rnnlm_server::lm::{Model, TokenId};
use rnnlm_server::session::Snapshot;

use super::beam::{self, Beam};
use super::schedules::{NAN, PANIC};
use super::search::{Alone, Found, Search};
use super::solo;
use super::world::Draws;

/// A job that was submitted, and the answers that were received so far.
pub(crate) struct Given {
    pub(crate) session: usize,
    pub(crate) target: Target,
    pub(crate) start: Snapshot,
    pub(crate) work: Work,
}

#[allow(clippy::large_enum_variant, reason = "a few dozen of them in a test")]
pub(crate) enum Work {
    Reading {
        plan: ReadingPlan,
        reader: Option<Reader<Result<ReadingResult, ReadingFailure>>>,
        result: Option<Result<ReadingResult, ReadingFailure>>,
    },
    Generation {
        draws: Draws,
        reader: Option<Reader<GenerationEvent>>,
        events: Vec<GenerationEvent>,
    },
    Beam {
        beam: Beam,
        reader: Option<Reader<GenerationEvent>>,
        event: Option<GenerationEvent>,
    },
    Search {
        search: Search,
        reader: Option<Reader<Result<Found>>>,
        found: Option<Result<Found>>,
    },
}

impl Given {
    pub(crate) fn take(&mut self, count: usize) {
        match &mut self.work {
            Work::Reading { reader: Some(reader), result, .. } => {
                *result = result.take().or_else(|| reader.try_next());
            }
            Work::Generation { reader: Some(reader), events, .. } => {
                events.extend(std::iter::from_fn(|| reader.try_next()).take(count));
            }
            Work::Search { reader: Some(reader), found, .. } => {
                *found = found.take().or_else(|| reader.try_next());
            }
            Work::Beam { reader: Some(reader), event, .. } => {
                *event = event.take().or_else(|| reader.try_next());
            }
            _ => {}
        }
    }

    pub(crate) fn drop_reader(&mut self) {
        match &mut self.work {
            Work::Reading { reader, .. } => drop(reader.take()),
            Work::Generation { reader, .. } | Work::Beam { reader, .. } => drop(reader.take()),
            Work::Search { reader, .. } => drop(reader.take()),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        match &self.work {
            Work::Reading { reader, result, .. } => reader.is_none() || result.is_some(),
            Work::Search { reader, found, .. } => reader.is_none() || found.is_some(),
            Work::Beam { reader, event, .. } => reader.is_none() || event.is_some(),
            Work::Generation { reader, events, .. } => {
                reader.is_none()
                    || events.last().is_some_and(|event| !matches!(event, GenerationEvent::Token(_)))
            }
        }
    }

    /// All tokens that the session would read if nothing ended the job early.
    pub(crate) fn whole(&self, model: &dyn Model) -> Vec<TokenId> {
        match &self.work {
            Work::Reading { plan, .. } => plan.tokens.to_vec(),
            Work::Generation { draws, .. } => {
                let mut whole = draws.prompt.clone();
                whole.extend(solo::generate(model, &self.start, draws, 0).iter().map(|(token, _)| token));
                whole
            }
            Work::Beam { beam, .. } => beam.prompt.clone(),
            Work::Search { search, .. } => {
                let best = Alone::search(model, &self.start.state, search).found;
                let best = best.map_or_else(Vec::new, |mut found| found.remove(0).tokens);
                [&search.prompt[..], &best].concat()
            }
        }
    }

    /// Checks that the answers are those of a run of the job alone.
    pub(crate) fn check(&self, model: &dyn Model) {
        match &self.work {
            Work::Reading { plan, result: Some(Ok(result)), .. } => self.check_reading(model, plan, result),
            Work::Reading { plan, result: Some(Err(failure)), .. } => {
                check_failure(&failure.error.message, &[&plan.tokens, &*plan.branches.concat()].concat());
            }
            Work::Reading { result: None, .. } => {}
            Work::Generation { draws, events, .. } => self.check_generation(model, draws, events),
            Work::Search { search, found: Some(found), .. } => self.check_search(model, search, found),
            Work::Search { found: None, .. } | Work::Beam { event: None, .. } => {}
            Work::Beam { beam, event: Some(event), .. } => self.check_beam(model, beam, event),
        }
    }

    fn check_reading(&self, model: &dyn Model, plan: &ReadingPlan, result: &ReadingResult) {
        let state = solo::read(model, &self.start.state, &plan.tokens)
            .expect("a reading that succeeded also succeeds alone");
        if plan.scored {
            assert_eq!(
                Some(&result.logprobs),
                solo::logprobs(model, &self.start.state, &plan.tokens).as_ref()
            );
        }
        for (branch, logprobs) in plan.branches.iter().zip(&result.branches) {
            assert_eq!(Some(logprobs), solo::logprobs(model, &state, branch).as_ref());
        }
        let next = result.next.as_ref().expect("the plan asks for it");
        assert_eq!(next.logprobs, Some(solo::distribution(model, &state)));
        match &result.snapshot {
            Some(snapshot) => assert_eq!(snapshot.state, state),
            None => assert_eq!(self.target, Target::Session, "a job on a copy returns a snapshot"),
        }
    }

    fn check_search(&self, model: &dyn Model, search: &Search, found: &Result<Found>) {
        let alone = Alone::search(model, &self.start.state, search);
        match found {
            Ok(found) => {
                assert_eq!(Some(&found.best), alone.found.as_ref());
                let read = self.whole(model);
                match &found.snapshot {
                    Some(snapshot) => {
                        assert_eq!(
                            Some(&snapshot.state),
                            solo::read(model, &self.start.state, &read).as_ref()
                        );
                    }
                    None => assert_eq!(self.target, Target::Session, "a job on a copy returns a snapshot"),
                }
            }
            Err(error) => check_failure(&error.message, &alone.read),
        }
    }

    fn check_beam(&self, model: &dyn Model, beam: &Beam, event: &GenerationEvent) {
        let alone = beam::Alone::search(model, &self.start.state, beam);
        match event {
            GenerationEvent::Done(finished) => {
                if finished.choices.iter().any(|choice| choice.finish == Finish::Timeout) {
                    finished
                        .choices
                        .iter()
                        .for_each(|choice| beam::check_path(model, &self.start, beam, choice));
                    return;
                }
                let expected = alone.found.expect("a search that succeeded also succeeds alone");
                assert_eq!(finished.choices.len(), expected.len());
                for (choice, expected) in finished.choices.iter().zip(&expected) {
                    beam::assert_is(choice, expected);
                }
            }
            GenerationEvent::Failed { error, .. } => check_failure(&error.message, &alone.read),
            other => panic!("{other:?}"),
        }
    }

    fn check_generation(&self, model: &dyn Model, draws: &Draws, events: &[GenerationEvent]) {
        let alone: Vec<_> =
            (0..draws.choices).map(|choice| solo::generate(model, &self.start, draws, choice)).collect();
        let mut counts = vec![0; draws.choices];
        for event in events {
            match event {
                GenerationEvent::Prompt(_) => panic!("no scores were asked for"),
                GenerationEvent::Token(token) => {
                    let count = &mut counts[token.choice];
                    let expected = alone[token.choice][*count];
                    assert_eq!((token.index, token.token, token.logprob), (*count, expected.0, expected.1));
                    *count += 1;
                }
                GenerationEvent::Done(finished) => {
                    for (index, choice) in finished.choices.iter().enumerate() {
                        assert_eq!(choice.token_count, counts[index], "every token that was drawn was sent");
                        assert_eq!(choice.finish == Finish::Length, counts[index] == draws.len);
                        let is_known = matches!(choice.finish, Finish::Length | Finish::Timeout);
                        assert!(is_known, "{:?}", choice.finish);
                        self.check_end(model, choice, &alone[index][..counts[index]]);
                    }
                }
                GenerationEvent::Failed { error, .. } => {
                    let last = |(alone, count): (&Vec<(TokenId, f64)>, &usize)| {
                        count.checked_sub(1).map(|last| alone[last].0)
                    };
                    let last: Vec<TokenId> = alone.iter().zip(&counts).filter_map(last).collect();
                    check_failure(&error.message, if last.is_empty() { &draws.prompt } else { &last });
                }
            }
        }
    }

    /// Checks where a choice on a copy has ended, which has drawn `drawn`.
    fn check_end(&self, model: &dyn Model, choice: &FinishedChoice, drawn: &[(TokenId, f64)]) {
        let Work::Generation { draws, .. } = &self.work else { panic!("only a generation has choices") };
        if self.target == Target::Session {
            return;
        }
        let read: Vec<TokenId> =
            draws.prompt.iter().copied().chain(drawn.iter().map(|(token, _)| *token)).collect();
        let end = choice.snapshot.as_ref().expect("ends are asked for");
        assert_eq!(Some(&end.state), solo::read(model, &self.start.state, &read).as_ref());
        assert_eq!(end.position, self.start.position + read.len() as u64);
    }
}

/// Checks that a job failed because of a token that it was reading itself, not because of the rows beside it.
fn check_failure(message: &str, reading: &[TokenId]) {
    let by = |token, word| reading.contains(&token) && message.contains(word);
    let wanted = by(NAN, "finite") || by(PANIC, "panicked") || message.contains("within its time");
    assert!(wanted, "{message}, reading {reading:?}");
}

/// What a job works on: its session, or a copy of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    Session,
    Copy,
}

pub(crate) fn token(event: &GenerationEvent) -> Option<TokenId> {
    match event {
        GenerationEvent::Token(token) => Some(token.token),
        _ => None,
    }
}
