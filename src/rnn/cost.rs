//! The cost of a run of a network: its products, and the passes over its weights.

use super::layer::Layer;
use super::network::Rnn;
use crate::lm::Cost;

/// The cost of reading a matrix from memory, as the number of rows that could be multiplied with it in that time.
///
/// `benches/step.rs` measures it: a step of one row takes as long as the share of about five rows in a large batch, for networks of 4 MB and
/// of 50 MB of weights. Machines differ by a factor of two in either direction, which only affects how long turns are.
pub(super) const PASS_ROWS: u64 = 4;

/// The cost of looking at a logit, in multiply-adds: it is summed up, compared and drawn from.
///
/// `benches/distribution.rs` measures it: a draw from 10,000 logits takes about half as long as the output layer of 512 units that gives
/// them, and the logprob of a token a sixth.
pub(super) const LOOK: u64 = 256;

/// The multiply-adds of a run. The input product of a layer is computed once for all tokens, its recurrent product once in each time
/// step, and the output layer once for all positions.
pub(super) fn cost(network: &Rnn) -> Cost {
    let sum =
        |weights: fn(&Layer) -> usize| network.layers.iter().map(|layer| weights(layer) as u64).sum::<u64>();
    let input = sum(|layer| layer.gate_columns() * layer.input());
    let recurrent = sum(Layer::recurrent_weights);
    let output = (network.output.columns() * network.output.hidden()) as u64;
    Cost {
        run: PASS_ROWS * (input + output),
        step: PASS_ROWS * recurrent,
        token: input + recurrent,
        position: output + LOOK * network.output.columns() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Kernel;
    use crate::lm::{Cell, Extent, Model};
    use crate::rnn::{Architecture, GateActivation, GruForm, LayerWeights, Weights};

    /// Sizes that need no padding to whole panels.
    fn network() -> Rnn {
        let architecture = Architecture {
            cell: Cell::Lstm,
            vocab_size: 640,
            embedding_size: 32,
            hidden_sizes: vec![64, 16],
            proj_size: None,
            gru_form: GruForm::ResetAfter,
            gate_activation: GateActivation::Sigmoid,
        };
        let layer = |input: usize, hidden: usize| {
            LayerWeights::new(vec![0.0; 4 * hidden * input].into(), vec![0.0; 4 * hidden * hidden].into())
        };
        let weights = Weights {
            embedding: vec![0.0; 640 * 32].into(),
            layers: vec![layer(32, 64), layer(64, 16)],
            output: Some(vec![0.0; 640 * 16].into()),
            output_bias: None,
            output_norms: Vec::new(),
        };
        Rnn::new(&architecture, weights, Kernel::Portable).expect("weights of the right shapes")
    }

    #[test]
    fn products_are_counted_where_they_are_taken() {
        let cost = network().cost();
        let input = 256 * 32 + 64 * 64;
        let recurrent = 256 * 64 + 64 * 16;
        let output = 640 * 16;
        let looks = 640 * LOOK;
        assert_eq!((cost.token, cost.position), (input + recurrent, output + looks));
        assert_eq!((cost.run, cost.step), (PASS_ROWS * (input + output), PASS_ROWS * recurrent));
        // A step of one row is a pass and a row's share.
        assert_eq!(cost.bare_step(1), (PASS_ROWS + 1) * (input + recurrent + output) + looks);
        // A prompt reads the recurrent weights anew for every token, the others once.
        let prompt = Extent { steps: 64, tokens: 64, positions: 1 };
        let passes = PASS_ROWS * (input + 64 * recurrent + output);
        assert_eq!(cost.of(prompt), passes + 64 * (input + recurrent) + output + looks);
    }
}
