//! Random schedules of admit, park, resume, cancel, fail, deadline, chunk and tile sizes.

use std::sync::{Arc, Once};
use std::time::Duration;

use proptest::prelude::*;
use rnnlm_server::engine::jobs::{
    Finish, GenerationEvent, NextQuery, ReadingFailure, ReadingPlan, ReadingResult, Scored, Vector,
};
use rnnlm_server::engine::{Reader, Start};
use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::fake::Fake;
use rnnlm_server::lm::{Cell, LoadOptions, Model, TokenId};
use rnnlm_server::rnn::{Architecture, GruForm};
use rnnlm_server::session::Snapshot;

use super::fragile::Fragile;
use super::solo;
use super::world::{Cut, Draws, World, filters};
use crate::harness::network::{Biases, Shape, weights_types};

const VOCAB: TokenId = 40;
/// The scripted model's numbers stop being finite on reading this.
const NAN: TokenId = 38;
/// Reading this panics.
const PANIC: TokenId = 39;
const SESSIONS: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    Read {
        session: usize,
        tokens: Vec<TokenId>,
        scored: bool,
        branches: Vec<Vec<TokenId>>,
        target: Target,
    },
    Generate {
        session: usize,
        draws: Draws,
        target: Target,
    },
    Turns(usize),
    /// Takes what the reader of a job has, at most so many.
    Take(usize, usize),
    Drop(usize),
    Advance(u64),
}

