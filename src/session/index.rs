//! From the ids of sessions to their positions: a hash table that grows and shrinks by one bucket at a time.
//!
//! Linear hashing (Litwin 1980): of `m` buckets, those that the current doubling has reached are split in two. So no insertion rehashes
//! the whole table while requests wait for it, and the memory follows the number of sessions. The bucket of a hash is its lowest bits.
//!
//! Sessions are listed in the order of their hashes read backwards, from the lowest bit: a bucket holds a contiguous part of that order,
//! and a split cuts it in two. A place in it follows from an id alone, so a page can begin after an id that is no longer there. A page
//! costs O(its length). An order of creation would need a session to be found again that has been deleted, and a sorted order costs
//! O(log n) at each creation. The hash is seeded at random, so that no client can choose ids that fall into one bucket.

use std::hash::{BuildHasher, RandomState};

use super::SessionId;
use super::dense::Dense;
use super::lists::Position;

/// Sessions for each bucket, at most. Below half as many, buckets are merged.
const LOAD_MAX: usize = 2;

/// The end of a chain.
const END: u32 = u32::MAX;

/// What makes the hashes of this table differ from those of any other.
#[derive(Clone, Debug)]
pub(super) struct Seed(RandomState);

impl Seed {
    pub(super) fn random() -> Self {
        Self(RandomState::new())
    }

    pub(super) fn hash(&self, id: &SessionId) -> u64 {
        self.0.hash_one(id)
    }
}

/// The positions, in chains, one for each bucket.
#[derive(Debug)]
pub(super) struct Index {
    /// The first position of each bucket; at least one bucket.
    buckets: Dense<u32>,
    /// The next position in the same bucket, by position.
    next: Dense<u32>,
}

/// Bytes of memory for each session, at most.
pub(super) const INDEX_BYTES: usize = 2 * size_of::<u32>();

impl Index {
    pub(super) fn new() -> Self {
        let mut buckets = Dense::default();
        buckets.push(END);
        Self { buckets, next: Dense::default() }
    }

    /// The position with this hash of which `matches` is true.
    pub(super) fn find(&self, hash: u64, matches: impl Fn(Position) -> bool) -> Option<Position> {
        self.chain(self.bucket(hash)).find(|&position| matches(position))
    }

    /// Adds a position at the end of the array. `hash_of` gives the hash at each position, the new one included.
    pub(super) fn add(&mut self, hash_of: impl Fn(Position) -> u64) {
        let position = self.next.len() as u32;
        let bucket = self.bucket(hash_of(position));
        self.next.push(self.buckets[bucket]);
        self.buckets[bucket] = position;
        if self.next.len() > LOAD_MAX * self.buckets.len() {
            self.split(hash_of);
        }
    }

    /// Removes a position. The last one of the array takes its number. `hash_of` gives the hashes as they were before.
    pub(super) fn swap_remove(&mut self, position: Position, hash_of: impl Fn(Position) -> u64) {
        let after = self.next[position as usize];
        self.point(hash_of(position), position, after);
        let last = self.next.len() as u32 - 1;
        if position != last {
            self.point(hash_of(last), last, position);
        }
        self.next.swap_remove(position as usize);
        if self.buckets.len() > 1 && 2 * self.next.len() < LOAD_MAX * self.buckets.len() {
            self.merge();
        }
    }

    /// The place of a hash in the order of the list.
    pub(super) fn order(hash: u64) -> u64 {
        hash.reverse_bits()
    }

    /// The positions bucket by bucket, in the order of the list, from the bucket that holds `order`. Within a bucket they have no order.
    pub(super) fn buckets_from(&self, order: u64) -> impl Iterator<Item = impl Iterator<Item = Position>> {
        let width = self.width();
        let bucket_at = move |place: u64| (place.reverse_bits() >> (64 - width)) as usize;
        let first = order >> (64 - width);
        // A bucket that has not been split yet covers two places, of which the second is the number of no bucket.
        let first = if bucket_at(first) < self.buckets.len() { first } else { first & !1 };
        let places = first..1 << width;
        places.map(bucket_at).filter(|bucket| *bucket < self.buckets.len()).map(|bucket| self.chain(bucket))
    }

