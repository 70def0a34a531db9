"""A temporary study in memory, rebuilt from the history for each decision, in which Optuna's samplers suggest."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from nas.engine.distributions import distribution, stored, suggest
from nas.engine.history import History, Observation
from nas.engine.utility import utilities
from search_space import SearchSpace
from search_space.axis import Axis

LIMIT = "budget"


class SamplerStudy:
    """A study in memory with the trials of a history; utilities are maximised.

    Pending trials are running ones, points over budget are pruned ones that violate the constraint.

    Args:
        history: The trials so far.
        space: Of the points.
        make_sampler: Returns the sampler.
        attribute: The system attribute in which the sampler keeps the generation of a trial; empty: none.
        per_group: Evaluated trials in each generation.
    """

    def __init__(
        self,
        history: History,
        space: SearchSpace,
        make_sampler: Callable[[], BaseSampler],
        *,
        attribute: str = "",
        per_group: int = 0,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = space
        self._axes = {axis.name: axis for axis in space.axes}
        self._distributions = {axis.name: distribution(axis) for axis in space.axes if len(axis.choices) > 1}
        with _quiet():
            self._study = optuna.create_study(sampler=make_sampler(), directions=["maximize"] * len(history.objectives))
            groups = {
                known.number: {attribute: i // per_group} for i, known in enumerate(history.evaluated) if attribute
            }
            for known in history.trials:
                trial = self._frozen(history, known, groups.get(known.number, {}))
                if trial is not None:
                    self._study.add_trial(trial)

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials as Optuna has them, the suggested ones included."""
        return self._study.trials

    def ask(self) -> tuple[dict[str, Any], optuna.Trial]:
        """Returns the next suggestion of the sampler, and its trial."""
        with _quiet():
            trial = self._study.ask()
            return dict(self._space.sample(lambda axis: suggest(trial, axis))), trial

    def refuse(self, trial: optuna.Trial) -> None:
        """Tells the sampler that a suggestion is over budget."""
        with _quiet():
            trial.set_constraint(LIMIT, 1.0)
            self._study.tell(trial, state=TrialState.PRUNED)

    def _frozen(self, history: History, known: Observation, attributes: Mapping[str, Any]) -> FrozenTrial | None:
        """Returns a trial in the form of Optuna; None for one that a sampler cannot use."""
        params = {name: value for name, value in known.params.items() if name in self._distributions}
        if any(not _is_choice(self._axes[name], value) for name, value in params.items()):
            return None
        state, constraints = {
            "evaluated": (TrialState.COMPLETE, {LIMIT: 0.0}),
            "pending": (TrialState.RUNNING, {LIMIT: 0.0}),
            "rejected": (TrialState.PRUNED, {LIMIT: 1.0}),
        }.get(known.state, (None, {}))
        if state is None or (state is TrialState.COMPLETE and None in known.values):
            return None
        return optuna.trial.create_trial(
            state=state,
            values=list(utilities(history.objectives, known.values)) if state is TrialState.COMPLETE else None,
            params={name: stored(self._axes[name], value) for name, value in params.items()},
            distributions={name: self._distributions[name] for name in params},
            system_attrs=dict(attributes),
            constraints=constraints,
        )


def _is_choice(axis: Axis, value: Any) -> bool:
    return value in axis.choices


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides Optuna's warnings on experimental arguments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
