"""Gates with a hard sigmoid, as Keras had them by default before version 2.3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from by_hand import lowered
from case import Case
from loops import Style, looped
from network import Network
from recurrent import Form


def cases() -> Iterator[Case]:
    for gates in ("hard_sigmoid", "hard_sigmoid_sixth"):
        suffix = gates.replace("_", "-")
        for cell, reset_after in (("lstm", True), ("gru", True), ("gru", False)):
            network = Network(cell, gates=gates, reset_after=reset_after)
            stem = f"{cell}{'' if reset_after else '-lbr0'}-{suffix}"
            yield lowered(stem, network, Form())
            for op in ("Loop", "Scan"):
                yield looped(f"{stem}-{op.lower()}", network, Style(op))
    keras = {"time_major": False, "state": "lost", "values": "probabilities", "producer": "tf2onnx", "opset": 13}
    yield lowered("keras-2-lstm-hard-sigmoid", Network("lstm", (5, 5), bias="input", gates="hard_sigmoid"), Form(**keras))
    # The slope that a node means which gives none.
    case = lowered("lstm-hard-sigmoid-default-slope", Network("lstm", gates="hard_sigmoid"), Form())
    for node in case.model.graph.node:
        for name in ("activation_alpha", "activation_beta"):
            found = [attribute for attribute in node.attribute if attribute.name == name]
            for attribute in found:
                node.attribute.remove(attribute)
    yield case
    other = {"activations": ["HardSigmoid", "Tanh", "Tanh"], "activation_alpha": [0.25], "activation_beta": [0.5]}
    case = lowered("lstm-another-slope", Network("lstm"), Form(attributes=tuple(other.items())))
    yield replace(case, network=None, outcome="refused", says="HardSigmoid", oracle="none")
