"""The search itself: ask, gate, evaluate, tell, until the trials or the time are used up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from nas.executors import INTERRUPTED, Evaluation, Executor, Job, Step, StopTrial
from nas.run_folder import RunFolder
from nas.search.gate import Gate
from nas.search.starts import Start
from nas.search.strategy import next_proposal
from nas.search.study import Asked, SearchStudy, derive_seed
from search_space.errors import ConfigError

MAX_FAILURES = 5
MAX_BARREN = 20
"""How many points in a row may be over budget or known already before the run ends for want of new ones."""
TIME_UP = "time is up"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a run ends; whichever limit is met first."""

    trials: int | None = None
    """Trials that came to an end of their own: complete, cached or failed. Rejected ones cost nothing."""
    minutes: float | None = None
    """Time of the whole run, earlier sessions of it included."""


class Observer(Protocol):
    """Is shown how the search goes on."""

    def started(self, asked: Asked) -> None: ...

    def stepped(self, step: Step) -> None: ...

    def finished(self, row: dict[str, Any], rows: list[dict[str, Any]]) -> None: ...


class Search:
    """One session of a run. All it knows is in the study; it may be killed at any time."""

    def __init__(
        self,
        *,
        study: SearchStudy,
        gate: Gate,
        executor: Executor,
        folder: RunFolder,
        starts: list[Start],
        limits: Limits,
        seed: int,
        observer: Observer,
        requeued: tuple[int, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.study, self.gate, self.executor, self.folder = study, gate, executor, folder
        self.starts, self.limits, self.seed, self.observer, self._clock = starts, limits, seed, observer, clock
        self.requeued = requeued
        """The numbers of the interrupted trials that are asked for again."""
        self._pending: dict[int, Asked] = {}
        self._began = clock()
        self._seconds_before = sum(row.get("seconds") or 0.0 for row in study.rows())

    @property
    def elapsed_seconds(self) -> float:
        """Time spent on the run: in the trials of earlier sessions, and since this one began."""
        return self._seconds_before + self._clock() - self._began

    def run(self) -> str:
        """Searches until a limit is met.

        Returns:
            Why it ended, in a few words; `INTERRUPTED` after Ctrl-C.

        Raises:
            ConfigError: When `MAX_FAILURES` trials in a row failed.
        """
        self._derive()
        try:
            while True:
                ending = self._fill()
                if not self._pending:
                    return ending
                job, evaluation = self.executor.wait(self._report)
                self._finish(self._pending.pop(job.number), evaluation)
                if evaluation.reason == INTERRUPTED:
                    return INTERRUPTED
        except KeyboardInterrupt:
            return INTERRUPTED

    def _fill(self) -> str:
        """Submits trials until the executor is full or the run ends; returns why it ended, or an empty string."""
        while len(self._pending) < self.executor.capacity:
            rows = self.study.rows()
            ending = self._ending(rows)
            if ending:
                return ending
            asked = self._ask(rows)
            if asked is not None:
                self._pending[asked.number] = asked
                self.executor.submit(self._job(asked))
                self.observer.started(asked)
        return ""

    def _ask(self, rows: list[dict[str, Any]]) -> Asked | None:
        """Asks for one point; tells it at once when it may not or need not be trained and returns None then."""
        if self.study.num_waiting == 0:
            seed = derive_seed(self.seed, self.study.num_asked, 1)
            proposal = next_proposal(self.study, self.gate, self.starts, rows, seed=seed)
            if proposal is not None:
                self.study.propose(proposal.params, origin=proposal.origin)
        asked = self.study.ask(self.gate, seed=self.seed)
        candidate = asked.candidate
        if candidate is None or not candidate.feasible:
            self.study.reject(asked, asked.problem if candidate is None else self.gate.overruns(candidate))
            self._derive(asked.number)
            return None
        known = next((r for r in rows if r["outcome"] == "complete" and r["key"] == candidate.key), None)
        if known is not None:
            self.study.tell_cached(asked, known)
            self._derive(asked.number)
            return None
        return asked

    def _job(self, asked: Asked) -> Job:
        assert asked.candidate is not None and asked.candidate.feasible, "nothing over budget is ever trained"
        return Job(
            number=asked.number,
            architecture=asked.candidate.architecture,
            seed=self.seed,
            weights_path=self.folder.weights_path(asked.candidate.key),
        )

    def _report(self, step: Step) -> None:
        self.observer.stepped(step)
        if self._seconds_left() <= 0:
            raise StopTrial(TIME_UP)

    def _seconds_left(self) -> float:
        return float("inf") if self.limits.minutes is None else self.limits.minutes * 60 - self.elapsed_seconds

    def _finish(self, asked: Asked, evaluation: Evaluation) -> None:
        self.study.tell(asked, evaluation)
        self._derive(asked.number)

    def _derive(self, number: int | None = None) -> None:
        """Writes what follows from the study, and shows the trial that just ended."""
        rows = self.study.rows()
        self.folder.derive(rows, lambda number: self.gate.space.decode(self.study.params_of(number)))
        if number is not None:
            self.observer.finished(next(row for row in rows if row["number"] == number), rows)

    def _ending(self, rows: list[dict[str, Any]]) -> str:
        """Returns why no further trial is to start, or an empty string."""
        self._check_failures(rows)
        recent = [row["outcome"] for row in rows[-MAX_BARREN:]]
        if len(recent) == MAX_BARREN and set(recent) <= {"cached", "rejected"}:
            return f"the last {MAX_BARREN} points were over budget or known already: nothing new is in reach"
        if self.limits.trials is not None and num_ended(rows) >= self.limits.trials:
            return f"{self.limits.trials} trials are done"
        if self._seconds_left() <= 0:
            return TIME_UP
        trained = [row["seconds"] for row in rows if row["outcome"] == "complete"]
        if trained and sum(trained) / len(trained) > self._seconds_left():
            return "no time is left for another trial"
        return ""

    def _check_failures(self, rows: list[dict[str, Any]]) -> None:
        own = [row for row in rows if row["outcome"] != "rejected" and row.get("reason") != INTERRUPTED][-MAX_FAILURES:]
        if len(own) == MAX_FAILURES and all(row["outcome"] == "failed" for row in own):
            raise ConfigError(
                f"{MAX_FAILURES} trials in a row failed, the last with: {own[-1]['reason']}; "
                f"all reasons are in {self.folder.trials_csv}; next: put the cause right and start a new run"
            )


def num_ended(rows: list[dict[str, Any]]) -> int:
    """Counts the trials that came to an end of their own: complete, cached, or failed without being interrupted."""
    ended = [row for row in rows if row["outcome"] in ("complete", "cached", "failed")]
    return sum(row.get("reason") != INTERRUPTED for row in ended)
