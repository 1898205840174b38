//! How a model folder or a weights file is understood, also one that cannot be served: for those who make one.

use std::path::Path;

use safetensors::SafeTensors;

use super::folder::{Served, load_folder, read, read_manifest};
use super::manifest::{Manifest, OutputWeights};
use super::weights::unreadable;
use crate::error::{Error, Result};
use crate::lm::Cell;
use crate::rnn::Kernel;

/// What was found at a path.
pub struct Inspection {
    /// What the folder's manifest says; `None` where it cannot be read, and for a file.
    pub manifest: Option<Manifest>,
    /// The tensors of the weights' file, by name; empty where it cannot be read.
    pub tensors: Vec<TensorHead>,
    /// The model of a folder, or why it cannot be served; `None` for a file, which lacks a tokenizer.
    pub served: Option<Result<Served>>,
}

/// A tensor of a file, whatever it is for.
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
    /// Where the output layer's weights come from.
    pub output_weights: OutputWeights,
}

/// Inspects the model folder or the safetensors file at `path`.
///
/// # Errors
/// `Load` when it is neither, or a file that cannot be read. What is wrong with a folder is in [`Inspection::served`].
pub fn inspect(path: &Path, kernel: Kernel) -> Result<Inspection> {
    if path.is_dir() {
        let manifest = read_manifest(path).ok();
        let tensors = manifest.as_ref().and_then(|manifest| read_tensors(path, &manifest.weights).ok());
        let served = Some(load_folder(path, kernel));
        return Ok(Inspection { manifest, tensors: tensors.unwrap_or_default(), served });
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => {
            let tensors = read_tensors(Path::new(""), &path.to_string_lossy())?;
            Ok(Inspection { manifest: None, tensors, served: None })
        }
        Some("onnx") => Err(Error::load(format!(
            "`{}` is an ONNX file, which this version does not read; expected a model folder or a `.safetensors` file",
            path.display()
        ))),
        _ => Err(Error::load(format!(
            "`{}` is no folder, expected a model folder or a `.safetensors` file",
            path.display()
        ))),
    }
}

fn read_tensors(folder: &Path, file: &str) -> Result<Vec<TensorHead>> {
    let bytes = read(folder, file)?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|error| unreadable(&bytes, error).within(format!("`{file}`")))?;
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
    /// The architecture of `tensors`, if they have the names and the shapes of one.
    pub fn of(tensors: &[TensorHead]) -> Option<Self> {
        let shape = |name: &str| {
            let tensor = tensors.iter().find(|tensor| tensor.name == name)?;
            <[usize; 2]>::try_from(tensor.shape.as_slice()).ok()
        };
        let [vocab_size, embedding_size] = shape("encoder.weight")?;
        let layers: Vec<[usize; 2]> = (0..).map_while(|k| shape(&format!("rnn.weight_hh_l{k}"))).collect();
        let &[rows, hidden] = layers.first()?;
        let cells = Cell::ALL.into_iter().filter(|cell| cell.gates() * hidden == rows).collect::<Vec<_>>();
        let gates = cells.first()?.gates();
        let fits = layers.iter().all(|[rows, hidden]| gates * hidden == *rows);
        fits.then(|| Self {
            cells,
            vocab_size,
            embedding_size,
            hidden_sizes: layers.iter().map(|[_, hidden]| *hidden).collect(),
            output_weights: match shape("decoder.weight") {
                Some(_) => OutputWeights::Own,
                None => OutputWeights::Tied,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(name: &str, shape: &[usize]) -> TensorHead {
        TensorHead { name: name.into(), dtype: "F32".into(), shape: shape.into() }
    }

    #[test]
    fn shapes_give_the_architecture_away() {
        let mut tensors = vec![
            head("encoder.weight", &[10, 3]),
            head("rnn.weight_hh_l0", &[8, 2]),
            head("rnn.weight_hh_l1", &[20, 5]),
        ];
        let fitting = Fitting::of(&tensors).unwrap();
        assert_eq!(fitting.cells, [Cell::Lstm]);
        assert_eq!((fitting.vocab_size, fitting.embedding_size), (10, 3));
        assert_eq!(
            (fitting.hidden_sizes.as_slice(), fitting.output_weights),
            (&[2, 5][..], OutputWeights::Tied)
        );
        tensors[1] = head("rnn.weight_hh_l0", &[2, 2]);
        assert_eq!(Fitting::of(&tensors), None, "layers of different cells");
        tensors.pop();
        assert_eq!(Fitting::of(&tensors).unwrap().cells, [Cell::RnnTanh, Cell::RnnRelu, Cell::RnnSigmoid]);
    }
}
