//! The choices at load that are not in a model's files: how weights are held in memory, and what they run on.

use super::Dtype;
use crate::kernels::Kernel;

/// How models of the native engine are held, and what they run on. A [`Kernel`] alone stands for the defaults of the rest.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// The instruction set.
    pub kernel: Kernel,
    /// The type that weights are held in; `None` is the manifest's, or else [`WeightsType::AsStored`].
    pub weights: Option<WeightsType>,
    /// Bytes in which a model keeps the first layer's input product of tokens that it has read; 0 keeps none. No number depends on it.
    pub fold_bytes_max: usize,
}

impl From<Kernel> for LoadOptions {
    fn from(kernel: Kernel) -> Self {
        Self { kernel, weights: None, fold_bytes_max: 0 }
    }
}

/// The type that weight matrices are held in. Biases and states are always `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightsType {
    /// That of the file.
    AsStored,
    /// Single precision; 16-bit weights are widened, which changes no number, and integers become the numbers that they stand for.
    F32,
    /// bfloat16; other weights are rounded to the nearest.
    Bf16,
    /// int8, with a scale for each output column; activations are quantised too, row by row as they come. An embedding that is
    /// only looked up stays as stored.
    Int8,
}

impl WeightsType {
    /// All of them.
    pub const ALL: [WeightsType; 4] =
        [WeightsType::AsStored, WeightsType::F32, WeightsType::Bf16, WeightsType::Int8];

    /// The name in options and manifests.
    pub fn name(self) -> &'static str {
        match self {
            WeightsType::AsStored => "as-stored",
            WeightsType::F32 => Dtype::F32.name(),
            WeightsType::Bf16 => Dtype::Bf16.name(),
            WeightsType::Int8 => Dtype::Int8.name(),
        }
    }

    /// The type of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}
