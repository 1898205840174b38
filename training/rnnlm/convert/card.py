"""The card of a converted model: where it came from. What it is good for is for its owner to add."""

from __future__ import annotations

import dataclasses

from .network import Network


@dataclasses.dataclass(frozen=True)
class Card:
    """What a card says."""

    name: str
    what: str  # it was
    source: str  # file name
    dtype: str
    kind: str  # of the tokenizer
    command: str
    notes: tuple[str, ...]

    def text(self, network: Network) -> str:
        """Markdown."""
        shape = network.shape()
        sizes = " + ".join(map(str, shape["hidden_sizes"]))
        tied = ", tied with the output layer" if shape["tie_weights"] else ""
        count = network.parameter_count
        notes = "".join(f"- {note}\n" for note in self.notes) + ("\n" if self.notes else "")
        return f"""# {self.name}

A recurrent neural network language model for `rnnlm-server`, converted from `{self.source}`, {self.what}.

| | |
|---|---|
| cell | {shape["cell"]}, hidden units {sizes} |
| embedding | {shape["embedding_size"]}{tied} |
| vocabulary | {shape["vocab_size"]:,} entries, tokenizer kind `{self.kind}` |
| parameters | {count:,}, stored as {self.dtype} |

    {self.command}

{notes}## Quality

Not measured. `rnnlm-server score --model {self.name} test.txt` prints perplexity and bits per character.

## Data and licence

Those of the model it was converted from.
"""
