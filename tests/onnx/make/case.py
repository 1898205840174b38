"""A fixture: a file, what becomes of it in the server, and the numbers of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from onnx.reference import ReferenceEvaluator

from network import Network

# (T, B) of each batch that is read, from the zero state.
SHAPES = [(1, 1), (6, 1), (1, 4), (5, 3), (24, 1)]

RUNTIME_LOGS_FATAL = 4


@dataclass(frozen=True)
class Part:
    """An input and an output that carry a part of the state."""

    input: str | None
    output: str | None
    kind: str = "h"
    layers: tuple[int, ...] = (0,)
    form: str = "LBH"
    """`LBH` (layers, or the single direction, first), `BLH`, `BH` for one layer, `BLxH` with the layers concatenated,
    or `KLBH` with h and c in one tensor."""
    dtype: type = np.float32


@dataclass(frozen=True)
class Ports:
    """The meaning of a graph's inputs and outputs."""

    tokens: str = "x"
    logits: str = "y"
    time_major: bool = True
    ids: type = np.int64
    values: str = "logits"
    """`logits`, `log` or `probabilities`."""
    form: str = "steps"
    """`steps`: the axes of the ids, then V. `flat`: the same with the axes of the ids merged. `vocab_first`: `[B, V, T]`.
    `last` and `first`: one position only."""
    state: tuple[Part, ...] = ()
    time_axis: bool = True
    """Whether the ids have a time axis."""
    one_hot: int = 0
    """The size of the vocabulary, where the graph takes one-hot vectors."""
    tokens_turned: bool = False
    """Whether the axes of the ids are in the opposite order to those of the logits."""


@dataclass
class Case:
    name: str
    source: onnx.ModelProto | bytes | Callable[[], onnx.ModelProto]
    """The file, or a function that makes it, because exporters are slow."""
    outcome: str
    """`lowered`, `warned` (lowered, with a warning), `lowered_windowed`, `feed_forward`, `tract`, `windowed` (by tract) or `refused`."""
    network: Network | None = None
    """What the file computes. If given, the file's own numbers must agree with this network."""
    ports: Ports = field(default_factory=Ports)
    says: str = ""
    """A part of the error or of the warning."""
    hints: dict = field(default_factory=dict)
    frozen: tuple[int | None, int | None] = (None, None)
    """T and B where the exporter has fixed them."""
    window: int | None = None
    """The number of ids that a graph without a state reads at once."""
    oracle: str = "file"
    """`file`, `twin` where the file does not expose everything, `steps` where it reads one token at a time, `window` or `none`."""
    reference: onnx.ModelProto | None = None
    """The graph that ONNX Runtime computes in place of the file: the dequantised one."""
    runtime_tolerance: float | None = None
    """For a quantised file: the tolerance between its logits and those of ONNX Runtime, relative to the largest of them."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Files beside the model: external data."""
    runtime: str = "onnxruntime"
    """What computes the file here: `reference` (the evaluator of onnx) where ONNX Runtime cannot, `none` where neither can."""

    def __post_init__(self) -> None:
        """A lowered graph whose state is lost is served with a warning; one of a fixed length takes a word of the manifest."""
        if self.outcome != "lowered" or self.network is None or "window" in self.hints or self.keeps_state():
            return
        if (self.frozen[0] or 1) > 1:
            self.hints = self.hints | {"window": "none"}
        else:
            self.outcome, self.says = "warned", "no input and output for the state"

    def keeps_state(self) -> bool:
        """Whether all that the network carries comes in and goes out."""
        kept = {(kind, k) for part in self.ports.state if part.input and part.output for kind in part.kind for k in part.layers}
        return len(kept) == len(self.network.kinds) * self.network.layers

    @cached_property
    def model(self) -> onnx.ModelProto | bytes:
        return self.source() if callable(self.source) else self.source


def session(model: onnx.ModelProto, files: dict[str, bytes] | None = None) -> onnxruntime.InferenceSession:
    """A session with one thread, so that sums have a fixed order."""
    options = onnxruntime.SessionOptions()
    # Without VNNI, sums of products of uint8 and int8 would saturate.
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = RUNTIME_LOGS_FATAL
    if not files:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    with TemporaryDirectory() as folder:
        write(model, files, Path(folder) / "model.onnx")
        return onnxruntime.InferenceSession(Path(folder) / "model.onnx", options, providers=["CPUExecutionProvider"])


