"""The training loop: windows in, updates out, with checkpoints and a log along the way. Knows no command line."""

from __future__ import annotations

import contextlib
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
from .training_log import TrainingLog
from .window import WindowLm

BAR_SECONDS = 5.0  # between two pictures of the progress bar


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
    log_every: int = 100  # updates

    def dropouts(self) -> Dropouts:
        """Those of the network."""
        return Dropouts(self.dropout, self.embedding_dropout, self.recurrent_dropout)


@dataclasses.dataclass(frozen=True)
class Update:
    """What one step of AdamW did."""

    loss: float  # the mean of its tokens; an estimate while candidates are sampled
    tokens: int
    gradient_norm: float  # before it was clipped
    learning_rate: float
    seconds: float


class Means:
    """Updates since the last line of a log."""

    def __init__(self) -> None:
        self.updates: list[Update] = []

    def add(self, update: Update) -> None:
        self.updates.append(update)

    def taken(self) -> dict[str, float]:
        """Their means, by the log's columns; starts anew."""
        updates = self.updates
        self.updates = []
        tokens = sum(update.tokens for update in updates)
        return {
            "learning_rate": updates[-1].learning_rate,
            "train_loss": sum(update.loss * update.tokens for update in updates) / tokens,
            "gradient_norm": sum(update.gradient_norm for update in updates) / len(updates),
            "tokens_per_second": tokens / sum(update.seconds for update in updates),
        }


class Trainer:
    """One run. Its whole state is in `checkpoint_values`: a run resumed from there continues as if it had never stopped."""

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
        self.unknown = scoring.unknown_id(tokenizer)
        self.unknown_of_train = (data.train == self.unknown).double().mean().item()
        self.unknown_of_valid = (data.valid == self.unknown).double().mean().item()
        self.state: State = model.zero_state(options.batch_size)
        self.step = 0
        self.elapsed = 0.0
        self.best_valid = math.inf
        self.log: list[str] = []
        self.commands: list[str] = []
        self.initial: dict[str, object] | None = None
        self.stop_at = math.inf

    @property
    def progress(self) -> float:
        """From 0 at the start to 1 at the end of the schedule."""
        return self.schedule.progress(self.step, self.elapsed)

    def stop(self) -> None:
        """Ends `run` after the update under way, to be resumed later."""
        self.stop_at = self.step

    def run(self, folder: pathlib.Path) -> None:
        """Trains to the schedule's end or `stop_at`, leaving `last.pt`, `best.pt` (lowest loss on valid) and the logs in `folder`.

        A run that stops before its first validation has no `best.pt`.
        """
        self.model.train()
        started = time.monotonic() - self.elapsed
        last_valid = last_saved = self.elapsed
        since_line, since_valid = Means(), Means()
        with TrainingLog(folder, self.step) as log, progress_bar(self.progress) as bar:
            while self.progress < 1.0 and self.step < self.stop_at:
                update = self._update(self.progress)
                since_line.add(update)
                since_valid.add(update)
                self.elapsed = time.monotonic() - started
                self._show(bar, update)
                if self.step % self.options.log_every == 0:
                    log.add(self._place() | since_line.taken())
                if self.elapsed - last_valid >= self.options.valid_every:
                    self._validate(folder, log, since_valid.taken()["train_loss"])
                    last_valid = self.elapsed = time.monotonic() - started
                if self.elapsed - last_saved >= self.options.checkpoint_every:
                    checkpoint.save(folder / "last.pt", self.checkpoint_values())
                    last_saved = self.elapsed
            if since_line.updates:
                log.add(self._place() | since_line.taken())
            if since_valid.updates and self.progress >= 1.0:
                self._validate(folder, log, since_valid.taken()["train_loss"])
        checkpoint.save(folder / "last.pt", self.checkpoint_values())

    def _update(self, progress: float) -> Update:
        """One window, one step of AdamW."""
        before = time.monotonic()
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
        rate = self.schedule.rate(self.step, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        mean.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), options.clip)
        self.optimizer.step()
        self.state = state
        self.step += 1
        return Update(mean.item(), targets.numel(), norm.item(), rate, time.monotonic() - before)

    def _show(self, bar: tqdm, update: Update) -> None:
        """The progress bar. It counts the schedule, which may end by steps or by time, so that its remaining time is that of the run."""
        perplexity = math.exp(min(update.loss, 20.0))
        unknown = f" ({self.unknown_of_train:.1%} unknown)" if self.unknown >= 0 else ""
        bar.set_postfix_str(f"step {self.step}, ppl {perplexity:.2f}{unknown}, {update.tokens / update.seconds:,.0f} tokens/s", refresh=False)
        bar.update(self.progress - bar.n)

    def _place(self) -> dict[str, float]:
        """Where the run is, by the log's columns."""
        return {"step": self.step, "epoch": self.step / self.streams.windows_per_epoch(), "seconds": self.elapsed}

    def _validate(self, folder: pathlib.Path, log: TrainingLog, train_loss: float) -> None:
        valid = scoring.estimate_loss(self.model, self.data.valid.to(self.options.device), batch_size=16, unknown=self.unknown)
        place = self._place()
        log.add(place | {"train_loss": train_loss, "valid_loss": valid.loss, "valid_loss_known": valid.known_loss})
        line = (
            f"{self.elapsed:8.0f} s  {self.progress:6.1%}  step {self.step:6d}  epoch {place['epoch']:6.2f}"
            f"  train ppl {math.exp(train_loss):8.3f}  valid ppl {math.exp(valid.loss):8.3f}  valid bits/token {valid.loss / math.log(2):.4f}"
        )
        if self.unknown >= 0:
            line += f"  unknown {self.unknown_of_train:.2%} of train, {self.unknown_of_valid:.2%} of valid"
        if self.unknown_of_valid > 0.0:
            line += f"  valid ppl without them {math.exp(valid.known_loss):8.3f}"
        self.log.append(line)
        tqdm.write(line)
        log.say(line)
        if valid.loss < self.best_valid:
            self.best_valid = valid.loss
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

    def follow(self, commands: list[str], description: dict[str, object]) -> None:
        """Notes what this run's weights start from: the commands that made it, and what a card says of it."""
        self.commands = list(commands)
        self.initial = description

    def restore(self, values: dict[str, object]) -> None:
        """Continues where a loaded checkpoint stopped."""
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
    """Ids to learn from and to validate on, `[tokens]`, and where they came from."""

    train: torch.Tensor
    valid: torch.Tensor
    sources: dict[str, str]

    def description(self) -> dict[str, str]:
        """Sources and a digest of the ids: a run may be resumed only on the data that it was started on."""
        return {**self.sources, "train_tokens": str(len(self.train)), "digest": digest(self.train)}


@contextlib.contextmanager
def progress_bar(progress: float):
    """A bar from 0 to 1, continued at `progress`."""
    form = "{percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]"
    with tqdm(total=1.0, initial=progress, bar_format=form, mininterval=BAR_SECONDS, dynamic_ncols=True) as bar:
        yield bar


def start_from_unigrams(model: Network, ids: torch.Tensor) -> None:
    """Gives a new network the distribution of single tokens in `ids`, so that it only needs to learn what context adds."""
    counts = torch.bincount(ids, minlength=model.architecture.vocab_size)
    with torch.no_grad():
        model.decoder.bias.copy_(torch.log(counts.clamp(min=1) / counts.sum()))


def digest(ids: torch.Tensor) -> str:
    """SHA-256 of ids, hexadecimal."""
    return hashlib.sha256(ids.numpy().tobytes()).hexdigest()
