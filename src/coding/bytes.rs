//! The bytes that no token says, and the bits that tell where they are: adaptive models that start from nothing and learn from the file.
//!
//! A byte is eight binary decisions in a tree. Each is predicted in the context of the two bytes before it, or, where that was seldom seen,
//! of one. Probabilities are integers of 16 bits.

use super::range::{RangeDecoder, RangeEncoder, Share};

/// A coder of either direction, so that a model is written once for both.
pub trait ByteCoder {
    /// Codes a bit: given one, it is encoded; otherwise it is decoded. Returns it.
    fn bit(&mut self, bit: Option<bool>, probability: &mut Bit) -> bool;
}

/// How likely a bit is set, by what was seen.
#[derive(Clone, Copy, Debug)]
pub struct Bit {
    /// In parts of 2^16, never 0 and never all.
    set: u16,
    /// Decisions seen, up to a limit: the more were seen, the less one changes.
    seen: u8,
}

const ONE: u32 = 1 << 16;

impl Default for Bit {
    fn default() -> Self {
        Self { set: 1 << 15, seen: 0 }
    }
}

#[allow(clippy::fn_params_excessive_bools, reason = "a bit that is coded is no option of a function")]
impl Bit {
    const SEEN_MAX: u8 = 60;

    fn share(self, bit: bool) -> Share {
        let set = u64::from(self.set);
        let total = u64::from(ONE);
        if bit {
            Share { start: 0, size: set, total }
        } else {
            Share { start: set, size: total - set, total }
        }
    }

    fn learn(&mut self, bit: bool) {
        let target = if bit { ONE - 32 } else { 32 };
        let now = i64::from(self.set);
        let change = (i64::from(target) - now) / (i64::from(self.seen) + 2);
        self.set = (now + change) as u16;
        self.seen = (self.seen + 1).min(Self::SEEN_MAX);
    }
}

impl ByteCoder for RangeEncoder {
    fn bit(&mut self, bit: Option<bool>, probability: &mut Bit) -> bool {
        let bit = bit.expect("bug: an encoder is given what it encodes");
        self.encode(probability.share(bit));
        probability.learn(bit);
        bit
    }
}

impl ByteCoder for RangeDecoder {
    fn bit(&mut self, _: Option<bool>, probability: &mut Bit) -> bool {
        let bit = self.target(u64::from(ONE)) < u64::from(probability.set);
        self.consume(probability.share(bit));
        probability.learn(bit);
        bit
    }
}

/// What is coded beside the tokens.
#[derive(Clone)]
pub struct Literals {
    /// For each byte before: the tree of the next.
    order_1: Vec<Bit>,
    /// The same for two bytes before, hashed.
    order_2: Vec<Bit>,
    /// Whether a literal ends, by the byte before.
    ends: Vec<Bit>,
    /// Whether the text of a token is literal: by whether it is the unknown token, and whether that of the token before was.
    is_literal: [Bit; 4],
}

/// The trees for two bytes before.
const TREES: usize = 1 << 13;

/// From how many decisions on a context of two bytes is trusted.
const TRUSTED: u8 = 2;

/// What is known of a token when it is told whether its text is literal.
#[derive(Clone, Copy, Debug)]
pub struct Flagged {
    /// Whether it is the unknown token.
    pub is_unknown: bool,
    /// Whether the text of the token before was literal.
    pub after_literal: bool,
}

impl Default for Literals {
    fn default() -> Self {
        Self {
            order_1: vec![Bit::default(); 256 * 256],
            order_2: vec![Bit::default(); TREES * 256],
            ends: vec![Bit::default(); 256],
            is_literal: [Bit::default(); 4],
        }
    }
}

impl Literals {
    /// Whether the text of a token is literal.
    pub fn flag(&mut self, coder: &mut impl ByteCoder, token: Flagged, is_literal: Option<bool>) -> bool {
        let context = 2 * usize::from(token.is_unknown) + usize::from(token.after_literal);
        coder.bit(is_literal, &mut self.is_literal[context])
    }

