//! The job that generates text: it draws a token, sends it, reads it, and repeats. Several choices share the reading of the prompt; then
//! each has a row of its own.

use super::continuation::{Beginning, ContinuationPlan, Destination, Opening, Written, alternatives};
use super::event::{Alternatives, Finish, Finished, FinishedChoice, GenerationEvent, TokenEvent};
use crate::engine::wide_outlet;
use crate::engine::{At, Capacity, Draws, Ending, Feed, Flow, Job, Outlet, Reader, RowPlan, Rows, Tag};
use crate::error::Result;
use crate::lm::Logits;
use crate::sampling::{Filtering, Sampler};
use crate::session::Snapshot;

/// What to generate.
pub struct GenerationPlan {
    /// What to continue, and when to stop.
    pub continuation: ContinuationPlan,
    /// How a token of choice 0 is drawn. The other choices have random numbers of their own.
    pub sampler: Sampler,
    /// The position of the first token drawn, counted from the start of the model.
    pub position: u64,
    /// Events that may wait for a slow reader.
    pub events_max: usize,
}

/// The job. Row 0 reads the prompt; then row i is choice i.
pub struct Generation {
    opening: Opening,
    choices: Vec<Choice>,
    limits: Limits,
    destination: Destination,
    outlet: Outlet<GenerationEvent>,
    /// Tokens sent.
    sent: usize,
}

/// What bounds and places the tokens of every choice.
#[derive(Clone, Copy)]
struct Limits {
    tokens_max: usize,
    position: u64,
    alternatives: usize,
}

/// One continuation.
struct Choice {
    index: usize,
    sampler: Sampler,
    filtering: Filtering,
    written: Written,
    /// The token drawn in this turn.
    drawn: Option<TokenEvent>,
    token_count: usize,
    logprob: f64,
    finish: Option<Finish>,
    snapshot: Option<Snapshot>,
}

impl Generation {
    /// The job, the plan of its first row, and where its events will come out.
    pub fn new(plan: GenerationPlan) -> (Self, Vec<RowPlan>, Reader<GenerationEvent>) {
        let GenerationPlan { continuation, sampler, position, events_max } = plan;
        let ContinuationPlan { tokens_max, alternatives, choices, destination, .. } = continuation;
        // The scores of the prompt are sent with the first tokens.
        let turn_max = choices + usize::from(continuation.scores_prompt);
        let (opening, beginning) = continuation.begin();
        let (outlet, reader) = wide_outlet(Capacity { items_max: events_max, turn_max });
        let choice = |index| Choice::new(index, sampler, beginning.clone(), tokens_max);
        let rows = vec![opening.plan()];
        let limits = Limits { tokens_max, position, alternatives };
        let choices = (0..choices).map(choice).collect();
        (Self { opening, choices, limits, destination, outlet, sent: 0 }, rows, reader)
    }

    /// Draws the first token of every choice.
    fn draw_first(&mut self, logits: &mut [f32]) -> Result<()> {
        let alternatives = alternatives(logits, self.limits.alternatives);
        let (first, others) = self.choices.split_first_mut().expect("bug: a generation without a choice");
        for choice in others {
            choice.draw(self.limits, &mut logits.to_vec(), alternatives.clone())?;
        }
        first.draw(self.limits, logits, alternatives)
    }

    /// Decides for a choice, whose state is that of the row `from`. Returns whether a row of its own reads on.
    fn advance(&mut self, index: usize, from: Tag, rows: &mut Rows<'_>) -> bool {
        let choice = &mut self.choices[index];
        // Without a draw it has read its last token.
        let Some(event) = choice.drawn.take() else {
            if self.destination != Destination::Nowhere {
                choice.snapshot = Some(rows.snapshot(from).clone());
            }
            return false;
        };
        let token = event.token;
        let logits = match choice.finish {
            None => Some(Logits::Last),
            Some(_) if self.destination.reads_last_token() => Some(Logits::None),
            Some(_) => None,
        };
        self.outlet.send(GenerationEvent::Token(event));
        self.sent += 1;
        if let Some(logits) = logits {
            rows.feed(index, Feed { from, token, logits });
        }
        logits.is_some()
    }

