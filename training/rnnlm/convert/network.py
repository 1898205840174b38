"""A network as the server stores it, and the other orders in which its numbers are found. Knows no file format."""

from __future__ import annotations

import dataclasses

import numpy

from ..architecture import NORM_PARTS, Architecture, WindowArchitecture, stored_shapes
from ..errors import InputError
from ..weights_file import DTYPES, Storage, Weights, WeightsFile

# Gates of a recurrent layer by their number, in the order of PyTorch and of the server.
GATES = {1: "h", 3: "rzn", 4: "ifgo"}


@dataclasses.dataclass(frozen=True)
class Norm:
    """What vectors `[in]` go through before a layer reads them: `layer` normalises each by its own mean and variance, `batch` by `mean` and
    `variance`. Then they are multiplied by `weight`, and `bias` is added."""

    kind: str  # `layer` or `batch`
    epsilon: float  # what is added to a variance
    weight: numpy.ndarray | None = None
    bias: numpy.ndarray | None = None
    mean: numpy.ndarray | None = None
    variance: numpy.ndarray | None = None

    def tensors(self, k: int, epsilon: float) -> dict[str, numpy.ndarray | None]:
        """The tensors of entry k of `norms`, where the manifest says `epsilon`: a variance takes the difference to its own epsilon."""
        variance = self.variance
        if variance is not None and self.epsilon != epsilon:
            variance = variance.astype(numpy.float64) + (self.epsilon - epsilon)
            if variance.min() < 0:
                raise InputError(
                    f"a batch normalisation adds {self.epsilon} to its variances and a layer normalisation {epsilon}; the manifest has one `norm_epsilon`, "
                    "and a variance is too small to take the difference"
                )
        return dict(zip((f"norm.{k}.{part}" for part in NORM_PARTS["batch"]), (self.weight, self.bias, self.mean, variance)))


@dataclasses.dataclass(frozen=True)
class Layer:
    """`w_ih [G*H, in]`, `w_hh [G*H, H]` and the biases `[G*H]`, gates in the order of `GATES`. An LSTM may project its output by `w_hr [P, H]`;
    `w_hh` is `[G*H, P]` then. It may start from a learned state, `h0 [H]` (or `[P]`) and `c0 [H]`, and its input may be normalised."""

    w_ih: numpy.ndarray
    w_hh: numpy.ndarray
    b_ih: numpy.ndarray | None = None
    b_hh: numpy.ndarray | None = None
    w_hr: numpy.ndarray | None = None
    h0: numpy.ndarray | None = None
    c0: numpy.ndarray | None = None
    norm: Norm | None = None

    @property
    def hidden_size(self) -> int:
        return (self.w_hh if self.w_hr is None else self.w_hr).shape[-1]

    @property
    def gate_count(self) -> int:
        """4 for an LSTM, 3 for a GRU, 1 for a plain layer; 0 where the shapes are not those of a layer."""
        count, rest = divmod(self.w_hh.shape[0], max(self.hidden_size, 1))
        return count if self.w_hh.ndim == 2 and rest == 0 and count in GATES else 0


@dataclasses.dataclass(frozen=True)
class Window:
    """How many tokens a network reads for each prediction, from a zero state, and the id that stands before the first."""

    context: int
    pad: int


