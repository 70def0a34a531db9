"""What the script of a report is given: trials, detectors, curves and sizes, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from results import records
from results.report.content import Content, DetectorDetails, ObjectSizes
from results.report.progress import SearchProgress
from results.ties import tied_with_better
from results.trial import Origin

MAX_OTHERS = 2000
"""Trials off the front that are plotted, so that the file stays small."""
SCORES = ("accuracy", "ap", "ap50", "ap_small")
TITLES = {
    "accuracy": "accuracy",
    "ap": "AP",
    "ap50": "AP50",
    "ap_small": "AP small",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
}


@dataclass(frozen=True, kw_only=True)
class Members:
    """The trials of a run, parted by what they mean for the plot."""

    front: pd.DataFrame
    others: pd.DataFrame
    """Complete, and beaten by others."""
    lower: pd.DataFrame
    """Ended on a lower rung."""
    num_left_out: int
    """Trials that are not plotted because there are so many."""


def part(table: pd.DataFrame) -> Members:
    """Parts the trials of a run."""
    names = records.objectives_of(table)
    front, done = records.front(table), records.complete(table, names)
    first = next(name for name in names if records.is_accuracy(name))
    others = done[~done["number"].isin(front["number"])].sort_values(first, ascending=False)
    ended = table[(table["outcome"] == "stopped") & table[first].notna() & table["repeat_of"].isna()]
    lower = ended[~ended["key"].isin(done["key"])].sort_values(first, ascending=False)
    lower = lower.drop_duplicates("key")
    shown, shown_lower = others.head(MAX_OTHERS), lower.head(max(0, MAX_OTHERS - len(others)))
    left_out = len(others) + len(lower) - len(shown) - len(shown_lower)
    return Members(front=front, others=shown, lower=shown_lower, num_left_out=left_out)


def payload(content: Content, members: Members, course: SearchProgress) -> dict[str, Any]:
    """Returns what the script draws."""
    table = content.table
    xs, ys = x_axes(table, content.device), y_axes(table)
    columns = [each["id"] for each in (*xs, *ys)]
    columns += [each[end] for each in (*xs, *ys) for end in ("low", "high") if each[end]]
    trials = _trials(content, members, columns)
    blocks: dict[str, int] = {}
    keys = dict.fromkeys(str(each["key"]) for each in trials)
    return {
        "objectives": records.objectives_of(table),
        "xs": xs,
        "ys": ys,
        "trials": trials,
        "detectors": {key: _detector(content.detectors[key], blocks) for key in keys if key in content.detectors},
        "blocks": list(blocks),
        "curves": _curves(course, ys[0]["name"]),
        "boxes": _boxes(content.boxes, members.front) if isinstance(content.boxes, ObjectSizes) else None,
    }


def x_axes(table: pd.DataFrame, device: str) -> list[dict[str, Any]]:
    """Returns what accuracy is plotted against: MACs, predicted latency, and other costs that were searched for."""
    macs = "GFLOPs: upper numbers fvcore's (a multiply-add is one, = GMACs), lower ones Ultralytics' 2x"
    found = [_axis("macs", macs, name="GFLOPs", factor=1e-9, twice=True)]
    if table["latency_ms"].notna().any():
        title = f"predicted latency, ms{f', on {device}' if device else ''}; not measured"
        ends = ("latency_low_ms", "latency_high_ms")
        found.append(_axis("latency_ms", title, name="predicted latency", unit=" ms", ends=ends))
    names = records.objectives_of(table)
    if "params" in names:
        found.append(_axis("params", "million parameters", name="parameters", unit=" million", factor=1e-6))
    if "memory_bytes" in names:
        title = "peak activation memory of one image, MB (1e6 bytes), counted"
        found.append(_axis("memory_bytes", title, name="memory", unit=" MB", factor=1e-6))
    return found


def y_axes(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns the accuracies: first those that were searched for, then what else was measured."""
    wanted = [name for name in records.objectives_of(table) if records.is_accuracy(name)]
    measured = [name for name in SCORES if table[name].notna().any()]
    names = dict.fromkeys([*wanted, *measured])
    return [_accuracy(name) for name in names]


def accuracy_title(name: str) -> str:
    """Returns what an accuracy's column is called."""
    if name in TITLES:
        return TITLES[name]
    low, high = name.split("_")[1:3]
    return f"AP {low}-{high} px"


def _accuracy(name: str) -> dict[str, Any]:
    ends = ("accuracy_low", "accuracy_high") if name == "accuracy" else None
    return _axis(name, f"{accuracy_title(name)}, %", name=accuracy_title(name), unit=" %", factor=100.0, ends=ends)


def _axis(
    column: str,
    title: str,
    *,
    name: str,
    unit: str = "",
    factor: float = 1.0,
    twice: bool = False,
    ends: tuple[str, str] | None = None,
) -> dict[str, Any]:
    low, high = ends or (None, None)
    return {
        "id": column,
        "title": title,
        "name": name,
        "unit": unit,
        "factor": factor,
        "twice": twice,
        "low": low,
        "high": high,
    }


