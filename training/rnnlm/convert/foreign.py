"""Files that are often found in the place of a checkpoint or a vocabulary, told by their first bytes, and what to do about them."""

from __future__ import annotations

HEAD_LEN = 512

POINTER = "a Git LFS pointer, not the file that it points to: fetch that with `git lfs pull`"


def kind_of(head: bytes) -> str | None:
    """What a file that begins with `head` is, if it is one of these."""
    if not head:
        return "empty: copy or download it again"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if is_pointer(head):
        return POINTER
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return "an HTML page, not the file that it links to: download the raw file"
    if head.startswith(b"\x1f\x8b"):
        return "compressed with gzip: unpack it first"
    if head.startswith((b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd")):
        return "a compressed archive: unpack it first"
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it first"
    if head.startswith(b"\x08") and b"pytorch" in head or b"onnx" in head[:64]:
        return "an ONNX graph, which needs no conversion: `rnnlm-server inspect --write-manifest` drafts its manifest"
    if b'"__metadata__"' in head[:64] or head[8:9] == b"{" and b'"dtype"' in head:
        return "a safetensors file: put it in a model folder with a manifest, or convert the checkpoint that it was made from"
    if head.startswith(b"\x93NUMPY"):
        return "a single NumPy array, .npy: networks are read from .npz archives, vocabularies from text, JSON and pickles"
    if text.startswith(b"<?xml"):
        return "an XML document"
    return None


def is_pointer(head: bytes) -> bool:
    """Whether this is what Git stores in the place of a large file."""
    return head.startswith(b"version https://git-lfs")