@dataclasses.dataclass(frozen=True)
class Network:
    """Embedding `[V, E]`, layers, output `[V, H]` and its bias `[V]`. An output equal to the embedding is stored once."""

    cell: str
    embedding: numpy.ndarray
    layers: list[Layer]
    output: numpy.ndarray
    output_bias: numpy.ndarray | None
    gru_linear_before_reset: bool = True
    gate_activation: str = "sigmoid"
    output_norm: Norm | None = None  # before the output layer

    @property
    def vocab_size(self) -> int:
        return self.embedding.shape[0]

    @property
    def tie_weights(self) -> bool:
        return self.output.shape == self.embedding.shape and numpy.array_equal(self.output, self.embedding)

    @property
    def embedding_size(self) -> int:
        return self.embedding.shape[1]

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        return tuple(layer.hidden_size for layer in self.layers)

    @property
    def proj_size(self) -> int | None:
        return None if self.layers[0].w_hr is None else self.layers[0].w_hr.shape[0]

    @property
    def norms(self) -> tuple[Norm | None, ...]:
        """What stands before each layer and before the output layer."""
        return (*(layer.norm for layer in self.layers), self.output_norm)

    @property
    def norm_epsilon(self) -> float:
        """The manifest's: that of the layer normalisations, or else the smallest."""
        of_vectors = {norm.epsilon for norm in self.norms if norm and norm.kind == "layer"}
        if len(of_vectors) > 1:
            raise InputError(f"the layer normalisations add {' and '.join(map(str, sorted(of_vectors)))} to their variances; expected one epsilon for all")
        return min(of_vectors or (norm.epsilon for norm in self.norms if norm), default=Architecture.norm_epsilon)

    @property
    def has_start(self) -> bool:
        """Whether a layer starts from a learned state."""
        return any(part is not None for layer in self.layers for part in (layer.h0, layer.c0))

    @property
    def parameter_count(self) -> int:
        return sum(tensor.size for tensor in self.tensors(DTYPES["f32"]).values())

    def shape(self, window: Window | None = None) -> Architecture:
        """The architecture."""
        sizes = {
            "cell": self.cell,
            "vocab_size": self.vocab_size,
            "embedding_size": self.embedding_size,
            "hidden_sizes": self.hidden_sizes,
            "tie_weights": self.tie_weights,
            "gru_linear_before_reset": self.gru_linear_before_reset if self.cell == "gru" else True,
            "gate_activation": self.gate_activation,
            "proj_size": self.proj_size,
            "norms": tuple(norm.kind if norm else "none" for norm in self.norms) if any(self.norms) else (),
            "norm_epsilon": self.norm_epsilon,
        }
        return WindowArchitecture(**sizes, context=window.context, pad=window.pad) if window else Architecture(**sizes)

    def tensors(self, dtype: numpy.dtype) -> dict[str, numpy.ndarray]:
        """The float32 tensors under the names that the server reads, to be stored as `dtype`; wrong shapes and numbers that are not finite are refused."""
        tensors = {"encoder.weight": self.embedding, "decoder.bias": self.output_bias}
        for k, layer in enumerate(self.layers):
            tensors |= {f"rnn.weight_ih_l{k}": layer.w_ih, f"rnn.weight_hh_l{k}": layer.w_hh}
            tensors |= {f"rnn.bias_ih_l{k}": layer.b_ih, f"rnn.bias_hh_l{k}": layer.b_hh, f"rnn.weight_hr_l{k}": layer.w_hr}
            tensors |= {f"rnn.h0_l{k}": layer.h0, f"rnn.c0_l{k}": layer.c0}
        for k, norm in enumerate(self.norms):
            tensors |= norm.tensors(k, self.norm_epsilon) if norm else {}
        if not self.tie_weights:
            tensors["decoder.weight"] = self.output
        stored = {name: numpy.ascontiguousarray(tensor, numpy.float32) for name, tensor in tensors.items() if tensor is not None}
        shapes = stored_shapes(self.shape())
        for name, tensor in stored.items():
            if tensor.shape != shapes[name]:
                raise InputError(f"what becomes the tensor `{name}` has the shape {tensor.shape}; expected {shapes[name]}")
            with numpy.errstate(over="ignore"):
                rounded = tensor.astype(dtype).astype(numpy.float32)
            if not numpy.isfinite(rounded).all():
                raise InputError(f"what becomes the tensor `{name}` holds a number that is not finite as {dtype}")
        return stored

    def file(self, dtype: str, window: Window | None, pad: str | None) -> WeightsFile:
        """The file: safetensors, or a graph that reads a window, before whose first token stands the entry `pad`."""
        shape = self.shape(window)
        return Weights(shape, self.tensors(DTYPES[dtype]), pad).file(Storage.of(shape, None, dtype))


def in_order(weight: numpy.ndarray, found: str) -> numpy.ndarray:
    """Gates along the first axis, given in the order `found` (letters of `GATES`), in the order of the server."""
    gates = dict(zip(found, numpy.array_split(weight, len(found))))
    return numpy.concatenate([gates[letter] for letter in GATES[len(found)]])


def with_update_gate_inverted(weight: numpy.ndarray) -> numpy.ndarray:
    """For a GRU whose z weighs the candidate, not the past: 1 - sigmoid(x) = sigmoid(-x). Gates are r, z, n."""
    r, z, n = numpy.array_split(weight, 3)
    return numpy.concatenate([r, -z, n])


def cell_of(layers: list[Layer], plain: str | None) -> str:
    """The cell by the number of gates. `plain` says which activation a plain layer has, because shapes cannot tell."""
    counts = {layer.gate_count for layer in layers}
    if len(counts) != 1 or 0 in counts:
        shapes = ", ".join(str(layer.w_hh.shape) for layer in layers)
        raise InputError(f"the recurrent weights have the shapes {shapes or 'none'}; expected layers of one kind with 4 H, 3 H or H rows and H columns")
    count = counts.pop()
    if count == 1 and plain is None:
        raise InputError("the weights are those of a plain RNN and do not say its activation: name it with --cell rnn_tanh or --cell rnn_relu")
    return {4: "lstm", 3: "gru", 1: plain}[count]
