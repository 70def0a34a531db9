"""Who inherited from whom: the donors of architectures, from the table of trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from results import records
from results.trial import Trial


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """An architecture in the tree of donors."""

    trials: tuple[Trial, ...]
    """Its trainings on the rungs, each of which continues the one before; the first may have started from a donor."""
    depth: int
    """Donors before it."""

    @property
    def begun(self) -> Trial:
        """Its first training."""
        return self.trials[0]

    @property
    def furthest(self) -> Trial:
        """Its training on the highest rung."""
        return self.trials[-1]

    @property
    def donor(self) -> int | None:
        """The trial that it started from; None if it started without weights of a donor."""
        return self.begun.donor if self.begun.inherited_macs else None


class Lineages:
    """The donors of the trials of a run.

    Args:
        table: Of all trials.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        known = "donor" in table.columns and bool(table["donor"].notna().any())
        self._by_number: Mapping[int, Trial] = (
            {trial.number: trial for trial in records.trials_of(table)} if known else {}
        )

    def __bool__(self) -> bool:
        """Whether any trial of the run has a donor."""
        return bool(self._by_number)

    @cached_property
    def num_inherited(self) -> int:
        """Trials that started from the weights of a donor."""
        return sum(bool(trial.inherited_macs) for trial in self._by_number.values())

    @cached_property
    def _of_key(self) -> Mapping[str, list[Trial]]:
        """The evaluated trials of each architecture."""
        found: dict[str, list[Trial]] = {trial.key: [] for trial in self._by_number.values()}
        for trial in self._by_number.values():
            if trial.is_evaluated:
                found[trial.key].append(trial)
        return found

    def rungs(self, trial: Trial) -> list[Trial]:
        """Returns the trainings that a trial continues, from the first one to itself."""
        found = [trial]
        while (below := self._by_number.get(_or(found[0].promoted_from))) is not None and below not in found:
            found.insert(0, below)
        return found

    def begun(self, trial: Trial) -> Trial:
        """Returns the first training of a trial that continues from lower rungs; itself if it does not."""
        return self.rungs(trial)[0]

    def chain(self, trial: Trial) -> list[Trial]:
        """Returns the first trainings of a trial's oldest donor, of the next one, .. and of itself."""
        found = [self.begun(trial)]
        keys = {trial.key}
        while found[0].inherited_macs and (known := self._by_number.get(_or(found[0].donor))) is not None:
            donor = self.begun(known)
            if donor.key in keys:  # in a table that was edited
                break
            keys.add(donor.key)
            found.insert(0, donor)
        return found

    def tree(self, members: Iterable[Trial]) -> list[Ancestor]:
        """Returns the members and all their donors, each architecture once, donors before those that inherit."""
        chains = [self.chain(member) for member in members]
        begun = {trial.key: trial for chain in reversed(chains) for trial in chain}
        parents = {
            chain[place].key: chain[place - 1].key if place else None for chain in chains for place in range(len(chain))
        }
        children: dict[str | None, list[str]] = {}
        for key, parent in parents.items():
            children.setdefault(parent, []).append(key)
        found: list[Ancestor] = []
        waiting = [(key, 0) for key in _youngest_first(begun, children.get(None, []))]
        while waiting:
            key, depth = waiting.pop()
            found.append(Ancestor(trials=self._all_rungs(begun[key]), depth=depth))
            waiting.extend((each, depth + 1) for each in _youngest_first(begun, children.get(key, [])))
        return found

    def _all_rungs(self, begun: Trial) -> tuple[Trial, ...]:
        """Returns the trainings from a first one to the highest rung that continues it."""
        found = [rungs for rungs in map(self.rungs, self._of_key[begun.key]) if rungs[0].number == begun.number]
        furthest = max(found, key=lambda rungs: (rungs[-1].rung, rungs[-1].number), default=[begun])
        return tuple(furthest)


def _youngest_first(begun: Mapping[str, Trial], keys: list[str]) -> list[str]:
    return sorted(keys, key=lambda key: -begun[key].number)


def _or(number: int | None, otherwise: int = -1) -> int:
    """Returns a number of a trial, or one that no trial has."""
    return otherwise if number is None else number
