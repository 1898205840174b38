//! Networks whose weights come from a counter, so that they are the same on every machine and need no file.

use proptest::prelude::*;
use rnnlm_server::lm::{Cell, LoadOptions, TokenId, WeightsType};
use rnnlm_server::rnn::{
    Architecture, GateActivation, GruForm, LayerWeights, Norm, NormForm, Rnn, Values, Weights,
};

/// What a network is made of.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) architecture: Architecture,
    /// Whether the output layer shares the weights of the embedding.
    pub(crate) tied_output: bool,
    pub(crate) biases: Biases,
    pub(crate) extras: Extras,
    pub(crate) seed: u64,
}

/// What a network may have besides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    /// Whether its states start from learned vectors.
    pub(crate) learned_start: bool,
    /// What stands before each layer, and last before the output layer; nothing where the list ends.
    pub(crate) norms: Vec<Vec<NormForm>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Biases {
    Both,
    InputOnly,
    None,
}

impl Shape {
    /// Two small layers of a cell.
    pub(crate) fn of_two_layers(cell: Cell, vocab_size: usize) -> Self {
        let architecture = Architecture {
            cell,
            vocab_size,
            embedding_size: 5,
            hidden_sizes: vec![9, 6],
            gru_form: GruForm::ResetAfter,
            gate_activation: GateActivation::Sigmoid,
            proj_size: None,
        };
        Self { architecture, tied_output: false, biases: Biases::Both, extras: Extras::default(), seed: 7 }
    }

    /// The weights, uniform in `-1/sqrt(hidden)..1/sqrt(hidden)` as PyTorch initialises them.
    pub(crate) fn weights(&self) -> Weights {
        let Architecture { cell, vocab_size, embedding_size, hidden_sizes, proj_size, .. } =
            &self.architecture;
        let mut random = Counter { key: self.seed, next: 0 };
        let embedding = random.values(vocab_size * embedding_size, 1.0);
        let mut input = *embedding_size;
        let mut layers = Vec::new();
        for (k, &hidden) in hidden_sizes.iter().enumerate() {
            let bound = 1.0 / (hidden as f32).sqrt();
            let columns = cell.gates() * hidden;
            let width = self.architecture.width(hidden);
            let w_ih = random.values(columns * input, bound);
            let w_hh = random.values(columns * width, bound);
            let b_ih = (!matches!(self.biases, Biases::None)).then(|| random.values(columns, bound));
            let b_hh = matches!(self.biases, Biases::Both).then(|| random.values(columns, bound));
            let w_hr = proj_size.map(|_| random.values(width * hidden, bound));
            let learned = self.extras.learned_start;
            let h0 = learned.then(|| random.values(width, 1.0));
            let c0 = (learned && *cell == Cell::Lstm).then(|| random.values(hidden, 1.0));
            let norms = self.norms(k, input, &mut random);
            layers.push(LayerWeights { w_ih, w_hh, b_ih, b_hh, w_hr, h0, c0, norms });
            input = width;
        }
        let bound = 1.0 / (input as f32).sqrt();
        let output = (!self.tied_output).then(|| random.values(vocab_size * input, bound));
        let output_bias = (!matches!(self.biases, Biases::None)).then(|| random.values(*vocab_size, bound));
        let output_norms = self.norms(hidden_sizes.len(), input, &mut random);
        Weights { embedding, layers, output, output_bias, output_norms }
    }

    fn norms(&self, k: usize, width: usize, random: &mut Counter) -> Vec<Norm> {
        let forms = self.extras.norms.get(k).into_iter().flatten();
        let mut values = || random.values(width, 1.0).widened();
        forms.map(|&form| Norm { form, scale: values(), shift: values() }).collect()
    }

    /// The network, packed as `options` say; a kernel alone will do.
    pub(crate) fn build(&self, options: impl Into<LoadOptions>) -> Rnn {
        Rnn::new(&self.architecture, self.weights(), options).expect("weights of the right shapes")
    }

