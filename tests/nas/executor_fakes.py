"""Evaluators whose jobs do what the seed of the job says.

Worker processes import them by this module's name, many times in the tests: it must not import PyTorch.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nas.executors import Evaluation, Job, Report, Step, StopTrial
from nas.executors.attempt import interrupted
from results.trial import Outcome
from search_space.errors import DataError

GOOD, SLOW, ERROR, NAN, BROKEN_DATA, KILLED, SHORT_ONCE, SHORT_ALWAYS, ENDLESS, STUCK, AFTER_NEXT, AFTER_LAST = range(
    12
)
PATIENCE_SECONDS = 200.0


@dataclass(frozen=True, kw_only=True)
class FakeSpec:
    """Makes a `FakeEvaluator` that leaves notes in a folder."""

    folder: Path

    def make(self, worker: int = 0) -> FakeEvaluator:
        if (self.folder / "unmade").exists():
            raise DataError("there are no images")
        (self.folder / f"made-{os.getpid()}").write_text(str(os.getpid()))
        return FakeEvaluator(self.folder)


class FakeEvaluator:
    """Does what the seed of a job says; `beside` of the scores is how many other jobs ran at its beginning."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def evaluate(self, job: Job, report: Report) -> Evaluation:
        with self._noted(job) as beside:
            try:
                self._do(job, report)
            except StopTrial as stop:
                scores = {"accuracy": 0.25} if stop.keep else {}
                return Evaluation(outcome=Outcome.STOPPED, cause=stop.cause, scores=scores, images_seen=7)
            except KeyboardInterrupt:
                return interrupted()
            accuracy = math.nan if job.seed == NAN else job.number / 100
            (self._folder / f"done-{job.number}").touch()
            scores = {"accuracy": accuracy, "beside": float(beside)}
            return Evaluation(outcome=Outcome.COMPLETE, scores=scores, peak_memory_bytes=1000)

    def _do(self, job: Job, report: Report) -> None:
        num_steps = {SLOW: 10, SHORT_ONCE: 4, SHORT_ALWAYS: 4, ENDLESS: 4000}.get(job.seed, 2)
        for step in range(1, num_steps + 1):
            report(Step(number=job.number, step=step, num_steps=num_steps, loss=1 / step))
            if num_steps > 2:
                time.sleep(0.05)
        match job.seed:
            case 2:
                raise RuntimeError(f"cannot do {job.number}")
            case 4:
                raise DataError("cannot decode image a.jpg")
            case 5:
                os.kill(os.getpid(), signal.SIGKILL)
            case 6 if self._count(f"tried-{job.number}-*") == 1:
                raise MemoryError("too big")
            case 7:
                raise MemoryError("too big")
            case 9:
                (self._folder / f"stuck-{job.number}").touch()
                time.sleep(PATIENCE_SECONDS)
            case 11:
                self._await(lambda: not is_alive(self._folder / f"running-{job.number - 1}"))
            case 10:
                self._await(lambda: (self._folder / f"done-{job.number + 1}").exists())
                time.sleep(0.5)  # its result is on its way by then

    @contextmanager
    def _noted(self, job: Job) -> Iterator[int]:
        """Notes that a job runs, and gives how many others do."""
        (self._folder / f"tried-{job.number}-{time.monotonic_ns()}").touch()
        running = self._folder / f"running-{job.number}"
        running.write_text(str(os.getpid()))
        try:
            yield self._num_running() - 1
        finally:
            running.unlink()

    def _num_running(self) -> int:
        return sum(is_alive(path) for path in self._folder.glob("running-*"))

    def _await(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, "the other job does not get on"
            time.sleep(0.02)

    def _count(self, pattern: str) -> int:
        return len(list(self._folder.glob(pattern)))


def is_alive(note: Path) -> bool:
    """Tells whether the process lives whose number is in a note; one that ended and was not waited for does not."""
    try:
        pid = int(note.read_text() or 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def made_pids(folder: Path) -> list[int]:
    """Returns the process numbers of all workers that ever made an evaluator, in whatever state they are."""
    return [int(path.name.partition("-")[2]) for path in folder.glob("made-*")]
