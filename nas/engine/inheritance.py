"""Inheritance: which trained trial of a run, its donor, gives a new trial the weights that it starts from."""

from __future__ import annotations

from collections.abc import Sequence

from nas.engine.domain import Candidate, CostedDomain
from nas.engine.trial_point import point_of
from nas.transfer import shapes_of, usable_macs
from results.trial import Outcome, Trial
from search_space import Architecture
from trainers.weight_transfer import WeightShapes
from trainers.weights import Weights

LEAST_SHARE = 0.2
"""The least share of a trial's multiply-adds that a donor must have usable weights for; others start without one.

A donor of half the width has about 0.26, one with another kind of backbone 0 to 0.1. With 0.2, a detector gained 4 AP50
in 1.5 epochs (docs/training.md, `sodet-s`).
"""
MAX_RECENT, MAX_BEST = 25, 25
"""The latest trained architectures, and the best of those before them, whose weights are kept for new trials."""


class InheritanceRule:
    """Decides from architectures and trials alone, so that a resumed run decides as one that was not interrupted.

    A neighbour starts from its parent, any other trial from the one with usable weights for most of its multiply-adds.

    A parent that shares too little, or is no donor, is treated as any other trial. Of trials that share the same, the
    one is taken that loses least by it (a wider network gives slices only), and of these the lowest number.

    Args:
        domain: The space, and the number of classes.
        worker: Only trials of this worker are donors, where several workers with folders of their own share a study;
            None: all are.
        pretrained: The pretrained weights of the run.
    """

    def __init__(self, domain: CostedDomain, *, worker: str | None = None, pretrained: Weights | None = None) -> None:
        self._domain, self._worker = domain, worker
        self._shapes: dict[str, WeightShapes] = {}
        """By key; of candidates too, because many of them become donors."""
        self._pretrained = None if pretrained is None else _shapes_of_weights(pretrained)

    def donor_of(self, candidate: Candidate, trials: Sequence[Trial], parent: str | None = None) -> Trial | None:
        """Returns the trial whose weights a new trial starts from; None: none.

        Args:
            candidate: What is to be trained.
            trials: Those that have ended.
            parent: Key of the architecture that the candidate was derived from.
        """
        found = [trial for trial in donors(trials, self._worker) if trial.key != candidate.key]
        parents = [trial for trial in found if trial.key == parent]
        return self._most_shared(candidate, parents) or self._most_shared(candidate, found)

    def takes_pretrained(self, candidate: Candidate) -> bool:
        """Whether a trial without a donor starts from the pretrained weights of the run: where they share enough.

        The training reports weights that cannot be read.
        """
        return self._pretrained is None or usable_macs(self._of(candidate), self._pretrained) >= LEAST_SHARE

    def latest(self, number: int, trials: Sequence[Trial]) -> Trial | None:
        """Returns the trial whose weights the architecture of a donor has by now: the one on its highest rung."""
        chosen = next((trial for trial in trials if trial.number == number), None)
        if chosen is None:
            return None
        found = [trial for trial in _trained(trials, self._worker) if trial.key == chosen.key]
        return max(found, key=lambda each: (each.rung, each.number), default=chosen)

    def kept(self, trials: Sequence[Trial]) -> frozenset[str]:
        """Returns the keys of the architectures whose weights must be kept."""
        return frozenset(trial.key for trial in donors(trials, self._worker))

    def _most_shared(self, candidate: Candidate, found: Sequence[Trial]) -> Trial | None:
        own = self._of(candidate)
        shares = {trial.number: usable_macs(own, self._of_trial(trial)) for trial in found}
        most = max(shares.values(), default=0.0)
        if most < LEAST_SHARE:
            return None
        best = [trial for trial in found if shares[trial.number] == most]
        return max(best, key=lambda trial: (usable_macs(self._of_trial(trial), own), -trial.number))

    def _of_trial(self, trial: Trial) -> WeightShapes:
        if trial.key not in self._shapes:
            space = self._domain.space
            self._shapes[trial.key] = self._shapes_of(space.decode(point_of(space, trial)))
        return self._shapes[trial.key]

    def _of(self, candidate: Candidate) -> WeightShapes:
        if candidate.key not in self._shapes:
            self._shapes[candidate.key] = self._shapes_of(candidate.architecture)
        return self._shapes[candidate.key]

    def _shapes_of(self, architecture: Architecture) -> WeightShapes:
        return shapes_of(architecture, num_classes=self._domain.num_classes)


def _shapes_of_weights(weights: Weights) -> WeightShapes:
    """Returns the shapes of a file; its classes share nothing with those of the run unless there are equally many."""
    return shapes_of(Architecture.from_dict(weights.architecture), num_classes=len(weights.classes))


def donors(trials: Sequence[Trial], worker: str | None = None) -> list[Trial]:
    """Returns the trials that new ones may start from: of each trained architecture the trial on its highest rung.

    The latest `MAX_RECENT` are taken, and of the others the `MAX_BEST` with the highest rungs and scores.

    Args:
        trials: Those that have ended.
        worker: Only trials of this worker; None: of all.
    """
    highest: dict[str, Trial] = {}
    for trial in sorted(_trained(trials, worker), key=lambda each: (each.rung, each.number)):
        highest[trial.key] = trial
    found = sorted(highest.values(), key=lambda each: each.number)
    others, recent = found[:-MAX_RECENT], found[-MAX_RECENT:]
    others.sort(key=lambda each: (-each.rung, -(each.rung_score or 0.0), each.number))
    return [*others[:MAX_BEST], *recent]


def _trained(trials: Sequence[Trial], worker: str | None) -> list[Trial]:
    """Returns the trials of a worker that have trained weights; a cached trial was not trained in this run."""
    known = (each for each in trials if each.is_evaluated and each.outcome is not Outcome.CACHED and each.rung)
    return [each for each in known if not each.is_repetition and (worker is None or each.worker == worker)]


def images_in_all(trial: Trial | None) -> int:
    """Returns the images that the weights of a trial have seen, those of its donors included."""
    return 0 if trial is None else trial.images_in_all or trial.images_seen or 0


def images_before(trial: Trial | None) -> int:
    """Returns the images that the weights of a trial had seen in its donors."""
    return 0 if trial is None else images_in_all(trial) - (trial.images_seen or 0)