    /// `len` tokens of the vocabulary, which depend on `key`.
    pub(crate) fn tokens(&self, key: u64, len: usize) -> Vec<TokenId> {
        let vocab_size = self.architecture.vocab_size as u64;
        let mut random = Counter { key: self.seed ^ key.rotate_left(32), next: 0 };
        (0..len).map(|_| (random.word() % vocab_size) as TokenId).collect()
    }
}

/// Every type that weights can be held in.
pub(crate) fn weights_types() -> impl Strategy<Value = WeightsType> {
    prop::sample::select(&WeightsType::ALL[..])
}

/// Every cell, in every form that it has.
pub(crate) const CELLS: [(Cell, GruForm); 6] = [
    (Cell::RnnTanh, GruForm::ResetAfter),
    (Cell::RnnRelu, GruForm::ResetAfter),
    (Cell::RnnSigmoid, GruForm::ResetAfter),
    (Cell::Gru, GruForm::ResetAfter),
    (Cell::Gru, GruForm::ResetBefore),
    (Cell::Lstm, GruForm::ResetAfter),
];

/// Small networks of every kind, with sizes around the widths of vectors and panels.
pub(crate) fn shapes() -> impl Strategy<Value = Shape> {
    let size = || prop_oneof![1usize..20, 60usize..70, 125usize..140];
    let biases = prop_oneof![Just(Biases::Both), Just(Biases::InputOnly), Just(Biases::None)];
    let layers = (size(), prop::collection::vec(size(), 1..4));
    let gates = prop::sample::select(&GateActivation::ALL[..]);
    let cells = (prop::sample::select(&CELLS[..]), gates, any::<bool>());
    let vocabulary = (1usize..150, any::<bool>());
    (cells, vocabulary, layers, biases, extras(), any::<u64>()).prop_map(
        |(
            ((cell, gru_form), gate_activation, is_projected),
            (vocab_size, tied_output),
            (mut embedding_size, mut hidden_sizes),
            biases,
            extras,
            seed,
        )| {
            let least = *hidden_sizes.iter().min().expect("at least one layer");
            let proj_size = (is_projected && cell == Cell::Lstm).then_some(least.div_ceil(2));
            match proj_size {
                Some(size) if tied_output => embedding_size = size,
                None if tied_output => *hidden_sizes.last_mut().expect("at least one layer") = embedding_size,
                Some(_) | None => {}
            }
            let architecture = Architecture {
                cell,
                vocab_size,
                embedding_size,
                hidden_sizes,
                proj_size,
                gru_form,
                gate_activation,
            };
            Shape { architecture, tied_output, biases, extras, seed }
        },
    )
}

/// Often none, and any mixture of them.
fn extras() -> impl Strategy<Value = Extras> {
    let form = prop_oneof![Just(NormForm::Constants), Just(NormForm::OfVector { epsilon: 1e-5 })];
    let before_a_layer = prop_oneof![3 => Just(0usize..1), 1 => Just(0usize..3)]
        .prop_flat_map(move |count| prop::collection::vec(form.clone(), count));
    (any::<bool>(), prop::collection::vec(before_a_layer, 0..5))
        .prop_map(|(learned_start, norms)| Extras { learned_start, norms })
}

/// A counter-based random number generator. It computes with integers, except for the last steps, which are exact.
pub(crate) struct Counter {
    pub(crate) key: u64,
    pub(crate) next: u64,
}

impl Counter {
    pub(crate) fn word(&mut self) -> u64 {
        self.next += 1;
        mix(self.key.wrapping_add(self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    pub(crate) fn values(&mut self, len: usize, bound: f32) -> Values {
        let uniform = |_| ((self.word() >> 40) as f32 / (1 << 23) as f32 - 1.0) * bound;
        (0..len).map(uniform).collect::<Vec<f32>>().into()
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
