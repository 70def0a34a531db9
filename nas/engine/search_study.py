"""The study of a run in an Optuna storage, the one place where its trials are kept.

A trial is one architecture trained on one rung of the ladder. It enters the study as running when its training begins,
with its point, its cost and its constraints at once, and gets its result when it ends.
"""

from __future__ import annotations

import math
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.cost import Latency
from nas.engine.distributions import distribution, stored
from nas.engine.domain import Candidate
from nas.engine.objectives import Objective
from nas.executors import Evaluation
from results.records import as_row, trial_of
from results.trial import Cause, Origin, Outcome, Trial
from search_space import SearchSpace, lower

STUDY_NAME = "nas"
SPEC, RESULT, TOKEN = "spec", "result", "token"
"""The attributes of a stored trial: what was to be trained, and, once it has ended, its result; each is a part of the
row of the trial in the table. The token finds a trial again whose number Optuna does not return."""
NUMBER = "number"
RESULT_COLUMNS = frozenset(
    "outcome cause reason epochs images_seen seconds peak_memory_bytes accuracy_draws "
    "pretrained_params pretrained_macs inherited_macs images_in_all peak_learning_rate training_seconds".split()
)
"""The columns of a result, beside the scores."""
NO_SCORES: Mapping[str, Any] = {"scores": {}, "accuracy_draws": ()}
KILLED: Mapping[str, Any] = {
    "outcome": Outcome.FAILED,
    "cause": Cause.INTERRUPTED,
    "reason": Cause.INTERRUPTED.text,
}
"""The result of a trial whose worker was killed before it stored one."""


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """What is to be trained, and why."""

    candidate: Candidate
    origin: Origin
    rung: int = 1
    promoted_from: int | None = None
    """The trial of the same architecture one rung below."""
    retry_of: int | None = None
    """The interrupted trial that this one repeats."""
    attempt: int = 1
    repeat_of: int | None = None
    """The member of the front that this one trains again with another seed."""
    audit_of: int | None = None
    """The trial whose architecture this one trains without a donor."""
    imported_from: str | None = None
    """The trial of an earlier run that this one repeats without training."""
    training_seed: int = 0
    donor: int | None = None
    """The trial whose weights this one starts from."""


@dataclass(frozen=True, kw_only=True)
class RunningTrial:
    """A trial that has entered the study and has not ended."""

    number: int
    spec: TrialSpec


