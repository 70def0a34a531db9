"""Evaluation in worker processes of this machine, several trials at a time."""

from __future__ import annotations

import math
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import connection
from typing import Any

from nas.executors import (
    INTERRUPTED,
    TIME_LIMIT,
    WORKER_LOST,
    Evaluation,
    EvaluatorFactory,
    Job,
    NothingUnderWay,
    Report,
    Step,
    StopTrial,
)
from nas.executors.attempt import Attempt
from nas.executors.worker import StopRequest, serve

STOP_SECONDS = 1.0
"""How long jobs may take to end of their own accord after Ctrl-C, before their processes are killed."""
EXIT_SECONDS = 1.0
"""How long a worker that closed its channel may take to end."""


class ProcessExecutor:
    """Runs `num_workers` processes, each of which opens its data once and evaluates many jobs.

    Processes are started when there is work for them. They end with this one, however it ends.

    Args:
        factory: Makes the evaluator of each worker, in the worker.
        num_workers: How many jobs run at a time.
        trial_seconds: How long a job may take; None: as long as it does.
    """

    def __init__(
        self,
        factory: EvaluatorFactory,
        *,
        num_workers: int,
        trial_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert num_workers >= 1, "there is nothing to do without a worker"
        self.capacity = num_workers
        self._factory = factory
        self._trial_seconds = trial_seconds
        self._clock = clock
        self._workers: dict[int, _Worker] = {}
        self._waiting: deque[Job] = deque()
        self._short: deque[Job] = deque()
        """Jobs that ran out of memory and wait to be run alone."""
        self._alone: Job | None = None
        """The job that runs alone."""
        self._jobs: dict[int, Job] = {}
        """All jobs that were submitted and not yet returned, by number."""
        self._ended: dict[int, Evaluation] = {}
        """What became of those of them that have ended."""

    def submit(self, job: Job) -> None:
        """Takes a job and starts it."""
        assert len(self._jobs) < self.capacity, f"{self.capacity} jobs are under way"
        self._jobs[job.number] = job
        self._waiting.append(job.absolute())
        self._start_jobs()

    def wait(self, report: Report) -> tuple[Job, Evaluation]:
        """Returns the next job to end, with what became of it; see `nas.executors.Executor`."""
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
        """Ends what is under way, hung or not; `wait` then returns each job as stopped."""
        if any(number not in self._ended for number in self._jobs):
            self._interrupt()

    def close(self) -> None:
        """Ends all workers; a job that is under way is lost."""
        self._waiting.clear()
        self._short.clear()
        self._alone = None
        self._jobs.clear()
        self._ended.clear()
        self._end_workers()

    def __enter__(self) -> ProcessExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_jobs(self) -> None:
        """Gives waiting jobs to idle workers, starting workers where some are missing."""
        if self._alone is not None:
            return
        if self._short:
            if not any(worker.job for worker in self._workers.values()):
                self._end_workers()
                self._alone = self._short.popleft()
                self._give(self._alone)
            return
        while self._waiting and any(self._is_idle(index) for index in range(self.capacity)):
            self._give(self._waiting.popleft())

    def _is_idle(self, index: int) -> bool:
        return index not in self._workers or self._workers[index].job is None

    def _give(self, job: Job) -> None:
        """Gives a job to an idle worker, if possible one that runs already."""
        idle = [index for index in range(self.capacity) if self._is_idle(index)]
        index = min(idle, key=lambda index: index not in self._workers)
        if index in self._workers and not self._workers[index].process.is_alive():
            self._workers.pop(index).end()
        if index not in self._workers:
            self._workers[index] = _Worker(self._factory, index)
        self._workers[index].start_job(job, self._clock())

    def _turn(self, report: Report) -> None:
        """Waits until a worker says something, dies or is over its time, and deals with it."""
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
        """Kills a worker, which may hang, and records its job as over its time."""
        worker.kill()
        self._lose(index, worker, because=TIME_LIMIT.format(minutes=(self._trial_seconds or 0) / 60))

    def _listen(self, index: int, worker: _Worker, report: Report) -> None:
        """Takes what a worker has sent; what was sent before it died counts."""
        assert worker.job is not None
        try:
            message = worker.channel.recv()
        except (EOFError, OSError):
            self._lose(index, worker)
            return
        if isinstance(message, Step):
            self._report(worker, message, report)
        else:
            self._end_job(worker, message)

    def _report(self, worker: _Worker, step: Step, report: Report) -> None:
        if worker.stop_reason:
            return
        try:
            report(step)
        except StopTrial as stop:
            worker.stop(str(stop))

    def _end_job(self, worker: _Worker, tried: Attempt) -> None:
        job, worker.job = worker.job, None
        assert job is not None
        was_alone, self._alone = job == self._alone, None if job == self._alone else self._alone
        if tried.fault is not None:
            del self._jobs[job.number]
            tried.check_fault()
        if tried.out_of_memory and not was_alone:
            self._short.append(job)
        else:
            self._ended[job.number] = tried.given_up() if tried.out_of_memory else tried.evaluation

    def _lose(self, index: int, worker: _Worker, because: str = "") -> None:
        """Records the job of a worker that died, and makes room for another worker."""
        del self._workers[index]
        ended = worker.end()
        reason = because or f"{WORKER_LOST}: {ended}"
        evaluation = Evaluation(outcome="failed", reason=reason, seconds=max(0.0, self._clock() - worker.began))
        self._end_job(worker, Attempt(evaluation=evaluation))

    def _interrupt(self) -> None:
        """Ends everything; what has not ended yet is interrupted.

        Jobs are first asked to end, so that they tell how far they came, and then killed.
        """
        under_way = [number for number in self._jobs if number not in self._ended]
        if not under_way:
            raise KeyboardInterrupt
        for worker in self._workers.values():
            worker.stop(INTERRUPTED)
        told = self._last_words()
        self._end_workers()
        self._waiting.clear()
        self._short.clear()
        self._alone = None
        stopped = Evaluation(outcome="stopped", reason=INTERRUPTED)
        kept = {
            number: replace(told.get(number, stopped), outcome="stopped", reason=INTERRUPTED, scores={})
            for number in under_way
        }
        self._ended = kept | self._ended

    def _last_words(self) -> dict[int, Evaluation]:
        """Returns what became of the jobs that end within `STOP_SECONDS`, by number."""
        told: dict[int, Evaluation] = {}
        deadline = time.monotonic() + STOP_SECONDS
        while busy := {worker.channel: worker for worker in self._workers.values() if worker.job is not None}:
            ready = connection.wait(list(busy), max(0.0, deadline - time.monotonic()))
            if not ready:
                break
            for channel in ready:
                worker = busy[channel]  # type: ignore[index]
                message = worker.receive()
                if isinstance(message, Attempt) and worker.job is not None:
                    told[worker.job.number] = message.evaluation
                if not isinstance(message, Step):
                    worker.job = None
        return told

    def _end_workers(self) -> None:
        workers = list(self._workers.values())
        self._workers.clear()
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.end()


class _Worker:
    """One worker process, as the process sees it that searches."""

    def __init__(self, factory: EvaluatorFactory, index: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.channel, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(factory, index, theirs), name=f"nas-{index}", daemon=True)
        with _sigint_held():
            self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.began = 0.0
        self.stop_reason = ""
        """Why the job was asked to end; empty if it was not."""

    def start_job(self, job: Job, now: float) -> None:
        """Sends a job; a worker that is dead already is noticed when its answer is waited for."""
        self.job, self.began, self.stop_reason = job, now, ""
        self._send(job)

    def stop(self, reason: str) -> None:
        """Asks the worker to end its job."""
        if self.job is not None:
            self.stop_reason = reason
            self._send(StopRequest(number=self.job.number, reason=reason))

    def receive(self) -> Any:
        """Returns the next message, or None from a worker that is dead."""
        try:
            return self.channel.recv()
        except (EOFError, OSError):
            return None

    def kill(self) -> None:
        """Ends the process, whatever it does; it holds nothing that must be put away."""
        self.process.kill()

    def end(self) -> str:
        """Waits for the end of a process that is killed or dead already, and tells how it ended."""
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
            pass  # it is dead, which the next wait finds out


@contextmanager
def _sigint_held() -> Iterator[None]:
    """Holds Ctrl-C back while a process is started, which inherits that: a traceback of its own helps nobody."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
