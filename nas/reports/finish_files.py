"""What a run has written about its finished detectors and the plan of its time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from results.report import FinishedDetector, PhaseTime
from search_space.files import read_bytes

MAX_BYTES = 1_000_000
PHASES = {"search": "search", "finish": "training of the best", "evaluation": "evaluation and export"}
"""The titles of the phases in `plan.json`."""


def finished_detectors(run: Path) -> tuple[FinishedDetector, ...]:
    """Returns the detectors in `finished/` of a run, by rank; files that are damaged are left out."""
    found = (_finished(path, run) for path in sorted((run / "finished").glob("*/finish.json")))
    return tuple(each for each in found if each is not None)


def phase_times(run: Path) -> tuple[PhaseTime, ...]:
    """Returns the phases in `plan.json` of a run; empty where there is none that can be read."""
    content = _json(run / "plan.json")
    try:
        planned, actual = content["planned_seconds"], content["actual_seconds"]
        return tuple(
            PhaseTime(
                title=title,
                planned_seconds=_number(planned[name]),
                actual_seconds=None if actual.get(name) is None else _number(actual[name]),
            )
            for name, title in PHASES.items()
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return ()


def _finished(path: Path, run: Path) -> FinishedDetector | None:
    content, folder = _json(path), path.parent.relative_to(run)
    try:
        scores = {str(name): math.nan if each is None else _number(each) for name, each in content["scores"].items()}
        return FinishedDetector(
            name=path.parent.name,
            scores=scores,
            epochs=_number(content["epochs"]),
            images_seen=int(_number(content["images_seen"])),
            seconds=_number(content["seconds"]),
            macs=int(_number(content["macs"])),
            params=int(_number(content["params"])),
            weights=(folder / str(content["weights"])).as_posix(),
            export="" if content.get("export") is None else (folder / str(content["export"])).as_posix(),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _json(path: Path) -> Any:
    """Returns the content of a file; None where it cannot be read."""
    try:
        return json.loads(read_bytes(path, MAX_BYTES))
    except (OSError, OverflowError, RecursionError, ValueError):
        return None


def _number(value: Any) -> float:
    """Returns a finite number of a file; raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"no number: {value!r}")
    return float(value)