fn tokens(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<TokenId>> {
    prop::collection::vec(prop_oneof![60 => 0..NAN, 1 => Just(NAN), 1 => Just(PANIC)], len)
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let branches = prop::collection::vec(tokens(1..6), 0..4);
    let read = (0..SESSIONS, tokens(0..30), any::<bool>(), branches, targets());
    let read = read.prop_map(|(session, tokens, scored, branches, target)| {
        // A session is advanced by one row that reads something.
        let target = if tokens.is_empty() { Target::Copy } else { target };
        Op::Read { session, tokens, scored, branches, target }
    });
    let deadline = prop::option::weighted(0.2, (1..4u64).prop_map(Duration::from_secs));
    let draws = (tokens(0..12), any::<u64>(), 1..20usize, 1..4usize, deadline).prop_map(
        |(prompt, seed, len, events_max, deadline)| Draws { prompt, seed, len, events_max, deadline },
    );
    let generate = (0..SESSIONS, draws, targets()).prop_map(|(session, draws, target)| Op::Generate {
        session,
        draws,
        target,
    });
    let op = prop_oneof![
        2 => read,
        3 => generate,
        6 => (1..5usize).prop_map(Op::Turns),
        6 => (any::<usize>(), 1..8usize).prop_map(|(job, count)| Op::Take(job, count)),
        1 => any::<usize>().prop_map(Op::Drop),
        1 => (1..4u64).prop_map(Op::Advance),
    ];
    prop::collection::vec(op, 1..60)
}

fn targets() -> impl Strategy<Value = Target> {
    prop_oneof![Just(Target::Session), Just(Target::Copy)]
}

fn cuts() -> impl Strategy<Value = Cut> {
    let logits_bytes = prop_oneof![Just(0), Just(200), Just(1 << 20)];
    // A state of the scripted model has 12 bytes, one of the network up to 120.
    let state_bytes = prop_oneof![0..500usize, Just(1 << 20)];
    (1..7usize, state_bytes, 1..9usize, 0..3u64, logits_bytes, 1..4usize).prop_map(
        |(rows_max, state_bytes_max, turn_steps, idle_after, logits_bytes_max, parked_max)| Cut {
            rows_max,
            state_bytes_max,
            turn_steps,
            idle_after: Duration::from_secs(idle_after),
            logits_bytes_max,
            parked_max,
        },
    )
}

/// A job that was handed in, and what is known of it.
struct Given {
    session: usize,
    target: Target,
    start: Snapshot,
    work: Work,
}

#[allow(clippy::large_enum_variant, reason = "a few dozen of them in a test")]
enum Work {
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
}

impl Given {
    fn take(&mut self, count: usize) {
        match &mut self.work {
            Work::Reading { reader: Some(reader), result, .. } => {
                *result = result.take().or_else(|| reader.try_next());
            }
            Work::Generation { reader: Some(reader), events, .. } => {
                events.extend(std::iter::from_fn(|| reader.try_next()).take(count));
            }
            _ => {}
        }
    }

    fn drop_reader(&mut self) {
        match &mut self.work {
            Work::Reading { reader, .. } => drop(reader.take()),
            Work::Generation { reader, .. } => drop(reader.take()),
        }
    }

    fn is_over(&self) -> bool {
        match &self.work {
            Work::Reading { reader, result, .. } => reader.is_none() || result.is_some(),
            Work::Generation { reader, events, .. } => {
                reader.is_none()
                    || events.last().is_some_and(|event| !matches!(event, GenerationEvent::Token(_)))
            }
        }
    }

    /// All that the session would read if nothing ended the job early.
    fn whole(&self, model: &dyn Model) -> Vec<TokenId> {
        match &self.work {
            Work::Reading { plan, .. } => plan.tokens.to_vec(),
            Work::Generation { draws, .. } => {
                let mut whole = draws.prompt.clone();
                whole.extend(self.drawn(model, draws).iter().map(|(token, _)| token));
                whole
            }
        }
    }

    fn drawn(&self, model: &dyn Model, draws: &Draws) -> Vec<(TokenId, f64)> {
        let Some(state) = solo::read(model, &self.start.state, &draws.prompt) else { return Vec::new() };
        let position = self.start.position + draws.prompt.len() as u64;
        solo::generate(model, state, position, (draws.sampler(), &filters(), draws.len))
    }

    /// What came out is what comes out of a run alone.
    fn check(&self, model: &dyn Model) {
        match &self.work {
            Work::Reading { plan, result: Some(Ok(result)), .. } => self.check_reading(model, plan, result),
            Work::Reading { plan, result: Some(Err(failure)), .. } => {
                check_failure(&failure.error.message, &[&plan.tokens, &*plan.branches.concat()].concat());
            }
            Work::Reading { result: None, .. } => {}
            Work::Generation { draws, events, .. } => self.check_generation(model, draws, events),
        }
    }

    fn check_reading(&self, model: &dyn Model, plan: &ReadingPlan, result: &ReadingResult) {
        let state = solo::read(model, &self.start.state, &plan.tokens).expect("alone it would have failed");
        if plan.scored == Scored::Yes {
            assert_eq!(
                Some(&result.logprobs),
                solo::logprobs(model, &self.start.state, &plan.tokens).as_ref()
            );
        }
        for (branch, logprobs) in plan.branches.iter().zip(&result.branches) {
            assert_eq!(Some(logprobs), solo::logprobs(model, &state, branch).as_ref());
        }
        let next = result.next.as_ref().expect("it was asked for");
        assert_eq!(next.logprobs, Some(solo::distribution(model, &state)));
        match &result.snapshot {
            Some(snapshot) => assert_eq!(snapshot.state, state),
            None => assert_eq!(self.target, Target::Session, "what a copy has come to is given out"),
        }
    }

    fn check_generation(&self, model: &dyn Model, draws: &Draws, events: &[GenerationEvent]) {
        let alone = self.drawn(model, draws);
        for (index, event) in events.iter().enumerate() {
            match event {
                GenerationEvent::Token(token) => {
                    assert_eq!(
                        (token.index, token.token, token.logprob),
                        (index, alone[index].0, alone[index].1)
                    );
                }
                GenerationEvent::Done(finished) => {
                    assert_eq!(finished.token_count, index, "every token drawn was let out");
                    assert_eq!(finished.finish == Finish::Length, index == draws.len);
                    assert!(
                        matches!(finished.finish, Finish::Length | Finish::Timeout),
                        "{:?}",
                        finished.finish
                    );
                }
                GenerationEvent::Failed { error, .. } => {
                    let last = index.checked_sub(1).map(|last| vec![alone[last].0]);
                    check_failure(&error.message, last.as_ref().unwrap_or(&draws.prompt));
                }
            }
        }
    }
}

/// It failed by one of the tokens that it was reading, not by what was read beside it.
fn check_failure(message: &str, reading: &[TokenId]) {
    let by = |token, word| reading.contains(&token) && message.contains(word);
    let wanted = by(NAN, "finite") || by(PANIC, "panicked") || message.contains("within its time");
    assert!(wanted, "{message}, reading {reading:?}");
}

fn run(model: &Arc<dyn Model>, cut: &Cut, ops: Vec<Op>) {
    let mut world = World::new(model.clone(), SESSIONS, cut);
    let mut given: Vec<Given> = Vec::new();
    for op in ops {
        match op {
            Op::Read { session, tokens, scored, branches, target } => {
                let Some((start, snapshot)) = start(&world, session, target) else { continue };
                let plan = ReadingPlan {
                    tokens: tokens.into(),
                    scored: if scored { Scored::Yes } else { Scored::No },
                    branches: branches.into_iter().map(Into::into).collect(),
                    next: Some(query()),
                    ..Default::default()
                };
                let reader = Some(world.read(start, plan.clone()));
                given.push(Given {
                    session,
                    target,
                    start: snapshot,
                    work: Work::Reading { plan, reader, result: None },
                });
            }
            Op::Generate { session, draws, target } => {
                let Some((start, snapshot)) = start(&world, session, target) else { continue };
                let reader = Some(world.generate((start, &snapshot), &draws));
                let work = Work::Generation { draws, reader, events: Vec::new() };
                given.push(Given { session, target, start: snapshot, work });
            }
            Op::Turns(count) => (0..count).for_each(|_| _ = world.engine.turn()),
            Op::Take(job, count) if !given.is_empty() => {
                let job = job % given.len();
                given[job].take(count);
            }
            Op::Drop(job) if !given.is_empty() => {
                let job = job % given.len();
                given[job].drop_reader();
            }
            Op::Take(..) | Op::Drop(_) => {}
            Op::Advance(seconds) => world.clock.advance(Duration::from_secs(seconds)),
        }
    }
    for _ in 0..10_000 {
        world.run();
        given.iter_mut().for_each(|job| job.take(usize::MAX));
        if given.iter().all(Given::is_over) && world.engine.active_jobs() == 0 {
            break;
        }
    }
    check(&world, &given);
}

/// What a job works on: its session, or a copy of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    Session,
    Copy,
}

