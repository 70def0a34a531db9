"""A member of the front that was trained on after the search, as its folder has it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from search_space.files import read_bytes, write_text

FINISHED, FINISH_JSON = "finished", "finish.json"
MAX_BYTES = 1_000_000
PARTS = ("held-out", "all")
_NUMBERS = ("num_images", "images_seen", "macs", "params", "epochs", "seconds", "evaluation_seconds")
_COUNTS = _NUMBERS[:4]
_PATHS = ("weights", "export", "onnx")


@dataclass(frozen=True, kw_only=True)
class FinishedMember:
    """A detector of the front with a full training, its scores and its export."""

    name: str
    """Rank in the front and key."""
    key: str
    """Of the architecture."""
    folder: Path
    """Of the training, as of `nas train`."""
    weights: Path
    """The averaged weights at the end of the training."""
    export: Path | None
    """The folder with architecture, weights and ONNX; None where it could not be exported."""
    onnx: Path | None
    """None where the extra for ONNX is not installed."""
    scored_on: str
    """The validation images of the scores: `held-out`, which decided nothing in the search, or `all`."""
    num_images: int
    """That it was scored on."""
    scores: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Shares of 1 by name, such as `ap50` with its interval from `ap50_low` to `ap50_high`."""
    epochs: float
    images_seen: int
    """In this training; what it was trained for in the search is not counted."""
    seconds: float
    """Of the training, the measurement of its speed included, without interruptions."""
    evaluation_seconds: float
    """Of evaluation and export."""
    macs: int
    params: int

    def write(self) -> None:
        """Writes `finish.json`; raises WriteError."""
        content = {name: value for name, value in self.to_dict().items() if name != "folder"}
        content |= {name: _relative(getattr(self, name), self.folder) for name in _PATHS}
        write_text(self.folder / FINISH_JSON, json.dumps(content, indent=2) + "\n")

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data for JSON; a score that could not be measured is None."""
        scores = {name: value if math.isfinite(value) else None for name, value in self.scores.items()}
        texts = {name: str(value) for name, value in vars(self).items() if isinstance(value, Path)}
        return {**vars(self), **texts, "scores": scores}


def read_finished(run: Path) -> tuple[FinishedMember, ...]:
    """Returns the members of a run that were trained to their end, by rank; files that are damaged are left out."""
    paths = sorted((run / FINISHED).glob(f"*/{FINISH_JSON}"))
    return tuple(member for member in map(_read, paths) if member is not None)


def _read(path: Path) -> FinishedMember | None:
    folder = path.parent
    try:
        content = json.loads(read_bytes(path, MAX_BYTES))
        numbers = {name: _number(content[name]) for name in _NUMBERS}
        scores = {str(name): math.nan if each is None else _number(each) for name, each in content["scores"].items()}
        paths = {name: _absolute(content[name], folder) for name in _PATHS}
        texts = {name: content[name] for name in ("name", "key", "scored_on")}
        wrong = any(not isinstance(each, str) for each in texts.values()) or texts["scored_on"] not in PARTS
        if wrong or paths["weights"] is None or folder.name != texts["name"]:
            return None
        counts = {name: int(numbers.pop(name)) for name in _COUNTS}
        return FinishedMember(folder=folder, scores=scores, **texts, **numbers, **counts, **paths)  # type: ignore[arg-type]
    except (OSError, OverflowError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"no number: {value!r}")
    return value


def _relative(path: Path | None, folder: Path) -> str | None:
    return None if path is None else path.relative_to(folder).as_posix()


def _absolute(path: Any, folder: Path) -> Path | None:
    """Returns a path in a folder; raises ValueError for one that leaves it."""
    if path is None:
        return None
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or path.startswith("/"):
        raise ValueError(f"not in the folder: {path!r}")
    return folder.joinpath(*parts)
