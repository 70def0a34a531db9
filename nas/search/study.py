"""The study of a run: the one place where its trials are kept, on Optuna's journal file."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from nas.cost import Latency
from nas.executors import INTERRUPTED, Evaluation
from nas.search.gate import Candidate, Gate, Params
from nas.search.journal import LightJournal, heal
from nas.search.suggest import restored, stored, suggest
from search_space import SearchSpace, lower
from search_space.errors import SpaceError

JOURNAL = "study.journal"
STUDY_NAME = "nas"
OBJECTIVES = ("macs", "latency_ms")
"""What a search may minimise beside maximising the accuracy, as columns of a record."""
MAX_ATTEMPTS = 3
"""How often one point is tried when the run is killed on it: a trial that kills its process must not do so forever."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A trial that was asked for and is not yet told."""

    trial: optuna.Trial
    candidate: Candidate | None
    """The point asked for; None where the parameters are no architecture."""
    origin: str
    problem: str = ""
    """Why there is no candidate."""

    @property
    def number(self) -> int:
        """The number of the trial in its study."""
        return self.trial.number


class SearchStudy:
    """Asks for points, takes what became of them, and says what is known so far.

    Not more than one process may use a journal this way at a time; the lock of the run folder sees to it.
    """

    def __init__(self, path: Path, space: SearchSpace, *, objective: str = "macs") -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        path = path.resolve()  # the lock beside the journal is a link to this path and breaks if it is relative
        heal(path)
        self._space = space
        self._objective = objective
        self._axes = {axis.name: axis for axis in space.axes}
        with _quiet():
            self._study = optuna.create_study(
                storage=JournalStorage(LightJournal(str(path))),
                study_name=STUDY_NAME,
                directions=["maximize", "minimize"],
                load_if_exists=True,
            )
            if self._study.metric_names is None:
                self._study.set_metric_names(["accuracy", objective])

    def propose(self, params: Params, *, origin: str, attrs: Mapping[str, Any] | None = None) -> None:
        """Puts a point at the end of the queue of points to ask for."""
        values = {name: stored(self._axes[name], value) for name, value in params.items()}
        free = {name: value for name, value in values.items() if len(self._axes[name].choices) > 1}
        self._study.enqueue_trial(free, user_attrs={"origin": origin, **(attrs or {})})

    @property
    def num_waiting(self) -> int:
        """How many proposed points have not been asked for."""
        return len(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    @property
    def num_asked(self) -> int:
        """How many trials have been asked for, whatever became of them."""
        return len(self._trials())

    def ask(self, gate: Gate, *, seed: int, worker: int = 0) -> Asked:
        """Asks for the next point: the first of the queue, or what TPE suggests.

        The sampler is made anew for every trial from (seed, trials so far, worker), so that a run that was
        interrupted between two trials goes on as if it had not been.
        """
        sampler_seed = derive_seed(seed, self.num_asked, worker)
        with _quiet():
            self._study.sampler = optuna.samplers.TPESampler(
                multivariate=True, group=True, n_startup_trials=4, seed=sampler_seed
            )
            trial = self._study.ask()
            params = self._space.sample(lambda axis: suggest(trial, axis))
            asked = _assess(trial, params, gate)
        attrs: dict[str, Any] = {"sampler_seed": sampler_seed, "pid": os.getpid()}
        if asked.candidate is not None:
            attrs |= {**_describe(asked.candidate), "objective": self._objective}
        trial.set_user_attr("asked", attrs)
        return asked

    def reject(self, asked: Asked, reason: str) -> None:
        """Records a point that may not be trained."""
        self._tell(asked, {"outcome": "rejected", "reason": reason}, TrialState.PRUNED)

    def tell(self, asked: Asked, evaluation: Evaluation) -> None:
        """Records what became of a trained point. An accuracy that is no number makes it a failed one."""
        record: dict[str, Any] = {
            "outcome": evaluation.outcome,
            "reason": evaluation.reason,
            "epochs": evaluation.epochs,
            "images_seen": evaluation.images_seen,
            "seconds": evaluation.seconds,
        }
        if evaluation.outcome == "stopped":
            self._tell(asked, record, TrialState.PRUNED)
            return
        accuracy = evaluation.scores.get("accuracy", math.nan)
        if evaluation.outcome == "complete" and not math.isfinite(accuracy):
            record |= {"outcome": "failed", "reason": f"the accuracy is {accuracy}: training diverged"}
        if record["outcome"] == "failed":
            self._tell(asked, record, TrialState.FAIL)
            return
        scores = {name: value if math.isfinite(value) else None for name, value in evaluation.scores.items()}
        self._tell(asked, record | scores, TrialState.COMPLETE)

    def tell_cached(self, asked: Asked, source: Mapping[str, Any]) -> None:
        """Records a point that was evaluated before, with the values of then; it takes no time."""
        names = ("accuracy", "ap", "ap50", "ap_small", "ap_medium", "ap_large", "epochs", "images_seen")
        scores = {name: source[name] for name in names if name in source}
        record = {"outcome": "cached", "reason": f"same as trial {source['number']}", "seconds": 0.0}
        self._tell(asked, record | scores, TrialState.COMPLETE)

    def _tell(self, asked: Asked, record: dict[str, Any], state: TrialState) -> None:
        # The record goes first: a trial that is killed between the two is told from it when the run resumes.
        asked.trial.set_user_attr("record", record)
        values = None
        if state is TrialState.COMPLETE:
            assert asked.candidate is not None, "only a real architecture can be complete"
            values = [record["accuracy"], float(_describe(asked.candidate)[self._objective])]
        with _quiet():
            self._study.tell(asked.trial, values, state=state)

    def settle(self) -> tuple[int, ...]:
        """Ends the trials that a killed run left open and queues them again, each point `MAX_ATTEMPTS` times at most.

        Returns:
            The numbers of the trials that were queued again, those stopped by Ctrl-C among them.
        """
        trials = self._trials()
        for trial in trials:
            if trial.state is TrialState.RUNNING:
                self._close(trial)
        retried = {trial.user_attrs.get("retry_of") for trial in self._study.get_trials(deepcopy=False)}
        again = [trial for trial in self._trials() if _was_interrupted(trial) and trial.number not in retried]
        queued = [trial for trial in again if trial.user_attrs.get("attempt", 1) < MAX_ATTEMPTS]
        for trial in queued:
            attempt = trial.user_attrs.get("attempt", 1) + 1
            params = {name: restored(self._axes[name], value) for name, value in trial.params.items()}
            origin = trial.user_attrs.get("origin", "tpe")
            self.propose(params, origin=origin, attrs={"retry_of": trial.number, "attempt": attempt})
        return tuple(trial.number for trial in queued)

    def _close(self, trial: FrozenTrial) -> None:
        record = trial.user_attrs.get("record")
        if record is None:
            self._study.tell(trial.number, state=TrialState.FAIL)
        elif record["outcome"] in ("complete", "cached"):
            self._study.tell(trial.number, [record["accuracy"], float(trial.user_attrs["asked"][self._objective])])
        else:
            state = TrialState.FAIL if record["outcome"] == "failed" else TrialState.PRUNED
            self._study.tell(trial.number, state=state)

    def rows(self) -> list[dict[str, Any]]:
        """Returns one record a finished trial, as `results.records.frame` takes them."""
        return [self._row(trial) for trial in self._trials() if trial.state is not TrialState.RUNNING]

    def _row(self, trial: FrozenTrial) -> dict[str, Any]:
        record = trial.user_attrs.get("record") or {"outcome": "failed", "reason": INTERRUPTED}
        asked = {name: value for name, value in trial.user_attrs.get("asked", {}).items() if name != "pid"}
        return {
            "number": trial.number,
            "origin": trial.user_attrs.get("origin", "tpe"),
            "retry_of": trial.user_attrs.get("retry_of"),
            **asked,
            **record,
            **{f"axis_{name}": value for name, value in trial.params.items()},
        }

    def params_of(self, number: int) -> dict[str, Any]:
        """Returns the point of a trial in the words of the space."""
        found = next(trial for trial in self._trials() if trial.number == number)
        return dict(
            self._space.sample(
                lambda axis: restored(axis, found.params[axis.name]) if axis.name in found.params else axis.choices[0]
            )
        )

    def _trials(self) -> list[FrozenTrial]:
        return [t for t in self._study.get_trials(deepcopy=False) if t.state is not TrialState.WAITING]


def derive_seed(seed: int, num_trials: int, worker: int) -> int:
    """Returns a seed of 32 bits that differs for every (seed, trials so far, worker)."""
    return int(np.random.SeedSequence([seed, num_trials, worker]).generate_state(1)[0])


def _assess(trial: optuna.Trial, params: Params, gate: Gate) -> Asked:
    """Costs a point and sets its constraints before anything else: without them Optuna takes it for feasible."""
    origin = trial.user_attrs.get("origin", "tpe")
    try:
        candidate = gate.assess(params)
    except SpaceError as error:
        trial.set_constraint("space", 1.0)
        return Asked(trial=trial, candidate=None, origin=origin, problem=str(error))
    for name, margin in candidate.margins.items():
        trial.set_constraint(name, margin)
    return Asked(trial=trial, candidate=candidate, origin=origin)


def _describe(candidate: Candidate) -> dict[str, Any]:
    height, width = candidate.architecture.input_hw
    strides = lower(candidate.architecture, num_classes=1).strides
    return {
        "key": candidate.key,
        "macs": candidate.cost.macs,
        "params": candidate.cost.params,
        "weight_bytes": candidate.cost.weight_bytes,
        "activation_bytes": candidate.cost.activation_bytes,
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


def _was_interrupted(trial: FrozenTrial) -> bool:
    """Whether a finished trial ended with its run and had been asked for completely."""
    record = trial.user_attrs.get("record", {"reason": INTERRUPTED})
    return "asked" in trial.user_attrs and trial.state is not TrialState.RUNNING and record["reason"] == INTERRUPTED


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Optuna's notes on experimental arguments from the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
