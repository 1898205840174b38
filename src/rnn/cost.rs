//! The cost of a run of a network: its products, and the passes over its weights.

use super::layer::Layer;
use super::network::Rnn;
use crate::lm::{Cost, Dtype};

/// What passes and looks cost with weights of one type, in multiply-adds with weights of that type.
///
/// Machines differ by a factor of two in either direction, which only affects how long turns are.
pub(super) struct Rates {
    /// The cost of reading a matrix from memory, as the number of rows that could be multiplied with it in that time.
    ///
    /// `benches/step.rs` measures it: a step of one row takes as long as the share of `pass_rows + 1` rows in a large batch.
    pub(super) pass_rows: u64,
    /// The cost of looking at a logit: it is summed up, compared and drawn from.
    ///
    /// `benches/distribution.rs` measures it: a draw from 10,000 logits takes about half as long as the output layer of 512 units in f32 that
    /// gives them, and the logprob of a token a sixth.
    pub(super) look: u64,
}

impl Rates {
    /// Those of the weights' type. A multiply-add takes as long with 16 bits as with 32, and a quarter of that with 8.
    pub(super) fn of(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self { pass_rows: 4, look: 256 },
            Dtype::F16 | Dtype::Bf16 => Self { pass_rows: 2, look: 256 },
            Dtype::Int8 => Self { pass_rows: 3, look: 1024 },
        }
    }
}

/// The values of two vectors of f32 that are multiplied and added in f64 in the time of a look.
///
/// `benches/cache_cost.py` measures it and [`COMPARE_LOOKS`], with vectors of 64 to 1,024 values and AVX-512.
const COMPARED_A_LOOK: u64 = 9;

/// What a state costs that is compared, beside the product, in looks: it is weighed and sorted, and its token's logit is mixed.
const COMPARE_LOOKS: u64 = 28;

/// The multiply-adds of a run. The input product of a layer is computed once for all tokens, its recurrent product once in each time
/// step, and the output layer once for all positions.
pub(super) fn cost(network: &Rnn) -> Cost {
    let sum =
        |weights: fn(&Layer) -> usize| network.layers.iter().map(|layer| weights(layer) as u64).sum::<u64>();
    let input = sum(|layer| layer.gate_columns() * layer.input());
    let recurrent = sum(Layer::recurrent_weights);
    let output = (network.output.columns() * network.output.hidden()) as u64;
    let Rates { pass_rows, look } = Rates::of(network.info.weights_dtype);
    Cost {
        run: pass_rows * (input + output),
        step: pass_rows * recurrent,
        token: input + recurrent,
        position: output + look * network.output.columns() as u64,
        // The probability of a remembered token is that of the model first: a sum over the vocabulary, without a draw.
        recall: look * network.output.columns() as u64 / 3,
        compare: look * (network.output.hidden() as u64 / COMPARED_A_LOOK + COMPARE_LOOKS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Kernel;
    use crate::lm::{Cell, Extent, LoadOptions, Model, WeightsType};
    use crate::rnn::{Architecture, GateActivation, GruForm, LayerWeights, Weights};

    /// Sizes that need no padding to whole panels.
    fn network(weights_type: WeightsType) -> Rnn {
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
        let options = LoadOptions { weights: Some(weights_type), ..Kernel::Portable.into() };
        Rnn::new(&architecture, weights, options).expect("weights of the right shapes")
    }

    fn products_are_counted(weights_type: WeightsType, rates: &Rates) {
        let cost = network(weights_type).cost();
        let &Rates { pass_rows, look } = rates;
        let input = 256 * 32 + 64 * 64;
        let recurrent = 256 * 64 + 64 * 16;
        let output = 640 * 16;
        let looks = 640 * look;
        let compared = look * (16 / COMPARED_A_LOOK + COMPARE_LOOKS);
        assert_eq!((cost.recall, cost.compare), (640 * look / 3, compared));
        assert_eq!((cost.token, cost.position), (input + recurrent, output + looks));
        assert_eq!((cost.run, cost.step), (pass_rows * (input + output), pass_rows * recurrent));
        // A step of one row is a pass and a row's share.
        assert_eq!(cost.bare_step(1), (pass_rows + 1) * (input + recurrent + output) + looks);
        // A prompt reads the recurrent weights anew for every token, the others once.
        let prompt = Extent::of_row(64, 1);
        let passes = pass_rows * (input + 64 * recurrent + output);
        assert_eq!(cost.of(prompt), passes + 64 * (input + recurrent) + output + looks);
    }

    #[test]
    fn products_are_counted_where_they_are_taken() {
        products_are_counted(WeightsType::F32, &Rates { pass_rows: 4, look: 256 });
    }

    #[test]
    fn narrow_weights_are_read_in_less_time() {
        products_are_counted(WeightsType::Bf16, &Rates { pass_rows: 2, look: 256 });
        products_are_counted(WeightsType::Int8, &Rates { pass_rows: 3, look: 1024 });
    }
}
