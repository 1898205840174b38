//! The inner loops, compiled once for each instruction set, and the choice between them at start-up.
//!
//! This is the only place with `unsafe`: entering code compiled for instructions that the processor was seen to
//! have, the vector instructions themselves, and prefetching. It knows rows and columns, but no cell and no model.

mod isa;
mod matrix;
mod packed;
mod prefetch;
mod product;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use isa::{Isa, Task};
pub(super) use matrix::{Rows, RowsMut};
pub(super) use packed::{Packed, pad_columns};
pub(super) use product::{Product, Start};

use crate::error::{Error, ErrorKind, Result};

/// The instruction set that the loops run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// x86-64 with AVX-512F.
    Avx512,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// Whatever the build targets.
    Portable,
}

impl Kernel {
    /// All of them, the fastest first.
    pub const ALL: [Kernel; 3] = [Kernel::Avx512, Kernel::Avx2, Kernel::Portable];

    /// The kernel named `forced`, or else the fastest that this processor can run.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an unknown name, and for a kernel that this processor cannot run.
    pub fn choose(forced: Option<&str>) -> Result<Self> {
        let Some(name) = forced else {
            return Ok(Self::ALL.into_iter().find(|kernel| kernel.is_supported()).unwrap_or(Self::Portable));
        };
        let Some(kernel) = Self::ALL.into_iter().find(|kernel| kernel.name() == name) else {
            let message = format!("unknown kernel `{name}`, expected `avx512`, `avx2` or `portable`");
            return Err(Error::new(ErrorKind::Config, message));
        };
        if !kernel.is_supported() {
            let message = format!("kernel `{name}` needs instructions that this processor lacks");
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(kernel)
    }

    /// The name in configuration and answers.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Avx512 => "avx512",
            Kernel::Avx2 => "avx2",
            Kernel::Portable => "portable",
        }
    }

    /// `fma` where a product is added unrounded, `no_fma` where it is rounded first: bits are the same on all
    /// machines of one value.
    pub fn numerics(self) -> &'static str {
        match self {
            Kernel::Avx512 | Kernel::Avx2 => "fma",
            Kernel::Portable if cfg!(any(target_arch = "aarch64", target_feature = "fma")) => "fma",
            Kernel::Portable => "no_fma",
        }
    }

    /// What the processor offers of that which a kernel can use.
    pub fn cpu_features() -> Vec<&'static str> {
        #[cfg(target_arch = "x86_64")]
        let features = [
            ("fma", is_x86_feature_detected!("fma")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let features: [(&str, bool); 0] = [];
        features.into_iter().filter(|(_, found)| *found).map(|(name, _)| name).collect()
    }

    #[cfg(target_arch = "x86_64")]
    fn is_supported(self) -> bool {
        match self {
            Kernel::Avx512 => is_x86_feature_detected!("avx512f"),
            Kernel::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Kernel::Portable => true,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_supported(self) -> bool {
        self == Kernel::Portable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_forced_by_name_or_refused_by_name() {
        assert_eq!(Kernel::choose(Some("portable")), Ok(Kernel::Portable));
        for kernel in Kernel::ALL {
            match Kernel::choose(Some(kernel.name())) {
                Ok(chosen) => assert_eq!(chosen, kernel),
                Err(error) => assert_eq!(error.kind, ErrorKind::Config),
            }
        }
        let error = Kernel::choose(Some("sse9")).expect_err("an unknown name");
        assert_eq!(error.message, "unknown kernel `sse9`, expected `avx512`, `avx2` or `portable`");
    }

    #[test]
    fn the_fastest_supported_kernel_is_the_default() {
        let default = Kernel::choose(None).expect("a kernel for every processor");
        assert_eq!(Kernel::ALL.into_iter().find(|kernel| kernel.is_supported()), Some(default));
    }
}
