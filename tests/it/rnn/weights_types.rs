//! The types that weights are held in: which numbers they stand for, bit for bit.

use half::{bf16, f16};
use proptest::prelude::*;
use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{Dtype, LoadOptions, Logits, Model, WeightsType};
use rnnlm_server::rnn::{LayerWeights, Rnn, Values, Weights};

use crate::harness::network::{Shape, shapes};
use crate::harness::rows::{Answer, Ask, kernels, run};

/// The network of `shape` with all matrices rounded, as a file of a type has them.
struct Stored<'a> {
    shape: &'a Shape,
    round: Rounding,
}

type Rounding = fn(Vec<f32>) -> Values;

fn to_f16(values: Vec<f32>) -> Values {
    Values::F16(values.into_iter().map(f16::from_f32).collect())
}

fn to_bf16(values: Vec<f32>) -> Values {
    Values::Bf16(values.into_iter().map(bf16::from_f32).collect())
}

impl Stored<'_> {
    fn weights(&self) -> Weights {
        let Weights { embedding, layers, output, .. } = self.shape.weights();
        let layer = |layer: LayerWeights| LayerWeights {
            w_ih: self.rounded(layer.w_ih),
            w_hh: self.rounded(layer.w_hh),
            w_hr: layer.w_hr.map(|w_hr| self.rounded(w_hr)),
            ..layer
        };
        Weights {
            embedding: self.rounded(embedding),
            layers: layers.into_iter().map(layer).collect(),
            output: output.map(|output| self.rounded(output)),
            ..self.shape.weights()
        }
    }

    fn rounded(&self, values: Values) -> Values {
        (self.round)(values.widened())
    }

    fn build(&self, kernel: Kernel, weights: WeightsType) -> Rnn {
        let options = LoadOptions { weights: Some(weights), ..kernel.into() };
        Rnn::new(&self.shape.architecture, self.weights(), options).expect("weights of the right shapes")
    }
}

/// `count` rows of growing lengths together, so that every height of a tile is met.
fn answers(model: &Rnn, shape: &Shape, count: usize) -> Vec<Answer> {
    let tokens: Vec<_> = (0..count).map(|row| shape.tokens(row as u64, 1 + row % 4)).collect();
    run(model, tokens.iter().map(|tokens| Ask::fresh(model, tokens, Logits::Each)).collect())
}

/// The network of `shape` whose recurrent matrices and output layer are int8, and whose other matrices are floats.
fn mixed(shape: &Shape) -> Weights {
    let weights = shape.weights();
    let sizes = shape.architecture.hidden_sizes.iter();
    let layers = weights.layers.into_iter().zip(sizes).map(|(layer, &hidden)| LayerWeights {
        w_hh: to_int8(&layer.w_hh.widened(), shape.architecture.width(hidden)),
        ..layer
    });
    Weights {
        layers: layers.collect(),
        output: weights.output.map(|output| to_int8(&output.widened(), shape.architecture.output_width())),
        ..shape.weights()
    }
}

/// Rows of `width` rounded to integers, as a file has them.
fn to_int8(values: &[f32], width: usize) -> Values {
    let rows = values.chunks_exact(width);
    let scales = rows.map(|row| row.iter().fold(0f32, |max, value| max.max(value.abs())) / 127.0);
    let scales: Vec<f32> = scales.collect();
    let rounded = values.iter().enumerate().map(|(at, value)| {
        let scale = scales[at / width];
        if scale == 0.0 { 0.0 } else { (value / scale).round().clamp(-127.0, 127.0) * scale }
    });
    Values::int8(&rounded.collect::<Vec<f32>>(), &scales).expect("integers times their scales")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn weights_of_16_bits_give_the_bits_of_the_same_numbers_in_f32(shape in shapes(), count in 1usize..16) {
        for (stored, round) in [(Dtype::F16, to_f16 as Rounding), (Dtype::Bf16, to_bf16)] {
            let network = Stored { shape: &shape, round };
            for kernel in kernels() {
                let narrow = network.build(kernel, WeightsType::AsStored);
                let wide = network.build(kernel, WeightsType::F32);
                prop_assert_eq!((narrow.info().weights_dtype, wide.info().weights_dtype), (stored, Dtype::F32));
                let found = answers(&narrow, &shape, count);
                prop_assert!(found.iter().all(|answer| answer.outcome.is_ok()));
                prop_assert_eq!(found, answers(&wide, &shape, count), "{} {:?}", kernel.name(), stored);
            }
        }
    }

    #[test]
    fn matrices_of_several_types_give_the_same_bits_alone_in_a_batch_and_on_every_kernel(
        shape in shapes(), count in 2usize..16
    ) {
        let mut fused: Option<Vec<Answer>> = None;
        for kernel in kernels() {
            let model = Rnn::new(&shape.architecture, mixed(&shape), kernel).expect("weights of the right shapes");
            prop_assert_eq!(model.info().effective_dtype, Dtype::Int8);
            let together = answers(&model, &shape, count);
            for (row, answer) in together.iter().enumerate() {
                let tokens = shape.tokens(row as u64, 1 + row % 4);
                let alone = run(&model, vec![Ask::fresh(&model, &tokens, Logits::Each)]);
                prop_assert_eq!(&alone[0], answer, "row {} on {}", row, kernel.name());
            }
            if kernel.numerics() == "fma" {
                let first = fused.get_or_insert_with(|| together.clone());
                prop_assert_eq!(first, &together, "{}", kernel.name());
            }
        }
    }

    #[test]
    fn weights_rounded_at_load_are_those_of_a_file_that_was_rounded(shape in shapes()) {
        let rounded = Stored { shape: &shape, round: Values::F32 }.build(Kernel::Portable, WeightsType::Bf16);
        let of_file = Stored { shape: &shape, round: to_bf16 }.build(Kernel::Portable, WeightsType::AsStored);
        prop_assert_eq!(rounded.info().weights_dtype, Dtype::Bf16);
        prop_assert_eq!(rounded.info().effective_dtype, Dtype::Bf16);
        prop_assert_eq!(of_file.info().effective_dtype, Dtype::F32, "nothing was rounded");
        prop_assert_eq!(answers(&rounded, &shape, 3), answers(&of_file, &shape, 3));
    }
}
