"""Files that lie, attack, or are something else: an error names each, and nothing is run or written."""

import codecs
import contextlib
import functools
import importlib
import json
import os
import pathlib
import pickle
import subprocess
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

import convert
from conftest import refusal, run
from rnnlm.convert import READERS, vocabularies
from rnnlm.errors import InputError
from torch_sources import WORDS, RNNModel


class Call:
    """An object whose pickle is a call of `function`."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple]:
        return self.call


def calls(mark: pathlib.Path) -> dict[str, object]:
    """Calls that would create `mark`, or could be made to, by the end of the name that the refusal must state."""
    touch = f"touch '{mark}'"
    write = f"open({str(mark)!r}, 'w')"
    return {
        ".system": Call(os.system, touch),
        "builtins.eval": Call(eval, write),
        "builtins.exec": Call(exec, write),
        ".open": Call(open, str(mark), "w"),
        ".Popen": Call(subprocess.Popen, ["touch", str(mark)]),
        ".decode": Call(codecs.decode, b"6f", "hex"),
        "_codecs.encode": Call(codecs.encode, "text", "rot13"),
        ".load": Call(torch.load, str(mark)),
        "torch.storage._load_from_bytes": Call(torch.storage._load_from_bytes, b""),
        ".save": Call(np.save, str(mark), 1),
        "functools.partial": Call(functools.partial, print),
        "importlib.import_module": Call(importlib.import_module, "antigravity"),
    }


NAMES = list(calls(pathlib.Path("mark")))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_hostile_checkpoint(words, tmp_path, name, form):
    mark = tmp_path / "mark"
    value = {"model": RNNModel("LSTM", len(WORDS), 4, 4, 1).state_dict(), "extra": calls(mark)[name]}
    path = tmp_path / ("model.pkl" if form == "pickle" else "model.pt")
    if form == "pickle":
        path.write_bytes(pickle.dumps([np.zeros(3), value["extra"]]))
    else:
        torch.save(value, path, _use_new_zipfile_serialization=form == "zip")
    message = refusal(convert, path, tmp_path / "model", "--vocab", words)
    assert f"{name}`" in message
    assert not mark.exists() and not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", NAMES)
def test_hostile_vocabulary(tmp_path, name):
    mark = tmp_path / "mark"
    path = tmp_path / "vocab.pkl"
    path.write_bytes(pickle.dumps(({"a": 0}, calls(mark)[name])))
    with pytest.raises(InputError) as caught:
        vocabularies.read(path)
    assert f"{name}`" in str(caught.value) and not mark.exists()


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        # `getattr` of a class that is allowed, then a call.
        (b"cbuiltins\ngetattr\n(cnumpy\nndarray\nVtofile\ntR(Vmark\ntR.", "`builtins.getattr`"),
        # A path through an allowed function.
        (b"cnumpy._core.multiarray\n_reconstruct.__globals__\n.", "_reconstruct.__globals__`"),
        # An array of objects whose type claims that its bytes need no care.
        (b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR(I1\n(I1\ntcnumpy\ndtype\n(VO8\nI00\nI01\ntR(I3\nV|\nNNNI-1\nI-1\nI0\ntbI00\nVAAAAAAAA\ntb.", "the type `|O8`; only numbers are read"),
    ],
)
def test_ways_around_the_list(words, tmp_path, monkeypatch, attack, message):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("model/data.pkl", attack)
    (tmp_path / "model.pkl").write_bytes(attack)
    refusal(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words)
    assert message in refusal(convert, tmp_path / "model.pkl", tmp_path / "model", "--vocab", words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pkl", "model.pt", "words.txt"]


def test_getattr_of_a_whole_module_gives_nothing(words, tmp_path):
    """AWD-LSTM's modules hold a bound method, so the name is allowed; its result is inert."""
    attack = b"\x80\x02cbuiltins\ngetattr\ncnumpy\nndarray\nX\x07\x00\x00\x00__new__\x86R."
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("model/data.pkl", attack)
    assert "holds no PyTorch module" in refusal(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words)


def other_networks() -> dict[str, tuple[nn.Module, str]]:
    plain = RNNModel("LSTM", len(WORDS), 6, 6, 1)
    bidirectional = RNNModel("LSTM", len(WORDS), 6, 6, 1)
    bidirectional.rnn = nn.LSTM(6, 6, bidirectional=True)
    plain.norm = nn.LayerNorm(6)
    return {
        "transformer": (nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 1, enable_nested_tensor=False), "layers.0"),
        "layer norm": (plain, "unexpected `norm.bias` (6,)"),
        "bidirectional": (bidirectional, "`rnn.bias_hh_l0_reverse`"),
        "convolution": (nn.Sequential(nn.Conv2d(1, 2, 3)), "`0.bias`"),
    }


