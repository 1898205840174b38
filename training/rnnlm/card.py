"""The model card: what a person must know of a model before using it, from the checkpoint and a measured score."""

from __future__ import annotations

import dataclasses
import pathlib
import shlex

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
        tied = ", tied with the output layer" if shape["tie_weights"] else ""
        score = self.score
        log = "\n".join(values["log"][-LOG_LINES:])
        return f"""# {self.name}

A recurrent neural network language model for `rnnlm-server`.

| | |
|---|---|
| cell | {shape["cell"]}, hidden units {sizes} |
| embedding | {shape["embedding_size"]}{tied} |
| vocabulary | {shape["vocab_size"]:,} entries, tokenizer kind `{values["rule"]["kind"]}` |
| parameters | {self.parameter_count:,}, stored as {self.dtype} |
| trained on | {int(values["data"]["train_tokens"]):,} tokens, {values["step"]:,} updates, {values["elapsed"] / 60:.0f} minutes |

## Quality

On `{self.test}`, one stream, float64 on the stored weights, `initial_tokens` read but not scored:

| tokens | unknown | perplexity | bits per token | bits per character |
|---|---|---|---|---|
| {score.scored_count:,} | {score.unknown_count:,} ({score.unknown_count / score.scored_count:.2%}) | {score.perplexity:.4f} | {score.bits_per_token:.4f} | {score.bits_per_char:.4f} |

## Data

{self.data}

## Training

    {command(values)}

The end of its log (perplexity on the training text is with dropout; on valid it is estimated in 16 parallel streams):

    {log.replace(chr(10), chr(10) + "    ")}

## Licence

{self.licence}
"""


def command(values: dict[str, object]) -> str:
    """The command that gives this run, its files by their names alone."""
    shape, schedule, data, options = values["architecture"], values["schedule"], values["data"], dict(values["options"])
    arguments = ["--train", pathlib.Path(data["train"]).name]
    arguments += ["--valid", pathlib.Path(data["valid"]).name] if data["valid"] else ["--split", data["split"]]
    arguments += ["--tokenizer", pathlib.Path(data["tokenizer"]).name] if data["tokenizer"] else ["--vocabulary", values["rule"]["kind"]]
    named = {"vocab_size": shape["vocab_size"], "cell": shape["cell"], "embedding_size": shape["embedding_size"]}
    named |= {"hidden_sizes": shape["hidden_sizes"], "tie_weights": shape["tie_weights"], "learning_rate": schedule["peak"]}
    named |= {name: schedule[name] for name in ("warmup_steps", "steps", "time_limit", "sampled_until")} | options
    for name, value in named.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            arguments.append(flag)
        elif isinstance(value, (list, tuple)):
            arguments += [flag, *map(str, value)]
        elif value is not None and value is not False:
            arguments += [flag, f"{value:g}" if isinstance(value, float) else str(value)]
    return "python train.py " + shlex.join(arguments)
