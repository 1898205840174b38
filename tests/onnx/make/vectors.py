"""Recurrent networks whose input is a one-hot vector for each token, as tutorials on characters train them."""

from __future__ import annotations

from collections.abc import Iterator

from by_hand import lowered
from case import Case
from network import Network
from recurrent import Form, build


def cases() -> Iterator[Case]:
    for cell in ("rnn_tanh", "gru", "lstm"):
        yield lowered(f"{cell}-vectors", network(cell), form("none"))
    yield lowered("lstm-2-vectors-bt-log", network("lstm", (5, 5)), form("none", time_major=False, values="log"))
    yield lowered("lstm-vectors-flat-states", network("lstm"), form("none", state="flat"))
    yield lowered("gru-vectors-bool", network("gru"), form("none", ids="bool"))
    yield lowered("gru-lbr0-vectors-t1-b1", network("gru", reset_after=False), form("none", frozen=(1, 1)))
    yield lowered("lstm-vectors-linear", Network("lstm"), form("linear"))
    yield lowered("lstm-vectors-linear-bool-lost-bt", Network("lstm"), form("linear", ids="bool", state="lost", time_major=False))
    says = "its embedding has 12 tokens, and its output 11"
    yield Case("lstm-vectors-of-another-size", other_size(), "refused", says=says, oracle="none")


def network(cell: str, hidden_sizes: tuple[int, ...] = (5,), **more) -> Network:
    return Network(cell, hidden_sizes, embedding_size=11, one_hot=True, **more)


def form(embedding: str, ids: str = "float", **more) -> Form:
    return Form(embedding=embedding, ids=ids, **more)


def other_size():
    """Vectors of 12 numbers, and logits of 11: not the same tokens."""
    weights = Network("lstm", vocab_size=12).weights()
    plain = Network("lstm").weights()
    weights |= {name: plain[name] for name in ("decoder.weight", "decoder.bias")}
    model = build(Network("lstm"), form("linear"), weights)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 12
    return model