@pytest.mark.parametrize("name", other_networks())
def test_checkpoint_of_another_architecture(words, tmp_path, name):
    module, message = other_networks()[name]
    torch.save(module.state_dict(), tmp_path / "model.pt")
    assert message in refusal(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_is_refused(words, tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "model.pt")
    assert "TorchScript" in refusal(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words)


@pytest.mark.parametrize("data", [b"", b"text", b"PK\x03\x04", b"\x80\x02.", b"\x89HDF\r\n\x1a\n", b"\x80\x05]."])
def test_files_of_no_source(words, tmp_path, data):
    (tmp_path / "model.pt").write_bytes(data)
    refusal(convert, tmp_path / "model.pt", tmp_path / "model", "--vocab", words)


def test_missing_files_and_empty_folders(words, tmp_path):
    assert "cannot be read" in refusal(convert, tmp_path / "none.pt", tmp_path / "model", "--vocab", words)
    assert "neither `manifest.json`" in refusal(convert, tmp_path, tmp_path / "model", "--vocab", words)


@pytest.fixture
def saved(tmp_path) -> pathlib.Path:
    """A checkpoint that can be converted."""
    torch.save(RNNModel("LSTM", len(WORDS), 4, 4, 1).state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_cut_and_damaged_checkpoints(words, tmp_path, saved):
    for zipped in (True, False):
        torch.save(RNNModel("LSTM", len(WORDS), 4, 4, 1).state_dict(), saved, _use_new_zipfile_serialization=zipped)
        whole = saved.read_bytes()
        for length in range(0, len(whole), len(whole) // 23):
            saved.write_bytes(whole[:length])
            refusal(convert, saved, tmp_path / "model", "--vocab", words)
        for place in range(0, len(whole), len(whole) // 211):
            saved.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
            with contextlib.suppress(InputError):
                run(convert, saved, tmp_path / f"model-{zipped}-{place}", "--vocab", words)


def test_nothing_is_overwritten(words, tmp_path, saved):
    (tmp_path / "model").mkdir()
    assert "is not overwritten" in refusal(convert, saved, tmp_path / "model", "--vocab", words)
    assert list((tmp_path / "model").iterdir()) == []


def test_vocabulary_must_be_there_and_of_the_size(words, tmp_path, saved):
    assert "name it with --vocab" in refusal(convert, saved, tmp_path / "model")
    words.write_text("\n".join(WORDS[:-1]))
    assert "has 10 entries, the checkpoint 11" in refusal(convert, saved, tmp_path / "model", "--vocab", words)
    words.write_text("\n".join([*WORDS[:-1], WORDS[0]]))
    assert "2 times" in refusal(convert, saved, tmp_path / "model", "--vocab", words)
    assert "cannot be read as a vocabulary" in refusal(convert, saved, tmp_path / "model", "--vocab", tmp_path)
    rule = tmp_path / "rule.json"
    rule.write_text('{"kind": "huggingface"}')
    assert "cannot use a list of entries" in refusal(convert, saved, tmp_path / "model", "--vocab", words, "--tokenizer", rule)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": 0, "b": 0}, "expected each its own"),
        ({"a": 1, "b": 900_000_000}, "expected ids without such gaps"),
        ({"a": -1}, "expected each its own"),
        ([["a"], 3], "holds no vocabulary"),
        ({}, "holds no vocabulary"),
        ({"x": "a"}, "cannot be read as a vocabulary"),
    ],
)
def test_vocabularies_that_are_none(tmp_path, value, message):
    (tmp_path / "vocab.json").write_text(json.dumps(value))
    with pytest.raises(InputError) as caught:
        vocabularies.read(tmp_path / "vocab.json")
    assert message in str(caught.value)


def test_source_of_another_form_than_named(words, tmp_path, saved):
    assert "is a file of PyTorch's `torch.save`, but keras reads a Keras model" in refusal(convert, saved, tmp_path / "model", "--vocab", words, "--from", "keras")


def test_rule_replaces_the_usual_one(words, tmp_path, saved):
    rule = {"kind": "whitespace", "unk": "<unk>", "lowercase": True, "initial_tokens": ["the"]}
    (tmp_path / "rule.json").write_text(json.dumps(rule))
    run(convert, saved, tmp_path / "model", "--vocab", words, "--tokenizer", tmp_path / "rule.json")
    manifest = json.loads((tmp_path / "model/config.json").read_text())
    assert manifest["tokenizer"] == {"kind": "whitespace", "file": "vocab.txt", "unk": "<unk>", "lowercase": True}
    assert manifest["initial_tokens"] == ["the"]


def test_every_source_is_in_the_table_of_the_readme():
    readme = (pathlib.Path(convert.__file__).parent / "README.md").read_text(encoding="utf-8")
    for name in READERS:
        assert f"`{name}`" in readme, name
