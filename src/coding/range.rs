//! An arithmetic coder in integers: a range coder of 64 bits with carries (Martin 1979; the carry is added to the bytes already written).

/// The range never falls below this, so that every count of a total up to [`TOTAL_MAX`] keeps a share of it.
const RANGE_MIN: u64 = 1 << 56;

/// The largest total of frequencies.
pub(super) const TOTAL_MAX: u64 = 1 << 48;

/// A share of the range: `size` of `total`, after the first `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) start: u64,
    /// At least 1.
    pub(super) size: u64,
    /// At most [`TOTAL_MAX`].
    pub(super) total: u64,
}

impl Share {
    /// The part of `range` before the share, and the share itself. The last share takes what division leaves.
    fn of(self, range: u64) -> (u64, u64) {
        let unit = range / self.total;
        let before = self.start * unit;
        let is_last = self.start + self.size == self.total;
        (before, if is_last { range - before } else { self.size * unit })
    }
}

/// Turns shares into bytes.
pub struct RangeEncoder {
    low: u64,
    range: u64,
    bytes: Vec<u8>,
}

impl Default for RangeEncoder {
    fn default() -> Self {
        Self { low: 0, range: u64::MAX, bytes: Vec::new() }
    }
}

impl RangeEncoder {
    pub(super) fn encode(&mut self, share: Share) {
        let (before, size) = share.of(self.range);
        self.add(before);
        self.range = size;
        while self.range < RANGE_MIN {
            self.bytes.push((self.low >> 56) as u8);
            self.low <<= 8;
            self.range <<= 8;
        }
    }

    /// Adds to the number that the bytes are the beginning of.
    fn add(&mut self, value: u64) {
        let (low, carries) = self.low.overflowing_add(value);
        self.low = low;
        if carries {
            for byte in self.bytes.iter_mut().rev() {
                *byte = byte.wrapping_add(1);
                if *byte != 0 {
                    break;
                }
            }
        }
    }

    /// The bytes, as few as tell the last share; zeros follow them.
    pub fn finish(mut self) -> Vec<u8> {
        // A number of the range that ends in as many zeros as possible: the range holds at least 2^56 numbers.
        let round_up = RANGE_MIN - 1;
        self.add(round_up);
        self.bytes.push((self.low >> 56) as u8);
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        self.bytes
    }
}

/// Turns bytes into shares again. Any bytes are the code of something.
pub struct RangeDecoder {
    /// How far into the range the number lies.
    offset: u64,
    range: u64,
    bytes: std::vec::IntoIter<u8>,
}

impl RangeDecoder {
    /// A decoder of `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        let mut decoder = Self { offset: 0, range: u64::MAX, bytes: bytes.into_iter() };
        for _ in 0..8 {
            decoder.shift();
        }
        decoder
    }

    /// Bytes that were not needed yet.
    pub fn rest(&self) -> usize {
        self.bytes.len()
    }

    fn shift(&mut self) {
        self.offset = self.offset << 8 | u64::from(self.bytes.next().unwrap_or(0));
    }

    /// Where the next share lies: its start is at or below this, its end above.
    pub(super) fn target(&self, total: u64) -> u64 {
        (self.offset / (self.range / total)).min(total - 1)
    }

    pub(super) fn consume(&mut self, share: Share) {
        let (before, size) = share.of(self.range);
        self.offset -= before;
        self.range = size;
        while self.range < RANGE_MIN {
            self.shift();
            self.range <<= 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares() -> impl Strategy<Value = Vec<Share>> {
        let share =
            (1..=TOTAL_MAX, any::<u64>(), any::<u64>(), 0..3_u8).prop_map(|(total, start, size, kind)| {
                // Small totals, whole ranges and the last share, too.
                let total = if kind == 0 { total % 7 + 1 } else { total };
                let start = start % total;
                let size = if kind == 1 { total - start } else { 1 + size % (total - start) };
                Share { start, size, total }
            });
        prop::collection::vec(share, 0..200)
    }

    proptest! {
        #[test]
        fn shares_come_back(shares in shares()) {
            let mut encoder = RangeEncoder::default();
            shares.iter().for_each(|&share| encoder.encode(share));
            let mut decoder = RangeDecoder::new(encoder.finish());
            for share in shares {
                let target = decoder.target(share.total);
                prop_assert!((share.start..share.start + share.size).contains(&target));
                decoder.consume(share);
            }
        }

        #[test]
        fn any_bytes_are_decoded_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut decoder = RangeDecoder::new(bytes);
            for total in [1, 2, 1000, TOTAL_MAX].into_iter().cycle().take(100) {
                let start = decoder.target(total);
                decoder.consume(Share { start, size: 1, total });
            }
        }
    }

    #[test]
    fn the_code_is_as_long_as_the_information() {
        let mut encoder = RangeEncoder::default();
        for _ in 0..8000 {
            encoder.encode(Share { start: 3, size: 1, total: 4 });
        }
        let found = encoder.finish().len();
        assert!((2000..=2008).contains(&found), "{found} bytes for 16,000 bits");
        assert!(RangeEncoder::default().finish().len() <= 1);
    }
}
