"""Evaluation in this process, one trial at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from nas.executors import INTERRUPTED, Evaluation, Evaluator, Job, Report
from search_space.errors import DataError

logger = logging.getLogger(__name__)


class LocalExecutor:
    """Evaluates the submitted job when its result is waited for."""

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
        start = self._clock()
        try:
            evaluation = self._evaluator.evaluate(job, report)
        except KeyboardInterrupt:
            evaluation = Evaluation(outcome="stopped", reason=INTERRUPTED)
        except DataError:
            raise
        except Exception as error:
            logger.info("trial %d failed", job.number, exc_info=True)
            evaluation = Evaluation(outcome="failed", reason=f"{type(error).__name__}: {error}")
        return job, replace(evaluation, seconds=self._clock() - start)
