"""The queue between the searching thread and the thread of Ray Tune: jobs one way, attempts the other."""

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
"""Time for jobs to end by themselves after Ctrl-C, before their workers are killed."""
GRACE_SECONDS = 1.0
"""Time that `JobQueue.next` waits for the next job when one has just ended."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A job and the resources that it gets."""

    job: Job
    bundle: dict[str, float]


class JobQueue:
    """Passes jobs to another thread in order, and attempts back; a job that ran out of memory is passed on alone."""

    def __init__(self, place: Place) -> None:
        self.ended: queue.Queue[tuple[int, Attempt | str]] = queue.Queue()
        """Numbers of jobs that ended, with their attempts, or why their workers died."""
        self._place = place
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._out_of_memory: deque[Job] = deque()
        """Jobs that ran out of memory and wait to run alone."""
        self._running: set[int] = set()
        self._alone: set[int] = set()
        """The numbers of the jobs that ran out of memory once, and run or ran alone."""
        self._seen: list[Measured] = []
        self._gpu_bytes: int | None = None
        self._closed = False
        self._grace_until = 0.0

    def put(self, job: Job) -> None:
        """Takes a job to run."""
        with self._changed:
            self._alone.discard(job.number)
            self._waiting.append(job)
            self._changed.notify()

    def put_alone(self, job: Job) -> bool:
        """Takes a job that ran out of memory, to run it alone; returns False if it ran alone already."""
        with self._changed:
            if job.number in self._alone:
                return False
            self._alone.add(job.number)
            self._out_of_memory.append(job)
            self._changed.notify()
            return True

    def learn(self, job: Job, evaluation: Evaluation) -> None:
        """Records the memory that a job was measured to need."""
        if job.memory_bytes is not None and evaluation.peak_memory_bytes is not None:
            with self._changed:
                seen = Measured(predicted_bytes=job.memory_bytes, peak_bytes=evaluation.peak_memory_bytes)
                self._seen.append(seen)

    def last_evaluations(self, numbers: list[int]) -> dict[int, Evaluation]:
        """Returns the evaluations of those of the jobs that end within `STOP_SECONDS`; no further job begins."""
        last: dict[int, Evaluation] = {}
        deadline = time.monotonic() + STOP_SECONDS
        with self._changed:
            self._waiting.clear()
            self._out_of_memory.clear()
        while self._running and len(last) < len(numbers):
            try:
                number, tried = self.ended.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if isinstance(tried, Attempt):
                last[number] = tried.evaluation
        return last

    def close(self) -> None:
        """Closes the queue: `next` returns None from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def next(self) -> Placed | None:
        """Returns the next job that may begin, or None if there is none now; see `is_closed`.

        Waits for a job while nothing runs, and up to `GRACE_SECONDS` after a job has ended: Tune ends all idle workers
        but one, so the next job should arrive before the next worker becomes idle.
        """
        with self._changed:
            while not self._closed:
                placed = self._place_next()
                if placed is not None:
                    return placed
                left = self._grace_until - time.monotonic()
                if self._running and (left <= 0 or self._waiting or self._out_of_memory):
                    return None
                self._changed.wait(left if self._running else None)
            return None

    @property
    def is_closed(self) -> bool:
        """Whether no further job will come."""
        return self._closed

    def end(self, number: int, tried: Attempt | str, gpu_bytes: int | None = None) -> None:
        """Records how a job ended: its attempt, or why its worker died."""
        with self._changed:
            self._gpu_bytes = gpu_bytes or self._gpu_bytes
            self._running.discard(number)
            self._grace_until = time.monotonic() + GRACE_SECONDS
        self.ended.put((number, tried))

    def _place_next(self) -> Placed | None:
        if self._out_of_memory or self._running & self._alone:
            if self._running or not self._out_of_memory:
                return None
            placed = Placed(job=self._out_of_memory.popleft(), bundle=self._place.whole())
        elif self._waiting:
            job = self._waiting.popleft()
            needed = predict_bytes(job.memory_bytes, self._seen)
            placed = Placed(job=job, bundle=self._place.bundle(needed, self._gpu_bytes))
        else:
            return None
        self._running.add(placed.job.number)
        self._grace_until = 0.0
        return placed
