//! From the names of sessions to their positions: for each owner a hash table that grows and shrinks by one bucket at a time.
//!
//! Linear hashing (Litwin 1980): of `m` buckets, those that the current doubling has reached are split in two. So no insertion rehashes
//! the whole table while requests wait for it, and the memory follows the number of sessions. The bucket of a hash is its lowest bits.
//!
//! Sessions are listed in the order of their hashes read backwards, from the lowest bit: a bucket holds a contiguous part of that order,
//! and a split cuts it in two. A place in it follows from an id alone, so a page can begin after an id that is no longer there. A page
//! costs O(its length). An order of creation would need a session to be found again that has been deleted, and a sorted order costs
//! O(log n) at each creation. The hash is seeded at random, so that no client can choose ids that fall into one bucket.
//!
//! Each owner has buckets of its own, so that a page costs as much as it would if the owner were alone, and nothing leads from one
//! owner's name to another's session. The chains share one array, because a position is in one of them only.

use std::hash::{BuildHasher, RandomState};

use super::SessionId;
use super::dense::Dense;
use super::lists::Position;
use super::owner::Owner;

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

/// Where a position belongs: its owner, and the hash of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) owner: Owner,
    pub(super) hash: u64,
}

/// The positions, in chains, one for each bucket.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By the number of the owner; none for owners that have had no session.
    owners: Vec<Buckets>,
    /// The next position in the same bucket, by position.
    next: Dense<u32>,
}

/// The buckets of one owner.
#[derive(Debug, Default)]
struct Buckets {
    /// The first position of each bucket; at least one bucket once the owner has had a session.
    first: Dense<u32>,
    /// The positions in all of them.
    len: usize,
}

/// Bytes of memory for each session, at most.
pub(super) const INDEX_BYTES: usize = 2 * size_of::<u32>();

impl Index {
    /// The position at this place of which `matches` is true.
    pub(super) fn find(&self, place: Place, matches: impl Fn(Position) -> bool) -> Option<Position> {
        let buckets = self.owners.get(place.owner.index()).filter(|buckets| buckets.len > 0)?;
        self.chain(buckets.first[buckets.of(place.hash)]).find(|&position| matches(position))
    }

    /// Adds a position at the end of the array. `place_of` gives the place of each position, the new one included.
    pub(super) fn add(&mut self, place_of: impl Fn(Position) -> Place) {
        let position = self.next.len() as u32;
        let Place { owner, hash } = place_of(position);
        if self.owners.len() <= owner.index() {
            self.owners.resize_with(owner.index() + 1, Buckets::default);
        }
        let buckets = &mut self.owners[owner.index()];
        if buckets.first.len() == 0 {
            buckets.first.push(END);
        }
        let bucket = buckets.of(hash);
        self.next.push(std::mem::replace(&mut buckets.first[bucket], position));
        buckets.len += 1;
        if buckets.len > LOAD_MAX * buckets.first.len() {
            self.split(owner, place_of);
        }
    }

    /// Removes a position. The last one of the array takes its number. `place_of` gives the places as they were before.
    pub(super) fn swap_remove(&mut self, position: Position, place_of: impl Fn(Position) -> Place) {
        let after = self.next[position as usize];
        let place = place_of(position);
        self.point(place, position, after);
        let last = self.next.len() as u32 - 1;
        if position != last {
            self.point(place_of(last), last, position);
        }
        self.next.swap_remove(position as usize);
        let buckets = &mut self.owners[place.owner.index()];
        buckets.len -= 1;
        if buckets.first.len() > 1 && 2 * buckets.len < LOAD_MAX * buckets.first.len() {
            self.merge(place.owner);
        }
    }

    /// The place of a hash in the order of the list.
    pub(super) fn order(hash: u64) -> u64 {
        hash.reverse_bits()
    }

    /// The positions of `owner` bucket by bucket, in the order of the list, from the bucket that holds `order`. Within a bucket they
    /// have no order.
    pub(super) fn buckets_from(
        &self,
        owner: Owner,
        order: u64,
    ) -> impl Iterator<Item = impl Iterator<Item = Position>> {
        let buckets = self.owners.get(owner.index()).filter(|buckets| buckets.len > 0);
        buckets.into_iter().flat_map(move |buckets| {
            buckets.beginning_at(order).map(|bucket| self.chain(buckets.first[bucket]))
        })
    }

    fn chain(&self, first: u32) -> impl Iterator<Item = Position> {
        let known = |position: u32| Some(position).filter(|position| *position != END);
        std::iter::successors(known(first), move |&position| known(self.next[position as usize]))
    }

