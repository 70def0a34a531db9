"""Jobs on their way to whatever carries them out in another thread, and what became of them on the way back."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from dataclasses import dataclass

from nas.executors import Evaluation, Job
from nas.executors.attempt import Attempt
from nas.executors.ray_resources import Measured, Place, predict_bytes

STOP_SECONDS = 1.5
"""How long jobs may take to end of their own accord after Ctrl-C, before their workers are killed."""
GRACE_SECONDS = 1.0
"""How long `next` waits for the next job when one has just ended: see `JobQueue.next`."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A job with the resources that it is given."""

    job: Job
    bundle: dict[str, float]


class JobQueue:
    """Hands jobs to another thread in order, one that ran out of memory alone, and takes back how they ended."""

    def __init__(self, place: Place) -> None:
        self.ended: queue.Queue[tuple[int, Attempt | str]] = queue.Queue()
        """Numbers of jobs that ended, with their attempts or the words that say that their workers are dead."""
        self._place = place
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._short: deque[Job] = deque()
        """Jobs that wait to be run alone."""
        self._running: set[int] = set()
        self._alone: set[int] = set()
        """The numbers of the jobs that ran out of memory once and are run alone, or have been."""
        self._seen: list[Measured] = []
        self._gpu_bytes: int | None = None
        self._closed = False
        self._grace_until = 0.0

    def put(self, job: Job) -> None:
        """Takes a job that is to be run."""
        with self._changed:
            self._alone.discard(job.number)
            self._waiting.append(job)
            self._changed.notify()

    def put_alone(self, job: Job) -> bool:
        """Takes a job that ran out of memory, to run it with nothing beside it; False if it did so already."""
        with self._changed:
            if job.number in self._alone:
                return False
            self._alone.add(job.number)
            self._short.append(job)
            self._changed.notify()
            return True

    def learn(self, job: Job, evaluation: Evaluation) -> None:
        """Remembers how much memory a job needed."""
        if job.memory_bytes is not None and evaluation.peak_memory_bytes is not None:
            with self._changed:
                seen = Measured(predicted_bytes=job.memory_bytes, peak_bytes=evaluation.peak_memory_bytes)
                self._seen.append(seen)

    def last_words(self, numbers: list[int]) -> dict[int, Evaluation]:
        """Returns what became of those of the jobs that end within `STOP_SECONDS`; no further one is begun."""
        told: dict[int, Evaluation] = {}
        deadline = time.monotonic() + STOP_SECONDS
        with self._changed:
            self._waiting.clear()
            self._short.clear()
        while self._running and len(told) < len(numbers):
            try:
                number, tried = self.ended.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if isinstance(tried, Attempt):
                told[number] = tried.evaluation
        return told

    def close(self) -> None:
        """Ends the waiting of `next`, for good."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def next(self) -> Placed | None:
        """Returns the next job that may begin, or None when there is none; `is_closed` tells that none will come.

        It waits for a job where nothing runs, and up to `GRACE_SECONDS` when one has just ended: Tune ends all idle
        workers but one, so that the next job should be there before the next worker becomes idle.
        """
        with self._changed:
            while not self._closed:
                placed = self._place_next()
                if placed is not None:
                    return placed
                left = self._grace_until - time.monotonic()
                if self._running and (left <= 0 or self._waiting or self._short):
                    return None
                self._changed.wait(left if self._running else None)
            return None

    @property
    def is_closed(self) -> bool:
        """Whether no further job will come."""
        return self._closed

    def end(self, number: int, tried: Attempt | str, gpu_bytes: int | None = None) -> None:
        """Takes what became of a job: an attempt, or the words that say that its worker is dead."""
        with self._changed:
            self._gpu_bytes = gpu_bytes or self._gpu_bytes
            self._running.discard(number)
            self._grace_until = time.monotonic() + GRACE_SECONDS
        self.ended.put((number, tried))

    def _place_next(self) -> Placed | None:
        if self._short or self._running & self._alone:
            if self._running or not self._short:
                return None
            placed = Placed(job=self._short.popleft(), bundle=self._place.whole())
        elif self._waiting:
            job = self._waiting.popleft()
            needed = predict_bytes(job.memory_bytes, self._seen)
            placed = Placed(job=job, bundle=self._place.bundle(needed, self._gpu_bytes))
        else:
            return None
        self._running.add(placed.job.number)
        self._grace_until = 0.0
        return placed
