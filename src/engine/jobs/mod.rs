//! The jobs: reading (for next, append and score), generation, and the completion of words.

mod completion;
mod generation;
mod reading;

pub use completion::{Completed, Completing, Completion, CompletionPlan};
pub use generation::{Finish, Finished, Generation, GenerationEvent, GenerationPlan, TokenEvent};
pub use reading::{Reading, ReadingFailure, ReadingPlan, ReadingResult};
