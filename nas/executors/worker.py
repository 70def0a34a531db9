"""The code of a worker process: it makes its evaluator once, then evaluates one job after the other."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection

from nas.executors import Evaluator, EvaluatorFactory, Job, Report, Step, StopTrial
from nas.executors.attempt import Attempt, attempt, failure
from search_space.errors import DataError

STEP_SECONDS = 0.25
"""The least time between two reported steps of a job; the last step is always reported."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StopRequest:
    """Asks a worker to end a job early."""

    number: int
    """The number of the trial."""
    stop: StopTrial


def serve(factory: EvaluatorFactory, index: int, channel: Connection) -> None:
    """Evaluates the jobs received from `channel` until it is closed; sends steps, and one attempt for each job.

    Ctrl-C reaches all processes of a terminal; it is left to the searching process. When that process is gone, this
    one ends at once.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    evaluator: Evaluator | None = None
    while (job := _next_job(channel)) is not None:
        try:
            evaluator = factory.make(index) if evaluator is None else evaluator
        except Exception as error:
            channel.send(unmade(error))
        else:
            channel.send(attempt(evaluator, job, _reporter(job, channel)))


def unmade(error: Exception) -> Attempt:
    """Returns the attempt of a worker whose evaluator could not be made."""
    logger.info("the evaluator cannot be made", exc_info=True)
    return Attempt(evaluation=failure(error), fault=error if isinstance(error, DataError) else None)


def _next_job(channel: Connection) -> Job | None:
    """Returns the next job, or None when the channel is closed; drops late requests to stop an earlier job."""
    try:
        while True:
            message = channel.recv()
            if isinstance(message, Job):
                return message
    except (EOFError, OSError):
        return None


def _reporter(job: Job, channel: Connection) -> Report:
    """Returns a report that sends steps, and raises `StopTrial` when a request to stop this job has arrived."""

    def request() -> StopTrial | None:
        while channel.poll():
            message = channel.recv()
            if isinstance(message, StopRequest) and message.number == job.number:
                return message.stop
        return None

    return throttled(channel.send, request)


def throttled(
    send: Callable[[Step], object],
    request: Callable[[], StopTrial | None],
    *,
    seconds: float = STEP_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """Returns a report that sends a step at most every `seconds`, and always the last one.

    Args:
        send: Sends a step to the searching process.
        request: Returns the request to end the job, or None; called after each step.
    """
    sent = float("-inf")

    def report(step: Step) -> None:
        nonlocal sent
        now = clock()
        if now - sent >= seconds or step.step >= step.num_steps:
            sent = now
            send(step)
        stop = request()
        if stop is not None:
            raise stop

    return report


def _end_with_parent() -> None:
    """Ends this process as soon as its parent is gone, even by `kill -9`."""
    parent = parent_process()
    assert parent is not None, "a worker is started by another process"
    connection.wait([parent.sentinel])
    os._exit(1)
