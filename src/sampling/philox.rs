//! Philox 4x32-10, a random number generator without a state (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
//! 1, 2, 3", SC '11).
//!
//! The generator is a keyed bijection of a counter. A draw's number is computed from its seed, choice and position, so a session
//! stores no generator state, none has to be restored after a restart, and no draw affects another.

/// A uniform number in `[0, 1)` with 53 random bits: the one that draws the token at `position` of choice `choice` under `seed`.
pub(super) fn uniform(seed: u64, choice: u32, position: u64) -> f64 {
    let [low, high] = halves(position);
    let [first, second, ..] = philox_4x32_10([low, high, choice, 0], halves(seed));
    let bits = u64::from(second) << 32 | u64::from(first);
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

fn philox_4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
    /// The fractional parts of the golden ratio and of the square root of 3, as 32 bits.
    const KEY_STEPS: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];

    for _ in 0..10 {
        let [low_0, high_0] = halves(u64::from(MULTIPLIERS[0]) * u64::from(counter[0]));
        let [low_1, high_1] = halves(u64::from(MULTIPLIERS[1]) * u64::from(counter[2]));
        counter = [high_1 ^ counter[1] ^ key[0], low_1, high_0 ^ counter[3] ^ key[1], low_0];
        key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
    }
    counter
}

/// The low and the high 32 bits of `x`.
fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the Random123 distribution, file `kat_vectors`.
    #[test]
    fn the_known_answers_of_random123_are_reproduced() {
        assert_eq!(philox_4x32_10([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox_4x32_10([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        // Digits of pi.
        assert_eq!(
            philox_4x32_10([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn a_number_depends_on_the_choice_and_on_both_halves_of_seed_and_position() {
        let base = uniform(1, 2, 3);
        for other in [
            uniform(0, 2, 3),
            uniform(1 | 1 << 40, 2, 3),
            uniform(1, 3, 3),
            uniform(1, 2, 4),
            uniform(1, 2, 3 | 1 << 40),
        ] {
            assert_ne!(base, other);
        }
        assert_eq!(base, uniform(1, 2, 3));
    }

    #[test]
    fn numbers_are_uniform_over_the_unit_interval() {
        let mut bins = [0; 64];
        for position in 0..64_000 {
            let u = uniform(42, 0, position);
            assert!((0.0..1.0).contains(&u));
            bins[(u * 64.0) as usize] += 1;
        }
        let chi_square: f64 =
            bins.iter().map(|&n| (f64::from(n) - 1000.0) * (f64::from(n) - 1000.0) / 1000.0).sum();
        // With 63 degrees of freedom, a value above 110 has a probability of about 0.0002.
        assert!(chi_square < 110.0, "{chi_square}");
    }
}
