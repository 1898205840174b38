//! The coding job: a coder sees the same logits, bit for bit, whether its tokens are known before or told one by one, whatever runs
//! beside it.

use std::sync::Arc;

use proptest::prelude::*;
use rnnlm_server::engine::jobs::{Coder, Coding, CodingJob, ReadingPlan};
use rnnlm_server::engine::{Start, Submission};
use rnnlm_server::error::{Error, Result};
use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{Cell, LoadOptions, Model, TokenId};

use super::schedules::limits;
use super::world::{Draws, Limits, World};
use crate::harness::network::{Shape, weights_types};

const VOCAB: TokenId = 40;

/// Tells the tokens, and keeps the logits that it has seen.
struct Telling {
    tokens: Vec<TokenId>,
    seen: Vec<Vec<u32>>,
    fails_at: Option<usize>,
}

impl Coder for Telling {
    fn token(&mut self, index: usize, logits: &[f32]) -> Result<TokenId> {
        assert_eq!(index, self.seen.len(), "tokens are told in order");
        if self.fails_at == Some(index) {
            return Err(Error::internal("told to fail"));
        }
        self.seen.push(logits.iter().map(|logit| logit.to_bits()).collect());
        Ok(self.tokens[index])
    }
}

fn model(cell: Cell, options: LoadOptions) -> Arc<dyn Model> {
    Arc::new(Shape::of_two_layers(cell, VOCAB as usize).build(options))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn known_and_told_tokens_show_the_same_logits_beside_other_work(
        each in prop::collection::vec(prop::collection::vec(0..VOCAB, 0..30), 1..4), seed in any::<u64>(), limits in limits(),
        cell in prop::sample::select(&Cell::ALL[..]), weights in weights_types()
    ) {
        let kernel = Kernel::choose(None).expect("every processor runs some kernel");
        let model = model(cell, LoadOptions { kernel, weights: Some(weights), fold_bytes_max: 0 });
        let mut world = World::new(model, 1, &limits);
        let start = || Start::Copy(world.snapshot(0));
        let draws = Draws { prompt: vec![1, 2], seed, len: 15, events_max: 100, deadline: None, choices: 1 };
        let other = world.generate(start(), &draws);
        let plan = ReadingPlan { tokens: (0..30).collect::<Vec<_>>().into(), scored: true, ..Default::default() };
        let reading = world.read(start(), plan);
        let mut readers = Vec::new();
        for tokens in &each {
            for coding in [Coding::Known(tokens.as_slice().into()), Coding::Unknown(tokens.len())] {
                let coder = Telling { tokens: tokens.clone(), seen: Vec::new(), fails_at: None };
                let (job, plans, reader) = CodingJob::new(coding, coder);
                let submission = Submission { job: Box::new(job), ..world.submission(start(), plans) };
                readers.push(world.submit(submission, reader));
            }
        }
        world.run();
        drop((other, reading));
        let coded = readers.iter_mut().map(|reader| reader.try_next().expect("a result").expect("no failure"));
        let coded: Vec<_> = coded.collect();
        for (pair, tokens) in coded.chunks(2).zip(&each) {
            prop_assert_eq!(pair[0].coder.seen.len(), tokens.len());
            prop_assert_eq!(&pair[0].coder.seen, &pair[1].coder.seen);
            prop_assert_eq!(&pair[0].snapshot.state, &pair[1].snapshot.state);
            prop_assert_eq!(pair[0].snapshot.position, pair[1].snapshot.position);
        }
    }
}

#[test]
fn a_coder_that_fails_ends_its_job() {
    let kernel = Kernel::choose(None).expect("every processor runs some kernel");
    let mut world = World::new(model(Cell::Gru, kernel.into()), 1, &Limits::default());
    for coding in [Coding::Known([3, 4, 5].into()), Coding::Unknown(3)] {
        let coder = Telling { tokens: vec![3, 4, 5], seen: Vec::new(), fails_at: Some(1) };
        let (job, plans, reader) = CodingJob::new(coding, coder);
        let start = Start::Copy(world.snapshot(0));
        let submission = Submission { job: Box::new(job), ..world.submission(start, plans) };
        let mut reader = world.submit(submission, reader);
        world.run();
        let error = reader.try_next().expect("a result").err().expect("the coder failed");
        assert_eq!(error.message, "told to fail");
        assert_eq!(world.engine.active_jobs(), 0);
    }
}
