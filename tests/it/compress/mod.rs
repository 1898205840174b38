//! Compressed files come back byte for byte: whatever they hold, beside other work, on another instruction set; and nothing else is
//! decompressed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use proptest::prelude::*;
use rnnlm_server::api::next::NextQuery;
use rnnlm_server::catalog::{Catalog, Served, load_folder};
use rnnlm_server::clock::Clock;
use rnnlm_server::coding::{Checksum, Frame, FrameHead, Header};
use rnnlm_server::config::{self, Config};
use rnnlm_server::error::{Error, ErrorKind, Result};
use rnnlm_server::kernels::Kernel;
use rnnlm_server::lm::{Backend, LoadOptions, WeightsType};
use rnnlm_server::service::{Compressor, Decompressor, Service, Watch, Whole, cut};

use crate::harness::models::{letters, scripted, words, write_letters, write_words};
use crate::harness::root;
use crate::harness::rows::kernels;

/// A service over one model, with one engine.
fn service(model: Served) -> Arc<Service> {
    service_on(model, config::Kernel::Auto)
}

fn service_on(model: Served, kernel: config::Kernel) -> Arc<Service> {
    let mut config = Config::default();
    config.engine.engine_threads = 1;
    config.engine.kernel = kernel;
    let catalog = Catalog::new(vec![model], None).unwrap();
    Arc::new(Service::start(&config, catalog, Arc::default(), Clock::system()).unwrap())
}

/// The compressed file of `bytes`, whose pieces have at most `piece_max` bytes.
async fn compressed(service: &Arc<Service>, bytes: &[u8], piece_max: usize) -> Result<Vec<u8>> {
    let done = Arc::new(AtomicUsize::new(0));
    let mut compressor = Compressor::new(service, counting(&done))?;
    let mut checksum = Checksum::default();
    checksum.update(bytes);
    let mut file = compressor.header(Whole { len: bytes.len() as u64, checksum: checksum.finish() });
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let piece = &rest[..rest.len().min(piece_max)];
        let end = if piece.len() < piece_max { piece.len() } else { cut(piece) };
        pieces.push(&rest[..end]);
        rest = &rest[end..];
    }
    for group in pieces.chunks(Frame::GROUP_LEN) {
        file.extend(compressor.group(group).await?);
    }
    assert_eq!(done.load(Relaxed), bytes.len(), "each byte is reported once");
    Ok(file)
}

/// Adds to `done` the bytes that are done.
fn counting(done: &Arc<AtomicUsize>) -> Watch {
    let done = done.clone();
    Watch::new(move |bytes| _ = done.fetch_add(bytes, Relaxed))
}

