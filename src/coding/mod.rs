//! Lossless coding with the probabilities of a model: whole numbers out of logits, an arithmetic coder over them, an adaptive model of
//! what no token says, and the header that names what a file was coded with.
//!
//! Nothing here rounds in a way that could differ between two machines: a weight is the bits of our own exponential, cut to an integer, and
//! everything after that is integers. It knows logits and bytes, but no tokenizer, no engine and no files.

mod bytes;
mod frame;
mod frequencies;
mod header;
mod range;

pub use bytes::{ByteCoder, Flagged, Literals};
pub use frame::{Content, Frame, FrameHead};
pub use frequencies::{Frequencies, Interval};
pub use header::{Checksum, Header, Origin, Prefix};
pub use range::{RangeDecoder, RangeEncoder};
