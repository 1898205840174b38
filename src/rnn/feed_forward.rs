//! Feed-forward language models: the embeddings of the last N tokens, side by side or their mean, through affine layers (Bengio et al.
//! 2003; the mean is that of CBOW, Mikolov et al. 2013, with the context on the left alone).

use super::architecture::Matrices;
use super::cells::{Activation, AllFinite, RnnStep};
use super::cost::Rates;
use super::embedding::Embedding;
use super::output::{Asked as AskedOutput, Made, NotFinite, Output, OutputSpec, TileBuffers, Wanted};
use super::validate::{check_depths, validate_feed_forward};
use super::values::Values;
use super::windowed::{Asked, Io, WindowReads};
use crate::error::Result;
use crate::kernels::{Kernel, Packed, Product, Rows, RowsMut, Start, pad_columns};
use crate::lm::{
    Backend, Cost, Dtype, Inside, LoadOptions, Model, ModelInfo, Row, RowError, Scratch, Sink, State,
    TokenId, WeightsType, Window,
};

/// The sizes of a feed-forward network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedForwardArchitecture {
    /// Number of tokens, V.
    pub vocab_size: usize,
    /// Width of the embedding, E.
    pub embedding_size: usize,
    /// N, and what stands before the first token.
    pub window: Window,
    /// What the first layer reads.
    pub input: WindowInput,
    /// Units of each hidden layer, the first layer first.
    pub hidden_sizes: Vec<usize>,
}

/// What a network reads of a window of embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowInput {
    /// Their mean, `[embedding]`.
    Mean,
    /// All of them, the oldest first, `[window * embedding]`.
    Concatenated,
}

impl WindowInput {
    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            WindowInput::Mean => "mean",
            WindowInput::Concatenated => "concatenated",
        }
    }
}

/// The weights of a feed-forward network, row-major, in the types of their file.
#[derive(Clone, Debug)]
pub struct FeedForwardWeights {
    /// `[vocab, embedding]`.
    pub embedding: Values,
    /// The hidden layers, the first layer first.
    pub hidden: Vec<DenseWeights>,
    /// `[vocab, last hidden]`; `None` when tied to the embedding.
    pub output: Option<Values>,
    /// `[vocab]`; `None` is zeros.
    pub output_bias: Option<Values>,
}

/// The weights of a hidden layer.
#[derive(Clone, Debug)]
pub struct DenseWeights {
    /// `[hidden, input]`.
    pub weights: Values,
    /// `[hidden]`; `None` is zeros.
    pub bias: Option<Values>,
    /// `None` for an affine layer.
    pub activation: Option<Activation>,
}

impl FeedForwardArchitecture {
    /// Width of what the first layer reads.
    pub(super) fn input_size(&self) -> usize {
        match self.input {
            WindowInput::Mean => self.embedding_size,
            WindowInput::Concatenated => self.window.len * self.embedding_size,
        }
    }
}

impl FeedForwardWeights {
    fn matrices(&self) -> Matrices<'_> {
        let hidden = self.hidden.iter().map(|layer| &layer.weights);
        let output = self.output.as_ref().unwrap_or(&self.embedding);
        Matrices {
            multiplied: hidden.chain([output]).collect(),
            looked_up: self.output.as_ref().map(|_| &self.embedding),
        }
    }

    fn converted(self, architecture: &FeedForwardArchitecture, to: WeightsType) -> Self {
        let Self { embedding, hidden, output, output_bias } = self;
        let is_looked_up = output.is_some() && to == WeightsType::Int8;
        let embedding =
            if is_looked_up { embedding } else { embedding.converted(architecture.embedding_size, to) };
        let mut width = architecture.input_size();
        let mut converted = Vec::new();
        for (layer, &size) in hidden.into_iter().zip(&architecture.hidden_sizes) {
            converted.push(DenseWeights { weights: layer.weights.converted(width, to), ..layer });
            width = size;
        }
        let output = output.map(|output| output.converted(width, to));
        Self { embedding, hidden: converted, output, output_bias }
    }

    fn parameter_count(&self) -> u64 {
        let biases = self.hidden.iter().map(|layer| &layer.bias).chain([&self.output_bias]).flatten();
        let matrices = self.matrices();
        matrices.all().chain(biases).map(|values| values.len() as u64).sum()
    }
}

