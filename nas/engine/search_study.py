"""The study of a run: the one place where its trials are kept, in an Optuna storage.

A trial is one architecture trained on one rung of the ladder. It is put into the study as running when its training
begins, with its point, its cost and its constraints at once, and told what became of it when it ends.
"""

from __future__ import annotations

import math
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.cost import Latency
from nas.engine.distributions import distribution, restored, stored
from nas.engine.domain import Candidate
from nas.engine.objectives import Objective
from nas.executors import INTERRUPTED, Evaluation
from search_space import SearchSpace, lower

STUDY_NAME = "nas"
COPIED = frozenset("accuracy accuracy_low accuracy_high accuracy_draws ap ap50 proxy epochs images_seen".split())
"""What a cached trial has from the one that it repeats, beside the APs of sizes."""


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """What is to be trained, and why."""

    candidate: Candidate
    origin: str
    rung: int = 1
    promoted_from: int | None = None
    """The trial of the same architecture one rung below."""
    retry_of: int | None = None
    """The interrupted trial that this one repeats."""
    attempt: int = 1
    repeat_of: int | None = None
    """The member of the front that this one trains again with another seed."""
    imported_from: str | None = None
    """The trial of an earlier run that this one repeats without training."""
    training_seed: int = 0


@dataclass(frozen=True, kw_only=True)
class RunningTrial:
    """A trial that was put into the study and is not yet told."""

    number: int
    spec: TrialSpec

    @property
    def candidate(self) -> Candidate:
        """The point that is trained."""
        return self.spec.candidate

    @property
    def origin(self) -> str:
        """Where the point came from."""
        return self.spec.origin


