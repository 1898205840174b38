//! The memory that a session uses: its blocks, as an allocator rounds them, and its entries in the trees of the table.

use std::time::Instant;

use super::table::Session;
use super::{SessionId, Snapshot};
use crate::text::Tail;

/// Bytes that a session uses for its id, its state, its tail, its history, and its entries in the table and in both orders. They do
/// not change while it reads.
///
/// A state that forks share is counted for each of them, because each gets its own when it reads on.
pub(super) fn session_bytes(id: &SessionId, snapshot: &Snapshot) -> usize {
    const ENTRIES: usize =
        entry(size_of::<(SessionId, Session)>()) + 2 * entry(size_of::<(Instant, SessionId)>());
    let state_bytes = snapshot.state.bytes();
    let history = snapshot.history.as_ref().map_or(0, |history| history.bytes(state_bytes));
    shared_block(id.as_str().len()) + shared_block(state_bytes) + block(Tail::bytes_max()) + history + ENTRIES
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

/// Bytes of an entry in a B-tree. A node has room for 11 entries. It holds 6 if entries are added in rising order, and more in any other
/// order. The header of a node and the links between nodes take about 9 bytes an entry.
const fn entry(size: usize) -> usize {
    (size * 11).div_ceil(6) + 9
}
