"""Results of the API as plain data and in a notebook, and the types of its callbacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

OnNotice = Callable[[str], None]
"""Is called with a line that the user should read, such as `note: counted for 80 classes`."""


@dataclass(frozen=True, kw_only=True)
class ProgressUpdate:
    """How far a long task is."""

    task: str
    """What is being done, such as `reading images`."""
    done: int
    total: int
    """May be an estimate, as the number of frames in the header of a video is."""


OnProgress = Callable[[ProgressUpdate], None]


class Result:
    """What a function of the API returns; its subclasses are frozen dataclasses."""

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready data with integers unrounded; a number that is not finite is None.

        Fields that are left out of `repr` are left out here too.
        """
        assert is_dataclass(self)
        return {each.name: plain(getattr(self, each.name)) for each in fields(self) if each.repr}

    def _repr_html_(self) -> str | None:
        """Returns what a notebook shows: the table of the result, where it has one."""
        frame = getattr(self, "frame", None)
        return None if frame is None else str(frame.to_html(max_rows=60))


def table_of(rows: Iterable[object], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Returns dataclasses or mappings as a table, a row each; `columns` are there without rows too."""
    import pandas as pd

    plain_rows = [dict(row) if isinstance(row, Mapping) else vars(row) for row in rows]
    frame: pd.DataFrame = pd.DataFrame(plain_rows, columns=None if columns is None else list(columns))
    return frame


def plain(value: Any) -> Any:
    """Returns a value as JSON-ready data: dataclasses become dicts, tuples lists, paths texts, nan and inf None."""
    if isinstance(value, Result):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, PurePath):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def notify(on_notice: OnNotice | None, notice: str | None) -> None:
    """Calls `on_notice` with a notice, if there are both."""
    if on_notice is not None and notice is not None:
        on_notice(notice)
