"""The shape of a network: what the manifest says of it, and what is known of its weights. Knows no tensors."""

from __future__ import annotations

import dataclasses

from .errors import InputError

# Gates of a recurrent layer by cell: a layer of H units has weights of gates * H rows.
GATE_COUNTS = {"rnn_tanh": 1, "rnn_relu": 1, "rnn_sigmoid": 1, "gru": 3, "lstm": 4}
# Cells without memory: they read the last few tokens and nothing before them.
WINDOW_CELLS = ("cbow", "ffn")
CELLS = (*GATE_COUNTS, *WINDOW_CELLS)
# Cells that have gates, and the slopes of functions that stand for their sigmoid: min(max(slope * x + 0.5, 0), 1).
GATED_CELLS = ("gru", "lstm")
HARD_SLOPES = {"hard_sigmoid": 0.2, "hard_sigmoid_sixth": 1 / 6}
GATE_ACTIVATIONS = ("sigmoid", *HARD_SLOPES)
# What may stand before a layer, and the tensors that it has.
NORM_PARTS = {"none": (), "layer": ("weight", "bias"), "batch": ("weight", "bias", "running_mean", "running_var")}


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network whose state is carried from token to token: the manifest's `architecture`."""

    cell: str
    vocab_size: int
    embedding_size: int
    hidden_sizes: tuple[int, ...]
    tie_weights: bool
    gru_linear_before_reset: bool = True
    gate_activation: str = "sigmoid"
    proj_size: int | None = None  # width of an LSTM's h where it is a projection of the cell's output
    norms: tuple[str, ...] = ()  # before each layer and before the output layer, keys of `NORM_PARTS`; empty if there is none
    norm_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        if self.gate_activation not in GATE_ACTIVATIONS:
            raise InputError(f"gate activation `{self.gate_activation}` is not supported; supported are {', '.join(GATE_ACTIVATIONS)}")
        if self.gate_activation != "sigmoid" and self.cell not in GATED_CELLS:
            raise InputError(f"a `{self.cell}` network has no gates: found the gate activation `{self.gate_activation}`")
        if not self.hidden_sizes or min(self.hidden_sizes) < 1 or self.embedding_size < 1:
            raise InputError(f"sizes must be positive: found embedding size {self.embedding_size} and hidden sizes {self.hidden_sizes}")
        if self.proj_size is not None and (self.cell != "lstm" or not 1 <= self.proj_size < min(self.hidden_sizes)):
            raise InputError(
                f"a projection belongs to an LSTM and is smaller than each layer: found proj_size {self.proj_size} with cell `{self.cell}` and hidden sizes {self.hidden_sizes}"
            )
        if self.norms and (len(self.norms) != len(self.hidden_sizes) + 1 or not set(self.norms) <= NORM_PARTS.keys()):
            raise InputError(
                f"norms are {', '.join(self.norms)}; expected {len(self.hidden_sizes) + 1} of {', '.join(NORM_PARTS)}: one for each layer and one for the output layer"
            )
        if not 0 < self.norm_epsilon <= 1:
            raise InputError(f"the epsilon of a normalisation is {self.norm_epsilon}; expected a number above 0 and at most 1")
        if self.tie_weights and self.widths[-1] != self.embedding_size:
            raise InputError(
                f"tied weights need a last layer as wide as the embedding: found a width of {self.widths[-1]} and an embedding size of {self.embedding_size}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of each layer's h."""
        return self.hidden_sizes if self.proj_size is None else (self.proj_size,) * len(self.hidden_sizes)

    def manifest(self) -> dict[str, object]:
        """The manifest's `architecture`."""
        values = dataclasses.asdict(self) | {"hidden_sizes": list(self.hidden_sizes)}
        if self.cell != "gru":
            del values["gru_linear_before_reset"]
        if self.gate_activation == "sigmoid":
            del values["gate_activation"]
        if self.proj_size is None:
            del values["proj_size"]
        if self.norms:
            values["norms"] = list(self.norms)
        else:
            del values["norms"], values["norm_epsilon"]
        return values


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowArchitecture(Architecture):
    """A network that reads the last `context` tokens from a zero state, whatever came before them."""

    context: int
    pad: int  # the id that stands where a text has no token yet

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cell in WINDOW_CELLS and len(self.hidden_sizes) != 1:
            raise InputError(f"a `{self.cell}` network has one hidden layer: found sizes {self.hidden_sizes}")
        if self.context < 1:
            raise InputError(f"a context must be positive: found {self.context}")
        if not 0 <= self.pad < self.vocab_size:
            raise InputError(f"the padding token has the id {self.pad}; the vocabulary has ids from 0 to {self.vocab_size - 1}")


def described(values: dict[str, object]) -> Architecture:
    """The architecture that `dataclasses.asdict` or a manifest describes; it has a window where `values` has a `context`."""
    values = {**values, "hidden_sizes": tuple(values["hidden_sizes"]), "norms": tuple(values.get("norms", ()))}
    if values["cell"] not in CELLS:
        raise InputError(f"cell `{values['cell']}` is not supported; supported cells are {', '.join(CELLS)}")
    return WindowArchitecture(**values) if "context" in values else Architecture(**values)


def stored_shapes(shape: Architecture) -> dict[str, tuple[int, ...]]:
    """The shapes of a recurrent network's tensors by the names that the server reads. Biases, starts and parts of norms may be absent from a
    file, a tied decoder weight is."""
    vocabulary, width = shape.vocab_size, shape.embedding_size
    shapes: dict[str, tuple[int, ...]] = {"encoder.weight": (vocabulary, width)}
    for layer, (hidden, recurrent) in enumerate(zip(shape.hidden_sizes, shape.widths)):
        rows = GATE_COUNTS[shape.cell] * hidden
        shapes |= {f"rnn.weight_ih_l{layer}": (rows, width), f"rnn.weight_hh_l{layer}": (rows, recurrent)}
        shapes |= {f"rnn.bias_ih_l{layer}": (rows,), f"rnn.bias_hh_l{layer}": (rows,)}
        if shape.proj_size is not None:
            shapes[f"rnn.weight_hr_l{layer}"] = (recurrent, hidden)
        shapes[f"rnn.h0_l{layer}"] = (recurrent,)
        if shape.cell == "lstm":
            shapes[f"rnn.c0_l{layer}"] = (hidden,)
        width = recurrent
    for k, (kind, size) in enumerate(zip(shape.norms, (shape.embedding_size, *shape.widths))):
        shapes |= {f"norm.{k}.{part}": (size,) for part in NORM_PARTS[kind]}
    if not shape.tie_weights:
        shapes["decoder.weight"] = (vocabulary, width)
    return shapes | {"decoder.bias": (vocabulary,)}
