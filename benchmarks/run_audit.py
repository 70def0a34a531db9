"""The books of a run: which trials were told, what became of them later, and whether anything was counted twice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from nas.config import read_config
from nas.engine.narrowing import narrowing_of
from nas.engine.objectives import objectives
from nas.engine.search_study import SearchStudy
from nas.engine.storage import journal_storage
from results import records
from results.trial import Outcome, Trial
from search_space import SearchSpace

Trials = dict[int, Trial]
LINE = re.compile(r"^trial +(\d+) (complete|stopped|rejected|cached|failed)\b", re.MULTILINE)
UNCHANGED = ("outcome", "key", "rung", "training_seed", "macs", "scores", "accuracy_draws", "epochs", "seconds")
"""What of a trial that was told must never change."""


def study_of(run: Path) -> SearchStudy:
    """Opens the study of a run to read it; nobody else may have it open."""
    config = read_config(run / "config.yaml")
    space = SearchSpace().narrowed(narrowing_of(config))
    storage = journal_storage(run / "study.journal")
    return SearchStudy(storage, space, objectives(config.objectives), num_rungs=len(config.rungs))


def told(run: Path) -> Trials:
    """Returns the trials that have ended, by number; those that a kill left open have not."""
    if not (run / "study.journal").is_file() or not (run / "config.yaml").is_file():
        return {}
    return {trial.number: trial for trial in study_of(run).trials()}


def printed(text: str) -> dict[int, str]:
    """Returns the outcomes by number that a run told its user: a witness beside the study."""
    return {int(number): outcome for number, outcome in LINE.findall(text)}


def num_lost(before: Trials, witnessed: Mapping[int, str], after: Trials) -> int:
    """Counts the trials that were told, and are gone or changed; one that was interrupted is tried again."""
    gone = {number for number, trial in before.items() if number not in after or _facts(trial) != _facts(after[number])}
    gone |= {number for number, outcome in witnessed.items() if number not in after or after[number].outcome != outcome}
    return len(gone)


def num_doubled(run: Path) -> int:
    """Counts what is in the books twice, or in one of them only, once a run has come to its end."""
    study = study_of(run)
    trials, table = study.trials(), records.load(run)
    counts = records.tally(records.frame(trials))
    trained = [
        (trial.key, trial.rung, trial.training_seed)
        for trial in trials
        if trial.is_evaluated and trial.outcome is not Outcome.CACHED
    ]
    again = [trial.retry_of for trial in trials if trial.retry_of is not None]
    apart = counts["asked"] != sum(counts[outcome] for outcome in records.OUTCOMES) or len(table) != len(trials)
    apart = apart or sorted(table["number"]) != sorted(trial.number for trial in trials)
    return len(trained) - len(set(trained)) + len(again) - len(set(again)) + len(study.running()) + apart


def _facts(trial: Trial) -> list[object]:
    return [getattr(trial, name) for name in UNCHANGED]
