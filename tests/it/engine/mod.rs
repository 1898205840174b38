//! The scheduler, above all under random schedules: a job's answer is, bit for bit, that of the same job alone, whatever runs beside
//! it.

mod beam;
mod cancel;
mod coding;
mod fairness;
mod fragile;
mod given;
mod joint;
mod overload;
mod panics;
mod recalls;
mod replaced;
mod schedules;
mod search;
mod shares;
mod solo;
mod timings;
mod turns;
mod world;