    /// How many of the lowest bits of a hash are the number of a bucket that has been split in this doubling.
    fn width(&self) -> u32 {
        self.buckets.len().ilog2() + 1
    }

    fn bucket(&self, hash: u64) -> usize {
        let width = self.width();
        let bucket = (hash & ((1 << width) - 1)) as usize;
        match bucket < self.buckets.len() {
            true => bucket,
            false => bucket & !(1 << (width - 1)),
        }
    }

    fn chain(&self, bucket: usize) -> impl Iterator<Item = Position> {
        let known = |position: u32| Some(position).filter(|position| *position != END);
        std::iter::successors(known(self.buckets[bucket]), move |&position| {
            known(self.next[position as usize])
        })
    }

    /// Lets what points to `from` in the bucket of `hash` point to `to`.
    fn point(&mut self, hash: u64, from: Position, to: u32) {
        let bucket = self.bucket(hash);
        let before = self.chain(bucket).take_while(|&position| position != from).last();
        match before {
            Some(before) => self.next[before as usize] = to,
            None => self.buckets[bucket] = to,
        }
    }

    /// Adds a bucket, which takes its sessions from the one that is next to be split.
    fn split(&mut self, hash_of: impl Fn(Position) -> u64) {
        let new = self.buckets.len();
        let old = new & !(1 << new.ilog2());
        let mut rest = std::mem::replace(&mut self.buckets[old], END);
        self.buckets.push(END);
        while rest != END {
            let position = rest;
            let bucket = self.bucket(hash_of(position));
            rest = std::mem::replace(&mut self.next[position as usize], self.buckets[bucket]);
            self.buckets[bucket] = position;
        }
    }

    /// Removes the last bucket, whose sessions go back to the one that was split for it.
    fn merge(&mut self) {
        let last = self.buckets.len() - 1;
        let into = last & !(1 << last.ilog2());
        let end = self.chain(last).last();
        if let Some(end) = end {
            self.next[end as usize] = self.buckets[into];
            self.buckets[into] = self.buckets[last];
        }
        self.buckets.swap_remove(last);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hashes that fall into few buckets for a long time, and others.
    fn hashes() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(prop_oneof![any::<u64>(), (0..40u64).prop_map(|hash| hash << 3)], 1..300)
    }

    proptest! {
        #[test]
        fn it_is_a_set_in_order(hashes in hashes(), removed in prop::collection::vec(any::<prop::sample::Index>(), 0..300)) {
            let mut index = Index::new();
            let mut set: Vec<u64> = Vec::new();
            for hash in hashes.iter().copied() {
                set.push(hash);
                index.add(|position| set[position as usize]);
            }
            for which in removed {
                if set.is_empty() {
                    break;
                }
                let position = which.index(set.len());
                index.swap_remove(position as u32, |position| set[position as usize]);
                set.swap_remove(position);
            }
            prop_assert!(index.buckets.len() <= set.len().max(1));
            for (position, &hash) in set.iter().enumerate() {
                prop_assert_eq!(index.find(hash, |found| found as usize == position), Some(position as u32));
            }
            for start in hashes.into_iter().map(Index::order).chain([0, u64::MAX]) {
                let mut expected: Vec<u64> = set.iter().map(|&hash| Index::order(hash)).filter(|order| *order >= start).collect();
                expected.sort_unstable();
                let mut found = Vec::new();
                for bucket in index.buckets_from(start) {
                    let mut part: Vec<u64> = bucket.map(|position| Index::order(set[position as usize])).collect();
                    part.sort_unstable();
                    found.extend(part.into_iter().filter(|order| *order >= start));
                }
                prop_assert_eq!(found, expected);
            }
        }
    }
}
