//! The kernel of the process, for work that belongs to no model.
//!
//! A model is handed its kernel. Reductions over logits run wherever an answer needs them, in samplers and in the jobs of
//! the engine, and none of those could say why it holds an instruction set. No result depends on the choice, so it is a
//! property of the process, like the processor itself.

use std::sync::atomic::{AtomicU8, Ordering};

use super::Kernel;

impl Kernel {
    /// The kernel last given to [`Self::make_current`]; before that, the fastest.
    pub(crate) fn current() -> Self {
        CURRENT.get()
    }

    /// Makes this the kernel of the process.
    pub fn make_current(self) {
        CURRENT.set(self);
    }
}

static CURRENT: Current = Current::unset();

/// An index into [`Kernel::ALL`], or [`Current::UNSET`].
struct Current(AtomicU8);

impl Current {
    const UNSET: u8 = u8::MAX;

    const fn unset() -> Self {
        Self(AtomicU8::new(Self::UNSET))
    }

    fn get(&self) -> Kernel {
        // Nothing else is published with the index, so no ordering is needed.
        let index = usize::from(self.0.load(Ordering::Relaxed));
        Kernel::ALL.get(index).copied().unwrap_or_else(Kernel::fastest)
    }

    fn set(&self, kernel: Kernel) {
        self.0.store(kernel as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_kernel_is_current_until_another_is_chosen() {
        let current = Current::unset();
        assert_eq!(current.get(), Kernel::fastest());
        for kernel in Kernel::ALL {
            current.set(kernel);
            assert_eq!(current.get(), kernel);
        }
    }
}
