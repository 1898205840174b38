//! The state of a model that reads the last N ids at every position: the ids themselves.

use super::{RowError, State, TokenId};

/// How many ids a model reads at once, and what stands before the first token of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// N.
    pub len: usize,
    /// The padding on the left.
    pub pad: TokenId,
}

impl Window {
    /// The most ids of a window, which are a session's state.
    pub const LEN_MAX: usize = 1 << 16;

    /// The state before anything was read: padding alone.
    pub fn start_state(self) -> State {
        Self::state(&vec![self.pad; self.len])
    }

    /// The ids of `state`, the newest last, followed by `tokens`. The window after `n` of the tokens begins at index `n`.
    ///
    /// # Errors
    /// When a token is not below `vocab_size`, or the state, which may come from a client, holds something else than ids.
    pub fn extended(state: &State, tokens: &[TokenId], vocab_size: usize) -> Result<Vec<TokenId>, RowError> {
        let stray = tokens.iter().find(|&&token| token as usize >= vocab_size);
        if let Some(&token) = stray {
            return Err(RowError::TokenOutOfRange(token));
        }
        let id = |&value: &f32| {
            let is_id = value.fract() == 0.0 && (0.0..vocab_size as f32).contains(&value);
            let stray = || RowError::Backend(format!("the state holds {value}, expected the ids of tokens"));
            is_id.then_some(value as TokenId).ok_or_else(stray)
        };
        let mut ids: Vec<TokenId> = state.as_slice().iter().map(id).collect::<Result<_, _>>()?;
        ids.extend(tokens);
        Ok(ids)
    }

    /// The state that holds `ids`, as many as the window has.
    pub fn state(ids: &[TokenId]) -> State {
        State::from(ids.iter().map(|&id| id as f32).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_from_a_state_and_anything_else_is_refused() {
        let window = Window { len: 3, pad: 2 };
        assert_eq!(Window::extended(&window.start_state(), &[4, 0], 5), Ok(vec![2, 2, 2, 4, 0]));
        assert_eq!(Window::extended(&window.start_state(), &[5], 5), Err(RowError::TokenOutOfRange(5)));
        for value in [0.5, 5.0, -1.0, f32::INFINITY, f32::NAN] {
            let state = State::from(vec![0.0, value, 0.0]);
            assert!(Window::extended(&state, &[], 5).is_err(), "{value}");
        }
    }
}