    /// Every choice continues from where the prompt has led.
    fn start(&mut self, rows: &mut Rows<'_>) {
        if let Some(scored) = self.opening.take_scored() {
            self.outlet.send(GenerationEvent::Prompt(scored));
        }
        for index in 0..self.choices.len() {
            let reads_on = self.advance(index, Opening::ROW, rows);
            if index == Opening::ROW && !reads_on {
                rows.finish(Opening::ROW);
            }
        }
    }
}

impl Choice {
    fn new(index: usize, sampler: Sampler, beginning: Beginning, tokens_max: usize) -> Self {
        let Beginning { filtering, written } = beginning;
        Self {
            index,
            sampler: sampler.of_choice(index as u32),
            filtering,
            written,
            drawn: None,
            token_count: 0,
            logprob: 0.0,
            finish: (tokens_max == 0).then_some(Finish::Length),
            snapshot: None,
        }
    }

    fn draw(&mut self, limits: Limits, logits: &mut [f32], alternatives: Alternatives) -> Result<()> {
        let index = self.token_count;
        let drawn = self.sampler.draw(&self.filtering, logits, limits.position + index as u64)?;
        let added = self.written.push(drawn.token);
        self.filtering.drew(drawn.token);
        self.token_count += 1;
        self.logprob += drawn.logprob;
        let is_full = self.token_count >= limits.tokens_max;
        self.finish = added.finish.or(is_full.then_some(Finish::Length));
        self.drawn = Some(TokenEvent {
            choice: self.index,
            index,
            token: drawn.token,
            text: added.text,
            logprob: drawn.logprob,
            alternatives,
        });
        Ok(())
    }

    /// Tokens that it may have beyond those that it has.
    fn left(&self, limits: Limits) -> usize {
        limits.tokens_max - self.token_count
    }

    fn finished(self, ending: &Ending) -> Result<FinishedChoice> {
        let finish = match (self.finish, ending) {
            (_, Ending::Failed(error)) => return Err(error.clone()),
            (Some(finish), _) => finish,
            (None, ending) => Finish::by(ending, self.token_count)?,
        };
        Ok(FinishedChoice {
            finish,
            unsent: Vec::new(),
            text: self.written.rest(finish),
            token_count: self.token_count,
            logprob: self.logprob,
            snapshot: self.snapshot,
        })
    }
}

impl Job for Generation {
    fn look(&mut self, row: Tag, at: At, logits: &mut [f32]) -> Result<()> {
        if self.opening.is_over() {
            let alternatives = alternatives(logits, self.limits.alternatives);
            return self.choices[row].draw(self.limits, logits, alternatives);
        }
        match self.opening.look(at, logits) {
            true => self.draw_first(logits),
            false => Ok(()),
        }
    }

