//! The ranks of several entries of a list in any order, found in one pass over it.

use std::cmp::Ordering;

/// The place of each of `wanted` among `all` in this order, counted from 1: one more than how many of `all` come before it.
///
/// An entry of `all` is compared with about as many of `wanted` as a binary search takes.
pub(crate) fn ranks<T: Copy>(
    wanted: &[T],
    all: impl Iterator<Item = T>,
    order: impl Fn(&T, &T) -> Ordering,
) -> Vec<usize> {
    let mut sorted = wanted.to_vec();
    sorted.sort_unstable_by(&order);
    // First, how many of `all` come before the entry at a place of `sorted` and not before the one there; then, their sums.
    let mut before = vec![0; sorted.len() + 1];
    for entry in all {
        before[sorted.partition_point(|one| order(one, &entry).is_le())] += 1;
    }
    let mut sum = 0;
    for count in &mut before {
        sum += *count;
        *count = sum;
    }
    let place = |entry: &T| sorted.partition_point(|one| order(one, entry).is_lt());
    wanted.iter().map(|entry| 1 + before[place(entry)]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_rank_is_one_more_than_how_many_come_before(
            all in prop::collection::vec(0..40u32, 0..100),
            wanted in prop::collection::vec(0..40u32, 0..50),
        ) {
            let falling = |a: &u32, b: &u32| b.cmp(a);
            let expected = wanted.iter().map(|one| 1 + all.iter().filter(|other| *other > one).count());
            let expected: Vec<usize> = expected.collect();
            prop_assert_eq!(ranks(&wanted, all.iter().copied(), falling), expected);
        }
    }
}
