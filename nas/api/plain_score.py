"""Scores as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainers import Score


def plain_score(score: Score | None) -> dict[str, Any] | None:
    """Returns a score as JSON-ready fields, with None where there is no value."""
    if score is None:
        return None
    fields: dict[str, Any] = finite({**score.to_dict(), "accuracy": score.accuracy})
    return fields


def finite(value: Any) -> Any:
    """Returns plain data with None in place of numbers that JSON does not know."""
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
