"""Checkpoints: the state of a training on disk, so that an interrupted training can be resumed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from math import isnan
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from search_space.errors import ConfigError
from trainers.averaging import WeightAverage
from trainers.config import TrainConfig
from trainers.data.dataset import Dataset
from trainers.evaluation import Score
from trainers.settings import SettingError, fixed_changes
from trainers.weights import load_state, read_torch, write_torch

logger = logging.getLogger(__name__)

RESTART_HINT = "restore it from a copy, or start again in another folder"


@dataclass(kw_only=True)
class TrainingState:
    """State of a training besides the weights. Order and augmentation of the images depend only on the step."""

    step: int = 0
    bad_steps: int = 0
    bad_in_a_row: int = 0
    scaled_down: int = 0
    """Steps that were skipped to find the gradient scale of float16, which is normal."""
    pending: int = 0
    """Batches whose gradients wait for the next change of the weights."""
    finished_step: int = 0
    """The last step whose evaluation and history are done; less than `step` only after an interruption."""
    sums: dict[str, float] = field(default_factory=dict)
    """Sums of the loss and its parts since the last row of the history."""
    num_summed: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    score: Score | None = None
    """The latest score."""
    best_score: Score | None = None
    best_step: int = 0
    num_worse: int = 0
    """Number of evaluations since the best one."""
    seconds: float = 0.0
    """Training time until the checkpoint was written, including the time before interruptions."""
    broken: dict[int, str] = field(default_factory=dict)
    """Error messages of unreadable training images, by index."""
    teacher_seconds: float = 0.0
    """The share of `seconds` that the predictions of a teacher took."""

    def count(self, losses: Mapping[str, float]) -> None:
        """Counts a step that changed the weights or the waiting gradients, and adds its losses."""
        self.step += 1
        self.bad_in_a_row = 0
        self.num_summed += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def count_skipped(self, *, bad: bool) -> None:
        """Counts a step that changed no weights; it is bad if the loss or a gradient was not finite."""
        self.step += 1
        self.bad_steps += bad
        self.bad_in_a_row = self.bad_in_a_row + 1 if bad else 0
        self.scaled_down += not bad

    def mean_losses(self) -> dict[str, float]:
        """Returns the means of the loss and its parts since the last call; nan without a good step."""
        means = {name: value / self.num_summed for name, value in self.sums.items()} or {"loss": float("nan")}
        self.sums, self.num_summed = {}, 0
        return means

    def rate(self, score: Score) -> bool:
        """Stores a new score; returns whether it is the best so far."""
        self.score = score
        if self.best_score is None or _comparable(score) > _comparable(self.best_score):
            self.best_score, self.best_step, self.num_worse = score, self.step, 0
            return True
        self.num_worse += 1
        return False

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data."""
        scores = {name: score and score.to_dict() for name, score in self._scores().items()}
        return {**vars(self), **scores}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainingState:
        """Inverse of `to_dict`."""
        scores = {name: Score(**data[name]) if data[name] else None for name in ("score", "best_score")}
        return cls(**{**data, **scores})

    def _scores(self) -> dict[str, Score | None]:
        return {"score": self.score, "best_score": self.best_score}


def _comparable(score: Score) -> float:
    return -1.0 if isnan(score.accuracy) else score.accuracy


