"""The books of a run: which trials were told, what became of them later, and whether anything was counted twice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.config import read_config
from nas.engine.narrowing import narrowing_of
from nas.engine.objectives import objectives
from nas.engine.scheduler import is_evaluated
from nas.engine.search_study import SearchStudy
from nas.engine.storage import journal_storage
from results import records
from search_space import SearchSpace

Rows = dict[int, dict[str, Any]]
LINE = re.compile(r"^trial +(\d+) (complete|stopped|rejected|cached|failed)\b", re.MULTILINE)
UNCHANGED = ("outcome", "key", "rung", "training_seed", "macs", "accuracy", "accuracy_draws", "epochs", "seconds")
"""What of a trial that was told must never change."""


def study_of(run: Path) -> SearchStudy:
    """Opens the study of a run to read it; nobody else may have it open."""
    config = read_config(run / "config.yaml")
    space = SearchSpace().narrowed(narrowing_of(config))
    storage = journal_storage(run / "study.journal")
    return SearchStudy(storage, space, objectives(config.objectives), num_rungs=len(config.rungs))


def told(run: Path) -> Rows:
    """Returns the trials that have ended, by number; those that a kill left open have not."""
    if not (run / "study.journal").is_file() or not (run / "config.yaml").is_file():
        return {}
    return {row["number"]: row for row in study_of(run).rows()}


def printed(text: str) -> dict[int, str]:
    """Returns the outcomes by number that a run told its user: a witness beside the study."""
    return {int(number): outcome for number, outcome in LINE.findall(text)}


def num_lost(before: Rows, witnessed: Mapping[int, str], after: Rows) -> int:
    """Counts the trials that were told, and are gone or changed; one that was interrupted is asked for again."""
    gone = {number for number, row in before.items() if _facts(row) != _facts(after.get(number, {}))}
    gone |= {number for number, outcome in witnessed.items() if after.get(number, {}).get("outcome") != outcome}
    return len(gone)


def num_doubled(run: Path) -> int:
    """Counts what is in the books twice, or in one of them only, once a run has come to its end."""
    study = study_of(run)
    rows, table = study.rows(), records.load(run)
    counts = records.tally(records.frame(rows))
    trained = [
        (row["key"], row["rung"], row["training_seed"])
        for row in rows
        if is_evaluated(row) and row["outcome"] != "cached"
    ]
    again = [row["retry_of"] for row in rows if row["retry_of"] is not None]
    apart = counts["asked"] != sum(counts[outcome] for outcome in records.OUTCOMES) or len(table) != len(rows)
    apart = apart or sorted(table["number"]) != sorted(row["number"] for row in rows)
    return len(trained) - len(set(trained)) + len(again) - len(set(again)) + len(study.running()) + apart


def _facts(row: Mapping[str, Any]) -> list[Any]:
    return [row.get(name) for name in UNCHANGED]
