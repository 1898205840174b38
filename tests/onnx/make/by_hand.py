"""Every cell in every form that the operators allow, and glue that current exporters no longer write."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from case import Case
from network import Network
from recurrent import Form, build

CELLS = [
    ("rnn_tanh", True),
    ("rnn_relu", True),
    ("rnn_sigmoid", True),
    ("gru", True),
    ("gru", False),
    ("lstm", True),
]

LSTM = Network("lstm")
LSTM_2 = Network("lstm", (5, 5))
GRU_2 = Network("gru", (5, 5))


def cases() -> Iterator[Case]:
    yield from cells()
    yield from opsets()
    yield from inputs_and_outputs()
    yield from states()
    yield from storage()


def lowered(name: str, network: Network, form: Form, **more) -> Case:
    """A case that is lowered. Its oracle is the file itself, where the file exposes everything."""
    complete = form.positions == "all" and form.state not in ("lost", "read_only", "zeros") and form.frozen == (None, None)
    # ONNX Runtime does not support layout 1, and the reference evaluator supports no activation but tanh.
    runtime = "onnxruntime" if form.layout == 0 else "none" if network.cell in ("rnn_relu", "rnn_sigmoid") else "reference"
    oracle = "file" if complete and form.layout == 0 else "twin"
    more = {"oracle": oracle, "runtime": runtime, "frozen": form.frozen} | more
    return Case(name, build(network, form), "lowered", network, form.ports(network), **more)


def cells() -> Iterator[Case]:
    for cell, reset_after in CELLS:
        for hidden in [(5,), (5, 5)]:
            network = Network(cell, hidden, reset_after=reset_after)
            stem = cell if reset_after else "gru-lbr0"
            for layout in (0, 1):
                for time_major in (True, False):
                    name = f"{stem}-{len(hidden)}-layout{layout}-{'tb' if time_major else 'bt'}"
                    yield lowered(name, network, Form(layout=layout, time_major=time_major))
    yield lowered("lstm-3-sizes", Network("lstm", (6, 4, 5)), Form(state="layers"))
    yield lowered("gru-3-sizes-layout1", Network("gru", (6, 4, 5)), Form(state="layers", layout=1, time_major=False))
    yield lowered("lstm-no-bias", Network("lstm", (5, 5), bias="none", output_bias=False), Form())
    yield lowered("gru-no-bias", Network("gru", bias="none"), Form())
    yield lowered("gru-lbr0-no-bias", Network("gru", bias="none", reset_after=False), Form())
    yield lowered("rnn_relu-no-bias", Network("rnn_relu", bias="none"), Form())
    defaults = {"lstm": ["Sigmoid", "Tanh", "Tanh"], "gru": ["Sigmoid", "Tanh"], "rnn_tanh": ["Tanh"]}
    for cell, activations in defaults.items():
        attributes = (("activations", activations), ("direction", "forward"))
        yield lowered(f"{cell}-defaults-spelled-out", Network(cell), Form(attributes=attributes))
    yield lowered("lstm-input-forget-0", LSTM, Form(attributes=(("input_forget", 0),)))


def opsets() -> Iterator[Case]:
    for opset in (7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28):
        for network in (LSTM_2, GRU_2, Network("rnn_relu")):
            # All three networks at the ends of the range and at the opsets where the operators changed.
            if network is LSTM_2 or opset in (7, 14, 22, 28):
                yield lowered(f"{network.cell}-opset{opset}", network, Form(opset=opset, values="log"))
    yield lowered("gru-lbr0-opset7", Network("gru", reset_after=False), Form(opset=7, values="probabilities"))


def inputs_and_outputs() -> Iterator[Case]:
    for ids in ("int32", "float"):
        yield lowered(f"lstm-ids-{ids}", LSTM, Form(ids=ids))
    yield lowered("gru-onehot", Network("gru"), Form(embedding="onehot"))
    yield lowered("lstm-onehot-float-ids-opset9", LSTM, Form(embedding="onehot", ids="float", opset=9))
    yield lowered("lstm-gemm", LSTM, Form(head="gemm"))
    yield lowered("gru-gemm-log-bt", Network("gru"), Form(head="gemm", values="log", time_major=False))
    yield lowered("lstm-head-transposed", LSTM, Form(head="transposed"))
    yield lowered("lstm-head-einsum", LSTM, Form(head="einsum"))
    tied = Network("lstm", (6, 6), embedding_size=6, tied=True)
    yield lowered("lstm-tied", tied, Form(head="transposed"))
    yield lowered("lstm-tied-gemm", tied, Form(head="gemm"))
    yield lowered("gru-tied-einsum", Network("gru", (6,), embedding_size=6, tied=True), Form(head="einsum"))
    for values in ("log", "probabilities"):
        yield lowered(f"lstm-{values}", LSTM, Form(values=values))
        yield lowered(f"gru-{values}-bt-opset11", Network("gru"), Form(values=values, time_major=False, opset=11))
    for positions in ("slice", "gather", "hidden"):
        yield lowered(f"lstm-last-{positions}", LSTM_2, Form(positions=positions))
        yield lowered(f"gru-last-{positions}-bt-layout1", GRU_2, Form(positions=positions, layout=1, time_major=False))
    form = Form(positions="hidden", head="gemm", values="probabilities", state="lost")
    yield lowered("lstm-last-hidden-gemm-probabilities-lost", LSTM, form)
    frozen = {"lstm-frozen-t": (7, None), "lstm-frozen-b": (None, 2), "lstm-frozen-tb": (35, 1), "lstm-frozen-t1": (1, None)}
    for name, sizes in frozen.items():
        yield lowered(name, LSTM_2, Form(frozen=sizes))
    yield lowered("gru-frozen-tb-bt", GRU_2, Form(frozen=(5, 2), time_major=False))


def states() -> Iterator[Case]:
    for state in ("layers", "flat", "batch_first", "lost", "read_only", "write_only"):
        yield lowered(f"lstm-state-{state}", LSTM_2, Form(state=state))
        yield lowered(f"gru-state-{state}-bt", GRU_2, Form(state=state, time_major=False))
    yield lowered("rnn_sigmoid-state-lost", Network("rnn_sigmoid", (5, 5)), Form(state="lost"))
    yield lowered("lstm-state-flat-layout1", LSTM_2, Form(state="flat", layout=1, time_major=False))
    yield lowered("gru-state-batch-first-layout1", GRU_2, Form(state="batch_first", layout=1, time_major=False))
    yield lowered("lstm-state-zeros", LSTM_2, Form(state="zeros", frozen=(None, 2)))
    yield lowered("lstm-sequence-lens-constant", LSTM, Form(sequence_lens=(2, 7), frozen=(7, 2)))
    yield lowered("gru-sequence-lens-constant", Network("gru"), Form(sequence_lens=(1, 5), frozen=(5, 1), state="lost"))


def storage() -> Iterator[Case]:
    for dtype in ("f16", "bf16"):
        for cell in ("lstm", "gru"):
            network = Network(cell, (5, 5), dtype=dtype)
            yield lowered(f"{cell}-{dtype}", network, Form())
    yield lowered("lstm-f16-tied", Network("lstm", (6,), embedding_size=6, tied=True, dtype="f16"), Form(head="transposed"))
    yield lowered("lstm-constant-nodes", LSTM_2, Form(constants_as_nodes=True))
    yield lowered("gru-identities", GRU_2, Form(identities=True))
    yield lowered("gru-ir3-opset8", GRU_2, Form(opset=8, ir_version=3))
    yield typed(lowered("lstm-typed-data", LSTM_2, Form()))
    yield typed(lowered("lstm-typed-data-f16", Network("lstm", (5, 5), dtype="f16"), Form()))
    yield typed(lowered("lstm-typed-data-bf16", Network("lstm", (5, 5), dtype="bf16"), Form()))
    yield external(lowered("lstm-external", LSTM_2, Form()), "lstm-external.bin")
    yield external(lowered("gru-external-folder", GRU_2, Form()), "weights/gru.bin")
    yield external(lowered("gru-external-bf16", Network("gru", (5, 5), dtype="bf16"), Form()), "gru-external-bf16.onnx.data")


def typed(case: Case) -> Case:
    """Stores values in the repeated field of their type instead of as bytes."""
    for tensor in case.model.graph.initializer:
        data, dtype = tensor.raw_data, tensor.data_type
        tensor.ClearField("raw_data")
        if dtype == TensorProto.FLOAT:
            tensor.float_data.extend(np.frombuffer(data, np.float32))
        elif dtype == TensorProto.INT64:
            tensor.int64_data.extend(np.frombuffer(data, np.int64))
        else:
            tensor.int32_data.extend(np.frombuffer(data, np.uint16).astype(int))
    return case


def external(case: Case, location: str) -> Case:
    """Moves all weights to one file beside the model, each at its own offset."""
    data = b""
    for tensor in case.model.graph.initializer:
        if len(tensor.raw_data) < 64:
            continue
        values = tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, "offset": len(data), "length": len(values)}.items():
            tensor.external_data.add(key=key, value=str(value))
        data += values + bytes(-len(values) % 16)
    case.files[location] = data
    return case
