//! OpenAI's completions, and the tokenizer's routes that evaluation harnesses call: a second dialect over the same use cases.
//!
//! The names, defaults and shapes here are those that existing clients send and read. What they mean is said by the types of
//! [`super::generate`] and [`super::tokens`].

mod answer;
mod lenient;
mod prompts;
mod request;
mod tokenizer;

pub use answer::{
    Completion, CompletionChoice, CompletionChunk, CompletionEvent, CompletionFinish, CompletionLogprobs,
    TopLogprobs,
};
pub use lenient::Lenient;
pub use prompts::Prompts;
pub use request::{CompletionRequest, StreamOptions};
pub use tokenizer::{
    DetokenizePromptRequest, DetokenizedPrompt, TokenizePromptRequest, TokenizedPrompt, TokenizerInfo,
    TokenizerQuery,
};
