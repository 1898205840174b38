//! How long a `next` waits for its answer beside other work: `cargo bench --bench waits`, which prints the table of `benches/README.md`.
//!
//! One thread drives the engine turn by turn, so that no second thread and no scheduler of the system is part of a figure. A request
//! comes at a random moment of the turn that runs, and waits for the rest of it and for the turns that answer it. Pin the process to
//! a core for steady figures. The environment sets the options, as for the server: `RNNLM_KERNEL`, `RNNLM_TURN_STEPS_IDLE`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rnnlm_server::catalog::load_folder;
use rnnlm_server::clock::Clock;
use rnnlm_server::config::Config;
use rnnlm_server::engine::jobs::{
    ContinuationPlan, Destination, Generation, GenerationEvent, GenerationPlan, Reading, ReadingFailure,
    ReadingPlan, ReadingResult,
};
use rnnlm_server::engine::{
    BatchReport, Engine, EngineLimits, Inbox, InboxLimits, Observer, Reader, Start, Submission,
};
use rnnlm_server::error::Result;
use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{Cell, LoadOptions, Logits, Model, Row, Scratch, TokenId};
use rnnlm_server::rnn::{Architecture, GateActivation, GruForm};
use rnnlm_server::sampling::{FilterSpec, Filters, NextQuery, Sampler};
use rnnlm_server::session::Snapshot;
use rnnlm_server::text::{Joint, Tail, Tokenizer, TokenizerKind, TokenizerSpec};

use network::{Biases, Counter, Extras, Shape};

#[path = "../tests/it/harness/network.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod network;

/// Questions asked in each line of the table, or fewer when time is up.
const QUESTIONS: usize = 2000;
const LINE_TIME: Duration = Duration::from_secs(7);
/// Turns between two questions.
const PAUSE_TURNS_MAX: u64 = 8;
const STREAMS: usize = 64;
/// Tokens of a piece in which the service reads a text of 1 MB: 64 KiB.
const PIECE_TOKENS: usize = 13_000;
const PROMPT_TOKENS: usize = 100_000;

fn main() {
    let config = Config::from_environment().expect("the environment sets valid options");
    let kernel = Kernel::choose(config.engine.kernel.forced()).expect("a kernel of this processor");
    println!("Kernel `{}`. Times in milliseconds.\n", kernel.name());
    println!(
        "| Network | Beside | Bare step | p50 | p99 | More than beside nothing, in bare steps | Tokens per second of the other work |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|");
    let fold_bytes_max = config.engine.fold_bytes_max();
    for (name, model) in models(LoadOptions { kernel, weights: config.weights, fold_bytes_max }) {
        let mut nothing = None;
        for beside in Beside::ALL {
            let mut bench = Bench::new(&config, &model, beside);
            let waits = bench.waits();
            let tokens = bench.tokens_per_second();
            let bare = bare_step(&*model, beside.rows() + 1);
            let p99 = percentile(&waits, 99);
            let more = (p99 - *nothing.get_or_insert(p99)) / bare;
            let p50 = percentile(&waits, 50);
            println!(
                "| {name} | {} | {bare:.3} | {p50:.3} | {p99:.3} | {more:.1} | {tokens:.0} |",
                beside.name()
            );
        }
    }
}

/// A network of the sizes of the model `classics` and one twice as dear a token, both with random weights, and `classics` itself, whose
/// distributions are those of a language.
fn models(options: LoadOptions) -> [(&'static str, Arc<dyn Model>); 3] {
    let lstm = |vocab_size: usize, hidden_sizes: Vec<usize>, tied_output: bool| {
        let architecture = Architecture {
            cell: Cell::Lstm,
            vocab_size,
            embedding_size: hidden_sizes[0],
            hidden_sizes,
            gru_form: GruForm::ResetAfter,
            gate_activation: GateActivation::Sigmoid,
            proj_size: None,
        };
        Arc::new(
            Shape { architecture, tied_output, biases: Biases::Both, extras: Extras::default(), seed: 1 }
                .build(options),
        )
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/classics");
    [
        ("LSTM 1 x 512, 16,000 words", lstm(16_000, vec![512], true)),
        ("LSTM 2 x 650, 10,000 words", lstm(10_000, vec![650; 2], false)),
        ("`classics`", load_folder(&folder, options).expect("the model ships").model),
    ]
}

/// Counts the tokens that are read.
#[derive(Default)]
struct Tokens(AtomicUsize);

impl Observer for Tokens {
    fn batch(&self, _model: &str, batch: &BatchReport) {
        let read = batch.prompt_tokens + batch.scored_tokens + batch.chosen_tokens;
        self.0.fetch_add(read, Ordering::Relaxed);
    }

    fn generated(&self, _model: &str, _tokens: usize) {}
}

/// What else the engine has to do.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Beside {
    Nothing,
    Text,
    /// As `Text`, but no question was asked a while before.
    TextAfterAWhile,
    Prompt,
    Streams,
}

impl Beside {
    const ALL: [Self; 5] = [Self::Nothing, Self::Text, Self::TextAfterAWhile, Self::Prompt, Self::Streams];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Text => "a text of 1 MB that is scored",
            Self::TextAfterAWhile => "the same, the first question in a second",
            Self::Prompt => "a prompt of 100,000 tokens",
            Self::Streams => "64 streams",
        }
    }

    /// Rows of it that are as short as a question.
    fn rows(self) -> usize {
        if self == Self::Streams { STREAMS } else { 0 }
    }
}

