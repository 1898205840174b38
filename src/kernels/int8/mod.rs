//! Products of int8 weights with activations that are quantised as they come: a quarter of the bytes of `f32`, and four
//! multiplications where there was one.
//!
//! Weights have one scale for each output column, activations one for each row: a value is an integer in `-127..=127` times
//! its scale (symmetric quantisation; -128 is left out, so that AVX2 can multiply without saturation). Sums are
//! exact integers, and each is scaled once, in one fixed order of roundings that uses no fused operation. So results have the same bits on
//! every instruction set and in any batch, with FMA and without.

mod isa;
mod packed;
mod product;
mod quantise;
mod tile;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;

pub(crate) use packed::{DEPTH_MAX, Int8Block, Int8Lines};
pub(crate) use quantise::quantise;

pub(super) use product::Int8Product;
