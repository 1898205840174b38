//! Files that are made to end the process, to fill its memory or to keep it busy: each is refused, and nothing else notices.

mod folder;
mod fuzz;
mod refusals;
