//! The jobs: reading (for next, append and score), generation, beam search, and the completion of words.

mod beam;
mod completion;
mod continuation;
mod event;
mod generation;
mod hypothesis;
mod reading;

pub use beam::{BeamPlan, BeamSearch};
pub use completion::{Completed, Completing, Completion, CompletionPlan};
pub use continuation::{ContinuationPlan, Destination};
pub use event::{Alternatives, Finish, Finished, FinishedChoice, GenerationEvent, ReadToken, TokenEvent};
pub use generation::{Generation, GenerationPlan};
pub use reading::{Reading, ReadingFailure, ReadingPlan, ReadingResult};
