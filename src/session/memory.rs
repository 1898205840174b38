//! What a session takes in memory: its blocks as the allocator rounds them, and its places in the table's trees.

use std::time::Instant;

use super::SessionId;
use super::table::Session;
use crate::lm::Tail;

/// Bytes that a session takes, whatever it is going to read: its id, its state, its tail, and its place in the table and in both orders.
///
/// A state counts in full also while forks share it: each of them will have its own as soon as it reads on.
pub(super) fn session_bytes(id: &SessionId, state_bytes: usize) -> usize {
    const PLACES: usize =
        place(size_of::<(SessionId, Session)>()) + 2 * place(size_of::<(Instant, SessionId)>());
    shared_block(id.as_str().len()) + shared_block(state_bytes) + block(Tail::bytes_max()) + PLACES
}

/// Bytes of a block of `size` from a general-purpose allocator (glibc's `malloc`): a header of 8, in units of 16, at least two of
/// them.
const fn block(size: usize) -> usize {
    let rounded = (size + 8).next_multiple_of(16);
    if rounded < 32 { 32 } else { rounded }
}

/// Bytes of a block behind an `Arc`, which keeps two counts before the values.
const fn shared_block(size: usize) -> usize {
    block(2 * size_of::<usize>() + size)
}

/// Bytes of a place in a B-tree. A node has 11, of which 6 are filled when entries come in rising order, and
/// more when they come in any other; its own links are 8 bytes a place.
const fn place(entry: usize) -> usize {
    (entry * 11).div_ceil(6) + 8
}
