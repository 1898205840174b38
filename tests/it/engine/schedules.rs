//! Random schedules: jobs are admitted, parked, resumed and cancelled, fail, or reach their deadlines, under random limits.

use std::sync::{Arc, Once};
use std::time::Duration;

use proptest::prelude::*;
use rnnlm_server::engine::Start;
use rnnlm_server::engine::jobs::{GenerationEvent, ReadingPlan};
use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::fake::Fake;
use rnnlm_server::lm::{Cell, LoadOptions, Model, TokenId};
use rnnlm_server::sampling::NextQuery;
use rnnlm_server::session::Snapshot;

use super::beam::Beam;
use super::fragile::Fragile;
use super::given::{Given, Target, Work, token};
use super::search::Search;
use super::solo;
use super::world::{Draws, Limits, World};
use crate::harness::network::{Shape, weights_types};

const VOCAB: TokenId = 40;
/// The token after which the scripted model's logits are not finite.
pub(crate) const NAN: TokenId = 38;
/// The token on which the models panic.
pub(crate) const PANIC: TokenId = 39;
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
    Beam {
        session: usize,
        beam: Beam,
    },
    Search {
        session: usize,
        search: Search,
        target: Target,
    },
    Turns(usize),
    /// Takes events from the reader of a job: the number of the job, and the maximum number of events.
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
        // A job on a session must read at least one token.
        let target = if tokens.is_empty() { Target::Copy } else { target };
        Op::Read { session, tokens, scored, branches, target }
    });
    let deadline = prop::option::weighted(0.2, (1..4u64).prop_map(Duration::from_secs));
    let sizes = (1..20usize, 1..4usize, 1..4usize);
    let draws = (tokens(0..12), any::<u64>(), sizes, deadline.clone()).prop_map(
        |(prompt, seed, (len, events_max, choices), deadline)| Draws {
            prompt,
            seed,
            len,
            events_max,
            choices,
            deadline,
        },
    );
    let generate = (0..SESSIONS, draws, targets()).prop_map(|(session, draws, target)| {
        // A session is moved by a single choice.
        let choices = if target == Target::Session { 1 } else { draws.choices };
        Op::Generate { session, draws: Draws { choices, ..draws }, target }
    });
    let beams = (tokens(0..12), 1..5usize, 1..8usize, prop::option::of(0..NAN), deadline);
    let beam = (0..SESSIONS, beams).prop_map(|(session, (prompt, width, len, eos, deadline))| Op::Beam {
        session,
        beam: Beam { prompt, width, len, eos, length_penalty: 0.5, deadline },
    });
    let searches = (tokens(0..12), 1..5usize, 1..6usize);
    let searches = searches.prop_map(|(prompt, width, len)| Search { prompt, width, len });
    let search = (0..SESSIONS, searches, targets());
    let search = search.prop_map(|(session, search, target)| Op::Search { session, search, target });
    let op = prop_oneof![
        2 => read,
        3 => generate,
        2 => search,
        2 => beam,
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

pub(super) fn limits() -> impl Strategy<Value = Limits> {
    let logits_bytes = prop_oneof![Just(0), Just(200), Just(1 << 20)];
    // A state of the scripted model has 12 bytes, one of the network up to 120.
    let state_bytes = prop_oneof![0..500usize, Just(1 << 20)];
    // A turn of the scripted model costs at least 2 ns before it is measured.
    let times = (0..3u64, prop_oneof![1..40u64, Just(1 << 30)], 0..3u64);
    (1..7usize, state_bytes, 2..18u32, times, logits_bytes, 1..4usize).prop_map(
        |(
            rows_max,
            state_bytes_max,
            half_steps,
            (idle_after, turn_time, place_wait),
            logits_bytes_max,
            parked_max,
        )| Limits {
            rows_max,
            state_bytes_max,
            turn_steps: f64::from(half_steps) / 2.0,
            idle_after: Duration::from_secs(idle_after),
            turn_time: Duration::from_nanos(turn_time),
            place_wait: Duration::from_secs(place_wait),
            logits_bytes_max,
            parked_max,
            ..Limits::default()
        },
    )
}

fn run(model: &Arc<dyn Model>, limits: &Limits, ops: Vec<Op>) {
    let mut world = World::new(model.clone(), SESSIONS, limits);
    let mut given: Vec<Given> = Vec::new();
    for op in ops {
        match op {
            Op::Read { session, tokens, scored, branches, target } => {
                let Some((start, snapshot)) = start(&world, session, target) else { continue };
                let plan = ReadingPlan {
                    tokens: tokens.into(),
                    scored,
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
                let reader = Some(world.generate(start, &draws));
                let work = Work::Generation { draws, reader, events: Vec::new() };
                given.push(Given { session, target, start: snapshot, work });
            }
            Op::Search { session, search, target } => {
                let Some((start, snapshot)) = start(&world, session, target) else { continue };
                let reader = Some(world.search(start, search.clone()));
                let work = Work::Search { search, reader, found: None };
                given.push(Given { session, target, start: snapshot, work });
            }
            Op::Beam { session, beam } => {
                let start = world.snapshot(session);
                let reader = Some(world.beam(Start::Copy(start.clone()), &beam));
                let work = Work::Beam { beam, reader, event: None };
                given.push(Given { session, target: Target::Copy, start, work });
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

fn start(world: &World, session: usize, target: Target) -> Option<(Start, Snapshot)> {
    if target == Target::Session {
        return world.lease(session);
    }
    let snapshot = world.snapshot(session);
    Some((Start::Copy(snapshot.clone()), snapshot))
}

fn query() -> NextQuery {
    NextQuery { top_k: 3, hidden: Vec::new(), candidates: Vec::new(), full: true, filters: None }
}

/// Checks that no job is left, that every answer is that of the job alone, and that every session has read the tokens of its jobs and
/// no others.
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
    let state = solo::read(model, &write.start.state, &whole[..read])
        .expect("tokens that were read here can be read alone");
    assert_eq!(end.state, state, "the state of the session is not the one after its {read} tokens");
    if let Work::Generation { draws, events, .. } = &write.work {
        let seen: Vec<TokenId> = events.iter().filter_map(token).collect();
        // A last token on which the model fails was sent but cannot be read.
        let unreadable = seen.last().is_some_and(|token| [NAN, PANIC].contains(token));
        let held = seen.len() - usize::from(unreadable);
        assert!(held == 0 || read >= draws.prompt.len() + held, "{read} tokens read, {seen:?} seen");
        if let Some(GenerationEvent::Done(finished)) = events.last() {
            assert_eq!(finished.position, Some(end.position));
            assert_eq!(read, draws.prompt.len() + finished.choices[0].token_count);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(400), ..ProptestConfig::default() })]

    #[test]
    fn every_job_answers_as_if_alone_on_the_scripted_model(ops in ops(), limits in limits()) {
        QUIET.call_once(silence_intended_panics);
        let model: Arc<dyn Model> = Arc::new(Fake::new(VOCAB as usize).nan_on(NAN).panic_on(PANIC));
        run(&model, &limits, ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(60), ..ProptestConfig::default() })]

    #[test]
    fn every_job_answers_as_if_alone_on_a_network(
        ops in ops(), limits in limits(), cell in prop::sample::select(&Cell::ALL[..]), weights in weights_types()
    ) {
        let shape = Shape::of_two_layers(cell, VOCAB as usize);
        let kernel = Kernel::choose(None).expect("every processor runs some kernel");
        QUIET.call_once(silence_intended_panics);
        let network = shape.build(LoadOptions { kernel, weights: Some(weights), fold_bytes_max: usize::MAX });
        run(&(Arc::new(Fragile { network, panic_on: PANIC }) as Arc<dyn Model>), &limits, ops);
    }
}

/// The number of cases: `PROPTEST_CASES` if it is set, otherwise `default`.
fn cases(default: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(default)
}

static QUIET: Once = Once::new();

/// Prints no traces of the models' intended panics, which would hide those of a failure.
fn silence_intended_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload_as_str().is_some_and(|message| message.contains("was told to panic")) {
            report(panic);
        }
    }));
}
