//! Folders that load: what is served, under which name, and which one is meant where none is named.

use super::super::{Catalog, Selection, Served, load_folder};
use super::*;
use crate::error::ErrorKind;
use crate::kernels::Kernel;
use crate::lm::{LoadOptions, Logits, Row, Scratch, State, WeightsType};
use crate::probe::Loading;
use crate::text::Joint;

fn selection(models: &Path) -> Selection {
    Selection {
        models: models.to_owned(),
        default_model: None,
        strict: false,
        loading: Kernel::Portable.into(),
    }
}

/// A folder of model folders with these names.
fn models(names: &[&str]) -> TempDir {
    let place = temporary();
    names.iter().for_each(|name| Folder::new().write(&place.path().join(name)));
    place
}

fn loaded(change: impl FnOnce(&mut Folder)) -> Served {
    let mut folder = Folder::new();
    change(&mut folder);
    let place = temporary();
    let path = place.path().join("sea");
    folder.write(&path);
    load_folder(&path, Kernel::Portable).expect("a folder that is right")
}

#[test]
fn a_sequence_starts_after_the_initial_tokens() {
    let served = loaded(|_| ());
    assert_eq!((&*served.name, served.initial_tokens.as_slice()), ("sea", &[1][..]));
    let mut state = served.model.start_state();
    let mut rows = [Row::new(&mut state, &[1], Logits::None)];
    served.model.run(&mut rows, &mut Scratch::new(0), &mut |_, _, _| ());
    assert_eq!(served.start, state);
    assert_ne!(served.start, served.model.start_state());
    assert_eq!((served.start_tail.tokens(), served.start_tail.joint), (&[1][..], Joint::Open));

    let bare = loaded(|folder| *folder.key("/initial_tokens") = json!([]));
    assert_eq!((bare.start, bare.start_tail.tokens()), (State::zeros(4), &[][..]));
}

/// Options that panic when they are asked for.
struct Panicking;

impl From<Panicking> for Loading {
    fn from(_: Panicking) -> Self {
        panic!("no options")
    }
}

#[test]
fn a_panic_while_a_folder_is_read_is_an_error_of_this_folder() {
    let place = models(&["sea"]);
    let error = load_folder(&place.path().join("sea"), Panicking).err().unwrap();
    assert_eq!((error.kind, &*error.message), (ErrorKind::Load, "a bug: reading it panicked: no options"));
}

#[test]
fn tied_weights_and_absent_biases_load() {
    let served = loaded(|folder| {
        *folder.key("/architecture/embedding_size") = json!(2);
        *folder.key("/architecture/tie_weights") = json!(true);
        folder.tensors = vec![
            Tensor::f32("encoder.weight", &[4, 2]),
            Tensor::f32("rnn.weight_ih_l0", &[8, 2]),
            Tensor::f32("rnn.weight_hh_l0", &[8, 2]),
        ];
    });
    assert_eq!(served.model.info().parameter_count, 8 + 16 + 16);
}

#[test]
fn the_identity_follows_weights_and_architecture_alone() {
    let first = loaded(|_| ()).identity;
    assert_eq!(first.len(), 64);
    assert_eq!(
        loaded(|folder| folder.vocabulary =
            folder.vocabulary.to_uppercase().replace("<UNK>", "<unk>").replace("<EOS>", "<eos>"))
        .identity,
        first
    );
    assert_ne!(loaded(|folder| folder.tensor("decoder.bias").data[0] ^= 1).identity, first);

    let gru = |linear_before_reset: bool| {
        loaded(|folder| {
            *folder.key("/architecture/cell") = json!("gru");
            *folder.key("/architecture/gru_linear_before_reset") = json!(linear_before_reset);
            for (name, shape) in [("rnn.weight_ih_l0", &[6, 3][..]), ("rnn.weight_hh_l0", &[6, 2])] {
                *folder.tensor(name) = Tensor::f32(name, shape);
            }
            for name in ["rnn.bias_ih_l0", "rnn.bias_hh_l0"] {
                *folder.tensor(name) = Tensor::f32(name, &[6]);
            }
        })
        .identity
    };
    assert_ne!(gru(true), gru(false));
}

/// The model of a folder whose tensors are all of type `dtype`, its manifest changed by `change`.
fn held(dtype: Dtype, options: LoadOptions, change: impl FnOnce(&mut Folder)) -> Served {
    let mut folder = Folder::new();
    if dtype == Dtype::BF16 {
        for tensor in &mut folder.tensors {
            let (words, _) = tensor.data.as_chunks::<4>();
            tensor.data = words.iter().flat_map(|&[_, _, low, high]| [low, high]).collect();
            tensor.dtype = Dtype::BF16;
        }
    }
    change(&mut folder);
    let place = temporary();
    let path = place.path().join("sea");
    folder.write(&path);
    load_folder(&path, options).expect("a folder that is right")
}

fn option(weights: Option<WeightsType>) -> LoadOptions {
    LoadOptions { weights, ..Kernel::Portable.into() }
}

