//! One run over ragged rows: each chunk goes through all layers, then the logits that were asked for are computed.

use std::cmp::Reverse;

use super::cells::AllFinite;
use super::chunk::Chunk;
use super::embedding::TokenInput;
use super::layer::{Layer, Memory, Projection};
use super::network::Rnn;
use super::output::{Asked, Made, NotFinite, TileBuffers, Wanted};
use super::recall::Recalls;
use crate::lm::{Logits, Row, RowError, Scratch, Sink};

/// Bounds each buffer of a chunk, unless a single step needs more: enough tokens to share one pass over the weights, few
/// enough to stay in a cache.
const BUFFER_BYTES_MAX: usize = 8 << 20;

/// Rows on their way through a network.
pub(super) struct Run<'a, 'row> {
    network: &'a Rnn,
    rows: &'a mut [Row<'row>],
    /// The rows that take part, as indices of `rows`, by falling number of tokens.
    order: Vec<usize>,
    /// Their numbers of tokens.
    lens: Vec<usize>,
    recalls: Recalls,
}

impl<'a, 'row> Run<'a, 'row> {
    /// Takes the rows whose tokens are all in the vocabulary, and fails the others.
    pub(super) fn new(network: &'a Rnn, rows: &'a mut [Row<'row>]) -> Self {
        let vocab_size = network.info.vocab_size;
        for row in &mut *rows {
            let stray = row.tokens.iter().find(|&&token| token as usize >= vocab_size);
            row.outcome = stray.map_or(Ok(()), |&token| Err(RowError::TokenOutOfRange(token)));
        }
        let mut order: Vec<usize> = (0..rows.len()).filter(|&row| rows[row].outcome.is_ok()).collect();
        order.sort_by_key(|&row| Reverse(rows[row].tokens.len()));
        let lens = order.iter().map(|&row| rows[row].tokens.len()).collect();
        let recalls = Recalls::new(order.iter().map(|&row| &*rows[row].state));
        Self { network, rows, order, lens, recalls }
    }

    /// Reads all tokens, hands out the logits, and advances the states of the rows that stayed finite.
    pub(super) fn run(mut self, scratch: &mut Scratch, sink: &mut Sink<'_>) {
        let Some(&steps) = self.lens.first() else { return };
        let sizes = self.buffer_sizes(scratch);
        let [states, mut vectors, mut next_vectors, gates, aux, room, tile_h, tile_logits] =
            scratch.carve(sizes.lens());
        self.gather(states);

        let mut start = 0;
        loop {
            let chunk = Chunk::plan(&self.lens, start, sizes.chunk_tokens);
            let network = self.network;
            for (index, layer) in network.layers.iter().enumerate() {
                if index == 0 {
                    let tokens = &self.tokens(&chunk)[..];
                    TokenInput { network, tokens, vectors, gates, room }.project();
                } else {
                    let input = &mut vectors[chunk.rows() * layer.input()..];
                    layer.project(Projection { input, count: chunk.tokens(), gates, room });
                }
                layer.run(
                    &chunk,
                    Memory { gates, aux, room, output: next_vectors, states, state_len: sizes.state_len },
                );
                std::mem::swap(&mut vectors, &mut next_vectors);
                self.fail_vectors(&chunk, vectors, layer.width());
            }
            self.fail_states(&chunk, states);
            self.recall(&chunk, vectors);
            let tile = TileBuffers { h: tile_h, logits: tile_logits, room, rows: sizes.tile_rows };
            let wanted = self.wanted(&chunk);
            self.emit(Asked { vectors, wanted: &wanted }, tile, sink);
            self.recalls.finish_chunk();
            start += chunk.steps();
            if start >= steps {
                break;
            }
        }
        self.scatter(states);
    }

    fn buffer_sizes(&self, scratch: &Scratch) -> BufferSizes {
        let network = self.network;
        let widest = |width: fn(&Layer) -> usize| network.layers.iter().map(width).max().unwrap_or(0);
        let rows = self.order.len();
        let gate_columns = widest(Layer::gate_columns);
        let vector_width = widest(Layer::width).max(widest(Layer::input));
        let tokens: usize = self.lens.iter().sum();
        let fitting = BUFFER_BYTES_MAX / size_of::<f32>() / gate_columns.max(vector_width);
        let chunk_tokens = tokens.min(fitting.max(rows));
        let wanted = |&row: &usize| self.rows[row].logits.positions(self.rows[row].tokens.len()).len();
        let wanted = self.order.iter().map(wanted).sum::<usize>().clamp(1, rows + chunk_tokens);
        let tile_rows = scratch.tile_rows(network.output.columns()).min(wanted);
        let room = chunk_tokens.max(rows) * widest(Layer::room);
        BufferSizes {
            rows,
            chunk_tokens,
            state_len: network.info.state_len,
            vector_width,
            gate_columns,
            aux_columns: widest(Layer::aux_columns),
            room: room.max(tile_rows * network.output.room()),
            tile_rows,
            tile_columns: [network.output.hidden(), network.output.columns()],
        }
    }

    /// Copies the states into one block, in which the layers advance them in lock-step. A row that fails keeps its own state.
    fn gather(&self, states: &mut [f32]) {
        let state_len = self.network.info.state_len;
        for (&row, state) in self.order.iter().zip(states.chunks_exact_mut(state_len)) {
            state.copy_from_slice(self.rows[row].state.as_slice());
        }
    }

    /// The tokens of the chunk, block after block.
    fn tokens(&self, chunk: &Chunk) -> Vec<usize> {
        let mut tokens = Vec::with_capacity(chunk.tokens());
        for step in 0..chunk.steps() {
            let rows = &self.order[..chunk.block(step + 1).len()];
            tokens.extend(rows.iter().map(|&row| self.rows[row].tokens[chunk.start() + step] as usize));
        }
        tokens
    }

    /// Fails the rows with a vector that is not finite. Every step counts: a ReLU makes a finite number of an infinity
    /// again, and a row must not fail or pass by where its tokens are cut into chunks.
    fn fail_vectors(&mut self, chunk: &Chunk, vectors: &[f32], width: usize) {
        for block in 1..=chunk.steps() {
            for (row, vector) in chunk.block(block).enumerate() {
                self.fail_unless_finite(row, &vectors[vector * width..][..width]);
            }
        }
    }

    /// Fails the rows whose memory is not finite after the chunk.
    fn fail_states(&mut self, chunk: &Chunk, states: &[f32]) {
        let state_len = self.network.info.state_len;
        for (row, state) in states.chunks_exact(state_len).enumerate().take(chunk.rows()) {
            self.fail_unless_finite(row, state);
        }
    }

    fn fail_unless_finite(&mut self, row: usize, values: &[f32]) {
        if !self.network.kernel.run(AllFinite(values)) {
            self.rows[self.order[row]].outcome = Err(RowError::NotFinite);
        }
    }

    /// Notes what the chunk adds to the caches of its rows.
    fn recall(&mut self, chunk: &Chunk, vectors: &[f32]) {
        let network = self.network;
        let width = network.output.hidden();
        for row in self.recalls.rows_before(chunk.rows()) {
            let tokens = self.rows[self.order[row]].tokens;
            let steps = (0..chunk.steps()).take_while(|&step| row < chunk.block(step + 1).len());
            for step in steps {
                let vector = chunk.block(step).start + row;
                let h = &vectors[vector * width..][..width];
                self.recalls.note(row, h, tokens[chunk.start() + step]);
            }
            self.recalls.change(row, |h| network.output.normalise(h));
        }
    }

    /// Hands out the logits asked for, but to rows that failed.
    fn emit(&mut self, asked: Asked<'_>, tile: TileBuffers<'_>, sink: &mut Sink<'_>) {
        let rows = &mut *self.rows;
        let order = &self.order;
        let recalls = &mut self.recalls;
        self.network.output.run(asked, tile, |wanted, made| {
            let row = order[wanted.row];
            match made {
                Ok(Made { h, logits }) if rows[row].outcome.is_ok() => {
                    recalls.mix(wanted, h, logits);
                    sink(row, wanted.position, logits);
                }
                Ok(_) => {}
                Err(NotFinite) => rows[row].outcome = Err(RowError::NotFinite),
            }
        });
    }

    /// The logits that fall into the chunk: those of its last block too, if a row ends there; else they are the next chunk's.
    fn wanted(&self, chunk: &Chunk) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for block in 0..=chunk.steps() {
            let position = chunk.start() + block;
            for (row, vector) in chunk.block(block).enumerate() {
                let Row { logits, outcome, .. } = &self.rows[self.order[row]];
                let is_wanted = match logits {
                    Logits::None => false,
                    Logits::Last => position == self.lens[row],
                    Logits::Each => position < self.lens[row] && block < chunk.steps(),
                };
                if is_wanted && outcome.is_ok() {
                    wanted.push(Wanted { row, position, vector });
                }
            }
        }
        wanted
    }

