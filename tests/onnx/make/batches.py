"""Graphs for tract whose batch the exporter has fixed to several rows: each row is read apart, or the graph is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from onnx import TensorProto, helper

from case import Case, Ports
from graph import Name
from refusals import refused
from unrecognised import HIDDEN, VOCAB, Net, Plain, elman_step, residual
from windows import case as windowed
from windows import convolution


def cases() -> Iterator[Case]:
    # The number of rows is in the shapes of inputs alone.
    yield fixed("lstm-residual-b32", Net("LSTM", around=residual, frozen=(None, 32)), 32)
    yield fixed("gru-residual-b4-bt", Net("GRU", around=residual, time_major=False, frozen=(None, 4)), 4)
    yield fixed("lstm-residual-2-b2", Net("LSTM", around=residual, layers=2, states="BH", frozen=(None, 2)), 2)
    yield fixed("elman-step-b4", elman_step(batch=4), 4)
    yield fixed("elman-step-b4-without-time", elman_step(time_axis=False, batch=4), 4)
    yield flat("lstm-residual-b4-flat", time_major=True)
    yield flat("lstm-residual-b4-flat-bt", time_major=False)
    frozen = Net("LSTM", around=residual, frozen=(5, 3))
    free = Net("LSTM", around=residual)
    yield Case("lstm-residual-t5-b3", frozen.model, "tract", ports=free.ports, reference=free.model)
    # Nodes hold on to it.
    yield fixed("lstm-residual-b4-reshaped", Net("LSTM", around=reshaped, frozen=(None, 4)), 4)
    yield fixed("lstm-residual-b4-counted", Net("LSTM", around=counted, frozen=(None, 4)), 4)
    # No state: windows.
    pad = {"pad": 3}
    yield windowed("convolution-6-b4", convolution(6, batch=4), 6, pad, outcome="windowed", frozen=(6, 4))
    model = convolution(5, last=False, batch=3)
    yield windowed("convolution-5-b3-every-position", model, 5, pad, outcome="windowed", form="steps", frozen=(5, 3))
    model = convolution(6, batch=4, time_major=True)
    ports = {"time_major": True}
    yield windowed("convolution-6-b4-tb", model, 6, pad | {"window": 6}, outcome="windowed", frozen=(6, 4), **ports)
    yield refused("convolution-6-b4-tb-unsaid", model, "`onnx.window` says which one counts ids", hints=pad)
    # Rows that are not sequences of their own.
    model = Net("LSTM", around=mixed, frozen=(None, 4)).model
    yield refused("lstm-rows-mixed-b4", model, "what one gives depends on the others: node `mean_of_rows` (ReduceMean) mixes them")
    model = Net("LSTM", around=residual, frozen=(None, 32)).model
    for port in [*model.graph.input[1:], *model.graph.output[1:]]:
        port.CopyFrom(helper.make_tensor_value_info(port.name, TensorProto.FLOAT, [1, 1, HIDDEN]))
    yield refused("lstm-state-without-rows", model, "has no dimension of that size")


def fixed(name: str, net: Net | Plain, rows: int) -> Case:
    return Case(name, net.model, "tract", ports=net.ports, frozen=(None, rows), oracle="steps")


def flat(name: str, time_major: bool) -> Case:
    """Logits `[positions * rows, V]`."""
    net = Net("LSTM", around=residual, time_major=time_major, frozen=(None, 4), finish=merged)
    net.graph.outputs[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", VOCAB]))
    net.ports = Ports("x", "y", time_major, form="flat", state=net.ports.state)
    return fixed(name, net, 4)


def merged(net: Net, y: Name) -> Name:
    return net.graph.op("Reshape", y, net.graph.constant([-1, VOCAB], dtype=np.int64))


def reshaped(net: Net, k: int, value: Name, recur: Callable) -> Name:
    """As frameworks write `x.view(-1, batch, hidden)` with the numbers of the example that was traced."""
    shape = net.graph.constant([-1, net.batch, HIDDEN], dtype=np.int64)
    return net.graph.op("Add", value, net.graph.op("Reshape", recur(value), shape))


def counted(net: Net, k: int, value: Name, recur: Callable) -> Name:
    """A share of the number of rows, which is one row in four of what was traced."""
    graph = net.graph
    rows = graph.op("Gather", graph.op("Shape", value), graph.constant(1, dtype=np.int64))
    factor = graph.op("Div", graph.cast(rows, TensorProto.FLOAT), graph.constant(2.5, dtype=np.float32))
    return graph.op("Add", value, graph.op("Mul", recur(value), factor))


def mixed(net: Net, k: int, value: Name, recur: Callable) -> Name:
    mean = net.graph.op("ReduceMean", value, axes=[1], keepdims=1, name="mean_of_rows")
    return net.graph.op("Add", recur(value), mean)