#[test]
fn the_option_decides_what_weights_are_held_as_and_else_the_manifest() {
    let manifest = |folder: &mut Folder| *folder.key("/weights_dtype") = json!("bf16");
    let dtype = |served: Served| served.model.info().weights_dtype.name();
    assert_eq!(dtype(held(Dtype::F32, option(None), |_| ())), "f32");
    assert_eq!(dtype(held(Dtype::BF16, option(None), |_| ())), "bf16");
    assert_eq!(dtype(held(Dtype::F32, option(None), manifest)), "bf16");
    assert_eq!(dtype(held(Dtype::F32, option(Some(WeightsType::AsStored)), manifest)), "f32");
    assert_eq!(dtype(held(Dtype::BF16, option(Some(WeightsType::F32)), manifest)), "f32");
}

#[test]
fn the_identity_changes_where_weights_are_rounded_and_not_where_they_are_widened() {
    let identity = |dtype, weights| held(dtype, option(Some(weights)), |_| ()).identity;
    let f32s = identity(Dtype::F32, WeightsType::AsStored);
    assert_eq!(identity(Dtype::F32, WeightsType::F32), f32s);
    assert_ne!(identity(Dtype::F32, WeightsType::Bf16), f32s);
    let bf16s = identity(Dtype::BF16, WeightsType::AsStored);
    assert_eq!(identity(Dtype::BF16, WeightsType::F32), bf16s);
    assert_eq!(identity(Dtype::BF16, WeightsType::Bf16), bf16s);
}

#[test]
fn one_folder_or_a_folder_of_them() {
    let place = models(&["sea", "air"]);
    std::fs::create_dir(place.path().join("notes")).unwrap();
    let all = Catalog::load(&selection(place.path())).unwrap();
    assert_eq!(all.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["air", "sea"]);
    assert!(all.failures().is_empty());
    let one = Catalog::load(&selection(&place.path().join("sea/."))).unwrap();
    assert_eq!(one.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["sea"]);
}

#[test]
fn the_default_is_the_one_asked_for_or_classics_or_the_first() {
    let with_classics = models(&["sea", "air", "classics"]);
    let without = models(&["sea", "air"]);
    let default = |place: &TempDir, name: Option<&str>| {
        let selection = Selection { default_model: name.map(str::to_owned), ..selection(place.path()) };
        Catalog::load(&selection).map(|catalog| catalog.get(None).unwrap().name.clone())
    };
    assert_eq!(&*default(&with_classics, None).unwrap(), "classics");
    assert_eq!(&*default(&without, None).unwrap(), "air");
    assert_eq!(&*default(&with_classics, Some("sea")).unwrap(), "sea");
    let error = default(&without, Some("classics")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config);
    assert_eq!(error.message, "the default model `classics` was not found; the models are `air`, `sea`");
}

#[test]
fn an_unknown_model_is_answered_with_those_there_are() {
    let place = models(&["sea", "air"]);
    let catalog = Catalog::load(&selection(place.path())).unwrap();
    assert_eq!(&*catalog.get(Some("sea")).unwrap().name, "sea");
    let error = catalog.get(Some("land")).err().unwrap();
    assert_eq!(error.kind, ErrorKind::ModelNotFound);
    assert_eq!(error.message, "no model `land`; the models are `air`, `sea`");
}

#[test]
fn a_folder_that_fails_is_reported_and_skipped_unless_all_must_load() {
    let place = models(&["sea", "land"]);
    std::fs::write(place.path().join("land/vocab.txt"), "a\n").unwrap();
    std::fs::create_dir(place.path().join("bare")).unwrap();
    std::fs::write(place.path().join("bare/model.onnx"), "").unwrap();

    let catalog = Catalog::load(&selection(place.path())).unwrap();
    assert_eq!(catalog.iter().count(), 1);
    let failures: Vec<String> = catalog
        .failures()
        .iter()
        .map(|failure| format!("{}: {}", failure.folder.file_name().unwrap().display(), failure.error))
        .collect();
    let asks = "bare: `model.onnx` has no manifest; `rnnlm-server inspect ";
    assert!(
        failures[0].starts_with(asks) && failures[0].contains("model.onnx --write-manifest`"),
        "{}",
        failures[0]
    );
    assert!(
        failures[1].starts_with("land: `tokenizer` with `vocab.txt`: `unk` is `<unk>`"),
        "{}",
        failures[1]
    );

    let error = Catalog::load(&Selection { strict: true, ..selection(place.path()) }).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Load);
    assert!(
        error.message.contains("bare`: `model.onnx` has no manifest")
            && error.message.contains("land`: `tokenizer`"),
        "{error}"
    );
}

#[test]
fn nothing_to_serve_is_a_failure() {
    let place = temporary();
    let error = Catalog::load(&selection(place.path())).err().unwrap();
    assert!(error.message.starts_with("no model in `"), "{error}");
    let error = Catalog::load(&selection(&place.path().join("nowhere"))).err().unwrap();
    assert!(error.message.starts_with("cannot read the models in `"), "{error}");
    assert_eq!(Catalog::new(Vec::new(), None).err().unwrap().kind, ErrorKind::Config);
}
