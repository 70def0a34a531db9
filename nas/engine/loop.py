"""The search itself: choose, domain, evaluate, tell, until the trials or the time are used up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

from nas.engine.acquisition import SurrogateCorrelation, surrogate_correlation
from nas.engine.domain import CostedDomain
from nas.engine.ladder import RungCorrelation, rung_correlation
from nas.engine.scheduler import TIME_UP, Scheduler, TrialIndex, is_evaluated, is_lost
from nas.engine.search_study import RunningTrial, SearchStudy, TrialSpec, params_of
from nas.executors import INTERRUPTED, Evaluation, Executor, Job, NothingUnderWay, Report, Step, StopTrial
from nas.run_folder import RunFolder
from results import records
from search_space.errors import ConfigError, DataError, WriteError
from trainers.weights import is_readable

MAX_FAILURES = 5
MAX_BARREN = 20
"""How many points in a row may be over budget or known already before the run ends for want of new ones."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a run ends; whichever limit is met first."""

    trials: int | None = None
    """Trials that came to an end of their own on any rung. Rejected and cached ones cost nothing and do not count."""
    minutes: float | None = None
    """Time of the whole run, earlier sessions of it included."""


class Observer(Protocol):
    """Is shown how the search goes on."""

    def started(self, asked: RunningTrial) -> None:
        """Is told of each trial that is handed to the executor."""

    def stepped(self, step: Step) -> None:
        """Is told of each step of training."""

    def finished(self, row: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """Is told of each trial that has ended, and of all trials so far."""


class Search:
    """One session of a run. All it knows is in the study; it may be killed at any time."""

    def __init__(
        self,
        *,
        study: SearchStudy,
        domain: CostedDomain,
        executor: Executor,
        folder: RunFolder,
        scheduler: Scheduler,
        limits: Limits,
        observer: Observer,
        notices: Sequence[str] = (),
        settle: Callable[[], None] = lambda: None,
        check_data: Callable[[], None] = lambda: None,
        alive: AbstractContextManager[None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.study, self.domain, self.executor, self.folder = study, domain, executor, folder
        self.scheduler, self.limits, self.observer, self._clock = scheduler, limits, observer, clock
        self.notices = tuple(notices)
        """What the user is to know of how the run was found."""
        self._settle = settle
        """Ends the trials of workers that were lost meanwhile; only where several share a study."""
        self._check_data = check_data
        """Raises DataError where the data set is not any longer what it was; called before each trial."""
        self._alive = alive or nullcontext()
        """Says meanwhile that this worker is alive; only where several share a study."""
        self._pending: dict[int, RunningTrial] = {}
        self._ended: set[int] = set()
        """The numbers of the trials that ended in this session."""
        self._began = clock()
        self._seconds_before = sum(row.get("seconds") or 0.0 for row in study.rows())

    @property
    def elapsed_seconds(self) -> float:
        """Time spent on the run: in the trials of earlier sessions, and since this one began."""
        return self._seconds_before / self.executor.capacity + max(0.0, self._clock() - self._began)

    def run(self) -> str:
        """Searches until a limit is met.

        Returns:
            Why it ended, in a few words; `INTERRUPTED` after Ctrl-C.

        Raises:
            ConfigError: When `MAX_FAILURES` trials in a row failed.
            DataError: The data set is at fault.
            WriteError: Something cannot be written; all trials that had ended are in the study.
        """
        try:
            with self._alive:
                return self._search()
        except (DataError, WriteError) as error:
            again = f"nas run --resume {self.folder.path}, which asks again for the trials in flight"
            raise type(error)(f"{error}; next: put that right, then {again}") from None

    def _search(self) -> str:
        self._derive()
        try:
            while True:
                ending = self._fill()
                if not self._pending:
                    return ending
                if self._await(self._report).reason == INTERRUPTED:
                    return self._interrupted()
        except KeyboardInterrupt:
            return self._interrupted()

    def agreements(self) -> list[RungCorrelation]:
        """Returns how neighbouring rungs ranked the trials that were on both."""
        rows, ladder = self.study.rows(), self.scheduler.ladder
        return [rung_correlation(rows, rung) for rung in range(ladder.first, ladder.last)]

    def surrogate(self) -> SurrogateCorrelation | None:
        """Returns how well the strategy's guess of accuracies ranks what was trained; None where it does not guess."""
        history = self.scheduler.history(self.study.rows(), [])
        return surrogate_correlation(history) if self.scheduler.has_surrogate and len(history.evaluated) > 1 else None

    def _fill(self) -> str:
        """Submits trials until the executor is full or the run ends; returns why it ended, or an empty string."""
        while len(self._pending) < self.executor.capacity:
            self._settle()
            rows = self.study.rows()
            ending = self._ending(rows)
            spec = ending or self.scheduler.next(rows, self.study.running(), seconds_left=self._seconds_left())
            if isinstance(spec, str):
                repeat = None if self._pending_first() else self._repeat(rows)
                if repeat is None:
                    return spec
                spec = repeat
            self._begin(spec, rows)
        return ""

    def _pending_first(self) -> bool:
        """Whether trials are under way that the front may yet depend on."""
        return any(asked.spec.repeat_of is None for asked in self._pending.values())

    def _repeat(self, rows: list[dict[str, Any]]) -> TrialSpec | None:
        """Returns what is left to train of the front with other seeds."""
        if self.scheduler.repeats < 2:
            return None
        members = set(records.front(records.frame(rows))["number"])
        return self.scheduler.repeat(rows, self.study.running(), [row for row in rows if row["number"] in members])

    def _begin(self, spec: TrialSpec, rows: list[dict[str, Any]]) -> None:
        """Begins a trial, or records at once that it may not or need not be trained."""
        candidate = spec.candidate
        known = TrialIndex(rows).known(spec)
        if not candidate.feasible:
            self._derive(self.study.reject(spec, self.domain.overruns(candidate)))
        elif known is not None:
            self._derive(self.study.repeat(spec, known, f"same as trial {known['number']}"))
        else:
            self._check_data()
            asked = self.study.begin(spec)
            twin = TrialIndex(self.study.rows(), self.study.running()).twin(spec, asked.number)
            if twin is not None:
                self.study.withdraw(asked, f"another worker asked for it at the same time, in trial {twin}")
                self._derive(asked.number)
                return
            self.executor.submit(self._job(asked))
            self._pending[asked.number] = asked
            self.observer.started(asked)

    def _job(self, asked: RunningTrial) -> Job:
        spec = asked.spec
        assert spec.candidate.feasible, "nothing over budget is ever trained"
        suffix = "" if spec.repeat_of is None else f"-seed{spec.training_seed}"
        weights = self.folder.weights_path(spec.candidate.key, suffix)
        goes_on = spec.rung > 1 and is_readable(weights)
        return Job(
            number=asked.number,
            architecture=spec.candidate.architecture,
            seed=spec.training_seed,
            rung=spec.rung,
            epochs=self.scheduler.schedule(spec, has_weights=goes_on),
            start_weights=weights if goes_on else None,
            weights_path=weights if spec.rung else None,
            proxy=self.scheduler.ladder.proxy if not spec.rung else None,
            memory_bytes=spec.candidate.cost.memory_bytes,
        )

    def _await(self, report: Report) -> Evaluation:
        """Waits for the next trial to end, and records it."""
        job, evaluation = self.executor.wait(report)
        asked = self._pending.pop(job.number, None)
        if asked is not None:  # else Ctrl-C came between the two books; what is open in the study ends at the resume
            self.study.tell(asked, self._in_all(job, evaluation))
            self._ended.add(job.number)
            self._derive(job.number)
        return evaluation

    def _in_all(self, job: Job, evaluation: Evaluation) -> Evaluation:
        """Returns what became of a job with the training of the rungs below counted in."""
        if job.start_weights is None or not evaluation.epochs:
            return evaluation
        epochs = evaluation.epochs + sum(self.scheduler.ladder.epochs[: job.rung - 1])
        images_seen = round(evaluation.images_seen * epochs / evaluation.epochs)
        return replace(evaluation, epochs=epochs, images_seen=images_seen)

    def _interrupted(self) -> str:
        """Ends and records the trials that were under way, those too that had not yet begun."""

        def interrupt(step: Step) -> None:
            raise KeyboardInterrupt

        self.executor.interrupt()
        while self._pending:
            try:
                self._await(interrupt)
            except NothingUnderWay:
                break
        return INTERRUPTED

    def _report(self, step: Step) -> None:
        self.observer.stepped(step)
        if self._seconds_left() <= 0 and self._pending[step.number].spec.repeat_of is None:
            raise StopTrial(TIME_UP)

    def _seconds_left(self) -> float:
        return float("inf") if self.limits.minutes is None else self.limits.minutes * 60 - self.elapsed_seconds

    def _derive(self, number: int | None = None) -> None:
        """Writes what follows from the study, and shows the trial that just ended."""
        rows = self.study.rows()
        self.folder.derive(rows, lambda row: self.domain.space.decode(params_of(self.domain.space, row)))
        if number is not None:
            self.observer.finished(next(row for row in rows if row["number"] == number), rows)

    def _ending(self, rows: list[dict[str, Any]]) -> str:
        """Returns why no further trial is to start, or an empty string."""
        self._check_failures(rows)
        recent = [row["outcome"] for row in rows[-MAX_BARREN:]]
        if len(recent) == MAX_BARREN and set(recent) <= {"cached", "rejected"} and not rows[-1].get("imported_from"):
            return f"the last {MAX_BARREN} points were over budget or known already: nothing new is in reach"
        if self.limits.trials is not None and num_ended(rows) + len(self.study.running()) >= self.limits.trials:
            return "1 trial is done" if self.limits.trials == 1 else f"{self.limits.trials} trials are done"
        return TIME_UP if self._seconds_left() <= 0 else ""

    def _check_failures(self, rows: list[dict[str, Any]]) -> None:
        told = (row for row in rows if row["number"] in self._ended)
        own = [row for row in told if row["outcome"] != "rejected" and not is_lost(row)][-MAX_FAILURES:]
        if len(own) == MAX_FAILURES and all(row["outcome"] == "failed" for row in own):
            raise ConfigError(
                f"{MAX_FAILURES} trials in a row failed, the last with: {own[-1]['reason']}; "
                f"all reasons are in {self.folder.trials_csv}; next: put the cause right and nas run --resume "
                f"{self.folder.path}, or start a new run"
            )


def num_ended(rows: list[dict[str, Any]]) -> int:
    """Counts the trials that came to an end of their own on their rung, well or badly, without being interrupted."""
    return sum(is_ended(row) for row in rows)


def is_ended(row: dict[str, Any]) -> bool:
    """Whether a trial was trained, or failed by itself."""
    return row["outcome"] != "cached" and is_evaluated(row) or row["outcome"] == "failed" and not is_lost(row)