/// A feed-forward network whose weights are packed for the kernels of this machine. Its [`State`] holds the ids of the window, the
/// newest last.
pub struct FeedForward {
    pub(super) info: ModelInfo,
    pub(super) kernel: Kernel,
    pub(super) window: Window,
    pub(super) input: WindowInput,
    /// Width of an embedding.
    pub(super) width: usize,
    pub(super) embedding: Embedding,
    pub(super) hidden: Vec<Dense>,
    pub(super) output: Output,
}

/// A packed hidden layer.
pub(super) struct Dense {
    pub(super) w: Packed,
    bias: Vec<f32>,
    size: usize,
    pub(super) activation: Option<Activation>,
}

/// The buffers of a hidden layer.
struct Memory<'a> {
    /// At least `[count, input]`, of which `[count, size]` is written.
    vectors: &'a mut [f32],
    /// At least `[count, columns]`.
    sums: &'a mut [f32],
    /// Working memory of the product.
    room: &'a mut [f32],
    count: usize,
}

impl FeedForward {
    /// Checks `weights`, converts them to the type of `options`, and packs them.
    ///
    /// # Errors
    /// [`ErrorKind::Load`](crate::error::ErrorKind::Load) naming the tensor whose length does not follow from
    /// `architecture`, or that holds a number that is not finite.
    pub fn new(
        architecture: &FeedForwardArchitecture,
        weights: FeedForwardWeights,
        options: LoadOptions,
    ) -> Result<Self> {
        let LoadOptions { kernel, weights: weights_type, .. } = options;
        let weights_type = weights_type.unwrap_or(WeightsType::AsStored);
        validate_feed_forward(architecture, &weights)?;
        let parameter_count = weights.parameter_count();
        let effective_dtype = weights.matrices().effective_dtype(weights_type);
        let weights = weights.converted(architecture, weights_type);
        if effective_dtype == Dtype::Int8 {
            check_depths([architecture.input_size()].iter().chain(&architecture.hidden_sizes))?;
        }
        let weights_dtype = weights.matrices().dtype();
        let &FeedForwardArchitecture { vocab_size, embedding_size: width, window, input, ref hidden_sizes } =
            architecture;
        let mut depth = architecture.input_size();
        let mut hidden = Vec::new();
        for (layer, &size) in weights.hidden.into_iter().zip(hidden_sizes) {
            hidden.push(Dense::new(layer, depth, size));
            depth = size;
        }
        let decoder = weights.output.as_ref().unwrap_or(&weights.embedding);
        let output = Output::new(
            OutputSpec { kernel, vocab_size, hidden: depth, norms: Vec::new() },
            decoder,
            weights.output_bias,
        );
        let embedding = match weights.output {
            Some(_) => Embedding::Table(weights.embedding),
            None => Embedding::Tied,
        };
        let info = ModelInfo {
            cell: None,
            vocab_size,
            hidden_sizes: hidden_sizes.clone(),
            state_len: window.len,
            parameter_count,
            weights_dtype,
            effective_dtype,
            backend: Backend::Native,
        };
        Ok(Self { info, kernel, window, input, width, embedding, hidden, output })
    }

    /// Width of what the first layer reads.
    pub(super) fn depth(&self) -> usize {
        match self.input {
            WindowInput::Mean => self.width,
            WindowInput::Concatenated => self.window.len * self.width,
        }
    }

    /// Writes what the first layer reads of the window `ids`.
    pub(super) fn embed(&self, ids: &[TokenId], vector: &mut [f32]) {
        if self.input == WindowInput::Concatenated {
            for (&id, part) in ids.iter().zip(vector.chunks_exact_mut(self.width)) {
                self.look_up(id, part);
            }
            return;
        }
        let mut one = vec![0.0; self.width];
        vector.fill(0.0);
        for &id in ids {
            self.look_up(id, &mut one);
            vector.iter_mut().zip(&one).for_each(|(sum, value)| *sum += value);
        }
        let count = ids.len() as f32;
        vector.iter_mut().for_each(|sum| *sum /= count);
    }

    fn look_up(&self, id: TokenId, vector: &mut [f32]) {
        self.embedding.look_up(id as usize, &self.output, vector);
    }

