//! The native engine, compared with a scalar reference, with PyTorch, and with itself.

mod cache;
mod failing;
mod feed_forward;
mod fingerprint;
mod folding;
mod golden;
mod gradient;
mod invariants;
mod reference;
mod weights_types;

pub(crate) use golden::Fixture;
