//! A vector in segments: it grows without moving what it holds, and returns memory when it shrinks.
//!
//! A `Vec` of a million entries takes up to twice their memory, and copies them all when it grows, while every request waits for
//! the table. Here a push costs at most the allocation of one segment, and the memory is that of the entries and at most one segment
//! more.

use std::ops::{Index, IndexMut};

/// Entries in a segment.
const SEGMENT: usize = 256;

/// A vector whose segments are full, except for the last, which is not empty.
#[derive(Debug)]
pub(super) struct Dense<T> {
    segments: Vec<Vec<T>>,
}

impl<T> Default for Dense<T> {
    fn default() -> Self {
        Self { segments: Vec::new() }
    }
}

impl<T> Dense<T> {
    pub(super) fn len(&self) -> usize {
        self.segments.last().map_or(0, |last| (self.segments.len() - 1) * SEGMENT + last.len())
    }

    pub(super) fn push(&mut self, entry: T) {
        match self.segments.last_mut() {
            Some(last) if last.len() < SEGMENT => last.push(entry),
            _ => {
                let mut segment = Vec::with_capacity(SEGMENT);
                segment.push(entry);
                self.segments.push(segment);
            }
        }
    }

    /// Removes the entry at `index`. The last entry takes its place.
    pub(super) fn swap_remove(&mut self, index: usize) -> T {
        let last = self.segments.last_mut().expect("bug: an entry is removed from an empty vector");
        let moved = last.pop().expect("bug: no segment is empty");
        if last.is_empty() {
            self.segments.pop();
        }
        match index == self.len() {
            true => moved,
            false => std::mem::replace(&mut self[index], moved),
        }
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments.iter().flatten()
    }
}

impl<T> Index<usize> for Dense<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.segments[index / SEGMENT][index % SEGMENT]
    }
}

impl<T> IndexMut<usize> for Dense<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.segments[index / SEGMENT][index % SEGMENT]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_vec(pushes in 0..1000usize, removed in prop::collection::vec(any::<prop::sample::Index>(), 0..1000)) {
            let mut dense = Dense::default();
            let mut vec = Vec::new();
            for entry in 0..pushes {
                dense.push(entry);
                vec.push(entry);
            }
            for index in removed {
                if vec.is_empty() {
                    break;
                }
                let index = index.index(vec.len());
                prop_assert_eq!(dense.swap_remove(index), vec.swap_remove(index));
            }
            prop_assert_eq!(dense.len(), vec.len());
            prop_assert_eq!(dense.segments.len(), vec.len().div_ceil(SEGMENT));
            prop_assert!(dense.iter().eq(&vec));
        }
    }
}
