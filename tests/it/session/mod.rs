//! The table of sessions from outside: what it takes.

mod memory;