    fn decide(&mut self, rows: &mut Rows<'_>) -> Result<()> {
        if !self.opening.is_over() {
            self.opening.decide(rows);
            if self.opening.is_over() {
                self.start(rows);
            }
            return Ok(());
        }
        for row in rows.ready() {
            if !self.advance(row, row, rows) {
                rows.finish(row);
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>, ending: Ending, position: Option<u64>) {
        let Self { choices, outlet, .. } = *self;
        let choices: Result<Vec<_>> = choices.into_iter().map(|choice| choice.finished(&ending)).collect();
        outlet.close(match choices {
            Ok(choices) => GenerationEvent::Done(Finished { choices, position }),
            Err(error) => GenerationEvent::Failed { error, position },
        });
    }

    fn flow(&self) -> Flow {
        self.outlet.flow()
    }

    fn draws(&self) -> Draws {
        let left = |choice: &Choice| choice.left(self.limits);
        Draws {
            drawn: self.choices.iter().map(|choice| choice.token_count).max().unwrap_or(0),
            // A choice that has ended draws nothing more, however many tokens it had left.
            left: self.choices.iter().filter(|choice| choice.finish.is_none()).map(left).max().unwrap_or(0),
            rows: self.choices.len(),
        }
    }

    fn ended_early(&self) -> bool {
        self.choices.iter().any(|choice| choice.left(self.limits) > 0)
    }

    fn sent(&self) -> usize {
        self.sent
    }

    fn wants_ends(&self) -> bool {
        self.destination == Destination::Snapshots
    }

    fn left(&mut self, row: Tag, snapshot: Snapshot) {
        if self.opening.is_over() && self.destination == Destination::Snapshots {
            self.choices[row].snapshot = Some(snapshot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::row::{ActiveRow, Place};
    use crate::lm::fake::Fake;
    use crate::lm::{Model, TokenId};
    use crate::sampling::{FilterSpec, Filters};
    use crate::text::{Joint, Tail, Tokenizer, TokenizerKind, TokenizerSpec};

    const EOS: TokenId = 1;
    const NEVER: f32 = f32::NEG_INFINITY;

    /// Two choices of at most three tokens, the first token of each drawn from `logits`.
    fn begun(seed: u64, mut logits: [f32; 2]) -> Generation {
        let tokenizer = Tokenizer::new(&TokenizerSpec::new(TokenizerKind::Whitespace), b"a\nb").unwrap();
        let continuation = ContinuationPlan {
            prompt: Arc::from([0]),
            joint: Joint::Closed,
            scores_prompt: false,
            filters: Filters::new(FilterSpec::default()).unwrap(),
            tokens_max: 3,
            eos: Some(EOS),
            stops: Vec::new(),
            decoder: Arc::new(tokenizer).decoder(&Tail::default()),
            alternatives: 0,
            choices: 2,
            destination: Destination::Nowhere,
        };
        let sampler = Sampler::Multinomial { seed, choice: 0 };
        let (mut job, plans, _) =
            Generation::new(GenerationPlan { continuation, sampler, position: 1, events_max: 9 });
        job.look(Opening::ROW, At::End, &mut logits).unwrap();
        let start = Snapshot::at_start(Fake::new(2).start_state(), "weights".into());
        let mut row = ActiveRow::new(plans[0].clone(), Place::Copy(start));
        row.commit(1);
        job.decide(&mut Rows::new(&[row])).unwrap();
        job
    }

    fn draw(job: &mut Generation, choice: usize) {
        job.look(choice, At::End, &mut [0.0, NEVER]).unwrap();
    }

    #[test]
    fn a_choice_that_has_ended_has_nothing_left_to_draw() {
        let has_one_ended = |job: &Generation| {
            let [first, second] = &job.choices[..] else { panic!("two choices") };
            first.finish.is_some() && second.finish.is_none()
        };
        let mut job = (0..).map(|seed| begun(seed, [0.0, 0.0])).find(has_one_ended).unwrap();
        assert_eq!(job.draws(), Draws { drawn: 1, left: 2, rows: 2 });
        draw(&mut job, 1);
        assert_eq!(job.draws(), Draws { drawn: 2, left: 1, rows: 2 });
        draw(&mut job, 1);
        assert_eq!((job.draws(), job.ended_early()), (Draws { drawn: 3, left: 0, rows: 2 }, true));
    }

    #[test]
    fn choices_of_the_maximum_length_have_not_ended_early() {
        let mut job = begun(0, [0.0, NEVER]);
        [0, 1, 0, 1].into_iter().for_each(|choice| draw(&mut job, choice));
        assert_eq!((job.draws(), job.ended_early()), (Draws { drawn: 3, left: 0, rows: 2 }, false));
    }
}
