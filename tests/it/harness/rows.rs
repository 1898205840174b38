//! Runs of rows of a model: the one place where the tests call `Model::run`.

use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{Logits, Model, Row, RowError, Scratch, State, TokenId};

use super::beyond_this_processor;

/// One row of a run.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) state: State,
    pub(crate) tokens: &'a [TokenId],
    pub(crate) logits: Logits,
}

impl<'a> Ask<'a> {
    /// A row from the start.
    pub(crate) fn fresh(model: &dyn Model, tokens: &'a [TokenId], logits: Logits) -> Self {
        Self { state: model.start_state(), tokens, logits }
    }
}

/// The result of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) state: State,
    pub(crate) logits: Vec<(usize, Vec<f32>)>,
    pub(crate) outcome: Result<(), RowError>,
}

/// Runs rows together, with space for the logits of many positions at once.
pub(crate) fn run(model: &dyn Model, asks: Vec<Ask<'_>>) -> Vec<Answer> {
    run_in(model, asks, &mut Scratch::new(1 << 20))
}

/// Runs rows together in `scratch`. The sink overwrites the logits that it receives, as a sampler may.
pub(crate) fn run_in(model: &dyn Model, asks: Vec<Ask<'_>>, scratch: &mut Scratch) -> Vec<Answer> {
    let mut logits: Vec<Vec<(usize, Vec<f32>)>> = vec![Vec::new(); asks.len()];
    let mut states: Vec<State> = asks.iter().map(|ask| ask.state.clone()).collect();
    let mut rows: Vec<Row<'_>> =
        states.iter_mut().zip(&asks).map(|(state, ask)| Row::new(state, ask.tokens, ask.logits)).collect();
    model.run(&mut rows, scratch, &mut |row, position, values| {
        logits[row].push((position, values.to_vec()));
        values.fill(f32::NAN);
    });
    let outcomes: Vec<_> = rows.into_iter().map(|row| row.outcome).collect();
    let parts = states.into_iter().zip(logits).zip(outcomes);
    parts.map(|((state, logits), outcome)| Answer { state, logits, outcome }).collect()
}

/// The kernels that this processor can run.
pub(crate) fn kernels() -> Vec<Kernel> {
    let all = Kernel::ALL.into_iter();
    all.filter(|kernel| match Kernel::choose(Some(kernel.name())) {
        Ok(_) => true,
        Err(error) => {
            beyond_this_processor(&error.to_string());
            false
        }
    })
    .collect()
}
