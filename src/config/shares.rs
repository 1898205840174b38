//! The limits that follow from the memory of the whole service where they are not given.
//!
//! With a gibibyte or more they are those that a server without a bound on its memory would have; with less, one request at its limits
//! still leaves room for others.

use super::Config;
use super::values::Bytes;

/// What a size of `auto` is until it has a value: no size is 0.
pub(super) const AUTO: usize = 0;

const MEBIBYTE: usize = 1 << 20;

/// A size, or `auto`.
pub(super) fn bytes_or_auto(text: &str) -> Result<Bytes, String> {
    if text == "auto" { Ok(Bytes(AUTO)) } else { super::values::bytes(text) }
}

/// A number of tokens, or `auto`.
pub(super) fn count_or_auto(text: &str) -> Result<usize, String> {
    match text.parse() {
        _ if text == "auto" => Ok(AUTO),
        Ok(count @ 1..=super::values::COUNT_MAX) => Ok(count),
        _ => Err(format!("expected `auto` or a number from 1 to {}", super::values::COUNT_MAX)),
    }
}

/// Gives a value to every limit that is `auto`.
pub(super) fn settle(config: &mut Config) {
    let memory = config.memory_max.0;
    let share = |parts: usize, most: usize| (memory / parts).min(most);
    let settle = |bytes: &mut Bytes, value: usize| {
        if bytes.0 == AUTO {
            bytes.0 = value.max(1);
        }
    };
    settle(&mut config.sessions.sessions_max_bytes, share(4, usize::MAX));
    settle(&mut config.load.onnx_probe_memory, share(1, 2048 * MEBIBYTE));
    settle(&mut config.http.max_body, share(48, 16 * MEBIBYTE));
    let max_body = config.http.max_body.0;
    let limits = &mut config.limits;
    settle(&mut limits.max_text, share(48, 16 * MEBIBYTE).min(max_body));
    if limits.max_prompt_tokens == AUTO {
        // A token is at least a byte of a text.
        limits.max_prompt_tokens = share(48, 16 * MEBIBYTE).max(limits.max_text.0);
    }
    let longest_prompt = limits.max_prompt_tokens.saturating_mul(size_of::<crate::lm::TokenId>());
    settle(&mut config.engine.queue_bytes_max, share(8, 256 * MEBIBYTE).max(longest_prompt));
    let answers_max = config.http.answers_max_bytes.0;
    let answers_most = if answers_max == AUTO { usize::MAX } else { answers_max };
    settle(&mut limits.max_answer, share(48, 16 * MEBIBYTE).min(answers_most));
    settle(&mut config.http.answers_max_bytes, share(8, 256 * MEBIBYTE));
}
