"""Trials made by hand, from the columns that a test is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from results import records
from results.trial import CAUSES, Outcome, Trial

KNOWN: Mapping[str, Any] = {
    "outcome": "complete",
    "origin": "random",
    "rung": 1,
    "rungs": 1,
    "key": "key",
    "macs": 100,
    "params": 1000,
    "weight_bytes": 4000,
    "activation_bytes": 10,
    "memory_bytes": 20,
    "input_height": 128,
    "input_width": 160,
    "levels": "P2 P3",
}
"""A complete trial on the only rung."""
DEFAULT_CAUSES = {"stopped": "rung_done", "rejected": "over_budget", "cached": "same_as", "failed": "exception"}


def make_trial(row: Mapping[str, Any]) -> Trial:
    """Returns the trial of a row; columns that every trial has, and the cause, may be missing."""
    known = {**KNOWN, **row}
    return records.trial_of({"cause": DEFAULT_CAUSES.get(str(known["outcome"])), **known})


def make_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Returns the table of rows as for `make_trial`."""
    return records.frame([make_trial(row) for row in rows])


ENDED = [(outcome, cause) for outcome, causes in CAUSES.items() for cause in causes if outcome is not Outcome.RUNNING]
"""All outcomes and causes that go together in a table."""
