"""Evaluation in this process, one trial at a time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from nas.executors import Evaluation, Evaluator, Job, Report
from nas.executors.attempt import attempt


class LocalExecutor:
    """Evaluates the submitted job when its result is waited for.

    The job is alone at all times; when memory runs out it is tried again after garbage has been collected.
    """

    capacity = 1

    def __init__(self, evaluator: Evaluator, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._evaluator = evaluator
        self._clock = clock
        self._job: Job | None = None

    def submit(self, job: Job) -> None:
        """Takes the job to evaluate next."""
        assert self._job is None, "a local executor runs one job at a time"
        self._job = job

    def wait(self, report: Report) -> tuple[Job, Evaluation]:
        """Evaluates the job; an exception makes it a failed one, Ctrl-C a stopped one.

        Raises:
            DataError: the data set is at fault, which no other architecture would put right.
        """
        assert self._job is not None, "there is no job to wait for"
        job, self._job = self._job, None
        tried = attempt(self._evaluator, job, report, clock=self._clock)
        if tried.out_of_memory:
            gc.collect()
            tried = attempt(self._evaluator, job, report, clock=self._clock)
            if tried.out_of_memory:
                return job, tried.given_up()
        tried.check_data()
        return job, tried.evaluation

    def close(self) -> None:
        """Forgets the job that was not waited for."""
        self._job = None

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