type ReadingReader = Reader<Result<ReadingResult, ReadingFailure>>;

struct Bench {
    engine: Engine,
    inbox: Arc<Inbox>,
    model: Arc<dyn Model>,
    tokenizer: Arc<Tokenizer>,
    beside: Beside,
    readings: Vec<ReadingReader>,
    streams: Vec<Reader<GenerationEvent>>,
    random: Counter,
    read: Arc<Tokens>,
    /// In turns, all together.
    time: Duration,
}

impl Bench {
    fn new(config: &Config, model: &Arc<dyn Model>, beside: Beside) -> Self {
        let options = &config.engine;
        let read = Arc::new(Tokens::default());
        let inbox = Arc::new(Inbox::new(InboxLimits {
            jobs_max: options.queue_max,
            bytes_max: options.queue_bytes_max.0,
            wait_max: options.queue_wait,
            rows_max: options.max_batch,
            state_bytes_max: options.max_batch_state.0,
            turn_steps: options.turn_steps,
        }));
        let limits = EngineLimits {
            rows_max: options.max_batch,
            state_bytes_max: options.max_batch_state.0,
            turn_steps: options.turn_steps,
            turn_steps_idle: options.turn_steps_idle,
            idle_after: match beside {
                Beside::TextAfterAWhile => Duration::ZERO,
                _ => options.turn_idle_after,
            },
            turn_time: options.turn_time,
            place_wait: options.place_wait,
            running_max: options.running_max,
            logits_bytes_max: options.logits_buffer.0,
            parked_max: options.parked_max,
            stall_timeout: options.stall_timeout,
        };
        let words: Vec<String> = (0..model.info().vocab_size).map(|id| format!("w{id}")).collect();
        let tokenizer =
            Tokenizer::new(&TokenizerSpec::new(TokenizerKind::Whitespace), words.join("\n").as_bytes());
        Self {
            engine: Engine::new(inbox.clone(), limits, Clock::system(), read.clone()),
            inbox,
            model: model.clone(),
            tokenizer: Arc::new(tokenizer.expect("the words are distinct")),
            beside,
            readings: Vec::new(),
            streams: Vec::new(),
            random: Counter { key: 7, next: 0 },
            read,
            time: Duration::ZERO,
        }
    }

    /// Questions among them, which are few.
    fn tokens_per_second(&self) -> f64 {
        self.read.0.load(Ordering::Relaxed) as f64 / self.time.as_secs_f64()
    }

    /// The waits of all questions, in milliseconds, rising.
    fn waits(&mut self) -> Vec<f64> {
        let begun = Instant::now();
        let mut waits = Vec::new();
        // The first ones warm caches and allocations up.
        for question in 0..QUESTIONS + QUESTIONS / 10 {
            if begun.elapsed() > LINE_TIME && waits.len() >= 100 {
                break;
            }
            let wait = self.wait();
            if question >= QUESTIONS / 10 {
                waits.push(wait.as_secs_f64() * 1e3);
            }
        }
        waits.sort_unstable_by(f64::total_cmp);
        waits
    }

    /// Asks what comes next after one more token, at a random moment of a turn.
    fn wait(&mut self) -> Duration {
        let mut running = Duration::ZERO;
        for _ in 0..=self.random.word() % PAUSE_TURNS_MAX {
            self.keep_busy();
            running = self.turn();
        }
        let share = (self.random.word() >> 11) as f64 / (1u64 << 53) as f64;
        let mut wait = running.mul_f64(share);
        let query =
            NextQuery { top_k: 10, hidden: Vec::new(), candidates: Vec::new(), full: false, filters: None };
        let plan = ReadingPlan { tokens: self.tokens(1), next: Some(query), ..ReadingPlan::default() };
        let mut reader = self.read(plan);
        loop {
            wait += self.turn();
            match reader.try_next() {
                Some(result) => break drop(result.expect("an answer")),
                None => self.keep_busy(),
            }
        }
        wait
    }

