//! The memory that a session uses: its entries in the arrays of the table, and its own blocks, as an allocator rounds them.
//!
//! The arrays have no gaps and are allocated in segments, so their memory is that of the entries and, in the whole table, at most
//! one segment more of each array, 58 kB; the lists of segments take about a tenth of a byte a session. `tests/it/session` compares the count with what is allocated, `benches/sessions.rs` with what is
//! resident.

use super::index::INDEX_BYTES;
use super::lists::Link;
use super::stored::Session;
use crate::lm::State;

/// Bytes that a session uses in the arrays of the table: itself, its place in the index, and in the orders of use and of expiry.
const ENTRY_BYTES: usize = size_of::<Session>() + INDEX_BYTES + 2 * size_of::<Link>();

/// The most bytes of a session beyond its state, if its id is short, its vocabulary has at most 65,536 tokens, and it has neither a history
/// nor extra words.
const OVERHEAD_BYTES_MAX: usize = 256;

// A block of 4096 bytes is rounded to 16 more.
const _: () = assert!(ENTRY_BYTES + shared_block(4096) - 4096 <= OVERHEAD_BYTES_MAX);

/// Bytes that a session uses. They do not change while it reads.
pub(super) fn session_bytes(session: &Session) -> usize {
    ENTRY_BYTES + session.heap_bytes()
}

/// Bytes that a session would use with another state, which may have another cache.
pub(super) fn session_bytes_with(session: &Session, state: &State) -> usize {
    ENTRY_BYTES + session.heap_bytes_with(state)
}

/// Bytes of a block of `size` in a general-purpose allocator (`malloc` of glibc): a header of 8 bytes, rounded up to a multiple of 16, and
/// at least 32.
pub(super) const fn block(size: usize) -> usize {
    let rounded = (size + 8).next_multiple_of(16);
    if rounded < 32 { 32 } else { rounded }
}

/// Bytes of a block behind an `Arc`, which stores two counts before the values.
pub(super) const fn shared_block(size: usize) -> usize {
    block(2 * size_of::<usize>() + size)
}
