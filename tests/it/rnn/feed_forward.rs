//! Feed-forward networks on the last N tokens: against a scalar loop in every type of weights, and independent of batch and cuts.

use half::bf16;
use proptest::prelude::*;
use rnnlm_server::lm::math::{sigmoid, tanh};
use rnnlm_server::lm::{Dtype, LoadOptions, Logits, Model, TokenId, WeightsType, Window};
use rnnlm_server::rnn::{
    Activation, DenseWeights, FeedForward, FeedForwardArchitecture, FeedForwardWeights, Values, WindowInput,
};

use super::reference::{Chain, Int8Row, bits, fused, int8, row, unfused};
use crate::harness::network::{Counter, weights_types};
use crate::harness::rows::{Answer, Ask, kernels, run};

/// A network whose weights come from a counter.
#[derive(Clone, Debug)]
struct Shape {
    architecture: FeedForwardArchitecture,
    activations: Vec<Option<Activation>>,
    tied_output: bool,
    has_biases: bool,
    seed: u64,
}

const ACTIVATIONS: [Option<Activation>; 4] =
    [None, Some(Activation::Tanh), Some(Activation::Relu), Some(Activation::Sigmoid)];

fn shapes() -> impl Strategy<Value = Shape> {
    let size = || prop_oneof![1usize..20, 60usize..70];
    let layer = (size(), prop::sample::select(&ACTIVATIONS[..]));
    let layers = prop::collection::vec(layer, 0..3);
    let input = prop::sample::select(vec![WindowInput::Mean, WindowInput::Concatenated]);
    let ends = (any::<bool>(), any::<bool>());
    (2usize..90, size(), 1usize..5, input, layers, ends, any::<u64>()).prop_map(
        |(vocab_size, embedding_size, len, input, layers, (tied_output, has_biases), seed)| {
            let (mut hidden_sizes, activations): (Vec<usize>, Vec<_>) = layers.into_iter().unzip();
            let window = Window { len, pad: 1 };
            if tied_output && let Some(last) = hidden_sizes.last_mut() {
                *last = embedding_size;
            }
            let read = if input == WindowInput::Mean { 1 } else { len };
            let last = hidden_sizes.last().copied().unwrap_or(read * embedding_size);
            let architecture =
                FeedForwardArchitecture { vocab_size, embedding_size, window, input, hidden_sizes };
            let tied_output = tied_output && last == embedding_size;
            Shape { architecture, activations, tied_output, has_biases, seed }
        },
    )
}

impl Shape {
    fn weights(&self) -> FeedForwardWeights {
        let FeedForwardArchitecture { vocab_size, embedding_size, window, input, ref hidden_sizes } =
            self.architecture;
        let mut random = Counter { key: self.seed, next: 0 };
        let embedding = random.values(vocab_size * embedding_size, 1.0);
        let mut depth = if input == WindowInput::Mean { embedding_size } else { window.len * embedding_size };
        let mut hidden = Vec::new();
        for (&size, &activation) in hidden_sizes.iter().zip(&self.activations) {
            let bound = 1.0 / (depth as f32).sqrt();
            let weights = random.values(size * depth, bound);
            let bias = self.has_biases.then(|| random.values(size, bound));
            hidden.push(DenseWeights { weights, bias, activation });
            depth = size;
        }
        let bound = 1.0 / (depth as f32).sqrt();
        let output = (!self.tied_output).then(|| random.values(vocab_size * depth, bound));
        let output_bias = self.has_biases.then(|| random.values(vocab_size, bound));
        FeedForwardWeights { embedding, hidden, output, output_bias }
    }

    fn build(&self, options: impl Into<LoadOptions>) -> FeedForward {
        self.packed(self.weights(), options.into())
    }

    fn packed(&self, weights: FeedForwardWeights, options: LoadOptions) -> FeedForward {
        FeedForward::new(&self.architecture, weights, options).expect("weights of the right shapes")
    }

