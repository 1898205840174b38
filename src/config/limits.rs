//! The limits of one request.

use clap::Args;

use super::shares::{bytes_or_auto, count_or_auto};
use super::values::{Bytes, bytes, choices, count, entries};

/// The limit of every field of a request that a client could make large.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits of one request")]
pub struct Limits {
    /// Maximum number of tokens generated per choice
    #[arg(long, value_name = "N", default_value = "4096", value_parser = count())]
    pub max_tokens: usize,

    /// Maximum bytes of one text, in UTF-8; `auto` is 16MiB, or a 48th of `--memory-max` or `--max-body` if one of them is less
    #[arg(long, value_name = "BYTES", default_value = "auto", value_parser = bytes_or_auto)]
    pub max_text: Bytes,

    /// Maximum number of tokens of one prompt or scored text, and of all texts of a request, hypotheses of an utterance or candidates of a question together; `auto` is 16777216, or as many as a 48th of `--memory-max` has bytes if that is less, and as many as `--max-text` has bytes
    #[arg(long, value_name = "N", default_value = "auto", value_parser = count_or_auto)]
    pub max_prompt_tokens: usize,

    /// Maximum number of tokens of a text that `tokenize` lists with their texts and places
    #[arg(long, value_name = "N", default_value = "65536", value_parser = count())]
    pub max_pieces: usize,

    /// Maximum number of tokens listed in one distribution
    #[arg(long, value_name = "N", default_value = "1000", value_parser = count())]
    pub max_top_k: usize,

    /// Maximum number of candidates in one request
    #[arg(long, value_name = "N", default_value = "1000", value_parser = entries())]
    pub max_candidates: usize,

    /// Maximum number of requests in one call
    #[arg(long, value_name = "N", default_value = "256", value_parser = entries())]
    pub max_requests: usize,

    /// Maximum number of texts scored by one request
    #[arg(long, value_name = "N", default_value = "1024", value_parser = entries())]
    pub max_texts: usize,

    /// Maximum number of utterances rescored by one JSON request
    #[arg(long, value_name = "N", default_value = "1024", value_parser = entries())]
    pub max_utterances: usize,

    /// Maximum number of hypotheses of one utterance
    #[arg(long, value_name = "N", default_value = "1024", value_parser = entries())]
    pub max_hypotheses: usize,

    /// Maximum bytes of one line of an NDJSON body
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = bytes)]
    pub max_line: Bytes,

    /// Maximum number of utterances of one request that are rescored at once; of an NDJSON body, no more are read ahead
    #[arg(long, value_name = "N", default_value = "16", value_parser = count())]
    pub lines_at_once: usize,

    /// Maximum number of models in one mixture
    #[arg(long, value_name = "N", default_value = "8", value_parser = entries())]
    pub max_mixture: usize,

    /// Maximum bytes of one answer, as estimated from what the request asks for; `auto` is 16MiB, or a 48th of `--memory-max` if that is less
    #[arg(long, value_name = "BYTES", default_value = "auto", value_parser = bytes_or_auto)]
    pub max_answer: Bytes,

    /// Maximum number of stop strings in one request
    #[arg(long, value_name = "N", default_value = "16", value_parser = entries())]
    pub max_stops: usize,

    /// Maximum bytes of one stop string, in UTF-8
    #[arg(long, value_name = "BYTES", default_value = "256B", value_parser = bytes)]
    pub max_stop_length: Bytes,

    /// Maximum number of banned words and tokens in one request
    #[arg(long, value_name = "N", default_value = "1024", value_parser = entries())]
    pub max_banned: usize,

    /// Maximum number of tokens with a bias in one request
    #[arg(long, value_name = "N", default_value = "1024", value_parser = entries())]
    pub max_logit_bias: usize,

    /// Maximum number of choices of one generation
    #[arg(long, value_name = "N", default_value = "16", value_parser = choices())]
    pub max_n: usize,

    /// Maximum width of a beam search
    #[arg(long, value_name = "N", default_value = "16", value_parser = choices())]
    pub max_beam_width: usize,

    /// Maximum number of suggestions in one answer
    #[arg(long, value_name = "N", default_value = "100", value_parser = count())]
    pub max_suggestions: usize,

    /// Maximum number of words of one suggestion
    #[arg(long, value_name = "N", default_value = "8", value_parser = count())]
    pub max_next_words: usize,

    /// Maximum number of extra words of a session or a suggestion
    #[arg(long, value_name = "N", default_value = "10000", value_parser = count())]
    pub max_extra_words: usize,

    /// Maximum bytes of the half-typed word of a suggestion, of an extra word, and of a word that names one token, in UTF-8
    #[arg(long, value_name = "BYTES", default_value = "256B", value_parser = bytes)]
    pub max_prefix_length: Bytes,

    /// Maximum number of tokens of a text that `explain` differentiates; each takes the memory of all gates of a step
    #[arg(long, value_name = "N", default_value = "1024", value_parser = count())]
    pub max_explain_tokens: usize,

    /// Maximum number of words that `neighbors` adds, and that it subtracts
    #[arg(long, value_name = "N", default_value = "64", value_parser = entries())]
    pub max_neighbor_words: usize,

    /// Maximum number of steps in which a word is put together from characters or parts of words
    #[arg(long, value_name = "N", default_value = "64", value_parser = count())]
    pub suggest_steps: usize,
}
