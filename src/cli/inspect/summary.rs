//! The first line of a report: what was found, what runs it, whether its state is kept, and what to do next.

use std::path::Path;

use super::folder_of;
use crate::catalog::{Inspection, Manifest, NetworkSpec};
use crate::lm::Backend;
use crate::onnx::{Reads, Understanding};

/// The line about what was found at `path`.
pub(super) fn summary(inspection: &Inspection, path: &Path) -> String {
    let next = next(inspection, path);
    let what = what(inspection);
    match inspection.backend {
        None if inspection.error.is_some() => {
            format!("{what}, which cannot be served as it is; next: {next}")
        }
        None => format!("{what}; next: {next}"),
        Some(backend) => {
            let by = match backend {
                Backend::Native => "run by the native engine",
                Backend::Tract => "run by tract, which is slower than the native engine",
            };
            let reads = reads(inspection.understanding.as_ref().and_then(|found| found.reads));
            format!("{what}, {by}; {reads}; next: {next}")
        }
    }
}

fn what(inspection: &Inspection) -> String {
    let declared = inspection.manifest.as_ref().and_then(|manifest| match &manifest.network {
        NetworkSpec::Declared(network) => Some(&network.architecture),
        NetworkSpec::Graph(_) => None,
    });
    let lowered = inspection.understanding.as_ref().and_then(|found| found.network.as_ref());
    if let Some(network) = declared.or(lowered.map(|network| &network.architecture)) {
        let layers = network.hidden_sizes.len();
        let plural = if layers == 1 { "" } else { "s" };
        let cell = network.cell.name();
        return format!("a network with {layers} {cell} layer{plural} and {} tokens", network.vocab_size);
    }
    let feed_forward = inspection.understanding.as_ref().and_then(|found| found.feed_forward.as_ref());
    if let Some(network) = feed_forward {
        let layers = network.hidden.len();
        let plural = if layers == 1 { "" } else { "s" };
        return format!(
            "a feed-forward network with {layers} hidden layer{plural} and {} tokens",
            network.vocab_size
        );
    }
    let what = match &inspection.understanding {
        Some(Understanding { layers, .. }) if layers.is_empty() => "an ONNX graph without recurrent layers",
        Some(_) => "an ONNX graph with recurrent layers that is not a network of the native engine",
        None if inspection.tensors.is_empty() => "a model folder",
        None => "a safetensors file",
    };
    what.to_owned()
}

fn reads(reads: Option<Reads>) -> String {
    match reads {
        // A safetensors file is always read in this way.
        None | Some(Reads::State) => "its state is kept from token to token".to_owned(),
        Some(Reads::LostState) => {
            "the graph does not show its state, which is kept from token to token all the same".to_owned()
        }
        Some(Reads::Window(1)) => "it keeps no state and reads one token at a time".to_owned(),
        Some(Reads::Window(len)) => {
            format!("it keeps no state and reads the last {len} tokens at every position")
        }
    }
}

fn next(inspection: &Inspection, path: &Path) -> String {
    let folder = folder_of(path).display();
    let path = path.display();
    match (&inspection.error, &inspection.draft) {
        (Some(_), Some(_)) if inspection.lacks_a_manifest() => {
            format!(
                "`rnnlm-server inspect {path} --write-manifest` writes a {} to complete as the error says",
                Manifest::FILE
            )
        }
        (Some(_), _) => "mend what the error names".to_owned(),
        (None, Some(draft)) if draft.has_vocabulary() => {
            format!("`rnnlm-server inspect {path} --write-manifest`")
        }
        (None, Some(_)) => format!(
            "put its vocabulary beside it, as `vocab.txt` (one token a line) or `tokenizer.json`, then `rnnlm-server inspect {path} --write-manifest`"
        ),
        (None, None) if inspection.served.is_some() => format!("`rnnlm-server serve --models {folder}`"),
        (None, None) => format!("describe it in a {} beside it (docs/models.md)", Manifest::FILE),
    }
}
