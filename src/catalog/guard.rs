//! A panic while a model is read is a bug, and it costs that model alone.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result};

/// What `read` returns. A panic of it becomes an error.
///
/// # Errors
/// Those of `read`; `Load` with the message of a panic.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    // What is half read when it panics is dropped, and nobody else has seen it.
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|panic| Err(Error::load(format!("a bug: reading it panicked: {}", said(&*panic)))))
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_panic_is_an_error_of_what_was_read() {
        let expected = "a bug: reading it panicked: attempt to subtract with overflow";
        let error = guarded::<()>(|| panic!("attempt to subtract with overflow")).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Load, expected));
        let error = guarded::<()>(|| panic!("attempt to {} with overflow", "subtract")).unwrap_err();
        assert_eq!(error.message, expected);
        let error = guarded::<()>(|| std::panic::panic_any(7)).unwrap_err();
        assert_eq!(error.message, "a bug: reading it panicked: it does not say why");
        assert_eq!(guarded(|| Ok(7)).unwrap(), 7);
        assert_eq!(guarded::<()>(|| Err(Error::load("no"))).unwrap_err().message, "no");
    }
}
