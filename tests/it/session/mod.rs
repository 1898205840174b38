//! The table of sessions, tested from outside: the memory that it uses.

mod memory;