class SearchStudy:
    """Stores trials and their results, and returns what is known so far.

    Args:
        storage: Of the trials; see `nas.engine.storage`.
        space: The space of the run.
        objectives: What is searched for, in the order of a trial's values.
        worker: The name of this process; it is stored with every trial that it begins.
        num_rungs: Of the ladder.
    """

    def __init__(
        self,
        storage: BaseStorage,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        name: str = STUDY_NAME,
        worker: str = "",
        num_rungs: int = 1,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.objectives = tuple(objectives)
        self.worker = worker
        self.num_rungs = num_rungs
        self._axes = {axis.name: axis for axis in space.axes}
        self._ended: dict[int, Trial] = {}
        with _quiet():
            self._study = optuna.create_study(
                storage=storage,
                study_name=name,
                directions=["maximize" if each.maximise else "minimize" for each in self.objectives],
                load_if_exists=True,
            )
            if self._study.metric_names is None:
                self._study.set_metric_names([each.name for each in self.objectives])

    def begin(self, spec: TrialSpec) -> RunningTrial:
        """Adds a trial as running."""
        return RunningTrial(number=self._add(self._trial_of(spec), spec.candidate), spec=spec)

    def reject(self, spec: TrialSpec, reason: str) -> int:
        """Adds a trial over budget, which is not trained; returns its number."""
        rejected = self._trial_of(spec, outcome=Outcome.REJECTED, cause=Cause.OVER_BUDGET, reason=reason)
        return self._add(rejected, spec.candidate)

    def withdraw(self, running: RunningTrial, reason: str) -> None:
        """Ends a trial whose training has not begun, because another worker trains the same."""
        trial = self._trial_of(running.spec, outcome=Outcome.REJECTED, cause=Cause.WITHDRAWN, reason=reason)
        self._end(replace(trial, number=running.number))

    def repeat(self, spec: TrialSpec, known: Trial, cause: Cause, reason: str) -> int:
        """Adds a trial that was evaluated before, with the scores of then; returns its number."""
        cached = self._trial_of(
            spec,
            outcome=Outcome.CACHED,
            cause=cause,
            reason=reason,
            scores=known.scores,
            accuracy_draws=known.accuracy_draws,
            epochs=known.epochs,
            images_seen=known.images_seen,
            seconds=0.0,
        )
        return self._add(cached, spec.candidate)

    def tell(self, running: RunningTrial, evaluation: Evaluation) -> None:
        """Stores the result of a trial; an accuracy among the objectives that is not finite makes it a failed one."""
        ended = {each.name: getattr(evaluation, each.name) for each in fields(evaluation)}
        if evaluation.outcome is Outcome.COMPLETE:
            ended |= self._judged(running.spec, evaluation)
        elif evaluation.cause is not Cause.TIME_UP or not self._has_accuracies(evaluation):
            ended |= NO_SCORES
        trial = replace(self._trial_of(running.spec, **ended), number=running.number)
        self._end(trial if trial.reason or trial.cause is None else replace(trial, reason=trial.cause.text))

    def _has_accuracies(self, evaluation: Evaluation) -> bool:
        """Whether a trial that was cut short has been scored, with finite accuracies."""
        wanted = [each.name for each in self.objectives if not each.is_cost]
        return all(math.isfinite(evaluation.scores.get(name, math.nan)) for name in wanted)

    def _judged(self, spec: TrialSpec, evaluation: Evaluation) -> dict[str, Any]:
        """Returns what the scores of a trained architecture make of its trial."""
        scores = evaluation.scores
        for objective in self.objectives if spec.rung else ():  # rung 0 has only the proxy
            value = scores.get(objective.name, math.nan)
            if not objective.is_cost and not math.isfinite(value):
                why = "training diverged, or the validation images have no object that it is measured on"
                reason = f"{objective.name} is {value}: {why}"
                return {"outcome": Outcome.FAILED, "cause": Cause.NOT_FINITE, "reason": reason, **NO_SCORES}
        finite = {name: value for name, value in scores.items() if math.isfinite(value)}
        if spec.rung < self.num_rungs and spec.repeat_of is None:
            more = f"; {evaluation.reason}" if evaluation.reason else ""
            reason = f"rung {spec.rung} of {self.num_rungs} done{more}"
            return {"outcome": Outcome.STOPPED, "cause": Cause.RUNG_DONE, "reason": reason, "scores": finite}
        return {"scores": finite}

    def settle(self, is_lost: Callable[[str], bool] = lambda worker: True) -> None:
        """Ends the running trials of lost workers: with their result where they stored one, else as interrupted.

        Args:
            is_lost: Whether the worker of this name is gone.
        """
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if is_lost(str(frozen.user_attrs.get(SPEC, {}).get("worker", ""))):
                self._close(self._read(frozen, ended=True))

    def restore(self, spec: TrialSpec, trial: Trial) -> None:
        """Adds a trial that ended and is missing; numbers that are missing before it stay empty."""
        if any(each.number == trial.number for each in self.running()):
            self._end(trial)
            return
        while len(self._study.get_trials(deepcopy=False)) < trial.number:
            self._study.add_trial(create_trial(state=TrialState.FAIL))
        self._add(trial, spec.candidate)

    def _trial_of(self, spec: TrialSpec, **result: Any) -> Trial:
        """Returns a trial that does not have its number yet."""
        names = (each.name for each in fields(spec) if each.name != "candidate")
        return Trial(
            number=-1,
            rungs=self.num_rungs,
            worker=self.worker,
            objectives=tuple(each.name for each in self.objectives),
            **_describe(spec.candidate),
            **{name: getattr(spec, name) for name in names},
            **result,
        )

    def _add(self, trial: Trial, candidate: Candidate) -> int:
        """Writes a trial with all that is known of it at once, so that a kill leaves a whole trial or none."""
        token = uuid.uuid4().hex
        attributes: dict[str, Any] = {SPEC: {**_spec_of(trial), TOKEN: token}}
        attributes |= {} if trial.is_running else {RESULT: _result_of(trial)}
        state = self._state_of(trial)
        free = {name: value for name, value in candidate.params.items() if len(self._axes[name].choices) > 1}
        with _quiet():
            frozen = create_trial(
                state=state,
                values=self._values(trial) if state is TrialState.COMPLETE else None,
                params={name: stored(self._axes[name], value) for name, value in free.items()},
                distributions={name: distribution(self._axes[name]) for name in free},
                user_attrs=attributes,
            )
            for name, margin in candidate.margins.items():
                frozen.set_constraint(name, margin)
            self._study.add_trial(frozen)
        found = (each for each in reversed(self._frozen()) if each.user_attrs[SPEC][TOKEN] == token)
        return next(found).number

    def _end(self, trial: Trial) -> None:
        """Stores the result of a running trial, then ends it: after a kill in between, `settle` ends it.

        If another worker has ended the trial, because it heard nothing from this one, the result is dropped: the trial
        is repeated.
        """
        frozen = next(each for each in self._frozen() if each.number == trial.number)
        try:
            self._study._storage.set_trial_user_attr(frozen._trial_id, RESULT, _result_of(trial))
        except optuna.exceptions.UpdateFinishedTrialError:
            return
        self._close(trial)

    def _close(self, trial: Trial) -> None:
        state = self._state_of(trial)
        values = self._values(trial) if state is TrialState.COMPLETE else None
        with _quiet():
            self._study.tell(trial.number, values, state=state, skip_if_finished=True)

    def _state_of(self, trial: Trial) -> TrialState:
        """Returns the state that a trial has for Optuna, where only complete trials have values."""
        if trial.outcome is Outcome.CACHED and trial.rung == self.num_rungs:
            return TrialState.COMPLETE
        states = {
            Outcome.RUNNING: TrialState.RUNNING,
            Outcome.COMPLETE: TrialState.COMPLETE,
            Outcome.FAILED: TrialState.FAIL,
        }
        return states.get(trial.outcome, TrialState.PRUNED)

    def _values(self, trial: Trial) -> list[float]:
        values = [trial.value(each.name) for each in self.objectives]
        return [value for value in values if value is not None]

    def trials(self) -> list[Trial]:
        """Returns the trials that have ended, in the order of their numbers."""
        return [self._known(each) for each in self._frozen() if each.state is not TrialState.RUNNING]

    def running(self) -> list[Trial]:
        """Returns the trials under way, of all workers."""
        return [self._read(each, ended=False) for each in self._frozen() if each.state is TrialState.RUNNING]

    def _known(self, frozen: FrozenTrial) -> Trial:
        """Returns a trial that has ended; Optuna never changes it, so it is read once."""
        if frozen.number not in self._ended:
            self._ended[frozen.number] = self._read(frozen, ended=True)
        return self._ended[frozen.number]

    def _read(self, frozen: FrozenTrial, *, ended: bool) -> Trial:
        result = frozen.user_attrs.get(RESULT, KILLED) if ended else {"outcome": Outcome.RUNNING}
        axes = {f"axis_{name}": choice for name, choice in frozen.params.items()}
        return trial_of({NUMBER: frozen.number, **frozen.user_attrs[SPEC], **result, **axes})

    def note(self, name: str, value: Any) -> None:
        """Stores a value with the study."""
        with _quiet():
            self._study.set_user_attr(name, value)

    @property
    def notes(self) -> dict[str, Any]:
        """The values that were stored with the study."""
        return dict(self._study.user_attrs)

    def _frozen(self) -> list[FrozenTrial]:
        """Returns the trials as Optuna has them; the empty ones of `restore` are left out."""
        return [trial for trial in self._study.get_trials(deepcopy=False) if SPEC in trial.user_attrs]


def derive_seed(seed: int, num_trials: int, worker: int) -> int:
    """Returns a seed of 32 bits that differs for every (seed, trials so far, worker)."""
    return int(np.random.SeedSequence([seed, num_trials, worker]).generate_state(1)[0])


def _spec_of(trial: Trial) -> dict[str, Any]:
    """Returns the part of a trial's row that is known before training, without the axes, which Optuna stores."""
    row = as_row(replace(trial, axes={}))
    return {name: value for name, value in row.items() if not _is_result(name, trial) and name != NUMBER}


def _result_of(trial: Trial) -> dict[str, Any]:
    """Returns the part of a trial's row that is known when it has ended."""
    return {name: value for name, value in as_row(trial).items() if _is_result(name, trial)}


def _is_result(name: str, trial: Trial) -> bool:
    return name in RESULT_COLUMNS or name in trial.scores


def _describe(candidate: Candidate) -> dict[str, Any]:
    """Returns what a trial holds of its architecture."""
    height, width = candidate.architecture.input_hw
    strides = lower(candidate.architecture, num_classes=1).strides
    return {
        "key": candidate.key,
        "macs": candidate.cost.macs,
        "params": candidate.cost.params,
        "weight_bytes": candidate.cost.weight_bytes,
        "activation_bytes": candidate.cost.activation_bytes,
        "memory_bytes": candidate.cost.memory_bytes,
        "input_height": height,
        "input_width": width,
        "levels": tuple(dict.fromkeys(f"P{stride.bit_length() - 1}" for stride in strides)),
        **_latency(candidate.cost.latency),
    }


def _latency(latency: Latency | None) -> dict[str, float]:
    if latency is None:
        return {}
    return {
        "latency_ms": latency.latency_ms,
        "latency_low_ms": latency.low_ms,
        "latency_high_ms": latency.high_ms,
        "latency_unsupported_share": latency.unsupported_share,
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides Optuna's warnings on experimental arguments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
