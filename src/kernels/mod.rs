//! Inner loops that are compiled once for each instruction set, and the choice between them at start-up.
//!
//! A [`Task`] is such a loop; [`Kernel::run`] runs it with the instructions of one set. The matrix product is here; what
//! is elementwise or a reduction stands where it belongs, in [`rnn`](crate::rnn) and [`lm`](crate::lm), and runs through here.
//!
//! This is the only module with `unsafe`: entering code that is compiled for instructions which the processor is known to
//! have, the vector instructions themselves, prefetching, and advice to the system about memory. It knows rows and columns,
//! but no cells and no models.

mod current;
mod element;
mod int8;
mod isa;
mod matrix;
mod packed;
mod pages;
mod prefetch;
mod product;
mod steps;
mod transposed;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use element::Element;
pub(crate) use int8::{DEPTH_MAX, Int8Block, quantise};
pub(crate) use isa::{Isa, Task};
pub(crate) use matrix::{Rows, RowsMut};
pub(crate) use packed::{Packed, pad_columns};
pub(crate) use pages::prefer_large_pages;
pub(crate) use product::{Product, Start};
pub(crate) use transposed::TransposedProduct;

use crate::error::{Error, ErrorKind, Result};

/// An instruction set that the loops are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// x86-64 with AVX-512F.
    Avx512,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// Whatever the build targets.
    Portable,
}

impl Kernel {
    /// All of them, the fastest first.
    pub const ALL: [Kernel; 3] = [Kernel::Avx512, Kernel::Avx2, Kernel::Portable];

    /// The kernel named `forced`; if `None`, the fastest that this processor can run.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an unknown name, and for a kernel that this processor cannot run.
    pub fn choose(forced: Option<&str>) -> Result<Self> {
        let Some(name) = forced else { return Ok(Self::fastest()) };
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

    /// The kernels that this processor can run, the fastest first.
    pub fn supported() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kernel| kernel.is_supported())
    }

    fn fastest() -> Self {
        Self::supported().next().unwrap_or(Self::Portable)
    }

    /// The name in configuration and answers.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Avx512 => "avx512",
            Kernel::Avx2 => "avx2",
            Kernel::Portable => "portable",
        }
    }

    /// `fma` where a product is added without rounding it first, `no_fma` where it is rounded: machines with the same value
    /// compute the same bits.
    pub fn numerics(self) -> &'static str {
        match self {
            Kernel::Avx512 | Kernel::Avx2 => "fma",
            Kernel::Portable if cfg!(any(target_arch = "aarch64", target_feature = "fma")) => "fma",
            Kernel::Portable => "no_fma",
        }
    }

    /// The features of this processor that a kernel can use.
    pub fn cpu_features() -> Vec<&'static str> {
        #[cfg(target_arch = "x86_64")]
        let features = [
            ("fma", is_x86_feature_detected!("fma")),
            ("f16c", is_x86_feature_detected!("f16c")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512bw", is_x86_feature_detected!("avx512bw")),
            ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let features: [(&str, bool); 0] = [];
        features.into_iter().filter(|(_, found)| *found).map(|(name, _)| name).collect()
    }

    #[cfg(target_arch = "x86_64")]
    fn is_supported(self) -> bool {
        match self {
            Kernel::Avx512 => is_x86_feature_detected!("avx512f"),
            // Every processor with AVX2 so far has the other two.
            Kernel::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
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
        assert_eq!(Kernel::supported().next(), Some(default));
    }
}
