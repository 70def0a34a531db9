"""The search: choose a trial, check its budget, evaluate it, store the result; until a limit is met."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from nas.engine.acquisition import SurrogateCorrelation, surrogate_correlation
from nas.engine.domain import CostedDomain
from nas.engine.ending import INTERRUPTED, TIME_UP, EndCause, SearchEnding
from nas.engine.inheritance import images_before, images_in_all
from nas.engine.ladder import RungCorrelation, rung_correlation
from nas.engine.scheduler import Scheduler, TrialIndex
from nas.engine.search_study import RunningTrial, SearchStudy, TrialSpec
from nas.engine.trial_point import point_of
from nas.executors import Donor, Evaluation, Executor, Job, NothingUnderWay, Report, Step, StopTrial
from nas.run_folder import RunFolder
from results import records
from results.trial import Cause, Outcome, Trial
from search_space.errors import ConfigError, DataError, WriteError
from trainers.weights import is_readable

MAX_FAILURES = 5
NEARLY_DONE = 0.9
"""The part of its steps after which the first result of a run is awaited although the time is up."""
MAX_BARREN = 20
"""The run ends when this many trials in a row were over budget or known already."""
UNTRAINED = {Outcome.CACHED, Outcome.REJECTED}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a run ends; whichever limit is met first."""

    trials: int | None = None
    """Trials that were trained or failed, on any rung; rejected, cached and interrupted ones do not count."""
    minutes: float | None = None
    """Time of the whole run, earlier sessions included."""


class Observer(Protocol):
    """Follows the progress of a search."""

    def started(self, running: RunningTrial) -> None:
        """Called when a trial is submitted to the executor."""

    def stepped(self, step: Step) -> None:
        """Called after steps of training."""

    def finished(self, trial: Trial, trials: list[Trial]) -> None:
        """Called when a trial has ended, with all trials that have ended so far."""


