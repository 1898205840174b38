//! The jobs that there are: reading (next, append, score) and generation.

mod generation;
mod next;
mod reading;
mod stop;

pub use generation::{Finish, Finished, Generation, GenerationEvent, GenerationPlan, LastToken, TokenEvent};
pub use next::{CandidateAnswer, NextAnswer, NextQuery, Ranked, Vector};
pub use reading::{Reading, ReadingFailure, ReadingPlan, ReadingResult, Scored};