    fn tokens(&self, key: u64, len: usize) -> Vec<TokenId> {
        let mut random = Counter { key: self.seed ^ key.rotate_left(32), next: 0 };
        (0..len).map(|_| (random.word() % self.architecture.vocab_size as u64) as TokenId).collect()
    }

    fn rows(&self, count: usize) -> Vec<Vec<TokenId>> {
        (0..count).map(|row| self.tokens(row as u64, 1 + row % 7)).collect()
    }

    /// The weights with all matrices as `convert` has them; an embedding that is only looked up, too.
    fn converted(&self, convert: impl Fn(Values) -> Values) -> FeedForwardWeights {
        let FeedForwardWeights { embedding, hidden, output, output_bias } = self.weights();
        let layer = |layer: DenseWeights| DenseWeights { weights: convert(layer.weights), ..layer };
        FeedForwardWeights {
            embedding: convert(embedding),
            hidden: hidden.into_iter().map(layer).collect(),
            output: output.map(&convert),
            output_bias,
        }
    }
}

/// The scalar loop: each sum begins with its bias and goes by rising index.
struct Reference {
    shape: Shape,
    weights: FeedForwardWeights,
    embedding: Vec<f32>,
    chain: Chain,
}

impl Reference {
    fn new(shape: &Shape, weights: FeedForwardWeights, chain: Chain) -> Self {
        let embedding = weights.embedding.clone().widened();
        Self { shape: shape.clone(), weights, embedding, chain }
    }

    /// The logits before each of `tokens`.
    fn logits(&self, tokens: &[TokenId]) -> Vec<f32> {
        let Window { len, pad } = self.shape.architecture.window;
        let padded: Vec<TokenId> = std::iter::repeat_n(pad, len).chain(tokens.iter().copied()).collect();
        (0..tokens.len()).flat_map(|at| self.after(&padded[at..][..len])).collect()
    }

    fn after(&self, window: &[TokenId]) -> Vec<f32> {
        let width = self.shape.architecture.embedding_size;
        let embedded = window.iter().map(|&id| row(&self.embedding, id as usize, width));
        let mut x: Vec<f32> = match self.shape.architecture.input {
            WindowInput::Concatenated => embedded.flatten().copied().collect(),
            WindowInput::Mean => {
                let zeros = vec![0.0f32; width];
                let sums = embedded
                    .fold(zeros, |sums, vector| sums.iter().zip(vector).map(|(a, b)| a + b).collect());
                sums.iter().map(|sum| sum / window.len() as f32).collect()
            }
        };
        for DenseWeights { weights, bias, activation } in &self.weights.hidden {
            let activate = |sum: f32| match activation {
                None => sum,
                Some(Activation::Tanh) => tanh(sum),
                Some(Activation::Relu) => sum.max(0.0),
                Some(Activation::Sigmoid) => sigmoid(sum),
            };
            x = self.affine(weights, bias.as_ref(), &x).into_iter().map(activate).collect();
        }
        let output = self.weights.output.as_ref().unwrap_or(&self.weights.embedding);
        self.affine(output, self.weights.output_bias.as_ref(), &x)
    }

    fn affine(&self, weights: &Values, bias: Option<&Values>, x: &[f32]) -> Vec<f32> {
        let weights = weights.clone().widened();
        let sum = |column: usize| {
            let bias = bias.map_or(0.0, |bias| bias.get(column));
            (self.chain)(bias, row(&weights, column, x.len()), x)
        };
        (0..weights.len() / x.len()).map(sum).collect()
    }
}

fn asks<'a>(model: &dyn Model, rows: &'a [Vec<TokenId>]) -> Vec<Ask<'a>> {
    rows.iter().map(|tokens| Ask::fresh(model, tokens, Logits::Each)).collect()
}