    fn turn(&mut self) -> Duration {
        let begun = Instant::now();
        self.engine.turn();
        let elapsed = begun.elapsed();
        self.time += elapsed;
        elapsed
    }

    /// Sees to it that there is something else to do, and that nothing of it waits for a reader.
    fn keep_busy(&mut self) {
        self.readings.retain_mut(|reader| reader.try_next().is_none());
        self.streams.retain_mut(|reader| {
            let mut last = None;
            while let Some(event) = reader.try_next() {
                last = Some(event);
            }
            !matches!(last, Some(GenerationEvent::Done(_) | GenerationEvent::Failed { .. }))
        });
        match self.beside {
            Beside::Nothing => {}
            Beside::Text | Beside::TextAfterAWhile if self.readings.is_empty() => {
                let tokens = self.tokens(PIECE_TOKENS);
                let plan = ReadingPlan { tokens, scored: true, ..ReadingPlan::default() };
                let reader = self.read(plan);
                self.readings.push(reader);
            }
            Beside::Prompt if self.readings.is_empty() => {
                let plan = ReadingPlan { tokens: self.tokens(PROMPT_TOKENS), ..ReadingPlan::default() };
                let reader = self.read(plan);
                self.readings.push(reader);
            }
            Beside::Streams => {
                while self.streams.len() < STREAMS {
                    let reader = self.stream();
                    self.streams.push(reader);
                }
            }
            Beside::Text | Beside::TextAfterAWhile | Beside::Prompt => {}
        }
    }

    fn tokens(&mut self, len: usize) -> Arc<[TokenId]> {
        let vocab_size = self.model.info().vocab_size as u64;
        (0..len).map(|_| (self.random.word() % vocab_size) as TokenId).collect()
    }

    fn read(&self, plan: ReadingPlan) -> ReadingReader {
        let (job, plans, reader) = Reading::new(plan);
        self.submit(Submission { plans, job: Box::new(job), ..self.submission() }, reader)
    }

    fn stream(&mut self) -> Reader<GenerationEvent> {
        let (job, plans, reader) = Generation::new(GenerationPlan {
            continuation: ContinuationPlan {
                prompt: self.tokens(1),
                joint: Joint::Closed,
                scores_prompt: false,
                filters: Filters::new(FilterSpec::default()).expect("the values are in range"),
                tokens_max: 4096,
                eos: None,
                stops: Vec::new(),
                decoder: self.tokenizer.decoder(&Tail::default()),
                alternatives: 0,
                choices: 1,
                destination: Destination::Nowhere,
            },
            sampler: Sampler::Multinomial { seed: self.random.word() >> 11, choice: 0 },
            position: 1,
            events_max: 64,
        });
        self.submit(Submission { plans, job: Box::new(job), ..self.submission() }, reader)
    }

    /// All of a submission but what is asked.
    fn submission(&self) -> Submission {
        let (job, plans, _) = Reading::new(ReadingPlan::default());
        Submission {
            name: "model".into(),
            identity: "weights".into(),
            model: self.model.clone(),
            start: Start::Copy(Snapshot {
                state: self.model.start_state(),
                identity: "weights".into(),
                position: 0,
                tail: Tail::default(),
                history: None,
            }),
            plans,
            job: Box::new(job),
            arrived: Instant::now(),
            deadline: None,
            held: Vec::new(),
            timed: None,
        }
    }

    fn submit<T>(&self, submission: Submission, reader: Reader<T>) -> Reader<T> {
        assert!(self.inbox.push(submission).is_ok(), "the inbox has room");
        reader.telling(self.inbox.clone())
    }
}

/// The median time of a step of `rows` rows that asks for the logits of each, in milliseconds.
fn bare_step(model: &dyn Model, rows: usize) -> f64 {
    let mut states = vec![model.start_state(); rows];
    let mut scratch = Scratch::new(Config::default().engine.logits_buffer.0);
    let mut times: Vec<f64> = (0..400)
        .map(|_| {
            let begun = Instant::now();
            let mut rows: Vec<Row<'_>> =
                states.iter_mut().map(|state| Row::new(state, &[1], Logits::Last)).collect();
            model.run(&mut rows, &mut scratch, &mut |_, _, logits| {
                std::hint::black_box(logits);
            });
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    percentile(&times, 50)
}

/// Of rising values.
fn percentile(values: &[f64], percent: usize) -> f64 {
    values[(values.len() - 1) * percent / 100]
}
