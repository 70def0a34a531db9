"""Evaluation in worker processes of this machine, several trials at a time."""

from __future__ import annotations

import math
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any

from nas.executors import (
    Evaluation,
    EvaluatorFactory,
    Job,
    NothingUnderWay,
    Report,
    Step,
    StopTrial,
)
from nas.executors.attempt import Attempt, interrupted, limit_exceeded
from nas.executors.worker import StopRequest, serve
from results.trial import Cause, Outcome

STOP_SECONDS = 1.0
"""Time for jobs to end by themselves after Ctrl-C, before their processes are killed."""
EXIT_SECONDS = 1.0
"""Time for a worker to exit after its channel is closed."""


class ProcessExecutor:
    """Runs `num_workers` processes, each of which opens the data once and evaluates many jobs.

    Processes are started when there are jobs for them. They end when this process ends, even if it is killed.

    Args:
        factory: Makes the evaluator of each worker, in the worker.
        num_workers: How many jobs run at a time.
        trial_seconds: Time limit of a job; None: no limit.
    """

    def __init__(
        self,
        factory: EvaluatorFactory,
        *,
        num_workers: int,
        trial_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert num_workers >= 1, "num_workers must be positive"
        self.capacity = num_workers
        self._factory = factory
        self._trial_seconds = trial_seconds
        self._clock = clock
        self._workers: dict[int, _Worker] = {}
        self._waiting: deque[Job] = deque()
        self._out_of_memory: deque[Job] = deque()
        """Jobs that ran out of memory and wait to run alone."""
        self._alone: Job | None = None
        """The job that runs alone."""
        self._jobs: dict[int, Job] = {}
        """All jobs that were submitted and not yet returned, by the number of the trial."""
        self._ended: dict[int, Evaluation] = {}
        """Evaluations of the jobs that have ended, by the number of the trial."""

    def submit(self, job: Job) -> None:
        """Takes a job and starts it."""
        assert len(self._jobs) < self.capacity, f"{self.capacity} jobs are under way"
        self._jobs[job.number] = job
        self._waiting.append(job.absolute())
        self._start_jobs()

    def wait(self, report: Report) -> tuple[Job, Evaluation]:
        """Returns the next job to end with its evaluation; see `nas.executors.Executor`."""
        if not self._jobs:
            raise NothingUnderWay
        try:
            while not self._ended:
                self._start_jobs()
                self._turn(report)
        except KeyboardInterrupt:
            self._interrupt()
        number = next(iter(self._ended))
        return self._jobs.pop(number), self._ended.pop(number)

    def interrupt(self) -> None:
        """Ends the jobs under way, even if they hang; `wait` then returns each of them as stopped."""
        if any(number not in self._ended for number in self._jobs):
            self._interrupt()

    def close(self) -> None:
        """Ends all workers; jobs under way are dropped."""
        self._waiting.clear()
        self._out_of_memory.clear()
        self._alone = None
        self._jobs.clear()
        self._ended.clear()
        self._end_workers()

    def __enter__(self) -> ProcessExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_jobs(self) -> None:
        """Gives waiting jobs to idle workers, and starts missing workers."""
        if self._alone is not None:
            return
        if self._out_of_memory:
            if not any(worker.job for worker in self._workers.values()):
                self._end_workers()
                self._alone = self._out_of_memory.popleft()
                self._give(self._alone)
            return
        while self._waiting and any(self._is_idle(index) for index in range(self.capacity)):
            self._give(self._waiting.popleft())

    def _is_idle(self, index: int) -> bool:
        return index not in self._workers or self._workers[index].job is None

    def _give(self, job: Job) -> None:
        """Gives a job to an idle worker, preferably one that is already running."""
        idle = [index for index in range(self.capacity) if self._is_idle(index)]
        index = min(idle, key=lambda index: index not in self._workers)
        if index in self._workers and not self._workers[index].process.is_alive():
            self._workers.pop(index).end()
        if index not in self._workers:
            self._workers[index] = _Worker(self._factory, index)
        self._workers[index].start_job(job, self._clock())

    def _turn(self, report: Report) -> None:
        """Waits until a worker sends a message, dies or exceeds its time, and handles that."""
        busy = [(index, worker) for index, worker in self._workers.items() if worker.job is not None]
        watched = [each for _, worker in busy for each in (worker.channel, worker.process.sentinel)]
        left = [self._seconds_left(worker) for _, worker in busy]
        ready = connection.wait(watched, None if self._trial_seconds is None else max(0.0, min(left)))
        for index, worker in busy:
            if worker.channel in ready or worker.process.sentinel in ready:
                self._listen(index, worker, report)
            elif self._seconds_left(worker) <= 0:
                self._end_overdue(index, worker)

    def _seconds_left(self, worker: _Worker) -> float:
        limit = math.inf if self._trial_seconds is None else self._trial_seconds
        return worker.began + limit - self._clock()

    def _end_overdue(self, index: int, worker: _Worker) -> None:
        """Kills a worker, which may hang, and records that its job exceeded the time limit."""
        worker.kill()
        self._lose(index, worker, Cause.TIME_LIMIT)

    def _listen(self, index: int, worker: _Worker, report: Report) -> None:
        """Handles a message of a worker; what was sent before it died counts."""
        assert worker.job is not None
        try:
            message = worker.channel.recv()
        except (EOFError, OSError):
            self._lose(index, worker, Cause.WORKER_LOST)
            return
        if isinstance(message, Step):
            self._report(worker, message, report)
        else:
            self._end_job(worker, message)

    def _report(self, worker: _Worker, step: Step, report: Report) -> None:
        if worker.is_stopping:
            return
        try:
            report(step)
        except StopTrial as stop:
            worker.stop(stop)

    def _end_job(self, worker: _Worker, tried: Attempt) -> None:
        job, worker.job = worker.job, None
        assert job is not None
        was_alone, self._alone = job == self._alone, None if job == self._alone else self._alone
        if tried.fault is not None:
            del self._jobs[job.number]
            tried.check_fault()
        if tried.out_of_memory and not was_alone:
            self._out_of_memory.append(job)
        else:
            self._ended[job.number] = tried.given_up() if tried.out_of_memory else tried.evaluation

    def _lose(self, index: int, worker: _Worker, cause: Cause) -> None:
        """Records the job of a worker that died or was killed, and makes room for another worker."""
        del self._workers[index]
        ended = worker.end()
        evaluation = Evaluation(
            outcome=Outcome.FAILED,
            cause=cause,
            reason=limit_exceeded(self._trial_seconds) if cause is Cause.TIME_LIMIT else f"worker lost: {ended}",
            seconds=max(0.0, self._clock() - worker.began),
        )
        self._end_job(worker, Attempt(evaluation=evaluation))

    def _interrupt(self) -> None:
        """Ends all workers; jobs that have not ended are recorded as interrupted.

        Jobs are first asked to end, so that they report their progress, and killed after `STOP_SECONDS`.
        """
        under_way = [number for number in self._jobs if number not in self._ended]
        if not under_way:
            raise KeyboardInterrupt
        for worker in self._workers.values():
            worker.stop(StopTrial(Cause.INTERRUPTED))
        last = self._last_evaluations()
        self._end_workers()
        self._waiting.clear()
        self._out_of_memory.clear()
        self._alone = None
        self._ended = {number: interrupted(last.get(number)) for number in under_way} | self._ended

    def _last_evaluations(self) -> dict[int, Evaluation]:
        """Returns the evaluations of the jobs that end within `STOP_SECONDS`, by the number of the trial."""
        last: dict[int, Evaluation] = {}
        deadline = time.monotonic() + STOP_SECONDS
        while busy := {worker.channel: worker for worker in self._workers.values() if worker.job is not None}:
            ready = connection.wait(list(busy), max(0.0, deadline - time.monotonic()))
            if not ready:
                break
            for channel in ready:
                worker = busy[channel]  # type: ignore[index]
                message = worker.receive()
                if isinstance(message, Attempt) and worker.job is not None:
                    last[worker.job.number] = message.evaluation
                if not isinstance(message, Step):
                    worker.job = None
        return last

    def _end_workers(self) -> None:
        workers = list(self._workers.values())
        self._workers.clear()
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.end()


class _Worker:
    """One worker process, seen from the searching process."""

    def __init__(self, factory: EvaluatorFactory, index: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.channel, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(factory, index, theirs), name=f"nas-{index}", daemon=True)
        with _sigint_held():
            self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.began = 0.0
        self.is_stopping = False
        """Whether the job was asked to end."""

    def start_job(self, job: Job, now: float) -> None:
        """Sends a job; the next wait detects a dead worker."""
        self.job, self.began, self.is_stopping = job, now, False
        self._send(job)

    def stop(self, stop: StopTrial) -> None:
        """Asks the worker to end its job."""
        if self.job is not None:
            self.is_stopping = True
            self._send(StopRequest(number=self.job.number, stop=stop))

    def receive(self) -> Any:
        """Returns the next message, or None if the worker is dead."""
        try:
            return self.channel.recv()
        except (EOFError, OSError):
            return None

    def kill(self) -> None:
        """Kills the process; it has no state to save."""
        self.process.kill()

    def end(self) -> str:
        """Waits for the end of a process that was killed or has died; returns how it ended."""
        self.channel.close()
        self.process.join(EXIT_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

    def _send(self, message: Job | StopRequest) -> None:
        try:
            self.channel.send(message)
        except OSError:
            pass  # the worker is dead, which the next wait detects


@contextmanager
def _sigint_held() -> Iterator[None]:
    """Blocks SIGINT while a process is started. The process inherits this and prints no traceback on Ctrl-C."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