    /// Runs the windows of `asked` as one batch, and hands out their logits.
    fn run_windows(&self, asked: &[Asked], reads: &WindowReads, io: &mut Io<'_, '_, '_>) {
        let count = asked.len();
        let tile_rows = io.scratch.tile_rows(self.output.columns()).min(count);
        let widest = |width: fn(&Dense) -> usize| self.hidden.iter().map(width).max().unwrap_or(0);
        let lens = [
            count * self.depth().max(widest(|layer| layer.size)),
            count * widest(|layer| layer.w.columns()),
            (count * widest(|layer| layer.w.room())).max(tile_rows * self.output.room()),
            tile_rows * self.output.hidden(),
            tile_rows * self.output.columns(),
        ];
        let [vectors, sums, room, tile_h, tile_logits] = io.scratch.carve(lens);
        for (asked, vector) in asked.iter().zip(vectors.chunks_exact_mut(self.depth())) {
            self.embed(reads.window(asked), vector);
        }
        for layer in &self.hidden {
            layer.run(self.kernel, Memory { vectors, sums, room, count });
            for (asked, vector) in asked.iter().zip(vectors.chunks_exact(layer.size)) {
                // A ReLU makes a finite number of an infinity again.
                if !self.kernel.run(AllFinite(vector)) {
                    io.rows[asked.row].outcome = Err(RowError::NotFinite);
                }
            }
        }
        let wanted = asked.iter().enumerate();
        let wanted: Vec<Wanted> = wanted
            .map(|(index, asked)| Wanted { row: index, position: asked.position, vector: index })
            .collect();
        let tile = TileBuffers { h: tile_h, logits: tile_logits, room, rows: tile_rows };
        self.output.run(AskedOutput { vectors, wanted: &wanted }, tile, |wanted, made| {
            let row = asked[wanted.row].row;
            match made {
                Ok(Made { logits, .. }) if io.rows[row].outcome.is_ok() => {
                    (io.sink)(row, wanted.position, logits);
                }
                Ok(_) => {}
                Err(NotFinite) => io.rows[row].outcome = Err(RowError::NotFinite),
            }
        });
    }
}

impl Dense {
    fn new(layer: DenseWeights, depth: usize, size: usize) -> Self {
        let DenseWeights { weights, bias, activation } = layer;
        let bias = bias.map_or_else(|| vec![0.0; size], Values::widened);
        let w = weights.pack(depth, std::slice::from_ref(&(0..size)));
        Self { w, bias: pad_columns(&[&bias]), size, activation }
    }

    /// The output for one input, `[size]`.
    pub(super) fn output_of(&self, kernel: Kernel, input: &[f32]) -> Vec<f32> {
        let mut vectors = input.to_vec();
        vectors.resize(input.len().max(self.size), 0.0);
        let mut sums = vec![0.0; self.w.columns()];
        let mut room = vec![0.0; self.w.room()];
        self.run(kernel, Memory { vectors: &mut vectors, sums: &mut sums, room: &mut room, count: 1 });
        vectors.truncate(self.size);
        vectors
    }

    fn run(&self, kernel: Kernel, memory: Memory<'_>) {
        let Memory { vectors, sums, room, count } = memory;
        let columns = self.w.columns();
        let product = Product {
            a: Rows { values: vectors, stride: self.w.depth(), count },
            w: &self.w,
            start: Start::Bias(&self.bias),
            c: RowsMut { values: sums, stride: columns, count },
            room,
        };
        product.run(kernel);
        let gates = Rows { values: sums, stride: columns, count };
        let h = RowsMut { values: vectors, stride: self.size, count };
        match self.activation {
            Some(activation) => kernel.run(RnnStep { activation, gates, h, hidden: self.size }),
            None => {
                for (sums, vector) in
                    sums.chunks_exact(columns).zip(vectors.chunks_exact_mut(self.size)).take(count)
                {
                    vector.copy_from_slice(&sums[..self.size]);
                }
            }
        }
    }
}

impl Model for FeedForward {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn start_state(&self) -> State {
        self.window.start_state()
    }

    fn inside(&self) -> Option<&dyn Inside> {
        Some(self)
    }

    /// A token costs next to nothing: it is kept, and read anew for each position whose logits are asked for.
    fn cost(&self) -> Cost {
        let hidden = self.hidden.iter().map(|layer| (layer.w.columns() * layer.w.depth()) as u64);
        let logits = self.output.columns() as u64;
        let weights = hidden.sum::<u64>() + logits * self.output.hidden() as u64;
        let Rates { pass_rows, look } = Rates::of(self.info.weights_dtype);
        Cost { run: pass_rows * weights, token: 1, position: weights + look * logits, ..Cost::default() }
    }

    /// Reading tokens only moves the window.
    fn run(&self, rows: &mut [Row<'_>], scratch: &mut Scratch, sink: &mut Sink<'_>) {
        let reads = WindowReads::new(self.window, self.info.vocab_size, rows);
        reads.run(Io { rows, scratch, sink }, |asked, reads, io| self.run_windows(asked, reads, io));
    }
}
