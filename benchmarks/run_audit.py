"""Audit a run: were reported trials lost, changed or counted twice, and are the donors of trials right?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.config import read_config
from nas.engine.inheritance import images_before, images_in_all
from nas.engine.narrowing import narrowing_of
from nas.engine.objectives import objectives
from nas.engine.search_study import SearchStudy
from nas.engine.storage import journal_storage
from results import records
from results.trial import Outcome, Trial
from search_space import SearchSpace

Trials = Mapping[int, Trial]
"""Trials by number."""
LINE = re.compile(r"^trial +(\d+) (complete|stopped|rejected|cached|failed)\b", re.MULTILINE)
UNCHANGED = ("outcome", "key", "rung", "training_seed", "macs", "scores", "accuracy_draws", "epochs", "seconds")
"""Attributes of a reported trial that must never change."""


def study_of(run: Path) -> SearchStudy:
    """Opens the study of a run to read it; no other process may have it open."""
    config = read_config(run / "config.yaml")
    space = SearchSpace().narrowed(narrowing_of(config))
    storage = journal_storage(run / "study.journal")
    return SearchStudy(storage, space, objectives(config.objective), num_rungs=len(config.rungs))


def ended_trials(run: Path) -> Trials:
    """Returns the trials of a run that have ended, by number; trials that a kill left open have not."""
    if not (run / "study.journal").is_file() or not (run / "config.yaml").is_file():
        return {}
    return {trial.number: trial for trial in study_of(run).trials()}


def printed_outcomes(text: str) -> dict[int, str]:
    """Returns the outcomes by number that a run printed, as evidence independent of the study."""
    return {int(number): outcome for number, outcome in LINE.findall(text)}


def num_lost(before: Trials, printed: Mapping[int, str], after: Trials) -> int:
    """Returns how many reported trials are missing or changed; interrupted trials are retried under new numbers."""
    lost = {number for number, trial in before.items() if _facts(trial) != _facts(after.get(number))}
    lost |= {number for number, outcome in printed.items() if number not in after or after[number].outcome != outcome}
    return len(lost)


def num_doubled(run: Path) -> int:
    """Returns how many trials of a finished run were counted twice, or are not in both study and table."""
    study = study_of(run)
    trials, table = study.trials(), records.load(run)
    differ = len(table) != len(trials) or sorted(table["number"]) != sorted(trial.number for trial in trials)
    return num_twice(trials, study.running()) + differ


def num_twice(trials: Sequence[Trial], running: Sequence[Trial]) -> int:
    """Returns how many trials of a finished study were trained or repeated twice, are under way, or do not add up."""
    counts = records.tally(records.frame(trials))
    trained = [
        (trial.key, trial.rung, trial.training_seed, trial.audit_of is None)
        for trial in trials
        if trial.is_evaluated and trial.outcome is not Outcome.CACHED
    ]
    retried = [trial.retry_of for trial in trials if trial.retry_of is not None]
    differ = counts["asked"] != sum(counts[outcome] for outcome in records.OUTCOMES)
    return len(trained) - len(set(trained)) + len(retried) - len(set(retried)) + len(running) + differ


def num_false_donors(trials: Trials) -> int:
    """Returns how many trials have a donor that was not trained before them, or images that do not add up."""
    return sum(not _has_true_donor(trial, trials) for trial in trials.values())


def _has_true_donor(trial: Trial, trials: Trials) -> bool:
    donor = None if trial.donor is None else trials.get(trial.donor)
    if trial.donor is not None and (donor is None or not donor.is_evaluated or donor.number >= trial.number):
        return False
    if trial.images_in_all is None:
        return trial.inherited_macs is None or not trial.images_seen
    before = {0}
    if donor is not None and trial.inherited_macs:
        same = (each for each in trials.values() if each.key == donor.key and each.is_evaluated)
        before = {images_in_all(each) for each in same}
    elif trial.promoted_from is not None:
        before |= {images_before(trials.get(trial.promoted_from))}
    return trial.images_in_all - (trial.images_seen or 0) in before


def _facts(trial: Trial | None) -> list[Any]:
    return [] if trial is None else [getattr(trial, name) for name in UNCHANGED]
