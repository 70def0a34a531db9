"""Evaluation in this process, one trial at a time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from nas.executors import Evaluation, Evaluator, Job, NothingUnderWay, Report
from nas.executors.attempt import attempt


class LocalExecutor:
    """Evaluates the submitted job within `wait`.

    When memory runs out, the job is tried again after a garbage collection.
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
        """Evaluates the job; an exception makes a failed evaluation, Ctrl-C a stopped one.

        Raises:
            DataError, WriteError, NothingUnderWay: see `nas.executors.Executor`.
        """
        if self._job is None:
            raise NothingUnderWay
        job = self._job  # kept until its result is returned: after a Ctrl-C in between, `wait` is called again
        try:
            evaluation = self._evaluate(job, report)
        except Exception:
            self._job = None
            raise
        self._job = None
        return job, evaluation

    def _evaluate(self, job: Job, report: Report) -> Evaluation:
        tried = attempt(self._evaluator, job, report, clock=self._clock)
        if tried.out_of_memory:
            gc.collect()
            tried = attempt(self._evaluator, job, report, clock=self._clock)
            if tried.out_of_memory:
                return tried.given_up()
        tried.check_fault()
        return tried.evaluation

    def interrupt(self) -> None:
        """Does nothing: the job is evaluated within `wait`, and ended by its report."""

    def close(self) -> None:
        """Drops a job whose result was not requested."""
        self._job = None

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
