//! How a model folder or a weights file is understood, even one that cannot be served: for authors of models.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

use super::draft::Draft;
use super::files::{Limit, read, read_regular};
use super::folder::{Served, graph_without_manifest, load_folder, read_manifest};
use super::guard::guarded;
use super::manifest::{Manifest, NetworkSpec, NormKind};
use super::network::hints_of_folder;
use super::weights::unreadable;
use crate::error::{Error, Result};
use crate::foreign::kind_of;
use crate::lm::{Backend, Cell};
use crate::onnx::{self, Hints, Understanding};
use crate::probe::Loading;

/// What was found at a path.
#[derive(Default)]
pub struct Inspection {
    /// The folder's manifest; `None` where it cannot be read, and for a file.
    pub manifest: Option<Manifest>,
    /// The tensors of a safetensors file, by name; empty where it cannot be read.
    pub tensors: Vec<TensorHead>,
    /// How an ONNX file was understood; `None` where it cannot be read.
    pub understanding: Option<Understanding>,
    /// A manifest to start from, for an ONNX file without one.
    pub draft: Option<Draft>,
    /// The model of a folder.
    pub served: Option<Served>,
    /// What runs the model of a folder, or the graph.
    pub backend: Option<Backend>,
    /// Why the folder or the graph cannot be served.
    pub error: Option<Error>,
}

impl Inspection {
    /// Whether all that a refused graph lacks is a key of the manifest, which says how it is read.
    pub fn lacks_a_manifest(&self) -> bool {
        let is_open = |found: &Understanding| {
            found.reads.is_none() && (found.network.is_some() || found.interface.is_some())
        };
        self.error.is_some() && self.understanding.as_ref().is_some_and(is_open)
    }
}

/// A tensor of a file, whatever it is used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorHead {
    /// Its name.
    pub name: String,
    /// Its type, as safetensors calls it.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// The architecture that follows from the shapes of a file's tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitting {
    /// The cells whose gates fit.
    pub cells: Vec<Cell>,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Columns of the embedding.
    pub embedding_size: usize,
    /// Units of each layer.
    pub hidden_sizes: Vec<usize>,
    /// Width of an LSTM's projected h.
    pub proj_size: Option<usize>,
    /// Whether the output layer's weights are the embedding.
    pub tie_weights: bool,
    /// What stands before each layer, and last before the output layer.
    pub norms: Vec<NormKind>,
}

/// Inspects the model folder, the safetensors file or the ONNX file at `path`; a file that the manifest beside it names is inspected with
/// its folder.
///
/// # Errors
/// `Load` for anything else, and for a file that cannot be read. What is wrong with a folder or a graph is in [`Inspection::error`].
pub fn inspect(path: &Path, loading: impl Into<Loading>) -> Result<Inspection> {
    let loading = &loading.into();
    if path.is_dir() {
        return Ok(match graph_without_manifest(path) {
            Some(file) => Inspection {
                error: load_folder(path, loading.clone()).err(),
                ..inspect_graph(&file, loading)?
            },
            None => inspect_folder(path, loading),
        });
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => {
            let within = |error: Error| error.within(format!("`{}`", path.display()));
            let bytes = read_regular(path, Limit::Weights(loading.weights_bytes_max)).map_err(within)?;
            let tensors = tensors_of(&bytes).map_err(within)?;
            Ok(Inspection { tensors, ..Inspection::default() })
        }
        Some("onnx") => match folder_that_names(path) {
            Some(folder) => Ok(inspect_folder(folder, loading)),
            None => inspect_graph(path, loading),
        },
        _ => Err(no_model(path)),
    }
}

/// The folder of `path`, if it has a manifest whose weights are in this file.
fn folder_that_names(path: &Path) -> Option<&Path> {
    let folder = path.parent()?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let manifest = read_manifest(folder).ok()?;
    (path.file_name()? == manifest.weights.as_str()).then_some(folder)
}

/// Why nothing is made of the file `path`.
fn no_model(path: &Path) -> Error {
    let what = match head_of(path).map(|head| kind_of(&head)) {
        Err(error) => format!("cannot be read: {error}"),
        Ok(Some(kind)) => format!("is no model: {kind}"),
        Ok(None) => "is not a folder".to_owned(),
    };
    Error::load(format!(
        "`{}` {what}; expected a model folder, an `.onnx` file or a `.safetensors` file",
        path.display()
    ))
}

