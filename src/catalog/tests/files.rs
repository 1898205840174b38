//! What is read of a folder: regular files inside it.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::super::{inspect, load_folder};
use super::*;
use crate::kernels::Kernel;
use crate::probe::Loading;

/// The files that a folder of safetensors is read from.
const FILES: [&str; 3] = ["config.json", "vocab.txt", "model.safetensors"];

fn refusal(folder: &Path) -> String {
    load_folder(folder, Kernel::Portable).err().expect("a folder that is wrong").message
}

#[test]
fn a_link_out_of_the_folder_is_refused_and_one_inside_it_is_followed() {
    let root = temporary();
    let outside = root.path().join("outside");
    Folder::new().write(&outside);
    for file in FILES {
        let folder = root.path().join("model");
        Folder::new().write(&folder);
        let path = folder.join(file);
        std::fs::rename(&path, folder.join("moved")).unwrap();
        symlink("moved", &path).unwrap();
        assert!(load_folder(&folder, Kernel::Portable).is_ok(), "{file}");
        std::fs::remove_file(&path).unwrap();
        for target in [outside.join(file), Path::new("../outside").join(file)] {
            symlink(&target, &path).unwrap();
            let message = refusal(&folder);
            let expected = format!("`{file}` is a symbolic link to a file outside the model's folder");
            assert!(message.contains(&expected), "{}: {message}", target.display());
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn a_folder_that_is_itself_a_link_is_read() {
    let root = temporary();
    Folder::new().write(&root.path().join("real"));
    symlink("real", root.path().join("link")).unwrap();
    assert_eq!(&*load_folder(&root.path().join("link"), Kernel::Portable).unwrap().name, "link");
}

#[test]
fn a_pipe_and_a_device_and_a_folder_are_refused_without_being_opened() {
    let root = temporary();
    for file in FILES {
        let folder = root.path().join(format!("pipe-{file}"));
        Folder::new().write(&folder);
        let path = folder.join(file);
        std::fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        // If the pipe were opened, this would be its other end, so that the test fails and does not hang.
        let writer = path.clone();
        std::thread::spawn(move || File::options().write(true).open(writer).map(drop));
        let expected = format!("`{file}`: found a pipe, a socket or a device, expected a regular file");
        let message = refusal(&folder);
        assert!(message.contains(&expected), "{message}");

        std::fs::remove_file(&path).unwrap();
        symlink("/dev/zero", &path).unwrap();
        let message = refusal(&folder);
        assert!(message.contains(&format!("`{file}` is a symbolic link")), "{message}");

        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let message = refusal(&folder);
        assert!(message.contains(&format!("`{file}`: found a folder")), "{message}");
    }
    let device = root.path().join("zero.safetensors");
    symlink("/dev/zero", &device).unwrap();
    let message = inspect(&device, Kernel::Portable).err().unwrap().message;
    assert!(message.contains("found a pipe, a socket or a device"), "{message}");
}

#[cfg(feature = "onnx")]
#[test]
fn a_graph_may_not_be_a_link_out_of_the_folder() {
    let graph = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/onnx/files/by_hand/lstm-1-layout0-tb.onnx");
    let folder = temporary();
    let words: Vec<String> = ('a'..='k').map(String::from).collect();
    let tokenizer = json!({"kind": "whitespace", "file": "vocab.txt"});
    let manifest = json!({"format_version": 1, "weights": "model.onnx", "tokenizer": tokenizer});
    std::fs::write(folder.path().join("vocab.txt"), words.join("\n")).unwrap();
    std::fs::write(folder.path().join("config.json"), manifest.to_string()).unwrap();
    symlink(graph, folder.path().join("model.onnx")).unwrap();
    let message = refusal(folder.path());
    assert!(message.contains("`model.onnx` is a symbolic link to a file outside"), "{message}");
    std::fs::remove_file(folder.path().join("model.onnx")).unwrap();
    std::fs::copy(graph, folder.path().join("model.onnx")).unwrap();
    assert!(load_folder(folder.path(), Kernel::Portable).is_ok());
}

#[test]
fn weights_are_bounded() {
    let root = temporary();
    Folder::new().write(root.path());
    File::create(root.path().join("model.safetensors")).unwrap().set_len(1 << 40).unwrap();
    let loading = Loading { weights_bytes_max: 1000, ..Kernel::Portable.into() };
    let message = load_folder(root.path(), loading).err().unwrap().message;
    let expected =
        "`model.safetensors`: the file has 1099511627776 bytes; the maximum is 1000 (`--max-weights`)";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn a_manifest_is_bounded() {
    let root = temporary();
    Folder::new().write(root.path());
    File::create(root.path().join("config.json")).unwrap().set_len(1 << 40).unwrap();
    let message = refusal(root.path());
    assert!(message.contains("has 1099511627776 bytes; the maximum is 1048576"), "{message}");
}
