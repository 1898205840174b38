//! The jobs: reading (for next, append and score) and generation.

mod generation;
mod reading;

pub use generation::{Finish, Finished, Generation, GenerationEvent, GenerationPlan, TokenEvent};
pub use reading::{Reading, ReadingFailure, ReadingPlan, ReadingResult};