class Search:
    """One session of a run. Its state is in the study, so it may be killed at any time."""

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
        pretrained: Path | None = None,
        alive: AbstractContextManager[None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.study, self.domain, self.executor, self.folder = study, domain, executor, folder
        self.scheduler, self.limits, self.observer, self._clock = scheduler, limits, observer, clock
        self.notices = tuple(notices)
        """Lines for the user on what was repaired when the run was opened."""
        self._pretrained = pretrained
        """Weights that trials without weights of a lower rung start from; None: random ones."""
        self._settle = settle
        """Ends the trials of lost workers; only where several workers share a study."""
        self._check_data = check_data
        """Raises DataError if the data set has changed; called before each trial."""
        self._alive = alive or nullcontext()
        """Shows the other workers that this one is alive; only where several share a study."""
        self._pending: dict[int, RunningTrial] = {}
        self._ended: set[int] = set()
        """The numbers of the trials that ended in this session."""
        self._began = clock()
        self._seconds_before = sum(trial.seconds or 0.0 for trial in study.trials())

    @property
    def elapsed_seconds(self) -> float:
        """Time spent on the run: in the trials of earlier sessions, and in this session."""
        return self._seconds_before / self.executor.capacity + max(0.0, self._clock() - self._began)

    def run(self) -> SearchEnding:
        """Searches until a limit is met, and returns why it ended.

        Raises:
            ConfigError: `MAX_FAILURES` trials in a row failed.
            DataError: The data set cannot be used.
            WriteError: A file cannot be written; all trials that have ended are in the study.
        """
        try:
            with self._alive:
                return self._search()
        except (DataError, WriteError) as error:
            again = f"nas run --resume {self.folder.path}, which tries the trials under way again"
            raise type(error)(f"{error}; next: correct that, then {again}") from None

    def _search(self) -> SearchEnding:
        self._derive()
        try:
            while True:
                ending = self._fill()
                if ending is not None and not self._pending:
                    return ending
                if self._await(self._report).cause is Cause.INTERRUPTED:
                    return self._interrupted()
        except KeyboardInterrupt:
            return self._interrupted()

    def rung_correlations(self) -> list[RungCorrelation]:
        """Returns the rank correlations of neighbouring rungs."""
        trials, ladder = self.study.trials(), self.scheduler.ladder
        return [rung_correlation(trials, rung) for rung in range(ladder.first, ladder.last)]

    def surrogate_correlation(self) -> SurrogateCorrelation | None:
        """Returns the rank correlation of the surrogate; None without a surrogate or for fewer than 2 trials."""
        history = self.scheduler.history(self.study.trials(), [])
        return surrogate_correlation(history) if self.scheduler.has_surrogate and len(history.evaluated) > 1 else None

    def _fill(self) -> SearchEnding | None:
        """Submits trials until the executor is full, or until no trial is left to begin: then it returns why."""
        while len(self._pending) < self.executor.capacity:
            self._settle()
            trials = self.study.trials()
            ending = self._ending(trials)
            spec = ending or self.scheduler.next(trials, self.study.running(), seconds_left=self._seconds_left())
            if isinstance(spec, SearchEnding):
                repeat = None if self._may_change_front() else self._repeat(trials)
                if repeat is None:
                    return spec
                spec = repeat
            self._begin(spec, trials)
        return None

    def _may_change_front(self) -> bool:
        """Whether trials are under way that may change the front."""
        return any(running.spec.repeat_of is None for running in self._pending.values())

    def _repeat(self, trials: list[Trial]) -> TrialSpec | None:
        """Returns the next training of a member of the front with another seed."""
        if self.scheduler.repeats < 2:
            return None
        front = records.front(records.frame(trials))
        members = set(front["number"][front["rung"] == self.scheduler.ladder.last])
        return self.scheduler.repeat(trials, self.study.running(), [each for each in trials if each.number in members])

    def _begin(self, spec: TrialSpec, trials: list[Trial]) -> None:
        """Begins a trial, or records at once that it may not or need not be trained."""
        candidate = spec.candidate
        known = TrialIndex(trials).known(spec)
        if not candidate.feasible:
            self._derive(self.study.reject(spec, self.domain.overruns(candidate)))
        elif known is not None:
            self._derive(self.study.repeat(spec, known, Cause.SAME_AS, f"same as trial {known.number}"))
        else:
            self._check_data()
            running = self.study.begin(spec)
            twin = TrialIndex(self.study.trials(), self.study.running()).twin(spec, running.number)
            if twin is not None:
                self.study.withdraw(running, f"another worker began the same at the same time, in trial {twin}")
                self._derive(running.number)
                return
            self.executor.submit(self._job(running))
            self._pending[running.number] = running
            self.observer.started(running)

    def _job(self, running: RunningTrial) -> Job:
        spec = running.spec
        assert spec.candidate.feasible, "nothing over budget is ever trained"
        suffix = "" if spec.repeat_of is None else f"-seed{spec.training_seed}"
        weights = self.folder.weights_path(spec.candidate.key, suffix)
        has_weights = spec.rung > 1 and is_readable(weights)
        donor = None if has_weights else self._donor(spec)
        pretrained = self._pretrained if self._takes_pretrained(spec) and not (has_weights or donor) else None
        epochs = self.scheduler.schedule(spec, self.study.trials(), has_weights=has_weights)
        return Job(
            number=running.number,
            architecture=spec.candidate.architecture,
            seed=spec.training_seed,
            rung=spec.rung,
            epochs=epochs,
            start_weights=weights if has_weights else None,
            weights_path=weights if spec.rung and spec.audit_of is None else None,
            pretrained=pretrained,
            donor=donor,
            val_images=self.scheduler.ladder.val_images(spec.rung),
            is_reported=spec.rung == self.scheduler.ladder.last,
            proxy=self.scheduler.ladder.proxy if not spec.rung else None,
            memory_bytes=spec.candidate.cost.memory_bytes,
        )

    def _takes_pretrained(self, spec: TrialSpec) -> bool:
        """Whether a trial without weights of a lower rung and a donor starts from pretrained weights; no audit does."""
        if self._pretrained is None or not spec.rung or spec.audit_of is not None:
            return False
        rule = self.scheduler.inheritance
        return rule is None or spec.repeat_of is not None or rule.takes_pretrained(spec.candidate)

    def _donor(self, spec: TrialSpec) -> Donor | None:
        """Returns the donor of a trial with the weights that its architecture has by now."""
        rule = self.scheduler.inheritance
        if rule is None or spec.donor is None:
            return None
        trial = rule.latest(spec.donor, self.study.trials())
        if trial is None:
            return None
        weights = self.folder.weights_path(trial.key)
        return Donor(number=trial.number, key=trial.key, weights=weights, accuracy=trial.accuracy)

    def _await(self, report: Report) -> Evaluation:
        """Waits for the next trial to end, and stores its result."""
        job, evaluation = self.executor.wait(report)
        running = self._pending.pop(job.number, None)
        if running is not None:  # None: Ctrl-C came right after `submit`; the trial is settled by the next session
            self.study.tell(running, self._with_donors(job, running.spec, self._in_all(job, running.spec, evaluation)))
            self._ended.add(job.number)
            self._derive(job.number)
        return evaluation

    def _in_all(self, job: Job, spec: TrialSpec, evaluation: Evaluation) -> Evaluation:
        """Returns an evaluation that counts the training on the rungs below."""
        if job.start_weights is None or not evaluation.epochs:
            return evaluation
        below = next((each for each in self.study.trials() if each.number == spec.promoted_from), None)
        planned = sum(self.scheduler.ladder.epochs[: job.rung - 1])
        epochs = evaluation.epochs + (planned if below is None or below.epochs is None else below.epochs)
        images_seen = round(evaluation.images_seen * epochs / evaluation.epochs)
        return replace(evaluation, epochs=epochs, images_seen=images_seen)

    def _with_donors(self, job: Job, spec: TrialSpec, evaluation: Evaluation) -> Evaluation:
        """Returns an evaluation that counts the images that the weights saw in donors, in a run with inheritance."""
        if self.scheduler.inheritance is None or not evaluation.images_seen:
            return evaluation
        by_number = {trial.number: trial for trial in self.study.trials()}
        before = 0
        if job.donor is not None and evaluation.inherited_macs:
            before = images_in_all(by_number.get(job.donor.number))
        elif job.start_weights is not None and spec.promoted_from is not None:
            before = images_before(by_number.get(spec.promoted_from))
        return replace(evaluation, images_in_all=evaluation.images_seen + before)

    def _interrupted(self) -> SearchEnding:
        """Ends the trials under way and stores their results."""

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
        spec = self._pending[step.number].spec
        if self._seconds_left() > 0 or spec.repeat_of is not None:
            return
        is_needed = spec.rung > 0 and records.front(records.frame(self.study.trials())).empty
        if not is_needed or step.step < NEARLY_DONE * step.num_steps:
            raise StopTrial(Cause.TIME_UP, keep=is_needed)

    def _seconds_left(self) -> float:
        return float("inf") if self.limits.minutes is None else self.limits.minutes * 60 - self.elapsed_seconds

    def _derive(self, number: int | None = None) -> None:
        """Writes what is derived from the study, and shows the trial that has just ended."""
        trials, space = self.study.trials(), self.domain.space
        rule, num_classes = self.scheduler.inheritance, self.domain.num_classes
        self.folder.derive(
            trials,
            lambda trial: space.decode(point_of(space, trial)),
            num_classes=num_classes,
            keep=frozenset() if rule is None else rule.kept(trials),
        )
        if number is not None:
            self.observer.finished(next(trial for trial in trials if trial.number == number), trials)

    def _ending(self, trials: list[Trial]) -> SearchEnding | None:
        """Returns why no further trial begins, or None."""
        self._check_failures(trials)
        recent = [trial.outcome for trial in trials[-MAX_BARREN:]]
        if len(recent) == MAX_BARREN and set(recent) <= UNTRAINED and trials[-1].imported_from is None:
            text = f"the last {MAX_BARREN} points were over budget or known already: no new point is within reach"
            return SearchEnding(cause=EndCause.NOTHING_NEW, text=text)
        limit = self.limits.trials
        if limit is not None and num_ended(trials) + len(self.study.running()) >= limit:
            text = "1 trial is done" if limit == 1 else f"{limit} trials are done"
            return SearchEnding(cause=EndCause.TRIALS_DONE, text=text)
        return TIME_UP if self._seconds_left() <= 0 else None

    def _check_failures(self, trials: list[Trial]) -> None:
        """Raises ConfigError if the last trials of this session failed by themselves."""
        ended = (trial for trial in trials if trial.number in self._ended)
        own = [trial for trial in ended if trial.outcome is not Outcome.REJECTED and not trial.is_lost][-MAX_FAILURES:]
        if len(own) == MAX_FAILURES and all(trial.outcome is Outcome.FAILED for trial in own):
            raise ConfigError(
                f"{MAX_FAILURES} trials in a row failed, the last with: {own[-1].reason}; all reasons are in "
                f"{self.folder.trials_csv}; next: remove the cause and nas run --resume {self.folder.path}, or start "
                "a new run"
            )


def num_ended(trials: Sequence[Trial]) -> int:
    """Counts the trials that were trained or failed by themselves, on any rung."""
    return sum(trial.is_ended for trial in trials)
