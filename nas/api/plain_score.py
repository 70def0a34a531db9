"""Scores as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nas.api.result import plain

if TYPE_CHECKING:
    from trainers import Score


def plain_score(score: Score | None) -> dict[str, Any] | None:
    """Returns a score as JSON-ready fields, with None where there is no value."""
    if score is None:
        return None
    fields: dict[str, Any] = plain({**score.to_dict(), "accuracy": score.accuracy})
    return fields
