"""What runs in a worker process: it makes its evaluator once and then evaluates job after job."""

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
"""Steps of a job are passed on at most this often; the last one always is."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StopRequest:
    """Asks a worker to end a job early."""

    number: int
    """The number of the trial."""
    reason: str


def serve(factory: EvaluatorFactory, index: int, channel: Connection) -> None:
    """Evaluates the jobs that come in over `channel`, until it is closed; sends steps and an attempt a job.

    Ctrl-C reaches all processes of a terminal: only the one that searches decides what it means. When that one is
    gone, this one ends at once, whatever it is doing.
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
    """Returns the attempt of a worker that could not make its evaluator."""
    logger.info("the evaluator cannot be made", exc_info=True)
    return Attempt(evaluation=failure(error), fault=error if isinstance(error, DataError) else None)


def _next_job(channel: Connection) -> Job | None:
    """Returns the next job, or None when the channel is closed; late requests to stop an earlier job are dropped."""
    try:
        while True:
            message = channel.recv()
            if isinstance(message, Job):
                return message
    except (EOFError, OSError):
        return None


def _reporter(job: Job, channel: Connection) -> Report:
    """Returns a report that sends steps and raises `StopTrial` when a request for this job came in."""

    def asked() -> str | None:
        while channel.poll():
            message = channel.recv()
            if isinstance(message, StopRequest) and message.number == job.number:
                return message.reason
        return None

    return throttled(channel.send, asked)


def throttled(
    send: Callable[[Step], object],
    asked: Callable[[], str | None],
    *,
    seconds: float = STEP_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Report:
    """Returns a report that sends a step at most every `seconds`, and always the last one.

    Args:
        send: Passes a step on.
        asked: Tells for which reason the job is to end, or None; asked after each step.
    """
    sent = float("-inf")

    def report(step: Step) -> None:
        nonlocal sent
        now = clock()
        if now - sent >= seconds or step.step >= step.num_steps:
            sent = now
            send(step)
        reason = asked()
        if reason is not None:
            raise StopTrial(reason)

    return report


def _end_with_parent() -> None:
    """Ends this process as soon as the one that started it is gone, even by `kill -9`."""
    parent = parent_process()
    assert parent is not None, "a worker is started by another process"
    connection.wait([parent.sentinel])
    os._exit(1)
