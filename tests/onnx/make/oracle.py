"""The numbers of ONNX Runtime for a case, and checks that the case is what it claims to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from case import SHAPES, Answer, Case, Ports, Runner, normalised, tokens_for
from network import Network
from recurrent import Form, build

# Tolerance between two ways of computing the same in single precision.
TOLERANCE = 5e-6


@dataclass
class Oracle:
    """The numbers of every sequence of every (T, B) of SHAPES, concatenated."""

    tokens: np.ndarray
    """uint32 `[positions]`."""
    logprobs: np.ndarray
    """float32 `[positions, V]`, after each token."""
    state: np.ndarray | None
    """float32 `[sequences, S]`: for each layer h, then c."""
    runtime_logits: np.ndarray | None = None
    """float32 `[positions, V]` of the quantised file itself."""

    def tensors(self) -> dict[str, np.ndarray]:
        tensors = {"tokens": self.tokens, "logprobs": self.logprobs}
        tensors |= {"state": self.state} if self.state is not None else {}
        return tensors | ({"runtime_logits": self.runtime_logits} if self.runtime_logits is not None else {})


def oracle(case: Case) -> Oracle | None:
    """The reference numbers. Raises if the file and its network disagree."""
    if case.oracle == "none":
        return None
    if case.oracle == "window":
        return windowed(case)
    if case.network is not None and case.runtime != "none":
        check(case)
    if case.oracle == "steps":
        return gathered(case, [stepped(case, tokens) for tokens in tokens_for(vocab_size(case))])
    if case.oracle == "twin":
        runner = twin(case.network)
    else:
        runner = Runner(case, case.reference or case.model)
    tokens = tokens_for(vocab_size(case))
    found = gathered(case, [runner.run(batch) for batch in tokens])
    if case.runtime_tolerance is not None:
        found.runtime_logits = quantised_logits(case)
    return found


def vocab_size(case: Case) -> int:
    if case.network is not None:
        return case.network.vocab_size
    output = next(o for o in case.model.graph.output if o.name == case.ports.logits)
    return output.type.tensor_type.shape.dim[-1].dim_value


def twin(network: Network) -> Runner:
    """The same network with nothing fixed, omitted or lost."""
    form = Form(state="layers")
    case = Case("twin", build(network, form), "lowered", network, form.ports(network))
    return Runner(case, case.model)


def check(case: Case) -> None:
    """Compares the file's own numbers with those of its network, as far as the file exposes them."""
    runner, plain = Runner(case, case.reference or case.model), twin(case.network)
    time, batch = case.frozen
    for tokens in tokens_for(case.network.vocab_size):
        if (time or batch) is not None:
            tokens = np.resize(tokens, (batch or len(tokens), time or tokens.shape[1]))
        found, expected = runner.run(tokens), plain.run(tokens)
        logprobs = expected.logprobs
        if case.ports.form == "last":
            logprobs = logprobs[:, -1:]
        if case.ports.form == "first":
            logprobs = logprobs[:, :1]
        agree(case.name + ": log-probabilities", found.logprobs, logprobs)
        for key, value in found.state.items():
            agree(f"{case.name}: state {key}", value, expected.state[key])


def agree(what: str, found: np.ndarray, expected: np.ndarray, tolerance: float = TOLERANCE) -> None:
    if found.shape != expected.shape:
        raise SystemExit(f"{what}: found the shape {found.shape}, expected {expected.shape}")
    error = np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected)))
    if not error <= tolerance:
        raise SystemExit(f"{what}: the difference is {error:.2e}, expected at most {tolerance:.0e}")


def stepped(case: Case, tokens: np.ndarray) -> Answer:
    """Reads one token at a time and carries the state from call to call. A batch that the file fixes has copies of the row."""
    runner, state, steps = Runner(case, case.model), None, []
    copies = case.frozen[1] or 1
    for t in range(tokens.shape[1]):
        ids = [np.repeat(row, copies, axis=0) for row in np.split(tokens[:, t : t + 1], len(tokens))]
        rows = [runner.run(row, row_state(state, b, copies)) for b, row in enumerate(ids)]
        state = {key: np.concatenate([row.state[key][:1] for row in rows]) for key in rows[0].state}
        steps.append(np.concatenate([row.logprobs[:1] for row in rows]))
    return Answer(steps[-1], np.concatenate(steps, axis=1), state)


def row_state(state: dict | None, b: int, copies: int) -> dict | None:
    return None if state is None else {key: np.repeat(value[b : b + 1], copies, axis=0) for key, value in state.items()}


def windowed(case: Case) -> Oracle:
    """Reads the last N ids at a time, filled up with `pad` where there are fewer."""
    runner, window, pad = Runner(case, case.model), case.window, case.hints.get("pad", 0)
    copies = case.frozen[1] or 1
    answers = []
    for tokens in tokens_for(vocab_size(case)):
        padded = np.concatenate([np.full((len(tokens), window), pad), tokens], axis=1)
        rows = [
            [
                runner.run(np.repeat(row[None, t + 1 : t + 1 + window], copies, axis=0)).logprobs[:1, -1]
                for t in range(tokens.shape[1])
            ]
            for row in padded
        ]
        answers.append(Answer(None, np.array(rows)[:, :, 0], {}))
    return gathered(case, answers)


def gathered(case: Case, answers: list[Answer]) -> Oracle:
    tokens = tokens_for(vocab_size(case))
    flat = np.concatenate([batch.reshape(-1) for batch in tokens])
    logprobs = np.concatenate([answer.logprobs.reshape(-1, answer.logprobs.shape[-1]) for answer in answers])
    keys = sorted(answers[0].state, key=lambda key: (key[1], key[0] == "c"))
    states = [np.concatenate([answer.state[key] for key in keys], axis=-1) for answer in answers] if keys else None
    state = np.concatenate(states).astype(np.float32) if states else None
    return Oracle(flat.astype(np.uint32), logprobs.astype(np.float32), state)


def quantised_logits(case: Case) -> np.ndarray:
    """The logits `[positions, V]` of the quantised file in ONNX Runtime. Raises if those in floats are too far away."""
    runner, floats = Runner(case, case.model), Runner(case, case.reference)
    found, expected = [], []
    for tokens in tokens_for(vocab_size(case)):
        for parts, run in ((found, runner), (expected, floats)):
            parts.append(run.raw_steps(run.run(tokens).raw, *tokens.shape))
    found, expected = (np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts]) for parts in (found, expected))
    error = np.abs(found - expected).max() / np.abs(found).max()
    if error > case.runtime_tolerance:
        raise SystemExit(f"{case.name}: integers and floats differ by {error:.3f} of the largest logit")
    return found.astype(np.float32)