    /// Lets what points to `from` in the bucket of `place` point to `to`.
    fn point(&mut self, place: Place, from: Position, to: u32) {
        let buckets = &self.owners[place.owner.index()];
        let bucket = buckets.of(place.hash);
        let before = self.chain(buckets.first[bucket]).take_while(|&position| position != from).last();
        match before {
            Some(before) => self.next[before as usize] = to,
            None => self.owners[place.owner.index()].first[bucket] = to,
        }
    }

    /// Adds a bucket, which takes its sessions from the one that is next to be split.
    fn split(&mut self, owner: Owner, place_of: impl Fn(Position) -> Place) {
        let buckets = &mut self.owners[owner.index()];
        let new = buckets.first.len();
        let old = new & !(1 << new.ilog2());
        let mut rest = std::mem::replace(&mut buckets.first[old], END);
        buckets.first.push(END);
        while rest != END {
            let position = rest;
            let bucket = buckets.of(place_of(position).hash);
            rest = std::mem::replace(&mut self.next[position as usize], buckets.first[bucket]);
            buckets.first[bucket] = position;
        }
    }

    /// Removes the last bucket, whose sessions go back to the one that was split for it.
    fn merge(&mut self, owner: Owner) {
        let buckets = &self.owners[owner.index()];
        let last = buckets.first.len() - 1;
        let into = last & !(1 << last.ilog2());
        let end = self.chain(buckets.first[last]).last();
        let buckets = &mut self.owners[owner.index()];
        if let Some(end) = end {
            self.next[end as usize] = buckets.first[into];
            buckets.first[into] = buckets.first[last];
        }
        buckets.first.swap_remove(last);
    }
}

impl Buckets {
    /// How many of the lowest bits of a hash are the number of a bucket that has been split in this doubling.
    fn width(&self) -> u32 {
        self.first.len().ilog2() + 1
    }

    /// The bucket of a hash.
    fn of(&self, hash: u64) -> usize {
        let width = self.width();
        let bucket = (hash & ((1 << width) - 1)) as usize;
        match bucket < self.first.len() {
            true => bucket,
            false => bucket & !(1 << (width - 1)),
        }
    }

    /// The buckets in the order of the list, from the one that holds `order`.
    fn beginning_at(&self, order: u64) -> impl Iterator<Item = usize> {
        let width = self.width();
        let count = self.first.len();
        let bucket_at = move |place: u64| (place.reverse_bits() >> (64 - width)) as usize;
        let first = order >> (64 - width);
        // A bucket that has not been split yet covers two places, of which the second is the number of no bucket.
        let first = if bucket_at(first) < count { first } else { first & !1 };
        (first..1 << width).map(bucket_at).filter(move |bucket| *bucket < count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWNERS: u32 = 3;

    /// Hashes that fall into few buckets for a long time, and others.
    fn places() -> impl Strategy<Value = Vec<Place>> {
        let hash = prop_oneof![any::<u64>(), (0..40u64).prop_map(|hash| hash << 3)];
        let place = (0..OWNERS, hash).prop_map(|(owner, hash)| Place { owner: Owner::numbered(owner), hash });
        prop::collection::vec(place, 1..300)
    }

    proptest! {
        #[test]
        fn it_is_a_set_in_order_for_each_owner(
            places in places(),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..300),
        ) {
            let mut index = Index::default();
            let mut set: Vec<Place> = Vec::new();
            for place in places.iter().copied() {
                set.push(place);
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
            for (number, buckets) in index.owners.iter().enumerate() {
                let own = set.iter().filter(|place| place.owner.index() == number).count();
                prop_assert_eq!(buckets.len, own);
                prop_assert!(buckets.first.len() <= own.max(1));
            }
            for (position, &place) in set.iter().enumerate() {
                prop_assert_eq!(index.find(place, |found| found as usize == position), Some(position as u32));
                let other = Place { owner: Owner::numbered(OWNERS), ..place };
                prop_assert_eq!(index.find(other, |_| true), None);
            }
            let starts = places.iter().map(|place| Index::order(place.hash)).chain([0, u64::MAX]);
            for start in starts {
                for owner in (0..OWNERS).map(Owner::numbered) {
                    let own = set.iter().filter(|place| place.owner == owner);
                    let mut expected: Vec<u64> =
                        own.map(|place| Index::order(place.hash)).filter(|order| *order >= start).collect();
                    expected.sort_unstable();
                    let mut found = Vec::new();
                    for bucket in index.buckets_from(owner, start) {
                        let mut part: Vec<u64> =
                            bucket.map(|position| Index::order(set[position as usize].hash)).collect();
                        part.sort_unstable();
                        found.extend(part.into_iter().filter(|order| *order >= start));
                    }
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }
}
