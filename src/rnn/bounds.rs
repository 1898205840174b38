//! How large the numbers of a state can become: a state with larger ones is not one that the network has computed.

use super::architecture::{Architecture, LayerWeights};
use crate::lm::Cell;

/// What rounding may add to a bound, as a factor.
const ROUNDING: f32 = 1.01;

/// The bound of the h of a ReLU, which has none of its own: the sums that follow from it are finite with any weights that make sense.
const RELU_MAX: f32 = 1e30;

/// The largest magnitude of each number of a state, `[state_len]`. A state is not moved beyond the larger of its `start` and of what a step
/// gives: the values of tanh and of a sigmoid, of which an h of a GRU is a mean, or the rows of a projection times such values. An
/// LSTM's c grows with every step, so it may have any size; no size of it makes a sum overflow.
pub(super) fn state_bounds(architecture: &Architecture, layers: &[LayerWeights], start: &[f32]) -> Vec<f32> {
    let mut bounds = Vec::with_capacity(start.len());
    for (layer, &hidden) in layers.iter().zip(&architecture.hidden_sizes) {
        let end = bounds.len() + architecture.state_len(hidden);
        match &layer.w_hr {
            Some(w_hr) => {
                let weights = w_hr.clone().widened();
                bounds
                    .extend(weights.chunks_exact(hidden).map(|row| row.iter().map(|w| w.abs()).sum::<f32>()));
            }
            None if architecture.cell == Cell::RnnRelu => bounds.resize(end, RELU_MAX),
            None => bounds.resize(bounds.len() + hidden, 1.0),
        }
        bounds.resize(end, f32::MAX);
    }
    let each = bounds.into_iter().zip(start);
    each.map(|(bound, start)| (bound.max(start.abs()) * ROUNDING).min(f32::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rnn::{GateActivation, GruForm, Values};

    fn architecture(cell: Cell, proj_size: Option<usize>) -> Architecture {
        Architecture {
            cell,
            vocab_size: 3,
            embedding_size: 2,
            hidden_sizes: vec![2],
            gru_form: GruForm::ResetAfter,
            gate_activation: GateActivation::Sigmoid,
            proj_size,
        }
    }

    #[test]
    fn bounds_follow_from_the_cell_its_start_and_its_projection() {
        let layer = || LayerWeights::new(Values::F32(Vec::new()), Values::F32(Vec::new()));
        let bounds = |cell, start: &[f32]| state_bounds(&architecture(cell, None), &[layer()], start);
        assert_eq!(bounds(Cell::Gru, &[0.0, -3.0]), [1.01, 3.0 * 1.01]);
        assert_eq!(bounds(Cell::RnnTanh, &[0.5, 0.0]), [1.01; 2]);
        assert_eq!(bounds(Cell::RnnRelu, &[0.0; 2]), [RELU_MAX * ROUNDING; 2]);
        assert_eq!(bounds(Cell::Lstm, &[0.0; 4]), [1.01, 1.01, f32::MAX, f32::MAX]);
        let projected = LayerWeights { w_hr: Some(Values::F32(vec![2.0, -4.0])), ..layer() };
        let found = state_bounds(&architecture(Cell::Lstm, Some(1)), &[projected], &[0.0; 3]);
        assert_eq!(found, [6.0 * 1.01, f32::MAX, f32::MAX]);
    }
}