class SearchStudy:
    """Takes trials in, takes what became of them, and says what is known so far.

    Args:
        storage: Where the trials lie; see `nas.engine.storage`.
        space: The space of the run.
        objectives: What is searched for, in the order of a trial's values.
        worker: Who asks; written down with every trial that it begins.
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
        self._space = space
        self._axes = {axis.name: axis for axis in space.axes}
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
        """Puts a trial into the study as running."""
        return RunningTrial(number=self._add(spec, TrialState.RUNNING), spec=spec)

    def reject(self, spec: TrialSpec, reason: str) -> int:
        """Records a point that may not be trained, and returns the number of its trial."""
        return self._add(spec, TrialState.PRUNED, {"outcome": "rejected", "reason": reason})

    def withdraw(self, asked: RunningTrial, reason: str) -> None:
        """Ends a trial before its training began."""
        record = {"outcome": "rejected", "reason": reason}
        self._set_record(asked.number, record)
        self._close(asked.number, record)

    def repeat(self, spec: TrialSpec, known: Mapping[str, Any], reason: str) -> int:
        """Records a point that was evaluated before, with the figures of then; returns the number of its trial."""
        scores = {name: known[name] for name in known if name in COPIED or name.startswith("ap_")}
        state = TrialState.COMPLETE if spec.rung == self.num_rungs else TrialState.PRUNED
        return self._add(spec, state, {"outcome": "cached", "reason": reason, "seconds": 0.0, **scores})

    def tell(self, asked: RunningTrial, evaluation: Evaluation) -> None:
        """Records what became of a trial. A score of the objectives that is no number makes it a failed one."""
        record: dict[str, Any] = {
            "outcome": evaluation.outcome,
            "reason": evaluation.reason,
            "epochs": evaluation.epochs,
            "images_seen": evaluation.images_seen,
            "seconds": evaluation.seconds,
            "peak_memory_bytes": evaluation.peak_memory_bytes,
        }
        if evaluation.outcome == "complete":
            record |= self._judged(asked, evaluation)
        # The record goes first: a trial that is killed between the two is told from it when the run resumes.
        self._set_record(asked.number, record)
        self._close(asked.number, record)

    def _judged(self, asked: RunningTrial, evaluation: Evaluation) -> dict[str, Any]:
        """Returns what a trained architecture's scores make of its trial."""
        for objective in self.objectives if asked.spec.rung else ():  # rung 0 has a score without training
            value = evaluation.scores.get(objective.name, math.nan)
            if not objective.is_cost and not math.isfinite(value):
                why = "training diverged, or the validation images have no object that it is measured on"
                return {"outcome": "failed", "reason": f"{objective.name} is {value}: {why}"}
        scores: dict[str, Any] = {
            name: value if math.isfinite(value) else None for name, value in evaluation.scores.items()
        }
        draws = " ".join(f"{1e4 * value:.0f}" for value in evaluation.accuracy_draws)
        scores |= {"accuracy_draws": draws} if draws else {}
        if asked.spec.rung < self.num_rungs and asked.spec.repeat_of is None:
            return {"outcome": "stopped", "reason": rung_done(asked.spec.rung, self.num_rungs), **scores}
        return scores

    def settle(self, is_lost: Callable[[str], bool] = lambda worker: True) -> None:
        """Ends the running trials of workers that are no more: with their record where they left one, else as lost.

        Args:
            is_lost: Says of the name of a worker whether it is no more.
        """
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if is_lost(str(trial.user_attrs.get("asked", {}).get("worker", ""))):
                self._close(trial.number, trial.user_attrs.get("record"))

    def restore(self, number: int, spec: TrialSpec, record: Mapping[str, Any], *, worker: str) -> None:
        """Puts a trial back that ended as the record says; numbers that are missing before it are left out."""
        if any(row["number"] == number for row in self.running()):
            self._set_record(number, record)
            self._close(number, record)
            return
        while len(self._study.get_trials(deepcopy=False)) < number:
            self._study.add_trial(create_trial(state=TrialState.FAIL))
        state = {"failed": TrialState.FAIL, "complete": TrialState.COMPLETE}.get(record["outcome"], TrialState.PRUNED)
        if record["outcome"] == "cached" and spec.rung == self.num_rungs:
            state = TrialState.COMPLETE
        self._add(spec, state, record, worker=worker)

    def _add(
        self, spec: TrialSpec, state: TrialState, record: Mapping[str, Any] | None = None, *, worker: str | None = None
    ) -> int:
        """Writes a trial with all that is known of it at once, so that a kill leaves a whole trial or none."""
        candidate, token = spec.candidate, uuid.uuid4().hex
        asked = {
            **_describe(candidate),
            **_spec_fields(spec),
            "objectives": " ".join(o.name for o in self.objectives),
        }
        asked |= {"rungs": self.num_rungs, "worker": self.worker if worker is None else worker, "token": token}
        free = {name: value for name, value in candidate.params.items() if len(self._axes[name].choices) > 1}
        attrs = {"asked": asked, **({} if record is None else {"record": dict(record)})}
        values = None if state is not TrialState.COMPLETE else self._values(asked, record or {})
        with _quiet():
            trial = create_trial(
                state=state,
                values=values,
                params={name: stored(self._axes[name], value) for name, value in free.items()},
                distributions={name: distribution(self._axes[name]) for name in free},
                user_attrs=attrs,
            )
            for name, margin in candidate.margins.items():
                trial.set_constraint(name, margin)
            self._study.add_trial(trial)
        found = (t for t in reversed(self._trials()) if t.user_attrs.get("asked", {}).get("token") == token)
        return next(found).number

    def _close(self, number: int, record: Mapping[str, Any] | None) -> None:
        outcome = "failed" if record is None else record["outcome"]
        trial = self._trial(number)
        with _quiet():
            if outcome == "complete":
                self._study.tell(number, self._values(trial.user_attrs["asked"], record or {}))
            else:
                state = TrialState.FAIL if outcome == "failed" else TrialState.PRUNED
                self._study.tell(number, state=state, skip_if_finished=True)

    def _values(self, asked: Mapping[str, Any], record: Mapping[str, Any]) -> list[float]:
        return [float((asked if each.is_cost else record)[each.name]) for each in self.objectives]

    def _set_record(self, number: int, record: Mapping[str, Any]) -> None:
        storage = self._study._storage
        storage.set_trial_user_attr(self._trial(number)._trial_id, "record", dict(record))

    def rows(self) -> list[dict[str, Any]]:
        """Returns one record a finished trial, as `results.records.frame` takes them."""
        return [self._row(trial) for trial in self._trials() if trial.state is not TrialState.RUNNING]

    def running(self) -> list[dict[str, Any]]:
        """Returns what is known of the trials that are under way, of all workers."""
        return [self._row(trial) for trial in self._trials() if trial.state is TrialState.RUNNING]

    def _row(self, trial: FrozenTrial) -> dict[str, Any]:
        record = trial.user_attrs.get("record") or {"outcome": "failed", "reason": INTERRUPTED}
        asked = {name: value for name, value in trial.user_attrs["asked"].items() if name != "token"}
        params = {f"axis_{name}": value for name, value in trial.params.items()}
        return {"number": trial.number, **asked, **record, **params}

    def note(self, name: str, value: Any) -> None:
        """Writes something down with the study."""
        with _quiet():
            self._study.set_user_attr(name, value)

    @property
    def notes(self) -> dict[str, Any]:
        """What was written down with the study."""
        return dict(self._study.user_attrs)

    def _trial(self, number: int) -> FrozenTrial:
        return next(trial for trial in self._trials() if trial.number == number)

    def _trials(self) -> list[FrozenTrial]:
        """Returns the trials; one that `restore` left out has nothing that was asked."""
        return [trial for trial in self._study.get_trials(deepcopy=False) if "asked" in trial.user_attrs]


def params_of(space: SearchSpace, row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the point of a trial's row in the words of its space."""
    return dict(
        space.sample(
            lambda axis: restored(axis, row[f"axis_{axis.name}"]) if f"axis_{axis.name}" in row else axis.choices[0]
        )
    )


def rung_done(rung: int, num_rungs: int) -> str:
    """Returns the reason on record of a trial that was trained on a rung below the last."""
    return f"rung {rung} of {num_rungs} done"


def derive_seed(seed: int, num_trials: int, worker: int) -> int:
    """Returns a seed of 32 bits that differs for every (seed, trials so far, worker)."""
    return int(np.random.SeedSequence([seed, num_trials, worker]).generate_state(1)[0])


def _spec_fields(spec: TrialSpec) -> dict[str, Any]:
    return {each.name: getattr(spec, each.name) for each in fields(spec) if each.name != "candidate"}


def _describe(candidate: Candidate) -> dict[str, Any]:
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
        "levels": " ".join(dict.fromkeys(f"P{stride.bit_length() - 1}" for stride in strides)),
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
    """Keeps Optuna's notes on experimental arguments from the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
