"""One attempt at a job, in whatever process: exceptions become results that can be sent."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from nas.executors import INTERRUPTED, OUT_OF_MEMORY, Evaluation, Evaluator, Job, Report
from search_space.errors import DataError, WriteError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What became of a job when it was tried; plain data."""

    evaluation: Evaluation
    out_of_memory: bool = False
    fault: DataError | WriteError | None = None
    """What the attempt ended with where the data set or the disk is at fault: no other architecture would do better."""

    def check_fault(self) -> None:
        """Raises DataError if the data set is at fault, WriteError if the weights cannot be written."""
        if self.fault is not None:
            raise self.fault

    def given_up(self) -> Evaluation:
        """Returns the evaluation of a job that ran out of memory for the second time."""
        what_helps = "a smaller --batch or a --budget-memory-mb keeps such trials away"
        return replace(self.evaluation, reason=f"{OUT_OF_MEMORY}: {self.evaluation.reason}; {what_helps}")


def attempt(evaluator: Evaluator, job: Job, report: Report, *, clock: Callable[[], float] = time.monotonic) -> Attempt:
    """Evaluates a job; an exception makes it a failed one, Ctrl-C a stopped one."""
    start = clock()
    tried = _attempt(evaluator, job, report)
    return replace(tried, evaluation=replace(tried.evaluation, seconds=max(0.0, clock() - start)))


def _attempt(evaluator: Evaluator, job: Job, report: Report) -> Attempt:
    try:
        return Attempt(evaluation=evaluator.evaluate(job, report))
    except KeyboardInterrupt:
        return Attempt(evaluation=Evaluation(outcome="stopped", reason=INTERRUPTED))
    except (DataError, WriteError) as error:
        return Attempt(evaluation=failure(error), fault=error.with_traceback(None))
    except Exception as error:
        logger.info("trial %d failed", job.number, exc_info=True)
        return Attempt(evaluation=failure(error), out_of_memory=is_out_of_memory(error))


def failure(error: Exception) -> Evaluation:
    """Returns the evaluation of a job that ended with an exception."""
    return Evaluation(outcome="failed", reason=f"{type(error).__name__}: {error}")


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether an exception says that memory ran out, of the device or of the process."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
