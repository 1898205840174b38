"""Recurrent networks that their applications call on the last N ids, padded on the left, from a zero state each time.

This is how text generators made with Keras call them (`pad_sequences`), with windows of 10 or 14 ids in files found in the wild. The
numbers are those of that loop in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterator

from case import Case
from network import Network
from recurrent import Form, build

LSTM, LSTM_2, GRU = Network("lstm"), Network("lstm", (5, 5)), Network("gru")
KERAS = {"time_major": False, "positions": "hidden", "state": "lost", "values": "probabilities", "producer": "tf2onnx"}


def cases() -> Iterator[Case]:
    keras_lstm = Network("lstm", bias="input")
    yield padded("keras-lstm-10", keras_lstm, Form(frozen=(10, None), ids="float", **KERAS), 10)
    yield padded("keras-gru-14", Network("gru", bias="input"), Form(frozen=(14, None), ids="int32", **KERAS), 14)
    yield padded("keras-lstm-2-last-slice-10", LSTM_2, Form(frozen=(10, None), **KERAS | {"positions": "slice"}), 10)
    yield padded("lstm-frozen-7-every-position", LSTM_2, Form(frozen=(7, 1), state="lost"), 7, pad=3)
    # Keras' own example of text generation: one-hot characters, the distribution after the last one.
    one_hot = Network("lstm", bias="input", embedding_size=11, one_hot=True)
    form = Form(frozen=(10, None), embedding="none", ids="float", **KERAS)
    yield padded("keras-lstm-vectors-10", one_hot, form, 10)
    yield padded("keras-lstm-10-b32", keras_lstm, Form(frozen=(10, 32), ids="float", **KERAS), 10)
    # A free length: only the manifest can say how the model is called.
    yield padded("keras-lstm-free", keras_lstm, Form(**KERAS), 10)
    yield padded("rnn_relu-free", Network("rnn_relu"), Form(state="lost", values="log"), 5, pad=10)
    # A state that the application never feeds.
    yield padded("gru-with-state", GRU, Form(), 6)
    yield padded("lstm-one-id", LSTM, Form(state="lost"), 1)
    yield from refused()


def padded(name: str, network: Network, form: Form, window: int, pad: int = 0) -> Case:
    hints = {"window": window, "pad": pad}
    ports = form.ports(network)
    return Case(name, build(network, form), "lowered_windowed", ports=ports, oracle="window", hints=hints, window=window, frozen=form.frozen)


def refused() -> Iterator[Case]:
    """What the manifest leaves open or contradicts."""
    frozen, free = Form(frozen=(10, None), **KERAS), Form(**KERAS)
    unsaid = '"window": "none"'
    for name, network, form, hints, says in [
        ("keras-lstm-10-unsaid", LSTM, frozen, {}, '"window": 10'),
        ("keras-gru-10-unsaid", GRU, frozen, {}, unsaid),
        ("keras-lstm-10-pad-alone", LSTM, frozen, {"pad": 0}, unsaid),
        ("keras-lstm-10-of-9", LSTM, frozen, {"window": 9, "pad": 0}, "fixes the number of token ids to 10"),
        ("keras-lstm-10-without-pad", LSTM, frozen, {"window": 10}, "`onnx.pad`"),
        ("keras-lstm-free-pad-alone", LSTM, free, {"pad": 0}, "`onnx.window`"),
        ("lstm-none-with-pad", LSTM, Form(), {"window": "none", "pad": 0}, "`onnx.pad`"),
        ("lstm-pad-outside", LSTM, Form(), {"window": 4, "pad": 11}, "11"),
        ("lstm-tokens-nowhere", LSTM, Form(), {"tokens": "nosuch"}, "`onnx.tokens` names `nosuch`"),
        ("lstm-tokens-elsewhere", LSTM, Form(), {"tokens": "h0"}, "the token ids come in by `x`"),
        ("lstm-logits-nowhere", LSTM, Form(), {"logits": "nosuch"}, "nosuch"),
        ("lstm-state-crossed", LSTM, Form(), {"state": [["h0", "cn"]]}, "state h of layer 0"),
        ("lstm-state-nowhere", LSTM, Form(), {"state": [["h0", "nosuch"]]}, "nosuch"),
    ]:
        yield Case(name, build(network, form), "refused", says=says, hints=hints, oracle="none")
