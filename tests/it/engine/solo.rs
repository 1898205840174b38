//! The reference for the engine: one row alone, read token by token.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rnnlm_server::lm::{Distribution, Logits, Model, Row, Scratch, State, TokenId};
use rnnlm_server::session::Snapshot;

use super::world::Draws;

/// The state after `tokens`, read one by one; `None` if the model fails.
pub(crate) fn read(model: &dyn Model, state: &State, tokens: &[TokenId]) -> Option<State> {
    let mut state = state.clone();
    tokens.iter().all(|&token| step(model, &mut state, token)).then_some(state)
}

/// The log-probability of each token as it is read; `None` if the model fails.
pub(crate) fn logprobs(model: &dyn Model, state: &State, tokens: &[TokenId]) -> Option<Vec<f64>> {
    let mut state = state.clone();
    let each = tokens.iter().map(|&token| {
        let logprob = Distribution::new(&logits(model, &mut state)).logprob(token);
        step(model, &mut state, token).then_some(logprob)
    });
    each.collect()
}

/// The log-probability of every token of the vocabulary after `state`.
pub(crate) fn distribution(model: &dyn Model, state: &State) -> Vec<f64> {
    let logits = logits(model, &mut state.clone());
    let distribution = Distribution::new(&logits);
    (0..logits.len() as TokenId).map(|token| distribution.logprob(token)).collect()
}

/// The tokens of a choice that are drawn after `start` and the prompt, with their log-probabilities, until the model fails.
pub(crate) fn generate(
    model: &dyn Model,
    start: &Snapshot,
    draws: &Draws,
    choice: usize,
) -> Vec<(TokenId, f64)> {
    let Some(mut state) = read(model, &start.state, &draws.prompt) else { return Vec::new() };
    let sampler = draws.sampler().of_choice(choice as u32);
    let mut filtering = draws.filtering();
    let mut drawn = Vec::new();
    while drawn.len() < draws.len {
        let position = start.position + (draws.prompt.len() + drawn.len()) as u64;
        let mut logits = logits(model, &mut state);
        let next = sampler.draw(&filtering, &mut logits, position).expect("no token is ruled out");
        filtering.drew(next.token);
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