def _trials(content: Content, members: Members, columns: Sequence[str]) -> list[dict[str, Any]]:
    ranks = {str(key): rank for rank, key in enumerate(members.front["key"], start=1)}
    ties = dict(zip(ranks, tied_with_better(members.front), strict=True))
    groups = (("front", members.front), ("other", members.others), ("lower", members.lower))
    return [
        {
            "n": int(row["number"]),
            "key": str(row["key"]),
            "kind": kind,
            "rung": int(row["rung"]),
            "rank": ranks[row["key"]] if kind == "front" else 0,
            "tied": [ranks[key] for key in ties[row["key"]].split()] if kind == "front" else [],
            "design": Origin.parse(str(row["origin"])).is_design,
            "origin": str(row["origin"]),
            "v": {column: _number(row[column]) for column in columns},
            "remarks": _remarks(content, row, [ranks[key] for key in ties.get(row["key"], "").split()]),
        }
        for kind, table in groups
        for row in table.to_dict("records")
    ]


def _remarks(content: Content, row: Mapping[Any, Any], tied: Sequence[int]) -> list[str]:
    """Says what figures do not: whence a trial, how often trained, what it cannot be told from."""
    lines = [f"parameters: {int(row['params']):,}"]
    lines.append(f"input: {int(row['input_width'])}x{int(row['input_height'])} px, head on {row['levels']}")
    if not pd.isna(row["epochs"]):
        lines.append(f"trained for {row['epochs']:.3g} epochs (rung {row['rung']} of {row['rungs']})")
    if isinstance(row["imported_from"], str):
        lines.append(f"taken over: {row['imported_from']}")
    if tied:
        better = " and ".join(map(str, tied))
        lines.append(f"the validation images cannot tell it from front {better} (90 % of the paired draws)")
    seeds = content.seeds.get(int(row["number"]), ())
    if len(seeds) > 1:
        lines.append(f"over {len(seeds)} seeds: {', '.join(f'{100 * each:.2f}' for each in seeds)} %")
    return lines


def _detector(detector: DetectorDetails, blocks: dict[str, int]) -> dict[str, Any]:
    """Returns a detector with its blocks as numbers in the list of all blocks."""
    rows = [
        [each.name, blocks.setdefault(each.block, len(blocks)), each.shape, each.params, each.macs, each.shares]
        for each in detector.nodes
    ]
    return {"w": detector.words, "c": list(map(list, detector.choices.items())) if rows else [], "t": rows}


def _curves(course: SearchProgress, accuracy: str) -> list[dict[str, Any]]:
    if not course.best:
        return []
    both = (
        ("hypervolume", course.hypervolume, "Hypervolume of the front, %, against trials asked"),
        ("best", course.best, f"Best {accuracy} so far, %, against trials asked"),
    )
    return [
        {"id": name, "points": list(map(list, points)), "end": course.num_asked, "factor": 100, "label": label}
        for name, points, label in both
    ]


def _boxes(boxes: ObjectSizes, front: pd.DataFrame) -> dict[str, Any]:
    rows = [row for row in front.to_dict("records") if row["key"] in boxes.counts]
    return {
        "edges": list(boxes.edges_px),
        "counts": {row["key"]: list(boxes.counts[row["key"]]) for row in rows},
        "levels": {row["key"]: list(map(list, strides(row))) for row in rows},
        "said": {row["key"]: said_of_boxes(boxes, row) for row in rows},
    }


def strides(row: Mapping[Any, Any]) -> list[tuple[str, int]]:
    """Returns the levels of a trial's head with their strides in pixels, the finest first."""
    return [(name, 2 ** int(name.removeprefix("P"))) for name in str(row["levels"]).split()]


def said_of_boxes(boxes: ObjectSizes, row: Mapping[Any, Any]) -> str:
    """Says what the finest level of a trial's head can see of the objects."""
    under, single, more = boxes.shares_by_cells[row["key"]]
    name, stride = strides(row)[0]
    return (
        f"At {row['input_width']}x{row['input_height']} px the median side is {boxes.median_px[row['key']]:.1f} px. "
        f"Of the boxes {100 * under:.1f} % are smaller than one cell of {name} ({stride} px), the finest level, "
        f"{100 * single:.1f} % are one to two cells wide, {100 * more:.1f} % two or more."
    )


def _number(value: Any) -> float | int | None:
    """Returns a value as JSON takes it, with as many digits as anyone can use."""
    if value is None or pd.isna(value):
        return None
    return int(value) if isinstance(value, int) or float(value).is_integer() else float(f"{float(value):.7g}")


def options(axes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns what a choice between axes offers."""
    return [str(each["name"]) for each in axes]