/// The first bytes of a file.
fn head_of(path: &Path) -> io::Result<Vec<u8>> {
    const HEAD: u64 = 4096;

    // Opening a pipe would wait for whoever writes into it.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

fn inspect_folder(folder: &Path, loading: &Loading) -> Inspection {
    let (served, error) = match load_folder(folder, loading.clone()) {
        Ok(served) => (Some(served), None),
        Err(error) => (None, Some(error)),
    };
    let Ok(manifest) = read_manifest(folder) else {
        return Inspection { error, ..Inspection::default() };
    };
    let limit = Limit::Weights(loading.weights_bytes_max);
    let (tensors, understanding) = match &manifest.network {
        NetworkSpec::Declared(_) => {
            (read_tensors(folder, &manifest.weights, limit).unwrap_or_default(), None)
        }
        NetworkSpec::Graph(spec) => {
            let path = folder.join(&manifest.weights);
            let hints = hints_of_folder(folder, &manifest, spec, loading.probe.as_ref());
            let examined = || Some(guarded(|| onnx::examine(&path, &hints, loading)).ok()?.understanding);
            let loaded = served.as_ref().and_then(|served| served.understanding.as_deref().cloned());
            (Vec::new(), loaded.or_else(examined))
        }
    };
    let backend = served.as_ref().map(|served| served.model.info().backend);
    Inspection { manifest: Some(manifest), tensors, understanding, served, backend, error, draft: None }
}

/// A graph without a manifest. The padding, which only a manifest can name, does not affect how it is understood.
fn inspect_graph(path: &Path, loading: &Loading) -> Result<Inspection> {
    let examine = |hints: &Hints| {
        let examined = guarded(|| onnx::examine(path, hints, loading));
        examined.map_err(|error| error.within(format!("`{}`", path.display())))
    };
    let alone = examine(&Hints::default())?;
    let drafted = alone.understanding.interface.clone().filter(|drafted| drafted.window.is_some());
    let onnx::Examined { understanding, model } = match drafted {
        Some(drafted) => examine(&Hints { pad: Some(0), ..drafted })?,
        None => alone,
    };
    let draft = path.file_name().and_then(|name| name.to_str()).map(|name| {
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        Draft::new(&folder, name, &understanding, loading.probe.as_ref())
    });
    let backend = model.as_ref().ok().map(|model| model.info().backend);
    let understanding = Some(understanding);
    Ok(Inspection { understanding, draft, backend, error: model.err(), ..Inspection::default() })
}

fn read_tensors(folder: &Path, file: &str, limit: Limit) -> Result<Vec<TensorHead>> {
    let bytes = read(folder, file, limit)?;
    tensors_of(&bytes).map_err(|error| error.within(format!("`{file}`")))
}

/// The tensors of a safetensors file, by rising name.
fn tensors_of(bytes: &[u8]) -> Result<Vec<TensorHead>> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| unreadable(bytes, error))?;
    let mut heads: Vec<TensorHead> = tensors
        .iter()
        .map(|(name, tensor)| TensorHead {
            name: name.to_owned(),
            dtype: tensor.dtype().to_string(),
            shape: tensor.shape().to_vec(),
        })
        .collect();
    heads.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(heads)
}

impl Fitting {
    /// The architecture of `tensors`, if their names and shapes are those of one.
    pub fn of(tensors: &[TensorHead]) -> Option<Self> {
        let shape = |name: &str| {
            let tensor = tensors.iter().find(|tensor| tensor.name == name)?;
            <[usize; 2]>::try_from(tensor.shape.as_slice()).ok()
        };
        let [vocab_size, embedding_size] = shape("encoder.weight")?;
        let proj_size = shape("rnn.weight_hr_l0").map(|[width, _]| width);
        let layer = |k: usize| {
            let [rows, width] = shape(&format!("rnn.weight_hh_l{k}"))?;
            let projection = shape(&format!("rnn.weight_hr_l{k}"));
            Some([rows, projection.map_or(width, |[_, hidden]| hidden)])
        };
        let layers: Vec<[usize; 2]> = (0..).map_while(layer).collect();
        let &[rows, hidden] = layers.first()?;
        let cells = Cell::ALL.into_iter().filter(|cell| cell.gates() * hidden == rows).collect::<Vec<_>>();
        let gates = cells.first()?.gates();
        let fits = layers.iter().all(|[rows, hidden]| gates * hidden == *rows);
        fits.then(|| Self {
            cells,
            vocab_size,
            embedding_size,
            hidden_sizes: layers.iter().map(|[_, hidden]| *hidden).collect(),
            proj_size,
            tie_weights: shape("decoder.weight").is_none(),
            norms: (0..=layers.len()).map(|k| norm_kind(tensors, k)).collect(),
        })
    }
}

/// What stands before layer `k`, by the names of tensors.
fn norm_kind(tensors: &[TensorHead], k: usize) -> NormKind {
    let has = |part: &str| tensors.iter().any(|tensor| tensor.name == format!("norm.{k}.{part}"));
    match (has("running_mean"), has("weight")) {
        (true, _) => NormKind::Batch,
        (false, true) => NormKind::Layer,
        (false, false) => NormKind::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(name: &str, shape: &[usize]) -> TensorHead {
        TensorHead { name: name.into(), dtype: "F32".into(), shape: shape.into() }
    }

    #[test]
    fn the_architecture_follows_from_the_shapes() {
        let mut tensors = vec![
            head("encoder.weight", &[10, 3]),
            head("rnn.weight_hh_l0", &[8, 2]),
            head("rnn.weight_hh_l1", &[20, 5]),
        ];
        let fitting = Fitting::of(&tensors).unwrap();
        assert_eq!(fitting.cells, [Cell::Lstm]);
        assert_eq!((fitting.vocab_size, fitting.embedding_size), (10, 3));
        assert_eq!(fitting.hidden_sizes, [2, 5]);
        assert!(fitting.tie_weights);
        assert_eq!((fitting.proj_size, fitting.norms), (None, vec![NormKind::None; 3]));
        tensors[1] = head("rnn.weight_hh_l0", &[2, 2]);
        assert_eq!(Fitting::of(&tensors), None, "layers of different cells");
        tensors.pop();
        assert_eq!(Fitting::of(&tensors).unwrap().cells, [Cell::RnnTanh, Cell::RnnRelu, Cell::RnnSigmoid]);
    }

    #[test]
    fn projections_and_norms_follow_from_the_names() {
        let tensors = [
            head("encoder.weight", &[10, 3]),
            head("rnn.weight_hh_l0", &[20, 2]),
            head("rnn.weight_hr_l0", &[2, 5]),
            head("norm.0.weight", &[3]),
            head("norm.1.running_mean", &[2]),
        ];
        let fitting = Fitting::of(&tensors).unwrap();
        assert_eq!(
            (fitting.cells, fitting.hidden_sizes, fitting.proj_size),
            (vec![Cell::Lstm], vec![5], Some(2))
        );
        assert_eq!(fitting.norms, [NormKind::Layer, NormKind::Batch]);
    }
}