fn start(world: &World, session: usize, target: Target) -> Option<(Start, Snapshot)> {
    if target == Target::Session {
        return world.lease(session);
    }
    let snapshot = world.snapshot(session);
    Some((Start::Copy(snapshot.clone()), snapshot))
}

fn query() -> NextQuery {
    NextQuery { top_k: 3, hidden: Vec::new(), candidates: Vec::new(), vector: Vector::Include, filters: None }
}

/// Nothing is left behind, every answer is that of a run alone, and every session holds what it has read and nothing else.
fn check(world: &World, given: &[Given]) {
    assert_eq!((world.engine.active_jobs(), world.inbox.waiting(), world.inbox.load()), (0, 0, 0));
    let stats = world.sessions.stats();
    assert_eq!(stats.busy, 0);
    let model = &*world.model;
    given.iter().for_each(|job| job.check(model));
    for session in 0..SESSIONS {
        let writes: Vec<&Given> =
            given.iter().filter(|job| job.target == Target::Session && job.session == session).collect();
        for (index, write) in writes.iter().enumerate() {
            let end =
                writes.get(index + 1).map_or_else(|| world.snapshot(session), |next| next.start.clone());
            check_write(model, write, &end);
        }
    }
}

fn check_write(model: &dyn Model, write: &Given, end: &Snapshot) {
    let whole = write.whole(model);
    let read = (end.position - write.start.position) as usize;
    let state =
        solo::read(model, &write.start.state, &whole[..read]).expect("what was read alone was read here");
    assert_eq!(end.state, state, "the session stands where its {read} tokens lead");
    if let Work::Generation { draws, events, .. } = &write.work {
        let seen: Vec<TokenId> = events.iter().filter_map(token).collect();
        // A last token on which the model fails was seen and cannot be read.
        let unreadable = seen.last().is_some_and(|token| [NAN, PANIC].contains(token));
        let held = seen.len() - usize::from(unreadable);
        assert!(held == 0 || read >= draws.prompt.len() + held, "{read} tokens read, {seen:?} seen");
        if let Some(GenerationEvent::Done(finished)) = events.last() {
            assert_eq!(finished.position, Some(end.position));
            assert_eq!(read, draws.prompt.len() + finished.token_count);
        }
    }
}

fn token(event: &GenerationEvent) -> Option<TokenId> {
    match event {
        GenerationEvent::Token(token) => Some(token.token),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_job_answers_as_if_alone_on_the_scripted_model(ops in ops(), cut in cuts()) {
        QUIET.call_once(keep_wanted_panics_quiet);
        let model: Arc<dyn Model> = Arc::new(Fake::new(VOCAB as usize).nan_on(NAN).panic_on(PANIC));
        run(&model, &cut, ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_job_answers_as_if_alone_on_a_network(
        ops in ops(), cut in cuts(), cell in prop::sample::select(&Cell::ALL[..]), weights in weights_types()
    ) {
        let architecture = Architecture {
            cell,
            vocab_size: VOCAB as usize,
            embedding_size: 5,
            hidden_sizes: vec![9, 6],
            gru_form: GruForm::ResetAfter,
        };
        let shape = Shape { architecture, tied_output: false, biases: Biases::Both, seed: 7 };
        let kernel = Kernel::choose(None).expect("some kernel runs everywhere");
        QUIET.call_once(keep_wanted_panics_quiet);
        let network = shape.build(LoadOptions { kernel, weights: Some(weights), fold_bytes_max: usize::MAX });
        run(&(Arc::new(Fragile { network, panic_on: PANIC }) as Arc<dyn Model>), &cut, ops);
    }
}

static QUIET: Once = Once::new();

/// The models' panics are part of the test: their traces would bury a failure.
fn keep_wanted_panics_quiet() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload_as_str().is_some_and(|message| message.contains("was told to panic")) {
            report(panic);
        }
    }));
}
