"""Decides what is trained next, from the trials so far and nothing else, so that a resumed run decides the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nas.engine.audit import audit_correlation, audit_epochs, next_audit
from nas.engine.domain import Candidate, CostedDomain, Params
from nas.engine.ending import NO_TIME, NOTHING_NEW, SearchEnding
from nas.engine.history import History, Observation
from nas.engine.inheritance import InheritanceRule, images_in_all
from nas.engine.ladder import Ladder
from nas.engine.objectives import Objective
from nas.engine.promotion import promotion
from nas.engine.search_study import TrialSpec, derive_seed
from nas.engine.starts import Start
from nas.engine.strategies import Strategy, has_surrogate
from nas.engine.training_time import measured_seconds_an_image
from nas.engine.trial_point import point_of
from nas.engine.utility import Floors, floors_of
from results.trial import Cause, Origin, Outcome, Trial

MAX_ATTEMPTS = {Cause.INTERRUPTED: 3, Cause.TIME_UP: 3, Cause.WORKER_LOST: 2}
"""How often a trial is attempted, by what cut it short: a trial that kills its process must not do so forever."""
STATES = {Outcome.REJECTED: "rejected", Outcome.FAILED: "failed"}
"""The state of an observation by the outcome of its last trial, where it was not evaluated; else it is stopped."""


class TrialIndex:
    """Finds trials among those so far."""

    def __init__(self, trials: Sequence[Trial], running: Sequence[Trial] = ()) -> None:
        self.trials, self.running = trials, running

    def known(self, spec: TrialSpec) -> Trial | None:
        """Returns the trial that evaluated the same architecture on the same rung with the same seed."""
        return next((trial for trial in self.trials if trial.is_evaluated and _is_same(trial, spec)), None)

    def twin(self, spec: TrialSpec, number: int) -> int | None:
        """Returns the number of an earlier trial, of another worker, that trains the same.

        The study gives numbers one after the other, so of two workers that begin the same at the same time only one
        finds such a trial.
        """
        alive = (trial for trial in (*self.trials, *self.running) if trial.is_running or trial.is_evaluated)
        return next((trial.number for trial in alive if trial.number < number and _is_same(trial, spec)), None)

    def interrupted(self) -> list[Trial]:
        """Returns the trials that were cut short and have to be tried again."""
        retried = {trial.retry_of for trial in (*self.trials, *self.running)}
        return [trial for trial in self.trials if trial.number not in retried and _may_retry(trial)]

    def seconds(self, rung: int, ladder: Ladder) -> float:
        """Returns the expected time of a trial on a rung, from those that were evaluated; 0 while there are none."""
        own = [trial for trial in self.trials if trial.is_evaluated and trial.audit_of is None]
        times = [(trial.rung, trial.seconds) for trial in own if trial.seconds]
        same = [seconds for other, seconds in times if other == rung]
        if same:
            return sum(same) / len(same)
        rates = [seconds / ladder.effort(other) for other, seconds in times if ladder.effort(other)]
        return ladder.effort(rung) * sum(rates) / len(rates) if rates else 0.0

    def seconds_above(self, trial: Trial, ladder: Ladder) -> float:
        """Returns the expected time of the next rung of a trial: longer than the mean where it was slower itself.

        It is compared with those trials of its rung that went on, from which the mean of the next rung is known; while
        there are none, with all.
        """
        mean = self.seconds(trial.rung + 1, ladder)
        own = measured_seconds_an_image(trial, ladder)
        same = [each for each in self.trials if each.rung == trial.rung and each.audit_of is None]
        known = ((each, measured_seconds_an_image(each, ladder)) for each in same)
        speeds = [(each.key, seconds) for each, seconds in known if seconds is not None]
        above = {each.key for each in self.trials if each.rung == trial.rung + 1 and each.is_evaluated}
        others = [seconds for key, seconds in speeds if key in above] or [seconds for _, seconds in speeds]
        return mean if own is None else mean * own * len(others) / sum(others)


@dataclass(frozen=True, kw_only=True)
class Scheduler:
    """Everything that decides what a run trains next, beside its trials."""

    domain: CostedDomain
    strategy: Strategy
    objectives: tuple[Objective, ...]
    ladder: Ladder
    starts: tuple[Start, ...] = ()
    seed: int = 0
    worker: int = 0
    """The part of the seeds in which the workers on one study differ."""
    repeats: int = 1
    """With how many seeds each member of the front is trained at the end."""
    inheritance: InheritanceRule | None = None
    """Chooses the trial whose weights a new one starts from; None: all start without."""

    @property
    def floors(self) -> Floors:
        """The costs below which a detector is worth no more."""
        return floors_of(self.domain.limits)

    @property
    def has_surrogate(self) -> bool:
        """Whether the strategy ranks points by the surrogate."""
        return has_surrogate(self.strategy)

    def next(
        self, trials: Sequence[Trial], running: Sequence[Trial], *, seconds_left: float = math.inf
    ) -> TrialSpec | SearchEnding:
        """Returns what is trained next, or why nothing is.

        Interrupted trials come first, then promotions to the next rung, then audits, then new points: the named
        designs, each followed by a point of the strategy, so that even a short run covers cheap detectors, and then
        points of the strategy alone. A new point is begun only if the time suffices for all its rungs. After that, as
        many non-dominated trials are promoted as there is time for.
        """
        index = TrialIndex(trials, running)
        times = {rung: index.seconds(rung, self.ladder) for rung in range(self.ladder.first, self.ladder.last + 1)}
        for trial in index.interrupted():
            if times[trial.rung] <= seconds_left:
                return self._again(trial)

        def fits(trial: Trial) -> bool:
            return seconds_left == math.inf or index.seconds_above(trial, self.ladder) <= seconds_left

        for final in (False, True):
            due = promotion(trials, running, self.ladder, self.objectives, final=final, fits=fits, floors=self.floors)
            if due is not None:
                return self._promoted(due, trials)
            if not final and sum(times.values()) <= seconds_left:
                found = self._audit(trials, running, seconds_left - sum(times.values()))
                found = found or self._new(trials, running, is_timed=seconds_left < math.inf)
                if found is not None:
                    return found
        return NO_TIME if sum(times.values()) > seconds_left else NOTHING_NEW

    def repeat(self, trials: Sequence[Trial], running: Sequence[Trial], members: Sequence[Trial]) -> TrialSpec | None:
        """Returns the next training of a member of the front with another seed; None when all are done."""
        for member in members:
            for training_seed in range(self.seed + 1, self.seed + self.repeats):
                done = [
                    trial
                    for trial in (*trials, *running)
                    if trial.repeat_of == member.number and trial.training_seed == training_seed
                ]
                reached = max((trial.rung for trial in done if trial.is_evaluated), default=0)
                if reached < self.ladder.last and not any(trial.rung > reached for trial in done):
                    return TrialSpec(
                        candidate=self.domain.assess(self._point(member)),
                        origin=member.origin,
                        rung=reached + 1,
                        repeat_of=member.number,
                        training_seed=training_seed,
                    )
        return None

    def schedule(self, spec: TrialSpec, trials: Sequence[Trial], *, has_weights: bool) -> float:
        """Returns the epochs of a trial; without weights to start from, those of the rungs below are added.

        Args:
            spec: What is to be trained.
            trials: Those that have ended, with the one that an audit is of.
            has_weights: Whether it starts from the weights of the rung below.
        """
        audited = next((trial for trial in trials if trial.number == spec.audit_of), None)
        if audited is not None:
            return audit_epochs(audited, self.ladder)
        if has_weights or spec.rung <= 1:
            return self.ladder.effort(spec.rung)
        return sum(self.ladder.epochs[: spec.rung])

    def history(self, trials: Sequence[Trial], running: Sequence[Trial], *, is_timed: bool = False) -> History:
        """Returns what the strategy sees: each architecture once, by its trial on the first rung of training.

        All architectures are trained on that rung, so their accuracies can be compared.

        Args:
            trials: Those that have ended.
            running: Those under way.
            is_timed: Whether the measured times of trainings are shown: in a run with a limit of time. In any other
                run nothing depends on them, so that the same seed gives the same trials.
        """
        by_key: dict[str, list[Trial]] = {}
        for trial in sorted((*trials, *running), key=lambda trial: trial.number):
            if not trial.is_repetition:
                by_key.setdefault(trial.key, []).append(trial)
        observed = tuple(self._observed(group, is_timed) for group in by_key.values())
        return History(objectives=self.objectives, trials=observed, floors=self.floors)

    def _observed(self, group: list[Trial], is_timed: bool) -> Observation:
        """Returns what is known of one architecture from its trials."""
        first = group[0]
        evaluated = next((trial for trial in group if trial.rung == 1 and trial.is_evaluated), None)
        if evaluated is not None:
            state = "evaluated"
        elif any(trial.is_running for trial in group):
            state = "pending"
        else:
            state = STATES.get(group[-1].outcome, "stopped")
        return Observation(
            number=first.number,
            key=first.key,
            params=self._point(first),
            state=state,
            values=tuple((evaluated or first).value(each.name) for each in self.objectives),
            costs=_costs(first),
            origin=str(first.origin),
            seconds_an_image=measured_seconds_an_image(evaluated, self.ladder) if evaluated and is_timed else None,
            **(self._age(evaluated) if evaluated else {}),
        )

    def _age(self, trial: Trial) -> dict[str, Any]:
        """Returns how much training the weights of an evaluated trial had; nothing in a run without inheritance."""
        images = images_in_all(trial) if self.inheritance is not None else 0
        return {"age_images": images, "inherited_share": trial.inherited_macs or 0.0} if images else {}

    def _again(self, trial: Trial) -> TrialSpec:
        return TrialSpec(
            candidate=self.domain.assess(self._point(trial)),
            origin=trial.origin,
            rung=trial.rung,
            promoted_from=trial.promoted_from,
            retry_of=trial.number,
            attempt=trial.attempt + 1,
            repeat_of=trial.repeat_of,
            audit_of=trial.audit_of,
            training_seed=trial.training_seed,
            donor=trial.donor,
        )

    def _audit(self, trials: Sequence[Trial], running: Sequence[Trial], seconds_left: float) -> TrialSpec | None:
        """Returns the next training from scratch of an architecture that had a donor; None while none is due.

        It is left out if the time does not suffice for it.
        """
        audited = next_audit(trials, running)
        if audited is None:
            return None
        times = audit_epochs(audited, self.ladder) / self.ladder.effort(1)
        if (audited.seconds or 0.0) * times > seconds_left:
            return None
        return TrialSpec(
            candidate=self.domain.assess(self._point(audited)),
            origin=audited.origin,
            audit_of=audited.number,
            training_seed=audited.training_seed,
        )

    def _promoted(self, trial: Trial, trials: Sequence[Trial]) -> TrialSpec:
        candidate, rung = self.domain.assess(self._point(trial)), trial.rung + 1
        return TrialSpec(
            candidate=candidate,
            origin=trial.origin,
            rung=rung,
            promoted_from=trial.number,
            training_seed=self.seed,
            donor=self._donor(candidate, rung, trials),
        )

    def _new(self, trials: Sequence[Trial], running: Sequence[Trial], *, is_timed: bool) -> TrialSpec | None:
        """Returns the next named design or the next point of the strategy; None when there is neither."""
        own = [trial for trial in (*trials, *running) if not trial.is_repetition and trial.retry_of is None]
        first = [trial for trial in own if trial.rung == self.ladder.first]
        begun = {trial.origin for trial in first}
        designs = [start for start in self.starts if _origin_of(start) not in begun]
        num_others = sum(not trial.origin.is_design and trial.imported_from is None for trial in first)
        if designs and num_others >= len(self.starts) - len(designs):
            return self._begun(designs[0].candidate, _origin_of(designs[0]), trials)
        seed = derive_seed(self.seed, len(trials) + len(running), self.worker)
        proposal = self.strategy(self.history(trials, running, is_timed=is_timed), self.domain, seed=seed)
        if proposal is not None:
            candidate = self.domain.assess(proposal.params)
            return self._begun(candidate, Origin.parse(proposal.origin), trials, proposal.parent)
        return self._begun(designs[0].candidate, _origin_of(designs[0]), trials) if designs else None

    def _begun(
        self, candidate: Candidate, origin: Origin, trials: Sequence[Trial], parent: str | None = None
    ) -> TrialSpec:
        return TrialSpec(
            candidate=candidate,
            origin=origin,
            rung=self.ladder.first,
            training_seed=self.seed,
            donor=self._donor(candidate, self.ladder.first, trials, parent),
        )

    def _donor(self, candidate: Candidate, rung: int, trials: Sequence[Trial], parent: str | None = None) -> int | None:
        """Returns the number of the trial whose weights a new trial starts from; only the first training has one.

        There are none from the moment on at which the audits contradict the scores of trials with donors.
        """
        if self.inheritance is None or rung != 1 or not candidate.feasible:
            return None
        audits = audit_correlation(trials)
        if audits is not None and not audits.trusted:
            return None
        found = self.inheritance.donor_of(candidate, trials, parent)
        return None if found is None else found.number

    def _point(self, trial: Trial) -> Params:
        return point_of(self.domain.space, trial)


def _origin_of(start: Start) -> Origin:
    return Origin(Origin.DESIGN, start.name)


def _is_same(trial: Trial, spec: TrialSpec) -> bool:
    """Whether a trial trains the same; an audit and the trial that it is of are two trainings."""
    wanted = (spec.candidate.key, spec.rung, spec.training_seed, spec.audit_of is None)
    return (trial.key, trial.rung, trial.training_seed, trial.audit_of is None) == wanted


def _may_retry(trial: Trial) -> bool:
    return trial.cause is not None and trial.attempt < MAX_ATTEMPTS.get(trial.cause, 0)


def _costs(trial: Trial) -> dict[str, float]:
    names = ("macs", "params", "activation_bytes", "memory_bytes", "latency_ms")
    costs = {name: trial.value(name) for name in names}
    known = {name: cost for name, cost in costs.items() if cost is not None}
    return {**known, "input_px": float(trial.input_height * trial.input_width) ** 0.5}
