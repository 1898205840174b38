//! What one request may ask for.

use clap::Args;

use super::values::{Bytes, bytes, count};

/// The bound of every field of a request that could be large.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits of one request")]
pub struct Limits {
    /// Tokens generated per choice
    #[arg(long, value_name = "N", default_value = "4096", value_parser = count())]
    pub max_tokens: usize,

    /// Bytes of one text, UTF-8
    #[arg(long, value_name = "BYTES", default_value = "16MiB", value_parser = bytes)]
    pub max_text: Bytes,

    /// Tokens of one prompt or scored text
    #[arg(long, value_name = "N", default_value = "16777216", value_parser = count())]
    pub max_prompt_tokens: usize,

    /// Tokens listed in one distribution
    #[arg(long, value_name = "N", default_value = "1000", value_parser = count())]
    pub max_top_k: usize,

    /// Candidates judged by one request
    #[arg(long, value_name = "N", default_value = "1000", value_parser = count())]
    pub max_candidates: usize,

    /// Requests in one call
    #[arg(long, value_name = "N", default_value = "256", value_parser = count())]
    pub max_requests: usize,

    /// Texts scored by one request
    #[arg(long, value_name = "N", default_value = "1024", value_parser = count())]
    pub max_texts: usize,

    /// Stop strings of one request
    #[arg(long, value_name = "N", default_value = "16", value_parser = count())]
    pub max_stops: usize,

    /// Bytes of one stop string, UTF-8
    #[arg(long, value_name = "BYTES", default_value = "256B", value_parser = bytes)]
    pub max_stop_length: Bytes,

    /// Banned words and tokens of one request
    #[arg(long, value_name = "N", default_value = "1024", value_parser = count())]
    pub max_banned: usize,
}
