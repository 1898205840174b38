//! The committed files, the outcome expected of each, and the function that checks all of them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{LoadOptions, TokenId};
use rnnlm_server::onnx::{self, Hints, Loaded, WindowHint};
use safetensors::SafeTensors;
use serde::Deserialize;

use crate::harness::onnx_files;

/// How the server treats a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The native engine runs it.
    Lowered,
    /// The native engine runs it, and there is a warning.
    Warned,
    /// The native engine runs it on the last N ids.
    LoweredWindowed,
    /// The native engine runs a feed-forward network on the last N ids.
    FeedForward,
    /// tract runs it.
    Tract,
    /// tract runs it on a window of the last N ids.
    Windowed,
    /// The file is refused with an error.
    Refused,
}

/// Part of the refusal in a build without tract, also of a file that tract would refuse for another reason.
pub(crate) const WITHOUT_TRACT: &str = "cargo feature `tract`";

/// A file, and what is expected of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    /// The source of the numbers; see `Case.oracle` of `tests/onnx/make/case.py`.
    oracle: String,
    /// The name of the same weights in `files/networks`.
    pub(crate) network: Option<String>,
    /// Part of the refusal or of the warning.
    #[serde(default)]
    pub(crate) says: String,
    /// The largest difference allowed between a quantised file's logits and those of ONNX Runtime, relative to the largest of the
    /// latter.
    pub(crate) runtime_tolerance: Option<f32>,
    #[serde(default)]
    hints: HintsGiven,
    #[serde(skip)]
    pub(crate) path: PathBuf,
    /// In the order of the family's shapes.
    #[serde(skip)]
    pub(crate) sequences: Vec<Sequence>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HintsGiven {
    tokens: Option<String>,
    state: Vec<(String, String)>,
    inputs: Vec<(String, serde_json::Value)>,
    logits: Option<String>,
    window: Option<WindowGiven>,
    pad: Option<TokenId>,
    gru_linear_before_reset: Option<bool>,
}

/// A number of ids, or `none`.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum WindowGiven {
    Len(usize),
    Unlimited(String),
}

/// Tokens that are read from the zero state, and the numbers that ONNX Runtime gives for them.
pub(crate) struct Sequence {
    pub(crate) tokens: Vec<TokenId>,
    /// `[vocab]` after each token.
    pub(crate) logprobs: Vec<Vec<f32>>,
    /// For each layer h, then c; empty if the file has no state.
    pub(crate) state: Vec<f32>,
    /// `[vocab]` after each token, from the quantised file itself; empty for other files.
    pub(crate) runtime_logits: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Index {
    /// (T, B).
    shapes: Vec<(usize, usize)>,
    cases: Vec<Case>,
}

impl Case {
    /// The hints that the manifest gives about the graph.
    pub(crate) fn hints(&self) -> Hints {
        let HintsGiven { tokens, state, inputs, logits, window, pad, gru_linear_before_reset } =
            self.hints.clone();
        let window = window.map(|window| match window {
            WindowGiven::Len(len) => WindowHint::Len(len),
            WindowGiven::Unlimited(word) if word == "none" => WindowHint::Unlimited,
            WindowGiven::Unlimited(word) => panic!("`{}`: a window of `{word}`", self.name),
        });
        Hints { tokens, state, inputs, logits, window, pad, gru_linear_before_reset }
    }

    /// Loads the file as `options` say; a kernel alone will do.
    pub(crate) fn load(&self, options: impl Into<LoadOptions>) -> rnnlm_server::error::Result<Loaded> {
        onnx::load(&self.path, &self.hints(), options.into())
    }

    /// Loads a file that must be served.
    pub(crate) fn served(&self, options: impl Into<LoadOptions>) -> Result<Loaded, String> {
        self.load(options).map_err(|error| format!("refused: {error}"))
    }

    /// Whether only tract runs it.
    fn needs_tract(&self) -> bool {
        matches!(self.outcome, Outcome::Tract | Outcome::Windowed)
    }

