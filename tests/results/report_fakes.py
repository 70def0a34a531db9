"""Records and contents of reports, made by hand."""

from __future__ import annotations

from typing import Any

from results.report import Command, Content, DetectorDetails, NodeLine, ObjectSizes
from tests.results.trial_fakes import make_table


def row(number: int, key: str, accuracy: float | None, gmacs: float, **more: Any) -> dict[str, Any]:
    """A trial of a run with two rungs, complete unless said."""
    known = {
        "number": number,
        "outcome": "complete",
        "origin": "tpe",
        "rung": 2,
        "rungs": 2,
        "key": key,
        "macs": int(gmacs * 1e9),
        "objectives": "accuracy macs",
        "accuracy": accuracy,
        "epochs": 1.5,
        "seconds": 1.0,
    }
    return known | more


FRONT = [
    row(0, "aa", 0.20, 0.2, origin="design sodet-s", accuracy_low=0.15, accuracy_high=0.25),
    row(1, "bb", 0.10, 0.4),
    row(2, "cc", 0.05, 0.1, outcome="stopped", rung=1, reason="rung 1 of 2 done"),
    row(3, "dd", 0.60, 0.8, accuracy_low=0.5, accuracy_high=0.7),
    row(4, "ee", None, 2.0, outcome="rejected", reason="over budget"),
    row(5, "dd", 0.58, 0.8, repeat_of=3),
]
"""Two members, dd and aa; one beaten, one below, one over budget, one repeated."""


def content(rows: list[dict[str, Any]] = FRONT, **more: Any) -> Content:
    """What a report of these trials shows."""
    nodes = (NodeLine("stem", "layer:conv", "8,64,80", 10, 30), NodeLine("head", "head:box", "4,32,40", 5, 70, "stem"))
    keys = {str(each["key"]) for each in rows}
    known: dict[str, Any] = {
        "name": "run",
        "folder": "runs/run",
        "written": "today",
        "table": make_table(rows),
        "detectors": {
            key: DetectorDetails(words=f"words of {key}", choices={"width": "0.25"}, nodes=nodes) for key in keys
        },
        "importance": "Too few trials.",
        "boxes": sizes(*keys),
        "limits": {"macs": 1e9},
        "seeds": {3: (0.6, 0.58)},
        "rungs": ("rung 1 against rung 2: tau",),
        "commands": (Command(title="Go on", line="nas run --resume runs/run"),),
    }
    return Content(**known | more)


def sizes(*keys: str) -> ObjectSizes:
    """Three boxes of 2, 4 and 8 px, whatever the detector."""
    return ObjectSizes(
        source="data",
        num_boxes=3,
        edges_px=(1.0, 2.0, 4.0, 8.0, 16.0),
        counts=dict.fromkeys(keys, (0, 1, 1, 1)),
        median_px=dict.fromkeys(keys, 4.0),
        shares_by_cells=dict.fromkeys(keys, (1 / 3, 1 / 3, 1 / 3)),
    )
