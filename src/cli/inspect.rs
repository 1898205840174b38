//! `inspect`: what is understood of a model folder or file.

mod report;
mod summary;

use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};

use clap::Args;

use super::failure::{Failure, Outcome};
use super::json;
use crate::catalog::{self, Inspection, Manifest};
use crate::config::Config;
use crate::kernels::Kernel;
use crate::lm::LoadOptions;
use report::Report;
use summary::summary;

#[derive(Args)]
pub(super) struct InspectArgs {
    /// A model folder, an ONNX file, or a safetensors file
    #[arg(value_name = "DIR|FILE")]
    pub path: PathBuf,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Write a config.json to start from beside an ONNX file that has none
    #[arg(long)]
    pub write_manifest: bool,
}

/// Prints all that was understood, and then fails if the folder cannot be served.
pub(super) fn run(args: &InspectArgs) -> Outcome {
    let config = Config::from_environment()?.probed()?;
    let kernel = Kernel::choose(config.engine.kernel.forced())?;
    let native = LoadOptions { weights: config.weights, ..kernel.into() };
    let loading = config.loading(native);
    let mut inspection = catalog::inspect(&args.path, loading.clone())?;
    if args.write_manifest {
        let written = write_manifest(args, &inspection)?;
        writeln!(stderr(), "wrote `{}`", written.display())?;
        // What is still wrong with the folder is said at once.
        inspection = catalog::inspect(folder_of(&args.path), loading)?;
    }
    let summary = summary(&inspection, &args.path);
    let report = Report::new(inspection, summary);
    let out = &mut stdout().lock();
    match args.json {
        true => json::print(out, &report)?,
        false => write!(out, "{report}")?,
    }
    match report.error {
        Some(error) => Err(Failure::Failed(format!("`{}`: {error}", args.path.display()))),
        None => Ok(()),
    }
}

fn write_manifest(args: &InspectArgs, inspection: &Inspection) -> Outcome<PathBuf> {
    let path = args.path.display();
    let manifest = folder_of(&args.path).join(Manifest::FILE);
    let Some(draft) = &inspection.draft else {
        let why = match manifest.exists() {
            true => format!("cannot write `{}`: it exists already", manifest.display()),
            false => format!(
                "`{path}` is no ONNX file without a manifest, which `--write-manifest` writes one for"
            ),
        };
        return Err(Failure::Failed(why));
    };
    match &inspection.error {
        Some(error) if args.path.is_file() && !inspection.lacks_a_manifest() => {
            Err(Failure::Failed(format!("no manifest would make `{path}` load: {error}")))
        }
        _ => Ok(draft.write(folder_of(&args.path))?),
    }
}

/// The folder that a file is in, or the folder itself.
fn folder_of(path: &Path) -> &Path {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}
