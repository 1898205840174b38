//! What a run costs, so that a scheduler can bound a turn without knowing the model.

/// The cost of a run as a linear function of its extent, in multiply-adds.
///
/// Reading weights from memory takes time too, however few rows use them; a model counts that as the multiply-adds that
/// would take as long. So the cost of one row's step is far more than a hundredth of the cost of a hundred rows' step, as is its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Of a run, whatever its extent: the pass over the weights that all of its tokens share.
    pub run: u64,
    /// Of each time step: the pass over the weights that only the rows of one step share.
    pub step: u64,
    /// Of each token.
    pub token: u64,
    /// Of each position whose logits are asked for.
    pub position: u64,
}

/// How large a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Time steps: tokens of the longest row.
    pub steps: usize,
    /// Tokens of all rows.
    pub tokens: usize,
    /// Positions of all rows whose logits are asked for.
    pub positions: usize,
}

impl Cost {
    /// The cost where all that is known is the number of weights, each of which every token is multiplied with.
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

    /// The cost of a bare step: each of `rows` rows reads one token and asks for the logits after it.
    pub fn bare_step(&self, rows: usize) -> u64 {
        self.of(Extent { steps: 1, tokens: rows, positions: rows })
    }
}

impl Extent {
    /// The extent with one more row, of `tokens` tokens and `positions` positions.
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
        let ragged = Extent::default().and_row(5, 0).and_row(1, 1).and_row(0, 1);
        assert_eq!(ragged, Extent { steps: 5, tokens: 6, positions: 2 });
        assert_eq!(cost.of(ragged), 1562);
    }
}
