//! The native engine, seen from outside: against a scalar reference, against PyTorch, and against itself.

mod failing;
mod fingerprint;
mod golden;
mod invariants;
mod reference;
mod weights_types;
