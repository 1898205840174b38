//! `architecture.norms`: which normalisations stand before the layers of a network.

use serde::Deserialize;

use crate::error::{Error, Result};

/// The normalisations of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Norms {
    /// What stands before each layer, the first layer first, and last before the output layer.
    pub kinds: Vec<NormKind>,
    /// What is added to a variance.
    pub epsilon: f32,
}

/// A normalisation of vectors.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// None.
    #[default]
    None,
    /// Layer normalisation, PyTorch's `nn.LayerNorm`.
    Layer,
    /// Batch normalisation with the statistics of the training data, PyTorch's `nn.BatchNorm1d` in `eval()`.
    Batch,
}

impl NormKind {
    /// The name in manifests and answers.
    pub fn name(self) -> &'static str {
        match self {
            NormKind::None => "none",
            NormKind::Layer => "layer",
            NormKind::Batch => "batch",
        }
    }
}

impl Norms {
    /// PyTorch's default.
    const EPSILON: f32 = 1e-5;
    const EPSILON_MAX: f32 = 1.0;

    /// No normalisation in a network with `layers` recurrent layers.
    pub fn none(layers: usize) -> Self {
        Self { kinds: vec![NormKind::None; layers + 1], epsilon: Self::EPSILON }
    }

    /// Whether there is one.
    pub fn is_any(&self) -> bool {
        self.kinds.iter().any(|&kind| kind != NormKind::None)
    }

    /// Those that the keys `norms` and `norm_epsilon` say, in a network with `layers` recurrent layers.
    ///
    /// # Errors
    /// `Load` naming the key at fault.
    pub(super) fn declared(
        kinds: Option<Vec<NormKind>>,
        epsilon: Option<f32>,
        layers: usize,
    ) -> Result<Self> {
        let expected = layers + 1;
        match kinds {
            Some(kinds) if kinds.len() != expected => Err(Error::load(format!(
                "`architecture.norms` has {} entries, expected {expected}: one for each of `hidden_sizes`, and one for the output layer",
                kinds.len()
            ))),
            Some(kinds) => {
                let norms = Self { kinds, epsilon: epsilon.unwrap_or(Self::EPSILON) };
                norms.check_epsilon()?;
                Ok(norms)
            }
            None if epsilon.is_some() => {
                Err(Error::load("`architecture.norm_epsilon` was found without `architecture.norms`"))
            }
            None => Ok(Self::none(layers)),
        }
    }

    fn check_epsilon(&self) -> Result<()> {
        let epsilon = self.epsilon;
        match epsilon > 0.0 && epsilon <= Self::EPSILON_MAX {
            true => Ok(()),
            false => Err(Error::load(format!(
                "`architecture.norm_epsilon` is {epsilon}, expected a number above 0, at most {}",
                Self::EPSILON_MAX
            ))),
        }
    }
}
