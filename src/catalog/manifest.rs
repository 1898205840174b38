//! `config.json`: how a model folder describes itself.
//!
//! Strict: an unknown, duplicate or mistyped key refuses the folder, so that a typo never becomes a default.

mod architecture;
mod graph;
mod norms;

use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};
use crate::lm::{Cell, WeightsType};
use crate::rnn::GateActivation;
use crate::text::{TokenizerKind, TokenizerSpec};

pub use architecture::{DeclaredNetwork, KnownArchitecture};
pub use graph::GraphSpec;
pub use norms::{NormKind, Norms};

/// A checked manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The name of the weights file in the folder.
    pub weights: String,
    /// The type that the weights are held in, unless the operator chooses one.
    pub weights_type: Option<WeightsType>,
    /// The network.
    pub network: NetworkSpec,
    /// The name of the vocabulary file in the folder.
    pub tokenizer_file: String,
    /// The tokenizer's rules.
    pub tokenizer: TokenizerSpec,
    /// The vocabulary entries that are read once at load.
    pub initial_tokens: Vec<String>,
}

impl Manifest {
    /// The name of the file.
    pub const FILE: &str = "config.json";

    /// The version of the format that this program reads.
    pub const FORMAT_VERSION: u64 = 1;

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// `Load` naming the key at fault, what was found and what was expected.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let head: Head = read(json)?;
        if head.format_version != Self::FORMAT_VERSION {
            let found = head.format_version;
            let expected = Self::FORMAT_VERSION;
            return Err(Error::load(format!("`format_version` is {found}, expected {expected}")));
        }
        read::<File>(json)?.check()
    }
}

/// What the manifest says about the network.
#[derive(Clone, Debug, PartialEq)]
pub enum NetworkSpec {
    /// Everything: a safetensors file holds tensors, but not how they are connected.
    Declared(DeclaredNetwork),
    /// What an ONNX graph does not say itself.
    Graph(GraphSpec),
}

/// What is read first: a manifest of another version is refused for its version, not for its keys.
#[derive(Deserialize)]
struct Head {
    format_version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "format_version")]
    _format_version: u64,
    weights: String,
    #[serde(default, deserialize_with = "weights_type")]
    weights_dtype: Option<WeightsType>,
    architecture: Option<KnownArchitecture>,
    onnx: Option<graph::Onnx>,
    tokenizer: Tokenizer,
    #[serde(default)]
    initial_tokens: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokenizer {
    #[serde(deserialize_with = "kind")]
    kind: TokenizerKind,
    file: String,
    unk: Option<String>,
    eos: Option<String>,
    newline: Option<String>,
    #[serde(default)]
    lowercase: bool,
    #[serde(default, deserialize_with = "pairs")]
    replace: Vec<(String, String)>,
    pattern: Option<String>,
}

impl File {
    fn check(self) -> Result<Manifest> {
        let Self { weights, weights_dtype, architecture, onnx, tokenizer, initial_tokens, .. } = self;
        for (key, name) in [("weights", &weights), ("tokenizer.file", &tokenizer.file)] {
            if name.is_empty() || name.starts_with("..") || name.contains(['/', '\\']) {
                return Err(Error::load(format!(
                    "`{key}` is `{name}`, expected the name of a file in the folder"
                )));
            }
        }
        let network = match (weights.ends_with(".onnx"), architecture, onnx) {
            (true, architecture, onnx) => {
                NetworkSpec::Graph(onnx.unwrap_or_default().check(architecture.unwrap_or_default())?)
            }
            (false, Some(architecture), None) => NetworkSpec::Declared(architecture.declared()?),
            (false, _, Some(_)) => {
                return Err(Error::load(format!(
                    "`onnx` was found, but `weights` is `{weights}`, expected an `.onnx` file"
                )));
            }
            (false, None, None) => {
                return Err(Error::load(
                    "`architecture` is missing; a `.safetensors` file does not describe its network",
                ));
            }
        };
        let Tokenizer { kind, file, unk, eos, newline, lowercase, replace, pattern } = tokenizer;
        Ok(Manifest {
            weights,
            weights_type: weights_dtype,
            network,
            tokenizer_file: file,
            tokenizer: TokenizerSpec { kind, unk, eos, newline, lowercase, replace, pattern },
            initial_tokens,
        })
    }
}

/// Reads `json` as a `T`; errors name the key.
fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let error = Error::load(error.into_inner().to_string());
        if path == "." { error } else { error.within(format!("`{path}`")) }
    })?;
    deserializer.end().map_err(|error| Error::load(error.to_string()))?;
    Ok(value)
}

fn gate_activation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<GateActivation>, D::Error> {
    one_of(deserializer, &GateActivation::ALL, GateActivation::name).map(Some)
}

fn cell<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cell>, D::Error> {
    one_of(deserializer, &Cell::ALL, Cell::name).map(Some)
}

fn weights_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<WeightsType>, D::Error> {
    one_of(deserializer, &WeightsType::ALL, WeightsType::name).map(Some)
}

fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TokenizerKind, D::Error> {
    one_of(deserializer, &TokenizerKind::ALL, TokenizerKind::name)
}

fn one_of<'de, D, T: Copy>(deserializer: D, all: &[T], name: fn(T) -> &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    let found = String::deserialize(deserializer)?;
    all.iter().copied().find(|&one| name(one) == found).ok_or_else(|| {
        let expected: Vec<String> = all.iter().map(|&one| format!("`{}`", name(one))).collect();
        D::Error::custom(format!("found `{found}`, expected one of {}", expected.join(", ")))
    })
}

/// An object as pairs, in the order of the file. Duplicate keys are kept, for the caller to refuse.
fn pairs<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, T)>, D::Error> {
    struct Pairs<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
        type Value = Vec<(String, T)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }

    deserializer.deserialize_map(Pairs(PhantomData))
}
