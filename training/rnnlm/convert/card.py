"""The card of a converted model: where it came from. What it is good for is for its owner to add."""

from __future__ import annotations

import dataclasses

from .network import Network
from .textgenrnn_network import AttentionNetwork


@dataclasses.dataclass(frozen=True)
class Card:
    """What a card says."""

    name: str
    what: str  # the program that trained it
    source: str  # file name
    dtype: str
    kind: str  # of the tokenizer
    command: str
    notes: tuple[str, ...]

    def text(self, network: Network | AttentionNetwork) -> str:
        """Markdown."""
        sizes = " + ".join(map(str, network.hidden_sizes))
        gates = "" if network.gate_activation == "sigmoid" else f" with `{network.gate_activation}` gates"
        tied = ", tied with the output layer" if network.tie_weights else ""
        notes = "".join(f"- {note}\n" for note in self.notes) + ("\n" if self.notes else "")
        return f"""# {self.name}

A recurrent neural network language model for `rnnlm-server`, converted from `{self.source}` ({self.what}).

| | |
|---|---|
| cell | {network.cell}{gates}, hidden units {sizes} |
| embedding | {network.embedding_size}{tied} |
| vocabulary | {network.vocab_size:,} entries, tokenizer kind `{self.kind}` |
| parameters | {network.parameter_count:,}, stored as {self.dtype} |

    {self.command}

{notes}## Quality

Not measured. `rnnlm-server score --model {self.name} test.txt` prints perplexity and bits per character.

## Data and licence

Those of the source.
"""
