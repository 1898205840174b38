//! The scheduler under random schedules: whatever runs beside a job, its answer is that of a run alone, bit for bit.

mod cancel;
mod fragile;
mod panics;
mod schedules;
mod shares;
mod solo;
mod turns;
mod world;
