//! The reference: one row alone, token by token, without an engine.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rnnlm_server::lm::{Distribution, Logits, Model, Row, Scratch, State, TokenId};
use rnnlm_server::sampling::{Filters, Sampler};

/// The state after `tokens`, read one by one; `None` where the model fails.
pub(crate) fn read(model: &dyn Model, state: &State, tokens: &[TokenId]) -> Option<State> {
    let mut state = state.clone();
    tokens.iter().all(|&token| step(model, &mut state, token)).then_some(state)
}

/// The logprob of each token, as it is read; up to where the model fails.
pub(crate) fn logprobs(model: &dyn Model, state: &State, tokens: &[TokenId]) -> Option<Vec<f64>> {
    let mut state = state.clone();
    let each = tokens.iter().map(|&token| {
        let logprob = Distribution::new(&logits(model, &mut state)).logprob(token);
        step(model, &mut state, token).then_some(logprob)
    });
    each.collect()
}

/// The logprob of every token after `state`.
pub(crate) fn distribution(model: &dyn Model, state: &State) -> Vec<f64> {
    let logits = logits(model, &mut state.clone());
    let distribution = Distribution::new(&logits);
    (0..logits.len() as TokenId).map(|token| distribution.logprob(token)).collect()
}

/// The tokens and logprobs that are drawn after `state`, which stands at `position`; up to where the model fails.
pub(crate) fn generate(
    model: &dyn Model,
    mut state: State,
    position: u64,
    (sampler, filters, len): (Sampler, &Filters, usize),
) -> Vec<(TokenId, f64)> {
    let mut drawn = Vec::new();
    while drawn.len() < len {
        let mut logits = logits(model, &mut state);
        let next =
            sampler.draw(filters, &mut logits, position + drawn.len() as u64).expect("something is left");
        drawn.push((next.token, next.logprob));
        if !step(model, &mut state, next.token) {
            break;
        }
    }
    drawn
}

fn step(model: &dyn Model, state: &mut State, token: TokenId) -> bool {
    let mut rows = [Row::new(state, std::slice::from_ref(&token), Logits::None)];
    let run = || {
        model.run(&mut rows, &mut Scratch::new(0), &mut |_, _, _| unreachable!("no logits were asked for"));
    };
    catch_unwind(AssertUnwindSafe(run)).is_ok() && rows[0].outcome.is_ok()
}

pub(crate) fn logits(model: &dyn Model, state: &mut State) -> Vec<f32> {
    let mut found = Vec::new();
    let mut rows = [Row::new(state, &[], Logits::Last)];
    model.run(&mut rows, &mut Scratch::new(0), &mut |_, _, logits| found = logits.to_vec());
    found
}
