"""A stub of training that writes down on which host a trial began and ended; Ray's workers import it."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.executors import Evaluation, Job, Report
from tests.faults.evaluators import Quick, QuickSpec


@dataclass(frozen=True, kw_only=True)
class WitnessedSpec:
    """Makes a `Witnessed` in whatever process."""

    seconds: float
    witness: str
    """A file in the shared folder."""

    def make(self, worker: int = 0) -> Witnessed:
        """Returns the evaluator of a worker."""
        return Witnessed(self)

    def over(self, splits: Any) -> Witnessed:
        """Returns the evaluator of this process."""
        return Witnessed(self)


class Witnessed:
    """Evaluates as `Quick` does, and adds a line to the witness before and after."""

    def __init__(self, spec: WitnessedSpec) -> None:
        self._quick, self._witness = Quick(QuickSpec(seconds=spec.seconds)), Path(spec.witness)

    def evaluate(self, job: Job, report: Report) -> Evaluation:
        """Evaluates a job in `seconds`."""
        self._write(f"begun {job.number}")
        evaluation = self._quick.evaluate(job, report)
        self._write(f"ended {job.number}")
        return evaluation

    def _write(self, text: str) -> None:
        file = os.open(self._witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{text} {socket.gethostname()}\n".encode())
        os.close(file)
