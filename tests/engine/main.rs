//! The scheduler under random schedules: whatever runs beside a job, its answer is that of a run alone, bit for bit.

mod beam;
mod cancel;
mod fragile;
mod given;
mod joint;
#[path = "../rnn/network.rs"]
#[allow(dead_code, reason = "shared with the tests of the native engine, which use all of it")]
mod network;
mod panics;
mod schedules;
mod shares;
mod solo;
mod turns;
mod world;
