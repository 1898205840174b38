//! exp, tanh and sigmoid of our own, in plain `*` and `+`: the same bits on every instruction set.

/// placeholder, replaced by the polynomial
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    libm::expf(x)
}