    /// Whether the native engine runs it.
    pub(crate) fn is_lowered(&self) -> bool {
        matches!(
            self.outcome,
            Outcome::Lowered | Outcome::Warned | Outcome::LoweredWindowed | Outcome::FeedForward
        )
    }
}

/// The kernel that this machine serves with.
pub(crate) fn kernel() -> Kernel {
    Kernel::choose(None).expect("a kernel for every processor")
}

/// Every committed case.
pub(crate) fn cases() -> Vec<Case> {
    let folders = std::fs::read_dir(onnx_files()).expect("the folder of fixtures");
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.expect("an entry").path()).collect();
    folders.retain(|folder| folder.join("cases.json").exists());
    folders.sort();
    folders.iter().flat_map(|folder| family(folder)).collect()
}

fn family(folder: &Path) -> Vec<Case> {
    let json = std::fs::read(folder.join("cases.json")).expect("an index");
    let Index { shapes, mut cases } = serde_json::from_slice(&json).expect("an index of this form");
    let bytes = std::fs::read(folder.join("oracles.safetensors")).unwrap_or_default();
    let oracles = (!bytes.is_empty()).then(|| SafeTensors::deserialize(&bytes).expect("numbers"));
    for case in &mut cases {
        case.path = folder.join(format!("{}.onnx", case.name));
        if case.needs_tract() && !cfg!(feature = "tract") {
            case.outcome = Outcome::Refused;
            WITHOUT_TRACT.clone_into(&mut case.says);
        } else if case.oracle != "none" {
            case.sequences = sequences(oracles.as_ref().expect("oracles"), &case.name, &shapes);
        }
    }
    cases
}

fn sequences(oracles: &SafeTensors<'_>, name: &str, shapes: &[(usize, usize)]) -> Vec<Sequence> {
    let rows = |key: &str| {
        let tensor = oracles.tensor(&format!("{name}/{key}")).ok()?;
        let width = tensor.shape()[1];
        let values = floats(tensor.data());
        Some(values.chunks(width).map(<[f32]>::to_vec).collect::<Vec<_>>().into_iter())
    };
    let tokens = oracles.tensor(&format!("{name}/tokens")).expect(name);
    let mut tokens = tokens.data().as_chunks().0.iter().map(|&bytes| TokenId::from_le_bytes(bytes));
    let mut logprobs = rows("logprobs").expect(name);
    let mut state = rows("state");
    let mut runtime = rows("runtime_logits");
    let lens = shapes.iter().flat_map(|&(time, batch)| std::iter::repeat_n(time, batch));
    lens.map(|len| Sequence {
        tokens: tokens.by_ref().take(len).collect(),
        logprobs: logprobs.by_ref().take(len).collect(),
        state: state
            .as_mut()
            .map(|rows| rows.next().expect("a state for every sequence"))
            .unwrap_or_default(),
        runtime_logits: runtime.as_mut().map(|rows| rows.by_ref().take(len).collect()).unwrap_or_default(),
    })
    .collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// Checks the cases that `concerns` selects, and fails with a line for each case that does not pass.
pub(crate) fn each(concerns: impl Fn(&Case) -> bool, check: impl Fn(&Case) -> Result<(), String>) {
    let cases: Vec<Case> = cases().into_iter().filter(|case| concerns(case)).collect();
    assert!(!cases.is_empty(), "no case to check");
    let failures: BTreeMap<String, String> = cases
        .iter()
        .filter_map(|case| {
            let outcome = catch_unwind(AssertUnwindSafe(|| check(case)));
            let why = outcome.unwrap_or_else(|_| Err("panicked".into())).err()?;
            Some((
                case.path.strip_prefix(onnx_files()).expect("a file of the folder").display().to_string(),
                why,
            ))
        })
        .collect();
    let lines: Vec<String> = failures.iter().map(|(file, why)| format!("{file}: {why}")).collect();
    assert!(lines.is_empty(), "{} of {} cases fail:\n{}", lines.len(), cases.len(), lines.join("\n"));
}