    /// Replaces the states of the rows that did not fail by their successors.
    fn scatter(mut self, states: &[f32]) {
        let state_len = self.network.info.state_len;
        for (index, (&row, state)) in self.order.iter().zip(states.chunks_exact(state_len)).enumerate() {
            let row = &mut self.rows[row];
            if row.outcome.is_ok() {
                row.state.replace(state);
                if let Some(cache) = self.recalls.take(index) {
                    row.state.set_cache(Some(cache));
                }
            }
        }
    }
}

/// The sizes of a run's buffers.
struct BufferSizes {
    rows: usize,
    /// The most tokens of a chunk.
    chunk_tokens: usize,
    state_len: usize,
    vector_width: usize,
    gate_columns: usize,
    aux_columns: usize,
    /// Working memory of the largest product.
    room: usize,
    tile_rows: usize,
    /// Values that a row of a tile takes, h and logits.
    tile_columns: [usize; 2],
}

impl BufferSizes {
    /// States, two buffers of vectors, gates, aux, the products' working memory, and a tile's h and logits.
    fn lens(&self) -> [usize; 8] {
        let vectors = (self.rows + self.chunk_tokens) * self.vector_width;
        [
            self.rows * self.state_len,
            vectors,
            vectors,
            self.chunk_tokens * self.gate_columns,
            self.rows * self.aux_columns,
            self.room,
            self.tile_rows * self.tile_columns[0],
            self.tile_rows * self.tile_columns[1],
        ]
    }
}
