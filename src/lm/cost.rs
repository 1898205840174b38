//! What a run costs, so that a scheduler can bound a turn without knowing the model.

use super::State;

/// The cost of a run, in multiply-adds, as a linear function of its extent.
///
/// Reading weights from memory takes time however few rows use them. A model counts this time as the number of multiply-adds that
/// take as long, so the cost of a run is roughly proportional to its time for small and large runs alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Of each run: the pass over the weights that all of its tokens share.
    pub run: u64,
    /// Of each time step: the pass over the weights that only the rows of that step share.
    pub step: u64,
    /// Of each token.
    pub token: u64,
    /// Of each position whose logits are asked for.
    pub position: u64,
    /// Of each of these positions whose logits a [`Cache`](super::Cache) is mixed into, beside what it compares.
    pub recall: u64,
    /// Of each state that a cache compares at a position, or adds.
    pub compare: u64,
}

/// How large a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Time steps, that is, tokens of the longest row.
    pub steps: usize,
    /// Tokens of all rows.
    pub tokens: usize,
    /// Positions of all rows whose logits are asked for.
    pub positions: usize,
    /// Those of them whose logits a cache is mixed into.
    pub recalls: usize,
    /// States that caches compare at all of these positions, or add.
    pub compared: usize,
}

impl Cost {
    /// The cost of a model of which only the number of weights is known. Each token is multiplied with all of them.
    pub fn of_parameters(count: u64) -> Self {
        Self { token: count.max(1), ..Self::default() }
    }

    /// The cost of a run of this extent.
    pub fn of(&self, extent: Extent) -> u64 {
        self.run
            + self.step * extent.steps as u64
            + self.token * extent.tokens as u64
            + self.position * extent.positions as u64
            + self.recalls(extent)
    }

    /// What caches add to the cost of a run of this extent.
    pub fn recalls(&self, extent: Extent) -> u64 {
        self.recall * extent.recalls as u64 + self.compare * extent.compared as u64
    }

    /// What the cache of `state`, if it has one, adds to a step in which a row draws, when the row has drawn `draws` tokens.
    pub fn draw_recalls(&self, state: &State, draws: usize) -> u64 {
        state.cache().map_or(0, |cache| self.recalls(cache.counted_after(draws, Extent::of_row(1, 1))))
    }

    /// The cost of a step of `rows` rows, each of which reads one token and asks for the logits after it.
    pub fn bare_step(&self, rows: usize) -> u64 {
        self.of(Extent { steps: 1, tokens: rows, positions: rows, ..Extent::default() })
    }

    /// What costs as much as `count` such steps.
    pub fn bare_steps(&self, count: f64, rows: usize) -> u64 {
        (count * self.bare_step(rows) as f64) as u64
    }
}

impl Extent {
    /// A row of `tokens` tokens and `positions` positions.
    pub fn of_row(tokens: usize, positions: usize) -> Self {
        Self { steps: tokens, tokens, positions, ..Self::default() }
    }

    /// The extent with other rows in the same run.
    pub fn and(self, other: Self) -> Self {
        Self {
            steps: self.steps.max(other.steps),
            tokens: self.tokens + other.tokens,
            positions: self.positions + other.positions,
            recalls: self.recalls + other.recalls,
            compared: self.compared.saturating_add(other.compared),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_step_share_its_pass_and_rows_of_a_run_share_its_own() {
        let cost = Cost { run: 1000, step: 100, token: 10, position: 1, ..Cost::default() };
        assert_eq!(cost.bare_step(1), 1111);
        assert_eq!(cost.bare_step(3), 1133);
        assert_eq!(cost.bare_steps(1.5, 1), 1666);
        let ragged = Extent::of_row(5, 0).and(Extent::of_row(1, 1)).and(Extent::of_row(0, 1));
        assert_eq!(ragged, Extent { steps: 5, tokens: 6, positions: 2, ..Extent::default() });
        assert_eq!(cost.of(ragged), 1562);
    }

    #[test]
    fn caches_cost_what_they_compare_and_what_mixing_takes() {
        let cost = Cost { recall: 100, compare: 7, ..Cost::of_parameters(10) };
        let cached = Extent { recalls: 2, compared: 30, ..Extent::of_row(3, 2) };
        assert_eq!(cost.recalls(cached), 410);
        assert_eq!(cost.of(cached.and(Extent::of_row(1, 1))), 30 + 410 + 10);
    }
}