def write(model: onnx.ModelProto | bytes, files: dict[str, bytes], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString(deterministic=True))
    for name, data in files.items():
        (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / name).write_bytes(data)


class Runner:
    """Runs a file in ONNX Runtime, with inputs and outputs in our order of axes."""

    def __init__(self, case: Case, model: onnx.ModelProto) -> None:
        self.case = case
        self.ports = case.ports
        self.session = ReferenceEvaluator(model) if case.runtime == "reference" else session(model, case.files)
        self.shapes = {port.name: [d.dim_value for d in port.type.tensor_type.shape.dim] for port in model.graph.input}
        dtypes = {port.name: helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type) for port in model.graph.input}
        given = [(name, np.asarray(value, dtypes[name])) for name, value in case.hints.get("inputs", [])]
        # One number stands for all elements.
        self.given = {name: value if value.ndim else np.full(self.shapes[name], value) for name, value in given}

    def run(self, tokens: np.ndarray, state: dict[tuple[str, int], np.ndarray] | None = None) -> "Answer":
        """Reads ids `[B, T]`. `state` holds `[B, H]` by kind and layer; without it the state is zero."""
        ports, (batch, time) = self.ports, tokens.shape
        ids = tokens.T if ports.time_major != ports.tokens_turned else tokens
        feed = {ports.tokens: np.eye(ports.one_hot)[ids].astype(ports.ids) if ports.one_hot else ids.astype(ports.ids)}
        if not ports.time_axis:
            feed[ports.tokens] = feed[ports.tokens].reshape(batch)
        for part in ports.state:
            if part.input is not None:
                feed[part.input] = self.pack(part, batch, state)
        feed |= self.given
        names = [ports.logits] + [part.output for part in ports.state if part.output is not None]
        y, *rest = self.session.run(names, feed)
        found = {}
        for part, value in zip([part for part in ports.state if part.output is not None], rest):
            found |= unpack(part, value)
        return Answer(y, self.steps(y, batch, time), found)

    def pack(self, part: Part, batch: int, state: dict | None) -> np.ndarray:
        if state is None:
            return np.zeros([size or batch for size in self.shapes[part.input]], part.dtype)
        values = np.stack([[state[kind, k] for k in part.layers] for kind in part.kind]).astype(part.dtype)
        side_by_side = np.concatenate(list(values[0]), axis=-1)
        forms = {"KLBH": values, "LBH": values[0], "BLH": values[0].transpose(1, 0, 2), "BH": values[0][0], "BLxH": side_by_side}
        return forms[part.form]

    def steps(self, y: np.ndarray, batch: int, time: int) -> np.ndarray:
        """Log-probabilities `[B, T, V]`, or `[B, 1, V]` where the file returns one position."""
        y = self.raw_steps(y.astype(np.float64), batch, time)
        with np.errstate(divide="ignore"):
            return normalised(np.log(y) if self.ports.values == "probabilities" else y)

    def raw_steps(self, y: np.ndarray, batch: int, time: int) -> np.ndarray:
        """The raw values of the output, `[B, T, V]`."""
        ports = self.ports
        if ports.form in ("last", "first"):
            return y.reshape(batch, 1, -1)
        if ports.form == "vocab_first":
            return y.transpose(0, 2, 1)
        return y.reshape(time, batch, -1).transpose(1, 0, 2) if ports.time_major else y.reshape(batch, time, -1)


@dataclass
class Answer:
    raw: np.ndarray
    logprobs: np.ndarray
    state: dict[tuple[str, int], np.ndarray]


def unpack(part: Part, value: np.ndarray) -> dict[tuple[str, int], np.ndarray]:
    """The state `[B, H]` by kind and layer."""
    if part.form == "BH":
        value = value[None]
    elif part.form == "BLxH":
        value = np.stack(np.split(value, len(part.layers), axis=-1))
    elif part.form == "BLH":
        value = value.transpose(1, 0, 2)
    if part.form != "KLBH":
        value = value[None]
    return {(kind, k): value[i, j] for i, kind in enumerate(part.kind) for j, k in enumerate(part.layers)}


def normalised(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def tokens_for(vocab_size: int) -> list[np.ndarray]:
    """Random ids `[B, T]` for each of SHAPES."""
    random = np.random.default_rng(vocab_size)
    return [random.integers(vocab_size, size=(batch, time)) for time, batch in SHAPES]
