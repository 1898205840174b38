"""The model card: what a person must know of a model before using it, from the checkpoint and a measured score."""

from __future__ import annotations

import dataclasses
import shlex

from .scoring import Score

LOG_LINES = 5


def command(program: str, arguments: list[str]) -> str:
    """The command for a card: whole, but for the folders of this machine, which tell a reader nothing."""
    return f"python {program} " + shlex.join(part.rsplit("/", 1)[-1] if part.startswith("/") else part for part in arguments)


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
        kind = "language model without memory" if window else "recurrent neural network language model"
        tied = ", tied with the output layer" if shape["tie_weights"] else ""
        score = self.score
        initial = values.get("initial")
        started = f"\n| started from | {trained_on(initial)} |" if initial else ""
        commands = "\n    ".join(values["commands"])
        log = "\n    ".join(values["log"][-LOG_LINES:])
        return f"""# {self.name}

A {kind} for `rnnlm-server`.

| | |
|---|---|
| cell | {shape["cell"]}, hidden units {sizes}{window} |
| embedding | {shape["embedding_size"]}{tied} |
| vocabulary | {shape["vocab_size"]:,} entries, tokenizer kind `{values["rule"]["kind"]}` |
| parameters | {self.parameter_count:,}, stored as {self.dtype} |
| trained on | {trained_on(values)} |{started}

## Quality

On `{self.test}`, one stream, float64 on the stored weights, `initial_tokens` read but not scored:

| tokens | unknown | perplexity | bits per token | bits per character |
|---|---|---|---|---|
| {score.scored_count:,} | {score.unknown_count:,} ({score.unknown_count / score.scored_count:.2%}) | {score.perplexity:.4f} | {score.bits_per_token:.4f} | {score.bits_per_char:.4f} |

## Data

{self.data}

## Training

    {commands}

The end of its log (perplexity on the training text is with dropout; on valid it is estimated in 16 parallel streams):

    {log}

## Licence

{self.licence}
"""


def trained_on(values: dict[str, object]) -> str:
    """How long a run was, from its checkpoint."""
    return f"{int(values['data']['train_tokens']):,} tokens, {values['step']:,} updates, {values['elapsed'] / 60:.0f} minutes"
