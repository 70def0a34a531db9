"""The actor through which Ray workers report steps and are asked to stop."""

from __future__ import annotations

import time
from typing import Any

from nas.executors import Step, StopTrial


class ProgressBoard:
    """Collects the steps of all workers and the requests to stop; runs as an actor of Ray."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._stops: dict[int, StopTrial] = {}
        self._workers: dict[str, Any] = {}
        self._claims: dict[int, tuple[Any, float]] = {}

    def post(self, step: Step) -> StopTrial | None:
        """Takes a step; returns the request to end its job, or None."""
        self._steps.append(step)
        return self._stops.get(step.number)

    def take(self) -> list[Step]:
        """Returns the steps since the last call."""
        steps, self._steps = self._steps, []
        return steps

    def stop(self, number: int, stop: StopTrial) -> None:
        """Asks a job to end."""
        self._stops[number] = stop

    def begin(self, number: int) -> None:
        """Drops the requests to an earlier attempt at a job."""
        self._stops.pop(number, None)

    def claim(self, number: int, worker: Any) -> None:
        """Records that a worker begins with a job."""
        self._claims[number] = (worker, time.monotonic())

    def release(self, number: int) -> None:
        """Records that a job has ended."""
        self._claims.pop(number, None)

    def overdue(self, seconds: float) -> list[tuple[int, Any]]:
        """Returns the jobs that have been under way for longer, each once, with their workers."""
        now = time.monotonic()
        late = [(number, worker) for number, (worker, began) in self._claims.items() if now - began > seconds]
        for number, _ in late:
            self.release(number)
        return late

    def enrol(self, name: str, worker: Any) -> None:
        """Records a worker."""
        self._workers[name] = worker

    def workers(self) -> list[Any]:
        """Returns all workers so far, dead ones included."""
        return list(self._workers.values())
