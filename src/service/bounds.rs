//! The bounds that the operator sets for a request's fields, and the one way of saying that a value exceeds its bound.

use crate::api;
use crate::config;
use crate::error::{Error, Result};

const _: () = assert!(config::ENTRIES_MAX == api::ENTRIES_MAX);

/// The bound of a field.
pub(super) struct Bound<'a> {
    /// The field's path in the request.
    pub(super) param: &'a str,
    /// The largest value.
    pub(super) max: usize,
    /// The option that sets it.
    pub(super) option: &'static str,
}

impl Bound<'_> {
    /// Refuses a number above the bound.
    pub(super) fn number(&self, found: usize) -> Result<()> {
        self.check(found, "")
    }

    /// Refuses 0 and a number above the bound.
    pub(super) fn number_above_0(&self, found: usize) -> Result<()> {
        let param = self.param;
        match found {
            0 => Err(Error::invalid(param, format!("`{param}` is 0; the minimum is 1"))),
            _ => self.number(found),
        }
    }

    /// Refuses a list of more entries than the bound.
    pub(super) fn entries(&self, found: usize) -> Result<()> {
        self.check(found, " entries")
    }

    fn check(&self, found: usize, unit: &str) -> Result<()> {
        let Self { param, max, option } = self;
        if found <= *max {
            return Ok(());
        }
        let verb = if unit.is_empty() { "is" } else { "has" };
        let message = format!("`{param}` {verb} {found}{unit}; the maximum is {max} (`{option}`)");
        Err(Error::invalid(*param, message))
    }
}
