//! The jobs: reading (for next, append and score), generation, beam search, the completion of words, and coding for compression.

mod beam;
mod coding;
mod completion;
mod continuation;
mod event;
mod generation;
mod hypothesis;
mod likeliest;
mod reading;

pub use beam::{BeamPlan, BeamSearch};
pub use coding::{Coded, Coder, Coding, CodingJob};
pub use completion::{Completed, Completing, Completion, CompletionPlan};
pub use continuation::{ContinuationPlan, Destination};
pub use event::{Alternatives, Finish, Finished, FinishedChoice, GenerationEvent, ReadToken, TokenEvent};
pub use generation::{Generation, GenerationPlan};
pub use reading::{Reading, ReadingFailure, ReadingPlan, ReadingResult};
