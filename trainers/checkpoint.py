"""The state of a training on disk, so that it can go on after an interruption."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from search_space.errors import ConfigError
from trainers.averaging import WeightAverage
from trainers.config import TrainConfig
from trainers.data.dataset import Dataset
from trainers.evaluate import Score
from trainers.weights import cpu_copy, load_state, read_torch, write_torch

logger = logging.getLogger(__name__)

FREE_TO_CHANGE = frozenset({"eval_every", "num_readers", "device", "precision", "max_bad_steps"})
"""Settings that may differ when a training is resumed."""


@dataclass(kw_only=True)
class TrainingState:
    """What changes during a training besides weights; order and augmentation follow from the step alone."""

    step: int = 0
    bad_steps: int = 0
    bad_in_a_row: int = 0
    finished_step: int = 0
    """The last step after which evaluation and history were done; behind `step` only after an interruption."""
    losses: list[float] = field(default_factory=list)
    """Since the last row of the history."""
    history: list[dict[str, float]] = field(default_factory=list)
    score: Score | None = None

    def count(self, loss: float, *, good: bool) -> None:
        """Counts a step and its loss; a bad one was skipped because loss or gradient were not finite."""
        self.step += 1
        self.bad_steps += not good
        self.bad_in_a_row = 0 if good else self.bad_in_a_row + 1
        if good:
            self.losses.append(loss)


@dataclass(kw_only=True)
class Checkpoint:
    """Writes and reads the state of one training; without a path it does nothing."""

    path: Path | None
    config: TrainConfig
    train_set: Dataset
    detector: nn.Module
    optimizer: Optimizer
    average: WeightAverage
    consistent: bool = True
    """False while a step is half done: an interruption then leaves the last file as it is."""

    def save(self, state: TrainingState) -> None:
        """Writes everything to the file, at once or not at all."""
        if self.path is None or not self.consistent:
            return
        content = {
            "kind": "checkpoint",
            "config": self.config.to_dict(),
            "data": self.train_set.fingerprint(),
            "state": {**vars(state), "score": state.score.to_dict() if state.score else None},
            "detector": cpu_copy(self.detector.state_dict()),
            "average": cpu_copy(self.average.detector.state_dict()),
            "num_updates": self.average.num_updates,
            "optimizer": self.optimizer.state_dict(),
        }
        write_torch(self.path, content)

    def load(self) -> TrainingState:
        """Restores weights, averages and the optimizer; a missing file means a training that has not begun.

        Raises:
            ConfigError: the file is no checkpoint, or of a training with other settings, data or architecture.
        """
        if self.path is None or not self.path.exists():
            logger.info("no checkpoint at %s, starting from the beginning", self.path)
            return TrainingState()
        content = read_torch(self.path, "checkpoint")
        if content.get("kind") != "checkpoint":
            raise ConfigError(f"{self.path} is no checkpoint; give one written by nas train")
        self._check(content)
        load_state(self.detector, content["detector"])
        load_state(self.average.detector, content["average"])
        self.average.num_updates = content["num_updates"]
        self.optimizer.load_state_dict(content["optimizer"])
        score = content["state"].pop("score")
        return TrainingState(**content["state"], score=Score(**score) if score else None)

    def _check(self, content: dict[str, Any]) -> None:
        before, now = content["config"], asdict(self.config)
        for name in before.keys() | now.keys():
            if name not in FREE_TO_CHANGE and before.get(name) != now.get(name):
                raise ConfigError(
                    f"{self.path} was trained with {name} {before.get(name)}, now it is {now.get(name)}; "
                    "resume with the same settings or start anew"
                )
        if content["data"] != self.train_set.fingerprint():
            raise ConfigError(f"{self.path} was trained on other data; resume with the same data or start anew")
