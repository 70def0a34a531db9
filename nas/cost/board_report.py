"""The measured.json that `board/measure.py` of an export writes: latencies of networks, and times around them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.cost import host
from nas.cost.user_measurements import MAX_BYTES, MOST, MeasuredRow, architecture_of
from search_space import lower
from search_space.errors import DataError, SpaceError, shown
from search_space.files import read_bytes

NETWORK = "model.onnx"
"""The engine of the network; a two-stage head has a second one, and is no measurement of a single network."""


@dataclass(frozen=True, kw_only=True)
class BoardReport:
    """What a measured.json says of its detectors, those left out that failed."""

    rows: tuple[MeasuredRow, ...]
    """Stable latencies of detectors with one engine; `line` is the number of the detector, from 1."""
    host: tuple[host.MeasuredPart, ...]
    """Times around the network."""


def is_board_report(path: Path) -> bool:
    """Returns whether a file is a measured.json by its name."""
    return path.suffix == ".json"


def read_board_report(path: Path) -> BoardReport:
    """Reads a measured.json; the architectures lie in the folders beside its own.

    Raises:
        DataError: The file is none, or has no usable latency.
    """
    detectors = [(number, each) for number, each in enumerate(_detectors(path), start=1) if _in(each, "error") is None]
    rows: list[MeasuredRow] = []
    parts: list[host.MeasuredPart] = []
    for number, each in detectors:
        row = _row(path, number, each)
        if list(_mapping(each, "engines")) == [NETWORK] and not _in(each, "unstable"):
            rows.append(row)
        parts += _host_parts(path, row, each)
    if not rows:
        raise DataError(
            f"{path} has no stable latency of a detector with one engine; measure again with clocks fixed by "
            "jetson_clocks, and a detector without a second stage"
        )
    return BoardReport(rows=tuple(rows), host=tuple(parts))


def _detectors(path: Path) -> list[Any]:
    try:
        report = json.loads(read_bytes(path, MAX_BYTES))
    except FileNotFoundError:
        raise DataError(f"no measurements {path}; give the measured.json of board/measure.py, or a CSV") from None
    except (OSError, OverflowError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {' '.join(str(error).split())}; give the one of measure.py") from None
    detectors = _in(report, "detectors")
    if not isinstance(detectors, list):
        raise DataError(f"{path} has no list of detectors; give the measured.json that board/measure.py wrote")
    return detectors


def _row(path: Path, number: int, detector: Any) -> MeasuredRow:
    where, name = f"{path}, detector {number}", _in(detector, "name")
    if not isinstance(name, str) or name.startswith(".") or not name or name != Path(name).name:
        raise DataError(f"{where}: name is {shown(name)}; it must be the name of a folder of the export")
    latency = _mapping(_mapping(_mapping(detector, "engines"), NETWORK), "latency")
    return MeasuredRow(
        line=number,
        model=f"../{name}/architecture.yaml",
        latency_ms=_number(where, "latency median_ms", latency.get("median_ms"), math.inf),
        input_hw=_sides(where, "input_hw", _in(detector, "input_hw")),
        num_classes=_whole(where, "num_classes", _in(detector, "num_classes")),
    )


def _host_parts(path: Path, row: MeasuredRow, detector: Any) -> Iterator[host.MeasuredPart]:
    """Yields the times around a network; those that were not measured are left out."""
    where, times = f"{path}, detector {row.line}", _mapping(detector, "host")
    found = {name: _mapping(times, name).get("median_ms") for name in ("prepare", "read_outputs")}
    if found["prepare"] is None and found["read_outputs"] is None:
        return
    architecture, num_classes, _ = architecture_of(path, row, {})
    try:
        graph = lower(architecture, num_classes=num_classes)
    except SpaceError as error:
        raise DataError(f"{where}: {row.model} is invalid: {error}") from None
    picture_hw = _sides(where, "host picture_hw", times.get("picture_hw"))
    quantities = {"prepare": host.pixels(picture_hw, graph.input_hw), "read_outputs": host.boxes(graph)}
    for name, value in found.items():
        if value is not None:
            ms = _number(where, f"host {name} median_ms", value, math.inf)
            yield host.MeasuredPart(detector=row.model, part=name, quantities=quantities[name], ms=ms)


def _in(data: Any, name: str) -> Any:
    return data.get(name) if isinstance(data, Mapping) else None


def _mapping(data: Any, name: str) -> Mapping[str, Any]:
    value = _in(data, name)
    return value if isinstance(value, Mapping) else {}


def _number(where: str, name: str, value: Any, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most or value == math.inf:
        raise DataError(f"{where}: {name} is {shown(value)}; it must be a positive number; measure again")
    return float(value)


def _sides(where: str, name: str, value: Any) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise DataError(f"{where}: {name} is {shown(value)}; it must be a height and a width in pixels; measure again")
    return _whole(where, name, value[0]), _whole(where, name, value[1])


def _whole(where: str, name: str, value: Any) -> int:
    number = _number(where, name, value, MOST)
    if not number.is_integer():
        raise DataError(f"{where}: {name} is {shown(value)}; it must be a whole number; measure again")
    return int(number)
