//! Files that people find in place of a model: what they are, by their first bytes, and what to do about it.

/// What `file` is and how to get at a model, if it is a known kind of file that is none.
pub(crate) fn kind_of(file: &[u8]) -> Option<&'static str> {
    /// Names of the entries of an archive stand near its beginning.
    const HEAD: usize = 4096;

    let head = file.get(..HEAD).unwrap_or(file);
    let has = |part: &[u8]| head.windows(part.len()).any(|window| window == part);
    let text = head.trim_ascii_start().to_ascii_lowercase();
    let starts = |start: &[u8]| head.starts_with(start);
    Some(if head.is_empty() {
        "the file is empty; copy or download it again"
    } else if starts(b"version https://git-lfs.github.com/spec/") {
        "the file is a pointer of Git LFS, which stands for the file itself; run `git lfs pull` in its repository"
    } else if text.starts_with(b"<!doctype html") || text.starts_with(b"<html") {
        "the file is an HTML page; download the file itself (on GitHub and Hugging Face, by the link `raw` or `download`)"
    } else if starts(b"\x1f\x8b") {
        "the file is compressed with gzip; unpack it with `gunzip`, or with `tar -xzf` if it is an archive"
    } else if starts(b"PK\x03\x04") && has(b"/data.pkl") {
        "the file is a checkpoint of PyTorch; export it with `torch.onnx.export`, or give it to `training/convert.py`"
    } else if starts(b"PK\x03\x04") && (has(b"model.weights.h5") || has(b"metadata.json")) {
        "the file is a model of Keras; give it to `training/convert.py`"
    } else if starts(b"PK\x03\x04") {
        "the file is a zip archive; unpack it with `unzip`"
    } else if starts(b"\x89HDF") {
        "the file is in the format HDF5, which Keras writes; give it to `training/convert.py`"
    } else if head.get(4..8) == Some(b"ORTM") {
        "the file is in the format of ONNX Runtime (`.ort`); use the `.onnx` file that it was made from"
    } else if head.get(4..8) == Some(b"TFL3") {
        "the file is a model of TensorFlow Lite; give the model that it was made from to `training/convert.py`"
    } else if matches!(head, [0x80, 2..=5, 1..=255, ..]) {
        "the file is a pickle of Python, such as an old checkpoint of PyTorch; give it to `training/convert.py`"
    } else {
        return None;
    })
}

/// The same where a graph is expected, which safetensors is none of either.
#[cfg(any(feature = "onnx", test))]
pub(crate) fn kind_of_no_graph(file: &[u8]) -> Option<&'static str> {
    let is_safetensors =
        file.get(8) == Some(&b'{') && file.first_chunk::<8>().is_some_and(|len| len[4..] == [0; 4]);
    kind_of(file).or(is_safetensors.then_some(
        "the file is in the format of safetensors; it belongs into a model folder as `model.safetensors`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_files_are_told_by_their_first_bytes() {
        for (file, part) in [
            (&b""[..], "empty"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "`git lfs pull`"),
            (b"\n<!DOCTYPE html>\n<html>", "HTML"),
            (b"\x1f\x8b\x08\0", "gunzip"),
            (b"PK\x03\x04\0\0\0\0archive/data.pkl", "checkpoint of PyTorch"),
            (b"PK\x03\x04\0\0\0\0metadata.json", "model of Keras"),
            (b"PK\x03\x04\0\0\0\0model.onnx", "zip archive"),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (b"\x08\0\0\0ORTM", "`.ort`"),
            (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
            (b"\x80\x02}q\0", "pickle"),
        ] {
            assert!(kind_of(file).is_some_and(|kind| kind.contains(part)), "{part}: {:?}", kind_of(file));
        }
        assert_eq!(kind_of(b"\x08\x08\x12\x07pytorch"), None);
        assert_eq!(kind_of(b"a text"), None);
        assert_eq!(kind_of(b"\x80\x02\0\0\0\0\0\0{"), None, "a header of safetensors of 640 bytes");
        let safetensors = b"\x40\0\0\0\0\0\0\0{\"a\"";
        assert_eq!(kind_of(safetensors), None, "that it is damaged is said by its reader");
        assert!(kind_of_no_graph(safetensors).is_some_and(|kind| kind.contains("`model.safetensors`")));
    }
}
