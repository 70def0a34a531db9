"""Where workers on other machines tell their steps, and are told to stop."""

from __future__ import annotations

import time
from typing import Any

from nas.executors import Step


class ProgressBoard:
    """Where workers pin up their steps, and where they find that they are to stop. Runs as an actor."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._reasons: dict[int, str] = {}
        self._workers: dict[str, Any] = {}
        self._claims: dict[int, tuple[Any, float]] = {}

    def post(self, step: Step) -> str | None:
        """Takes a step; returns why its job is to end, or None."""
        self._steps.append(step)
        return self._reasons.get(step.number)

    def take(self) -> list[Step]:
        """Returns the steps since the last call."""
        steps, self._steps = self._steps, []
        return steps

    def stop(self, number: int, reason: str) -> None:
        """Asks a job to end."""
        self._reasons[number] = reason

    def begin(self, number: int) -> None:
        """Forgets what was asked of an earlier attempt at a job."""
        self._reasons.pop(number, None)

    def claim(self, number: int, worker: Any) -> None:
        """Takes note that a worker begins with a job."""
        self._claims[number] = (worker, time.monotonic())

    def release(self, number: int) -> None:
        """Takes note that a job has ended."""
        self._claims.pop(number, None)

    def overdue(self, seconds: float) -> list[tuple[int, Any]]:
        """Returns the jobs that are under way for longer, each once, with their workers."""
        now = time.monotonic()
        late = [(number, worker) for number, (worker, began) in self._claims.items() if now - began > seconds]
        for number, _ in late:
            self.release(number)
        return late

    def enrol(self, name: str, worker: Any) -> None:
        """Takes note of a worker."""
        self._workers[name] = worker

    def workers(self) -> list[Any]:
        """Returns all workers there ever were; some are dead."""
        return list(self._workers.values())
