"""Stand-ins for training that take milliseconds, and what may be wrong with one; worker processes import them."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

import torch

from nas.executors import Evaluation, Job, Report, Step
from nas.executors.training import TrainingSpec
from results.trial import Outcome
from trainers import save_weights
from trainers.weights import is_readable

SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class QuickSpec:
    """Makes a `Quick` in whatever process."""

    faulty: int = -1
    """The number of the trial that something happens in."""
    what: str = ""
    seconds: float = SECONDS

    def make(self, worker: int = 0) -> Quick:
        """Returns the evaluator of a worker."""
        return Quick(self)

    def over(self, splits: Any) -> Quick:
        """Returns the evaluator of this process."""
        return Quick(self)


class Quick:
    """Scores by a formula, writes small weights, and does what its spec says at one trial."""

    def __init__(self, spec: QuickSpec) -> None:
        self._spec = spec

    def evaluate(self, job: Job, report: Report) -> Evaluation:
        """Evaluates a job in `seconds`."""
        for step in range(1, 5):
            time.sleep(self._spec.seconds / 4)
            report(Step(number=job.number, step=step, num_steps=4, loss=1 / step))
        if job.number == self._spec.faulty:
            FAULTS[self._spec.what]()
        if job.weights_path is not None:
            save_weights(job.weights_path, {"w": torch.ones(1000)}, job.architecture.to_dict(), ["a"])
        value = int(job.architecture.key(), 16) % 1000 / 1000
        scores = {"accuracy": value, "ap": value / 2}
        share = None if job.donor is None else 0.5 * is_readable(job.donor.weights)
        return Evaluation(
            outcome=Outcome.COMPLETE,
            scores=scores,
            epochs=job.epochs or 1.0,
            images_seen=4,
            inherited_macs=share,
        )


def _short() -> None:
    torch.empty(2**60)


def _memory_error() -> None:
    raise MemoryError("the process has no memory left")


def _sleep() -> None:
    time.sleep(1e6)


def _hold() -> None:
    ctypes.PyDLL(None).sleep(100_000)  # in C, and with the lock of the interpreter


def _stopped() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


FAULTS = {
    "torch short of memory": _short,
    "MemoryError": _memory_error,
    "sleeps": _sleep,
    "hangs in C": _hold,
    "is stopped": _stopped,
    "is killed": _killed,
}


def quick(**settings: Any) -> None:
    """Puts `Quick` in the place of training; for a child."""
    TrainingSpec.of = classmethod(lambda cls, config: QuickSpec(**settings))  # type: ignore[assignment]


def spoil_loss(value: float, at_pass: range) -> None:
    """Makes the loss of some training passes `value`."""
    from trainers.steps import DetectorLoss

    forward, passes = DetectorLoss.forward, iter(range(10**9))

    def spoiled(self: DetectorLoss, *given: Any) -> dict[str, torch.Tensor]:
        parts = forward(self, *given)
        return {name: part * value for name, part in parts.items()} if next(passes) in at_pass else parts

    DetectorLoss.forward = spoiled  # type: ignore[method-assign]
    assert not math.isfinite(value)


def spoil_reading(at_batch: int, error: BaseException) -> None:
    """Ends a thread that reads batches with an error."""
    from trainers.data.batches import BatchStream

    parts, batches = BatchStream.parts, iter(range(10**9))

    def spoiled(self: BatchStream, step: int) -> Any:
        if next(batches) == at_batch:
            raise error
        return parts(self, step)

    BatchStream.parts = spoiled  # type: ignore[method-assign]
