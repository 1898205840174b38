"""The training loop: windows in, updates out, checkpoints and a log on the way. Knows no command line."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import pathlib
import time

import torch
from torch import nn
from tqdm import tqdm

from . import checkpoint, loss, scoring
from .candidates import CandidateSampler
from .corpus import Streams
from .errors import InputError
from .model import Dropouts, State, detached
from .network import Network
from .schedule import Schedule
from .tokenizer import Tokenizer
from .window import WindowLm


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run is besides its data, its network and its schedule; kept in the checkpoint."""

    seed: int = 1
    batch_size: int = 64
    window: int = 35
    head: int = 2048
    samples: int = 2048
    dropout: float = 0.1
    embedding_dropout: float = 0.1
    recurrent_dropout: float = 0.0
    weight_decay: float = 0.01
    clip: float = 0.5
    bf16: bool = False
    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    valid_every: float = 300.0  # seconds
    checkpoint_every: float = 300.0  # seconds

    def dropouts(self) -> Dropouts:
        """Those of the network."""
        return Dropouts(self.dropout, self.embedding_dropout, self.recurrent_dropout)


class Trainer:
    """One run. Its whole state is in `checkpoint_values`, so that a run resumed from there goes on as if never stopped."""

    def __init__(self, model: Network, tokenizer: Tokenizer, data: Data, schedule: Schedule, options: Options) -> None:
        self.model, self.tokenizer, self.data, self.schedule, self.options = model.to(options.device), tokenizer, data, schedule, options
        if options.recurrent_dropout > 0.0 and isinstance(model, WindowLm):
            raise InputError(f"recurrent dropout needs recurrent weights, which a `{model.architecture.cell}` network lacks")
        model.dropouts = options.dropouts()
        self.streams = Streams(data.train, options.batch_size, options.window)
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=schedule.learning_rate, betas=(0.9, 0.99), weight_decay=options.weight_decay, fused=True
        )
        self.generator = torch.Generator().manual_seed(options.seed)
        counts = torch.bincount(data.train, minlength=model.architecture.vocab_size)
        reduced = options.head + options.samples < model.architecture.vocab_size
        self.sampler = CandidateSampler(counts, options.head, options.samples) if reduced and options.samples > 0 else None
        self.state: State = model.zero_state(options.batch_size)
        self.step = 0
        self.elapsed = 0.0
        self.best_valid = math.inf
        self.log: list[str] = []
        self.commands: list[str] = []
        self.initial: dict[str, object] | None = None
        self.stop_at = math.inf

    def stop(self) -> None:
        """Ends `run` after the update under way, to be resumed later."""
        self.stop_at = self.step

    def run(self, folder: pathlib.Path) -> None:
        """Trains to the schedule's end or `stop_at`, leaving `last.pt`, `best.pt` (lowest loss on valid) and `train.log` in `folder`."""
        self.model.train()
        started = time.monotonic() - self.elapsed
        last_valid = last_saved = self.elapsed
        loss_sum, loss_count = 0.0, 0
        with tqdm(total=self.schedule.steps, initial=self.step, unit="step", mininterval=5.0, dynamic_ncols=True) as bar:
            while (progress := self.schedule.progress(self.step, self.elapsed)) < 1.0 and self.step < self.stop_at:
                before = time.monotonic()
                step_loss, count = self._update(progress)
                rate = count / (time.monotonic() - before)
                loss_sum, loss_count = loss_sum + step_loss * count, loss_count + count
                bar.set_postfix_str(f"ppl {math.exp(min(step_loss, 20.0)):.2f}, {rate:,.0f} tokens/s, {progress:.1%}", refresh=False)
                bar.update()
                self.elapsed = time.monotonic() - started
                if self.elapsed - last_valid >= self.options.valid_every:
                    self._validate(folder, loss_sum / loss_count, progress)
                    loss_sum, loss_count = 0.0, 0
                    last_valid = self.elapsed = time.monotonic() - started
                if self.elapsed - last_saved >= self.options.checkpoint_every:
                    checkpoint.save(folder / "last.pt", self.checkpoint_values())
                    last_saved = self.elapsed
        if loss_count > 0 and progress >= 1.0:
            self._validate(folder, loss_sum / loss_count, progress)
        checkpoint.save(folder / "last.pt", self.checkpoint_values())

    def _update(self, progress: float) -> tuple[float, int]:
        """One window, one step of AdamW. Returns the mean loss (an estimate while candidates are sampled) and the tokens read."""
        options, device = self.options, self.options.device
        window = self.streams.at(self.step, options.seed)
        if window.first:
            self.state = self.model.zero_state(options.batch_size)
        inputs, targets = window.inputs.to(device), window.targets.to(device)
        dtype = torch.bfloat16 if options.bf16 else torch.float32
        with torch.autocast(device, torch.bfloat16, enabled=options.bf16):
            hidden, state = self.model(inputs, detached(self.state))
        if self.sampler is not None and self.schedule.samples(progress):
            candidates = self.sampler.draw(window.targets.flatten(), self.generator)
            total = loss.sampled_loss(hidden, self.model.decoder, candidates.to(device), dtype)
        else:
            total = loss.full_loss(hidden, self.model.decoder, targets, dtype)
        mean = total / targets.numel()
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.step, progress)
        self.optimizer.zero_grad(set_to_none=True)
        mean.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), options.clip)
        self.optimizer.step()
        self.state = state
        self.step += 1
        return mean.item(), targets.numel()

    def _validate(self, folder: pathlib.Path, train_loss: float, progress: float) -> None:
        valid = scoring.estimate_loss(self.model, self.data.valid.to(self.options.device), batch_size=16)
        epoch = self.step / self.streams.windows_per_epoch()
        line = (
            f"{self.elapsed:8.0f} s  {progress:6.1%}  step {self.step:6d}  epoch {epoch:6.2f}"
            f"  train ppl {math.exp(train_loss):8.3f}  valid ppl {math.exp(valid):8.3f}  valid bits/token {valid / math.log(2):.4f}"
        )
        self.log.append(line)
        tqdm.write(line)
        with (folder / "train.log").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        if valid < self.best_valid:
            self.best_valid = valid
            checkpoint.save(folder / "best.pt", self.checkpoint_values())

    def checkpoint_values(self) -> dict[str, object]:
        """Everything that `restore` needs; plain values and tensors only."""
        return {
            "architecture": dataclasses.asdict(self.model.architecture),
            "rule": self.tokenizer.rule.to_json(),
            "vocabulary": self.tokenizer.stored(),
            "options": dataclasses.asdict(self.options),
            "schedule": dataclasses.asdict(self.schedule),
            "data": self.data.description(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "state": detached(self.state),
            "generator": self.generator.get_state(),
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if self.options.device == "cuda" else [],
            "step": self.step,
            "elapsed": self.elapsed,
            "best_valid": self.best_valid,
            "log": self.log,
            "commands": self.commands,
            "initial": self.initial,
        }

    def follow(self, initial: dict[str, object]) -> None:
        """Notes the run, a loaded checkpoint, whose weights this one starts from."""
        self.commands = list(initial["commands"])
        self.initial = {name: initial[name] for name in ("data", "step", "elapsed")}

    def restore(self, values: dict[str, object]) -> None:
        """Takes a loaded checkpoint's place in its run."""
        self.model.load_state_dict(values["model"])
        self.optimizer.load_state_dict(values["optimizer"])
        for group in self.optimizer.param_groups:
            group["weight_decay"] = self.options.weight_decay
        on_device = lambda part: part.to(self.options.device)  # noqa: E731
        self.state = [tuple(map(on_device, layer)) if isinstance(layer, tuple) else on_device(layer) for layer in values["state"]]
        self.generator.set_state(values["generator"])
        torch.set_rng_state(values["torch_rng"])
        if self.options.device == "cuda":
            torch.cuda.set_rng_state_all(values["cuda_rng"])
        self.step, self.elapsed = values["step"], values["elapsed"]
        self.best_valid, self.log, self.commands = values["best_valid"], list(values["log"]), list(values["commands"])
        self.initial = values["initial"]


@dataclasses.dataclass(frozen=True)
class Data:
    """Ids to learn from and to validate on `[tokens]`, and where they came from."""

    train: torch.Tensor
    valid: torch.Tensor
    sources: dict[str, str]

    def description(self) -> dict[str, str]:
        """Sources and a digest of the ids: a run may only be resumed on the data it was started on."""
        return {**self.sources, "train_tokens": str(len(self.train)), "digest": digest(self.train)}


def start_from_unigrams(model: Network, ids: torch.Tensor) -> None:
    """Gives a new network the distribution of single tokens in `ids`: nothing needs to be learned but what context adds."""
    counts = torch.bincount(ids, minlength=model.architecture.vocab_size)
    with torch.no_grad():
        model.decoder.bias.copy_(torch.log(counts.clamp(min=1) / counts.sum()))


def digest(ids: torch.Tensor) -> str:
    """SHA-256 of ids, hexadecimal."""
    return hashlib.sha256(ids.numpy().tobytes()).hexdigest()