    /// Encodes bytes and their end.
    pub fn encode(&mut self, encoder: &mut RangeEncoder, bytes: &[u8]) {
        let mut before = [0, 0];
        for &byte in bytes {
            encoder.bit(Some(false), &mut self.ends[usize::from(before[0])]);
            self.byte(encoder, before, Some(byte));
            before = [byte, before[0]];
        }
        encoder.bit(Some(true), &mut self.ends[usize::from(before[0])]);
    }

    /// Decodes bytes up to their end; `None` if there are more than `len_max`.
    pub fn decode(&mut self, decoder: &mut RangeDecoder, len_max: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut before = [0, 0];
        while !decoder.bit(None, &mut self.ends[usize::from(before[0])]) {
            if bytes.len() == len_max {
                return None;
            }
            let byte = self.byte(decoder, before, None);
            bytes.push(byte);
            before = [byte, before[0]];
        }
        Some(bytes)
    }

    /// Encodes bytes whose number is known.
    pub fn encode_all(&mut self, encoder: &mut RangeEncoder, bytes: &[u8]) {
        let mut before = [0, 0];
        for &byte in bytes {
            self.byte(encoder, before, Some(byte));
            before = [byte, before[0]];
        }
    }

    /// Decodes `len` bytes.
    pub fn decode_all(&mut self, decoder: &mut RangeDecoder, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        let mut before = [0, 0];
        for _ in 0..len {
            let byte = self.byte(decoder, before, None);
            bytes.push(byte);
            before = [byte, before[0]];
        }
        bytes
    }

    fn byte(&mut self, coder: &mut impl ByteCoder, before: [u8; 2], byte: Option<u8>) -> u8 {
        let [last, second] = before.map(usize::from);
        let hash = (last << 8 | second).wrapping_mul(0x9e37_79b1) >> 8;
        let trees_1 = &mut self.order_1[last * 256..][..256];
        let trees_2 = &mut self.order_2[hash % TREES * 256..][..256];
        let mut node = 1;
        for place in (0..8).rev() {
            let given = byte.map(|byte| byte >> place & 1 == 1);
            let bit = if trees_2[node].seen >= TRUSTED {
                let bit = coder.bit(given, &mut trees_2[node]);
                trees_1[node].learn(bit);
                bit
            } else {
                let bit = coder.bit(given, &mut trees_1[node]);
                trees_2[node].learn(bit);
                bit
            };
            node = 2 * node + usize::from(bit);
        }
        (node & 0xff) as u8
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_flags_and_ends_come_back(parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..60), any::<bool>()), 0..20)) {
            let token = |flag: bool| Flagged { is_unknown: flag, after_literal: !flag };
            let mut encoder = RangeEncoder::default();
            let mut literals = Literals::default();
            for (bytes, flag) in &parts {
                literals.flag(&mut encoder, token(*flag), Some(!flag));
                literals.encode(&mut encoder, bytes);
                literals.encode_all(&mut encoder, bytes);
            }
            let mut decoder = RangeDecoder::new(encoder.finish());
            let mut literals = Literals::default();
            for (bytes, flag) in &parts {
                prop_assert_eq!(literals.flag(&mut decoder, token(*flag), None), !flag);
                let found = literals.decode(&mut decoder, 60);
                prop_assert_eq!(found.as_ref(), Some(bytes));
                prop_assert_eq!(&literals.decode_all(&mut decoder, bytes.len()), bytes);
            }
        }
    }

    #[test]
    fn what_repeats_becomes_short_and_a_literal_without_an_end_is_given_up() {
        let text = b"whale and ship, ".repeat(200);
        let mut encoder = RangeEncoder::default();
        Literals::default().encode(&mut encoder, &text);
        let code = encoder.finish();
        assert!(code.len() < text.len() / 10, "{} bytes", code.len());
        assert_eq!(Literals::default().decode(&mut RangeDecoder::new(code), 100), None);
    }
}