async fn decompressed(service: &Arc<Service>, file: &[u8]) -> Result<Vec<u8>> {
    let too_short = || Error::new(ErrorKind::InvalidValue, "too short");
    let (header, mut rest) = file.split_first_chunk::<{ Header::LEN }>().ok_or_else(too_short)?;
    let done = Arc::new(AtomicUsize::new(0));
    let mut decompressor = Decompressor::new(service, header, counting(&done))?;
    let mut bytes = Vec::new();
    let mut code_len = 0;
    while decompressor.rest() > 0 {
        let mut frames: Vec<Frame> = Vec::new();
        let mut left = decompressor.rest();
        while frames.len() < Frame::GROUP_LEN && left > 0 {
            let (head, after) = rest.split_first_chunk::<{ FrameHead::LEN }>().ok_or_else(too_short)?;
            let head = FrameHead::read(head)?;
            let (code, after) = after.split_at_checked(head.code_len()).ok_or_else(too_short)?;
            let frame = head.with_code(code.to_vec())?;
            left = left.saturating_sub(frame.len.into());
            code_len += code.len();
            frames.push(frame);
            rest = after;
        }
        bytes.extend(decompressor.group(frames).await?);
    }
    assert_eq!(done.load(Relaxed), code_len, "each byte is reported once");
    decompressor.finish().map(|()| bytes)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn comes_back(service: &Arc<Service>, bytes: &[u8], piece_max: usize) -> Vec<u8> {
    block_on(async {
        let file = compressed(service, bytes, piece_max).await.unwrap();
        assert!(
            decompressed(service, &file).await.as_deref() == Ok(bytes),
            "{bytes:?} in pieces of {piece_max}"
        );
        file
    })
}

/// Bytes of any kind: what the vocabularies of the tests know, other words, spaces and lines, and bytes that are no text.
fn files() -> impl Strategy<Value = Vec<u8>> {
    let known =
        prop::sample::select(&["the", " old", " man", "\n", " ", "abc", "é", " <unk>", "a\r\n", "\t"][..]);
    let text = prop::collection::vec(prop_oneof![4 => known.prop_map(str::to_owned), 1 => ".{0,6}"], 0..60);
    let text = text.prop_map(|parts| parts.concat().into_bytes());
    let bytes = prop::collection::vec(any::<u8>(), 0..80);
    let mixed = (text.clone(), prop::collection::vec(any::<u8>(), 0..3), text.clone());
    let mixed = mixed.prop_map(|(before, noise, after)| [before, noise, after].concat());
    prop_oneof![text, bytes, mixed]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_file_comes_back(bytes in files(), piece_max in prop_oneof![Just(Frame::LEN_MAX), 1..40_usize], model in 0..3_usize) {
        let model = [words, letters, || scripted(|fake| fake)][model]();
        comes_back(&service(model), &bytes, piece_max);
    }
}

#[test]
fn an_empty_file_is_a_header() {
    assert_eq!(comes_back(&service(words()), b"", Frame::LEN_MAX).len(), Header::LEN);
}

#[test]
fn what_cannot_be_compressed_takes_little_more_than_itself() {
    let noise: Vec<u8> =
        (0..200_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ (i % 251) as u8).collect();
    let file = comes_back(&service(words()), &noise, Frame::LEN_MAX);
    assert!(file.len() < noise.len() + 200, "{} bytes", file.len());
}

#[test]
fn a_corpus_comes_back_beside_other_work_and_is_shorter() {
    let text = std::fs::read(root().join("tests/data/shakespeare-test.txt")).unwrap();
    let text = &text[..20_000];
    let model = load_folder(&root().join("models/shakespeare-rnn"), Kernel::choose(None).unwrap()).unwrap();
    let service = service(model);
    block_on(async {
        let file = compressed(&service, text, 7_000).await.unwrap();
        assert!(file.len() < text.len() / 3, "{} bytes", file.len());
        let others = async {
            loop {
                let query = NextQuery { text: Some("My lord, ".to_owned()), ..NextQuery::default() };
                service.next(query.try_into().unwrap()).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let found = tokio::select! {
            found = decompressed(&service, &file) => found,
            () = others => unreachable!("it has no end"),
        };
        assert!(found.as_deref() == Ok(text));
        // Compressed beside other work, it is the same file.
        let (again, both) =
            tokio::join!(compressed(&service, text, 7_000), compressed(&service, text, 7_000));
        assert!(again == Ok(file.clone()) && both == Ok(file));
    });
}

#[test]
fn a_file_is_the_same_on_every_kernel_of_like_numerics_and_type_of_weights() {
    let root = tempfile::tempdir().unwrap();
    for folder in [write_words(root.path()), write_letters(root.path())] {
        for weights in [WeightsType::F32, WeightsType::Bf16, WeightsType::Int8] {
            let mut files: Vec<(&str, Vec<u8>)> = Vec::new();
            for kernel in kernels() {
                let options = LoadOptions { kernel, weights: Some(weights), fold_bytes_max: 0 };
                let model = load_folder(&folder, options).unwrap();
                let file =
                    comes_back(&service(model), "the old man and the sea abcé ".repeat(9).as_bytes(), 100);
                files.push((kernel.numerics(), file));
            }
            for (numerics, file) in &files {
                let alike = files.iter().filter(|(other, _)| other == numerics);
                // The header names the numerics of the process; what follows is the model's.
                assert!(alike.clone().all(|(_, other)| other[Header::LEN..] == file[Header::LEN..]));
            }
        }
    }
}

#[test]
fn other_numerics_another_model_and_other_weights_are_refused() {
    let bytes = b"the old man";
    let file = comes_back(&service(words()), bytes, Frame::LEN_MAX);
    let refused =
        |service: &Arc<Service>| block_on(decompressed(service, &file)).expect_err("another origin");
    assert!(refused(&service(letters())).message.contains("identity"));
    let root = tempfile::tempdir().unwrap();
    let folder = write_words(root.path());
    let kernel = Kernel::choose(None).unwrap();
    let options = LoadOptions { kernel, weights: Some(WeightsType::Int8), fold_bytes_max: 0 };
    assert!(refused(&service(load_folder(&folder, options).unwrap())).message.contains("identity"));
    if kernel.numerics() != Kernel::Portable.numerics() {
        let model = load_folder(&folder, Kernel::Portable).unwrap();
        let error = refused(&service_on(model, config::Kernel::Portable));
        assert!(error.message.contains("no_fma"), "{}", error.message);
        kernel.make_current();
    }
}

#[test]
fn every_damage_is_refused() {
    let service = service(words());
    let bytes = "the old man and the sea, the ship of stars".as_bytes();
    let file = comes_back(&service, bytes, 30);
    block_on(async {
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << (at % 8);
            let error = decompressed(&service, &damaged).await.expect_err("a flipped bit");
            assert_eq!(error.kind, ErrorKind::InvalidValue, "byte {at}");
            assert!(decompressed(&service, &file[..at]).await.is_err(), "cut after {at} bytes");
        }
    });
}

#[test]
fn a_model_that_tract_runs_is_refused() {
    let service = service(scripted(|fake| fake.computed_by(Backend::Tract)));
    let error = Compressor::new(&service, Watch::new(|_| {})).err().expect("no bits to rely on");
    assert_eq!(error.kind, ErrorKind::NotSupported);
    assert!(error.message.contains("tract"), "{}", error.message);
}
