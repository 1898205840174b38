//! Random numbers, and the numbers and texts that programs stumble over.

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xbf58_476d_1ce4_e5b9))
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// A number at or near the limits of some type or shape.
    pub(super) fn integer(&mut self) -> i64 {
        const NEAR: [i64; 12] =
            [0, 1, 2, 7, 127, 255, 65_535, i32::MAX as i64, u32::MAX as i64, 1 << 40, 1 << 62, i64::MAX];
        let sign = self.one_of(&[1, 1, -1]);
        let shift = self.one_of(&[0, 0, 1, -1]);
        self.one_of(&NEAR).wrapping_mul(sign).wrapping_add(shift)
    }
}
