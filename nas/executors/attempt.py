"""One attempt at a job, in any process: exceptions become results that can be sent to another process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from nas.executors import Evaluation, Evaluator, Job, Report
from results.trial import Cause, Outcome
from search_space.errors import DataError, WriteError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """The result of one attempt at a job; picklable."""

    evaluation: Evaluation
    out_of_memory: bool = False
    fault: DataError | WriteError | None = None
    """The error of the data set or the disk that ended the attempt, with which all architectures would fail."""

    def check_fault(self) -> None:
        """Raises DataError if the data set cannot be used, WriteError if the weights cannot be written."""
        if self.fault is not None:
            raise self.fault

    def given_up(self) -> Evaluation:
        """Returns the evaluation of a job that ran out of memory for the second time."""
        reason = f"out of memory, also alone: {self.evaluation.reason}; next: a smaller --batch or a --budget-memory-mb"
        return replace(self.evaluation, cause=Cause.OUT_OF_MEMORY, reason=reason)


def attempt(evaluator: Evaluator, job: Job, report: Report, *, clock: Callable[[], float] = time.monotonic) -> Attempt:
    """Evaluates a job; an exception makes a failed evaluation, Ctrl-C a stopped one."""
    start = clock()
    tried = _attempt(evaluator, job, report)
    return replace(tried, evaluation=replace(tried.evaluation, seconds=max(0.0, clock() - start)))


def _attempt(evaluator: Evaluator, job: Job, report: Report) -> Attempt:
    try:
        return Attempt(evaluation=evaluator.evaluate(job, report))
    except KeyboardInterrupt:
        return Attempt(evaluation=interrupted())
    except (DataError, WriteError) as error:
        return Attempt(evaluation=failure(error), fault=error.with_traceback(None))
    except Exception as error:
        logger.info("trial %d failed", job.number, exc_info=True)
        return Attempt(evaluation=failure(error), out_of_memory=is_out_of_memory(error))


def failure(error: Exception) -> Evaluation:
    """Returns the evaluation of a job that ended with an exception."""
    return Evaluation(outcome=Outcome.FAILED, cause=Cause.EXCEPTION, reason=f"{type(error).__name__}: {error}")


def interrupted(last: Evaluation | None = None) -> Evaluation:
    """Returns the evaluation of a job that an interrupt ended, with its progress where it reported any."""
    stopped = Evaluation(outcome=Outcome.STOPPED, cause=Cause.INTERRUPTED)
    if last is None:
        return stopped
    return replace(last, outcome=stopped.outcome, cause=stopped.cause, reason="", scores={})


def limit_exceeded(trial_seconds: float | None) -> str:
    """Returns the reason of a job that took longer than its time limit."""
    return f"time limit of {(trial_seconds or 0) / 60:g} minutes (--trial-minutes)"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that the device or the process ran out of memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
