"""The model card: what a person must know about a model before using it, from the checkpoint and a measured score."""

from __future__ import annotations

import dataclasses

from .scoring import Score

LOG_LINES = 5


@dataclasses.dataclass(frozen=True)
class Card:
    """What a card says besides the checkpoint."""

    name: str
    dtype: str
    data: str
    licence: str
    test: str  # file name of the text that was scored
    score: Score
    parameter_count: int

    def text(self, values: dict[str, object]) -> str:
        """Markdown; `values` is a loaded checkpoint."""
        shape = values["architecture"]
        sizes = " + ".join(map(str, shape["hidden_sizes"]))
        window = f", reads the last {shape['context']} tokens" if "context" in shape else ""
        kind = "language model without recurrence" if window else "recurrent neural network language model"
        activation = shape.get("gate_activation", "sigmoid")
        gates = "" if activation == "sigmoid" else f" with `{activation}` gates"
        tied = ", tied with the output layer" if shape["tie_weights"] else ""
        score = self.score
        known = "none" if score.known_perplexity is None else f"{score.known_perplexity:.4f}"
        initial = values.get("initial")
        started = f"\n| started from | {initial.get('what') or trained_on(initial)} |" if initial else ""
        commands = "\n    ".join(values["commands"])
        log = "\n    ".join(values["log"][-LOG_LINES:])
        return f"""# {self.name}

A {kind} for `rnnlm-server`.

| | |
|---|---|
| cell | {shape["cell"]}{gates}, hidden units {sizes}{window} |
| embedding | {shape["embedding_size"]}{tied} |
| vocabulary | {shape["vocab_size"]:,} entries, tokenizer kind `{values["rule"]["kind"]}` |
| parameters | {self.parameter_count:,}, stored as {self.dtype} |
| trained on | {trained_on(values)} |{started}

## Quality

Measured on `{self.test}` as one sequence, in float64 with the stored weights. The `initial_tokens` are read but not scored.

| tokens | unknown | perplexity | perplexity of known tokens | bits per token | bits per character |
|---|---|---|---|---|---|
| {score.scored_count:,} | {score.unknown_count:,} ({score.unknown_share:.2%}) | {score.perplexity:.4f} | {known} | {score.bits_per_token:.4f} | {score.bits_per_char:.4f} |

## Data

{self.data}

## Training

    {commands}

The end of the training log. The training perplexity is measured with dropout; the validation perplexity is estimated in 16 parallel streams.

    {log}

## Licence

{self.licence}
"""


def trained_on(values: dict[str, object]) -> str:
    """How long a run was, from its checkpoint."""
    return f"{int(values['data']['train_tokens']):,} tokens, {values['step']:,} updates, {values['elapsed'] / 60:.0f} minutes"
