//! The scheduler under random schedules: whatever runs beside a job, its answer is that of a run alone, bit for bit.

mod beam;
mod cancel;
mod fragile;
mod given;
mod joint;
mod panics;
mod schedules;
mod shares;
mod solo;
mod turns;
mod world;
