//! What a run costs, so that a scheduler can bound a turn without knowing the model.

/// The cost of a run, in multiply-adds, as a linear function of its extent.
///
/// Reading weights from memory takes time however few rows use them. A model counts this time as the number of multiply-adds that
/// take as long, so the cost of a run is roughly proportional to its time for small and large runs alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Of each run: the pass over the weights that all of its tokens share.
    pub run: u64,
    /// Of each time step: the pass over the weights that only the rows of that step share.
    pub step: u64,
    /// Of each token.
    pub token: u64,
    /// Of each position whose logits are asked for.
    pub position: u64,
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
}

impl Cost {
    /// The cost of a model of which only the number of weights is known. Each token is multiplied with all of them.
    pub fn of_parameters(count: u64) -> Self {
        Self { run: 0, step: 0, token: count.max(1), position: 0 }
    }

    /// The cost of a run of this extent.
    pub fn of(&self, extent: Extent) -> u64 {
        self.run
            + self.step * extent.steps as u64
            + self.token * extent.tokens as u64
            + self.position * extent.positions as u64
    }

    /// The cost of a step of `rows` rows, each of which reads one token and asks for the logits after it.
    pub fn bare_step(&self, rows: usize) -> u64 {
        self.of(Extent { steps: 1, tokens: rows, positions: rows })
    }

    /// What costs as much as `count` such steps.
    pub fn bare_steps(&self, count: f64, rows: usize) -> u64 {
        (count * self.bare_step(rows) as f64) as u64
    }
}

impl Extent {
    /// The extent with one more row of `tokens` tokens and `positions` positions.
    pub fn and_row(self, tokens: usize, positions: usize) -> Self {
        Self {
            steps: self.steps.max(tokens),
            tokens: self.tokens + tokens,
            positions: self.positions + positions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_step_share_its_pass_and_rows_of_a_run_share_its_own() {
        let cost = Cost { run: 1000, step: 100, token: 10, position: 1 };
        assert_eq!(cost.bare_step(1), 1111);
        assert_eq!(cost.bare_step(3), 1133);
        assert_eq!(cost.bare_steps(1.5, 1), 1666);
        let ragged = Extent::default().and_row(5, 0).and_row(1, 1).and_row(0, 1);
        assert_eq!(ragged, Extent { steps: 5, tokens: 6, positions: 2 });
        assert_eq!(cost.of(ragged), 1562);
    }
}
