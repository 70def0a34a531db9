"""The state of a training on disk, so that it can go on after an interruption."""

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

ANEW = "put a copy in its place, or begin anew in another folder"


@dataclass(kw_only=True)
class TrainingState:
    """What changes during a training besides weights; order and augmentation follow from the step alone."""

    step: int = 0
    bad_steps: int = 0
    bad_in_a_row: int = 0
    scaled_down: int = 0
    """Steps that float16 skipped to find the scale of its gradients; these are normal."""
    finished_step: int = 0
    """The last step after which evaluation and history were done; behind `step` only after an interruption."""
    sums: dict[str, float] = field(default_factory=dict)
    """Of the loss and its parts since the last row of the history."""
    num_summed: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    score: Score | None = None
    """The latest."""
    best_score: Score | None = None
    best_step: int = 0
    num_worse: int = 0
    """Evaluations since the best one."""
    seconds: float = 0.0
    """Time spent up to the moment of writing, over all parts of an interrupted training."""
    broken: dict[int, str] = field(default_factory=dict)
    """Training images that could not be read, by index, each with what is wrong."""

    def count(self, losses: Mapping[str, float]) -> None:
        """Counts a step that changed the weights, and its loss."""
        self.step += 1
        self.bad_in_a_row = 0
        self.num_summed += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def count_skipped(self, *, bad: bool) -> None:
        """Counts a step that changed no weight; a bad one because of a loss or gradient that was not finite."""
        self.step += 1
        self.bad_steps += bad
        self.bad_in_a_row = self.bad_in_a_row + 1 if bad else 0
        self.scaled_down += not bad

    def mean_losses(self) -> dict[str, float]:
        """Returns the means of the loss and its parts since the last call; nan if there was no good step."""
        means = {name: value / self.num_summed for name, value in self.sums.items()} or {"loss": float("nan")}
        self.sums, self.num_summed = {}, 0
        return means

    def rate(self, score: Score) -> bool:
        """Takes in a new score; returns True if it is the best so far."""
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
    """Writes and reads the state of one training; without a path it does nothing."""

    path: Path | None
    writes: bool
    """False in all processes but the first; all of them read."""
    config: TrainConfig
    train_set: Dataset
    val_set: Dataset | None
    detector: nn.Module
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage
    _consistent: bool = True
    _written: float = field(default_factory=time.monotonic)
    _began: float = field(default_factory=time.monotonic)
    _seconds_before: float = 0.0

    @property
    def seconds(self) -> float:
        """Time spent so far, with that of earlier parts of an interrupted training."""
        return self._seconds_before + time.monotonic() - self._began

    @contextmanager
    def step(self) -> Iterator[None]:
        """While the block runs, a step is half done, and nothing is written: the last file stays as it is."""
        self._consistent = False
        yield
        self._consistent = True

    def is_due(self, step: int) -> bool:
        """Tells whether the last file is old or many steps were done since."""
        seconds, steps = self.config.checkpoint_seconds, self.config.checkpoint_steps
        return (steps > 0 and step % steps == 0) or (seconds > 0 and time.monotonic() - self._written > seconds)

    def save(self, state: TrainingState) -> None:
        """Writes everything to the file, at once or not at all."""
        if self.path is None or not self.writes or not self._consistent:
            return
        state.seconds = self.seconds
        content = {
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
        write_torch(self.path, content)
        self._written = time.monotonic()

    def save_first(self, state: TrainingState) -> None:
        """Writes the file if there is none, so that nothing else is ever written by a training that cannot go on."""
        if self.path is not None and not self.path.exists():
            self.save(state)

    def load(self) -> TrainingState:
        """Restores weights, averages and the optimizer; a missing file means a training that has not begun.

        Raises:
            ConfigError: the file is no checkpoint, or of a training with other settings, data or architecture.
        """
        if self.path is None or not self.path.exists():
            logger.info("no checkpoint at %s, starting from the beginning", self.path)
            return TrainingState()
        content = read_checkpoint(self.path)
        self._check(content)
        try:
            state = self._restore(content)
        except (LookupError, TypeError, AttributeError) as error:
            raise ConfigError(f"{self.path} lacks something or is damaged ({error!r}); {ANEW}") from None
        self._seconds_before, self._began = state.seconds, time.monotonic()
        return state

    def _restore(self, content: dict[str, Any]) -> TrainingState:
        load_state(self.detector, content["detector"])
        load_state(self.average.detector, content["average"])
        self.average.num_updates = content["num_updates"]
        self.optimizer.load_state_dict(content["optimizer"])
        if content["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(content["scaler"])
        return TrainingState.from_dict(content["state"])

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


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads the file of an interrupted training; raises ConfigError, with what to do, if it is none or damaged."""
    content = read_torch(path, "checkpoint", ANEW)
    if content.get("kind") != "checkpoint" or not {"config", "data", "state"} <= content.keys():
        raise ConfigError(f"{path} is no checkpoint of nas train, or it is damaged; {ANEW}")
    return content


def fingerprints(train_set: Dataset, val_set: Dataset | None) -> dict[str, str | None]:
    """Returns what a checkpoint recognises its data by: the training set's as `data`, the other's as `val_data`."""
    return {"data": train_set.fingerprint(), "val_data": None if val_set is None else val_set.fingerprint()}


def check_same_data(path: Path, content: Mapping[str, Any], now: Mapping[str, str | None]) -> None:
    """Raises ConfigError if the checkpoint in `path` is of other data; where it lies does not matter."""
    for name, what in (("data", "training"), ("val_data", "validation")):
        before = content.get(name)
        if None not in (before, now[name]) and before != now[name]:
            raise ConfigError(
                f"{path} belongs to other {what} data: file names, sizes, boxes or classes have changed since; go on "
                "with the data as it was, or begin anew in another folder"
            )