fn found(answer: Answer) -> Vec<f32> {
    assert_eq!(answer.outcome, Ok(()));
    answer.logits.into_iter().flat_map(|(_, logits)| logits).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_kernel_equals_the_scalar_reference_bit_for_bit(shape in shapes(), count in 1usize..12) {
        let rows = shape.rows(count);
        for kernel in kernels() {
            let chain = if kernel.numerics() == "fma" { fused } else { unfused };
            let reference = Reference::new(&shape, shape.weights(), chain);
            let model = shape.build(kernel);
            for (tokens, answer) in rows.iter().zip(run(&model, asks(&model, &rows))) {
                prop_assert_eq!(bits(found(answer)), bits(reference.logits(tokens)), "{}", kernel.name());
            }
        }
    }

    #[test]
    fn every_kernel_equals_the_scalar_integers_bit_for_bit(shape in shapes(), count in 1usize..12) {
        let rows = shape.rows(count);
        let mut reference = Reference::new(&shape, shape.weights(), int8);
        if shape.tied_output {
            let rows = reference.embedding.chunks(shape.architecture.embedding_size);
            reference.embedding = rows.flat_map(|row| Int8Row::of(row).values()).collect();
        }
        for kernel in kernels() {
            let model = shape.build(LoadOptions { weights: Some(WeightsType::Int8), ..kernel.into() });
            prop_assert_eq!(model.info().weights_dtype, Dtype::Int8);
            for (tokens, answer) in rows.iter().zip(run(&model, asks(&model, &rows))) {
                prop_assert_eq!(bits(found(answer)), bits(reference.logits(tokens)), "{}", kernel.name());
            }
        }
    }

    #[test]
    fn weights_in_bf16_are_those_of_a_file_that_was_rounded_and_give_their_bits_in_f32(
        shape in shapes(), count in 1usize..9
    ) {
        let rows = shape.rows(count);
        let round = |value: f32| bf16::from_f32(value);
        let rounded = |values: Values| Values::Bf16(values.widened().into_iter().map(round).collect());
        for kernel in kernels() {
            let options = |weights| LoadOptions { weights: Some(weights), ..kernel.into() };
            let at_load = shape.build(options(WeightsType::Bf16));
            let of_file = shape.packed(shape.converted(rounded), options(WeightsType::AsStored));
            let widened = shape.packed(shape.converted(rounded), options(WeightsType::F32));
            prop_assert_eq!(at_load.info().effective_dtype, Dtype::Bf16);
            prop_assert_eq!(of_file.info().weights_dtype, Dtype::Bf16);
            let answers = run(&widened, asks(&widened, &rows));
            prop_assert_eq!(&run(&at_load, asks(&at_load, &rows)), &answers, "{}", kernel.name());
            prop_assert_eq!(&run(&of_file, asks(&of_file, &rows)), &answers, "{}", kernel.name());
        }
    }

    #[test]
    fn a_row_gives_the_same_bits_beside_others_as_alone_and_in_pieces_as_at_once(
        (shape, weights) in (shapes(), weights_types()), count in 1usize..12, cut in 1usize..4
    ) {
        let rows = shape.rows(count);
        for kernel in kernels() {
            let model = shape.build(LoadOptions { weights: Some(weights), ..kernel.into() });
            for (tokens, together) in rows.iter().zip(run(&model, asks(&model, &rows))) {
                let alone = run(&model, vec![Ask::fresh(&model, tokens, Logits::Each)]).remove(0);
                prop_assert_eq!(&alone, &together, "{}", kernel.name());
                let mut state = model.start_state();
                let mut logits = Vec::new();
                for tokens in tokens.chunks(cut) {
                    let piece = run(&model, vec![Ask { state, tokens, logits: Logits::Each }]).remove(0);
                    state = piece.state.clone();
                    logits.extend(found(piece));
                }
                prop_assert_eq!(&state, &together.state);
                prop_assert_eq!(bits(logits), bits(found(together)), "{}", kernel.name());
            }
        }
    }
}
