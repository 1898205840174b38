"""Graphs for tract with operators that ONNX Runtime's optimiser has fused."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from case import Case
from graph import Name
from quantised import in_integers, optimised
from refusals import refused
from scales import with_few_bits
from unrecognised import HIDDEN, WIDTH, Net, elman_step, residual, tract
from windows import case as windowed
from windows import convolution

CONTRIB = {"domain": "com.microsoft"}


def cases() -> Iterator[Case]:
    for op in ("Gelu", "BiasGelu", "FastGelu", "QuickGelu"):
        name = {"Gelu": "gelu", "BiasGelu": "bias-gelu", "FastGelu": "fast-gelu", "QuickGelu": "quick-gelu"}[op]
        yield around(f"lstm-{name}", lambda net, value, op=op: gelu(net, value, op, bias=op == "BiasGelu"))
    yield around("lstm-fast-gelu-bias", lambda net, value: gelu(net, value, "FastGelu", bias=True))
    yield around("lstm-skip-layer-normalization", skip)
    yield around("lstm-skip-layer-normalization-bias", lambda net, value: skip(net, value, bias=True))
    yield around("lstm-skip-layer-normalization-plain", lambda net, value: skip(net, value, shift=False))
    yield around("lstm-skip-layer-normalization-sum", lambda net, value: skip(net, value, bias=True, sum=True))
    yield around("lstm-fused-matmul", fused_matmul)
    yield around("lstm-fused-matmul-turned", lambda net, value: fused_matmul(net, value, transB=1))
    yield tract("elman-step-fused-gemm", elman_step(fused=True), frozen_t1=True)
    yield windowed("convolution-6-fused", convolution(6, fused=True), 6, {"pad": 0}, outcome="windowed")
    # What the optimiser makes of a block as transformers and recurrent networks with residuals have it.
    net = Net("LSTM", around=block, layers=2)
    yield Case("lstm-blocks-optimised", optimised(net.model), "tract", ports=net.ports)
    integers = in_integers(net.model, op_types_to_quantize=["MatMul"])
    # A scale is that of all that is multiplied at once, which is one token.
    yield Case("lstm-blocks-integers", integers, "tract", ports=net.ports, oracle="steps")
    yield Case("lstm-blocks-integers-optimised", optimised(integers), "tract", ports=net.ports, oracle="steps")
    for bits, zeros in ((4, True), (8, False)):
        few = Net("LSTM", around=residual)
        yield Case(f"lstm-weights-of-{bits}-bits", with_few_bits(few.model, "decoder", bits, zeros), "tract", ports=few.ports)
    # What the advice about operators without a standard form leads to.
    yield Case("lstm-blocks-optimised-basic", optimised(net.model, "BASIC"), "tract", ports=net.ports)
    says = "of the operator `com.microsoft.SkipLayerNormalization`, which tract does not implement"
    yield refused("lstm-skip-mean-read", net_of(lambda net, value: skip(net, value, mean=True)).model, says)
    says = "save it with `ORT_ENABLE_BASIC`"
    yield refused("lstm-fused-matmul-of-two", net_of(products_of_two).model, says)
    yield refused("lstm-fused-gelu-of-nothing-known", net_of(lambda net, value: unknown(net, value)).model, says)


def around(name: str, what: Callable[[Net, Name], Name]) -> Case:
    return tract(name, net_of(what))


def net_of(what: Callable[[Net, Name], Name]) -> Net:
    return Net("LSTM", around=lambda net, k, value, recur: net.graph.op("Add", value, what(net, recur(value))))


def gelu(net: Net, value: Name, op: str, bias: bool) -> Name:
    product = net.graph.op("MatMul", value, net.weight("inner", HIDDEN, HIDDEN))
    inputs = [product, net.weight("inner_bias", HIDDEN)] if bias else [product]
    return net.graph.op(op, *inputs, name="activation", **CONTRIB)


def skip(net: Net, value: Name, bias: bool = False, shift: bool = True, sum: bool = False, mean: bool = False) -> Name:
    graph = net.graph
    product = graph.op("MatMul", value, net.weight("inner", HIDDEN, HIDDEN))
    inputs = [value, product, net.weight("scale", HIDDEN), net.weight("shift", HIDDEN) if shift else ""]
    inputs += [net.weight("skip_bias", HIDDEN)] if bias else []
    to = ["skip_out", "skip_mean" if mean else "", "", "skip_sum"]
    to = to if sum else to[: 2 if mean else 1]
    graph.ops("SkipLayerNormalization", *inputs, name="skip", to=to, epsilon=1e-4, **CONTRIB)
    further = "skip_sum" if sum else "skip_mean" if mean else None
    return graph.op("Add", to[0], further) if further else to[0]


def fused_matmul(net: Net, value: Name, **attributes: int) -> Name:
    weight = net.weight("inner", HIDDEN, HIDDEN)
    return net.graph.op("FusedMatMul", value, weight, name="product", alpha=0.4, **attributes, **CONTRIB)


def products_of_two(net: Net, value: Name) -> Name:
    """A product of two tensors that are no weights, one of them transposed: the graph does not tell of how many dimensions."""
    graph = net.graph
    scores = graph.op("FusedMatMul", value, value, name="scores", transA=1, **CONTRIB)
    return graph.op("MatMul", value, scores)


def unknown(net: Net, value: Name) -> Name:
    """An operator of the optimiser without a standard form."""
    return net.graph.op("BiasSplitGelu", value, net.weight("inner_bias", HIDDEN), name="activation", **CONTRIB)


def block(net: Net, k: int, value: Name, recur: Callable) -> Name:
    """Add and normalise, a layer with a Gelu written out, add and normalise."""
    graph = net.graph
    number = lambda value: graph.constant(value, dtype=np.float32)  # noqa: E731

    def norm(value: Name, name: str) -> Name:
        inputs = [net.weight(f"{name}_scale{k}", WIDTH), net.weight(f"{name}_shift{k}", WIDTH)]
        return graph.op("LayerNormalization", value, *inputs, axis=-1, epsilon=1e-5)

    h = norm(graph.op("Add", value, recur(value)), "first")
    inner = graph.op("Add", graph.op("MatMul", h, net.weight(f"inner{k}", WIDTH, 8)), net.weight(f"inner_bias{k}", 8))
    erf = graph.op("Add", graph.op("Erf", graph.op("Div", inner, number(np.sqrt(2)))), number(1.0))
    active = graph.op("Mul", graph.op("Mul", inner, erf), number(0.5))
    outer = graph.op("Add", graph.op("MatMul", active, net.weight(f"outer{k}", 8, WIDTH)), net.weight(f"outer_bias{k}", WIDTH))
    return norm(graph.op("Add", h, outer), "second")