@dataclass(kw_only=True)
class Checkpoint:
    """Writes and reads the checkpoint of a training; does nothing without a path."""

    path: Path | None
    writes: bool
    """True in the first process only; all processes read."""
    config: TrainConfig
    train_set: Dataset
    val_set: Dataset | None
    detector: nn.Module
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage
    teacher: str | None = None
    """Fingerprint of the weights of the teacher; None without one."""
    _consistent: bool = True
    _written: float = field(default_factory=time.monotonic)
    _began: float = field(default_factory=time.monotonic)
    _seconds_before: float = 0.0

    @property
    def seconds(self) -> float:
        """Training time so far, including the time before interruptions."""
        return self._seconds_before + time.monotonic() - self._began

    @contextmanager
    def step(self) -> Iterator[None]:
        """Prevents writing while a step is incomplete: the block must run to its end before `save` writes again."""
        self._consistent = False
        yield
        self._consistent = True

    def is_due(self, step: int) -> bool:
        """Returns whether a checkpoint is due by steps or by time."""
        seconds, steps = self.config.checkpoint_seconds, self.config.checkpoint_steps
        return (steps > 0 and step % steps == 0) or (seconds > 0 and time.monotonic() - self._written > seconds)

    def save(self, state: TrainingState) -> None:
        """Writes the checkpoint atomically."""
        if self.path is None or not self.writes or not self._consistent:
            return
        state.seconds = self.seconds
        content: dict[str, Any] = {
            "kind": "checkpoint",
            "config": self.config.to_dict(),
            **self._fingerprints,
            "state": state.to_dict(),
            "detector": self.detector.state_dict(),
            "average": self.average.detector.state_dict(),
            "num_updates": self.average.num_updates,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        if self.train_set.pixel_range is not None:
            content["pixel_range"] = list(self.train_set.pixel_range)
        if self.teacher is not None:
            content["teacher"] = self.teacher
        if state.pending:
            content["gradients"] = [value.grad for value in self.detector.parameters()]
        write_torch(self.path, content)
        self._written = time.monotonic()

    def save_first(self, state: TrainingState) -> None:
        """Writes the file if there is none, so that a training that has written anything can be resumed."""
        if self.path is not None and not self.path.exists():
            self.save(state)

    def load(self) -> TrainingState:
        """Restores weights, averages and the optimizer; without a file, the training starts from the beginning.

        Raises:
            ConfigError: the file is not a checkpoint, or belongs to other settings, data or another architecture.
        """
        if self.path is None or not self.path.exists():
            logger.info("no checkpoint at %s, starting from the beginning", self.path)
            return TrainingState()
        content = read_checkpoint(self.path)
        self._check(content)
        try:
            state = self._restore(content)
        except (LookupError, TypeError, AttributeError) as error:
            raise ConfigError(f"{self.path} is incomplete or damaged ({error!r}); {RESTART_HINT}") from None
        self._seconds_before, self._began = state.seconds, time.monotonic()
        return state

    def _restore(self, content: dict[str, Any]) -> TrainingState:
        load_state(self.detector, content["detector"])
        load_state(self.average.detector, content["average"])
        self.average.num_updates = content["num_updates"]
        self.optimizer.load_state_dict(content["optimizer"])
        if content["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(content["scaler"])
        state = TrainingState.from_dict(content["state"])
        if state.pending:
            for value, gradient in zip(self.detector.parameters(), content["gradients"], strict=True):
                value.grad = None if gradient is None else gradient.to(value.device)
        return state

    @cached_property
    def _fingerprints(self) -> dict[str, str | None]:
        return fingerprints(self.train_set, self.val_set)

    def _check(self, content: dict[str, Any]) -> None:
        before, now = content["config"], self.config.to_dict()
        for name, former, value in fixed_changes(before, now, type(self.config)):
            raise SettingError(
                f"{name} is {value}, but {self.path} was trained with {former}; resume with the same settings or start "
                "anew",
                name,
            )
        assert self.path is not None
        check_same_data(self.path, content, self._fingerprints)
        check_same_teacher(self.path, content, self.teacher)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint file; raises ConfigError if it is not a checkpoint or damaged."""
    content = read_torch(path, "checkpoint", RESTART_HINT)
    if content.get("kind") != "checkpoint" or not {"config", "data", "state"} <= content.keys():
        raise ConfigError(f"{path} is not a checkpoint of nas train, or it is damaged; {RESTART_HINT}")
    return content


def fingerprints(train_set: Dataset, val_set: Dataset | None) -> dict[str, str | None]:
    """Returns the fingerprints of the training set (`data`) and the validation set (`val_data`)."""
    return {"data": train_set.fingerprint(), "val_data": None if val_set is None else val_set.fingerprint()}


def check_same_data(path: Path, content: Mapping[str, Any], now: Mapping[str, str | None]) -> None:
    """Raises ConfigError if the checkpoint in `path` belongs to other data; the path of the data does not matter."""
    for name, what in (("data", "training"), ("val_data", "validation")):
        before = content.get(name)
        if None not in (before, now[name]) and before != now[name]:
            raise ConfigError(
                f"{path} belongs to other {what} data: file names, sizes, boxes, classes or the pixel range have "
                "changed; resume with the original data, or start again in another folder"
            )


def check_same_teacher(path: Path, content: Mapping[str, Any], now: str | None) -> None:
    """Raises ConfigError if the checkpoint in `path` belongs to a training with another teacher; see `Checkpoint`."""
    before = content.get("teacher")
    if before != now:
        begun, given = ("no teacher" if each is None else f"the teacher {each}" for each in (before, now))
        raise ConfigError(
            f"{path} was trained with {begun}, not with {given}; resume with the original weights of the teacher, or "
            "start again in another folder"
        )
