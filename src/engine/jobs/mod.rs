//! The jobs: reading (for next, append and score), generation, the completion of words, and coding for compression.

mod coding;
mod completion;
mod generation;
mod reading;

pub use coding::{Coded, Coder, Coding, CodingJob};
pub use completion::{Completed, Completing, Completion, CompletionPlan};
pub use generation::{Finish, Finished, Generation, GenerationEvent, GenerationPlan, TokenEvent};
pub use reading::{Reading, ReadingFailure, ReadingPlan, ReadingResult};
