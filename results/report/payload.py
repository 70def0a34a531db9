"""The data of the script of a report: trials, detectors, curves and sizes, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from results import records
from results.report.content import Content, DetectorDetails, ObjectSizes
from results.report.lineage import Lineages
from results.report.progress import SearchProgress
from results.ties import tied_with_better
from results.trial import Trial

MAX_OTHERS = 2000
"""The most trials off the front that are plotted, to keep the file small."""
SCORES = ("accuracy", "ap", "ap50", "ap_small")
HELD_OUT = "held_out_"
"""Before the name of a score on the validation images that the search does not choose by."""
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
    """The trials of a run in the groups of the plot."""

    front: pd.DataFrame
    others: pd.DataFrame
    """Trained as far as the front, and not on it."""
    lower: pd.DataFrame
    """Ended on a lower rung."""
    num_left_out: int
    """Trials that are not plotted."""


def part(table: pd.DataFrame) -> Members:
    """Groups the trials of a run for the plot."""
    names = records.objectives_of(table)
    front, done = records.front(table), records.candidates(table, names)
    first = _first_accuracy(table)
    others = done[~done["number"].isin(front["number"])].sort_values(first, ascending=False)
    ended = table[(table["outcome"] == "stopped") & table[first].notna() & ~records.is_repetition(table)]
    lower = ended[~ended["key"].isin(done["key"])].sort_values(first, ascending=False)
    lower = lower.drop_duplicates("key")
    shown, shown_lower = others.head(MAX_OTHERS), lower.head(max(0, MAX_OTHERS - len(others)))
    left_out = len(others) + len(lower) - len(shown) - len(shown_lower)
    return Members(front=front, others=shown, lower=shown_lower, num_left_out=left_out)


def without_front(members: Members) -> Members:
    """Returns groups in which nothing is plotted, for a run in which nothing was found."""
    return Members(
        front=members.front.head(0), others=members.others.head(0), lower=members.lower.head(0), num_left_out=0
    )


def _first_accuracy(table: pd.DataFrame) -> str:
    return next(name for name in records.objectives_of(table) if records.is_accuracy(name))


def payload(content: Content, members: Members, course: SearchProgress) -> dict[str, Any]:
    """Returns the data that the script draws."""
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
        "curves": _curves(course, accuracy_title(_first_accuracy(table))),
        "boxes": _boxes(content.boxes, members.front) if isinstance(content.boxes, ObjectSizes) else None,
    }


def x_axes(table: pd.DataFrame, device: str) -> list[dict[str, Any]]:
    """Returns the x axes: MACs, predicted latency, and other costs among the objectives."""
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
    """Returns the y axes: the accuracies among the objectives, then the others that were measured.

    Where there are scores on held-out images, they come first.
    """
    wanted = [name for name in records.objectives_of(table) if records.is_accuracy(name)]
    measured = [name for name in SCORES if table[name].notna().any()]
    names = dict.fromkeys([*wanted, *measured])
    held_out = [name for name in (f"{HELD_OUT}{name}" for name in names) if name in table.columns]
    return [_accuracy(name) for name in (*(name for name in held_out if table[name].notna().any()), *names)]


def accuracy_title(name: str) -> str:
    """Returns the title of the column of an accuracy."""
    if name.startswith(HELD_OUT):
        return f"held-out {accuracy_title(name.removeprefix(HELD_OUT))}"
    if name in TITLES:
        return TITLES[name]
    low, high = name.split("_")[1:3]
    return f"AP {low}-{high} px"


def _accuracy(name: str) -> dict[str, Any]:
    ends = (f"{name}_low", f"{name}_high") if name.removeprefix(HELD_OUT) == "accuracy" else None
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
    lineages = Lineages(content.table)
    ties = dict(zip(ranks, tied_with_better(members.front), strict=True))
    groups = (("front", members.front), ("other", members.others), ("lower", members.lower))
    return [
        {
            "n": trial.number,
            "key": trial.key,
            "kind": kind,
            "rung": trial.rung,
            "rank": ranks[trial.key] if kind == "front" else 0,
            "tied": [ranks[key] for key in ties[trial.key].split()] if kind == "front" else [],
            "design": trial.origin.is_design,
            "origin": str(trial.origin),
            "v": {column: _number(trial.value(column)) for column in columns},
            "remarks": [
                *_remarks(content, trial, [ranks[key] for key in ties.get(trial.key, "").split()]),
                *_inherited(lineages.begun(trial), trial),
            ],
        }
        for kind, table in groups
        for trial in records.trials_of(table)
    ]


def _remarks(content: Content, trial: Trial, tied: Sequence[int]) -> list[str]:
    """Returns what the plotted figures do not say about a trial."""
    lines = [f"parameters: {trial.params:,}"]
    lines.append(f"input: {trial.input_width}x{trial.input_height} px, head on {' '.join(trial.levels)}")
    if trial.epochs is not None:
        lines.append(f"trained for {trial.epochs:.3g} epochs (rung {trial.rung} of {trial.rungs})")
    if trial.imported_from is not None:
        lines.append(f"taken over: {trial.imported_from}")
    if tied:
        better = " and ".join(map(str, tied))
        lines.append(f"not distinguishable from front {better} on the validation images (paired bootstrap, 90 %)")
    seeds = content.seeds.get(trial.number, ())
    if len(seeds) > 1:
        lines.append(f"over {len(seeds)} seeds: {', '.join(f'{100 * each:.2f}' for each in seeds)} %")
    return lines


def _inherited(begun: Trial, trial: Trial) -> list[str]:
    """Returns a line on the donor of a trial, from its first training."""
    if begun.donor is None or not begun.inherited_macs:
        return []
    line = f"started from trial {begun.donor}, with {100 * begun.inherited_macs:.0f} % of its multiply-adds"
    line += "" if begun.peak_learning_rate is None else f", peak learning rate {begun.peak_learning_rate:.2g}"
    return [line if trial.images_in_all is None else f"{line}; its weights have seen {trial.images_in_all:,} images"]


def _detector(detector: DetectorDetails, blocks: dict[str, int]) -> dict[str, Any]:
    """Returns a detector with its blocks as indices into the list of all blocks."""
    rows = [
        [each.name, blocks.setdefault(each.block, len(blocks)), each.shape, each.params, each.macs, each.shares]
        for each in detector.nodes
    ]
    return {"w": detector.words, "c": list(map(list, detector.choices.items())) if rows else [], "t": rows}


def _curves(course: SearchProgress, accuracy: str) -> list[dict[str, Any]]:
    if not course.best:
        return []
    both = (
        ("hypervolume", course.hypervolume, "Hypervolume of the front, %, against the number of trials"),
        ("best", course.best, f"Best {accuracy} so far, %, against the number of trials"),
    )
    return [
        {"id": name, "points": list(map(list, points)), "end": course.num_asked, "factor": 100, "label": label}
        for name, points, label in both
    ]


def _boxes(boxes: ObjectSizes, front: pd.DataFrame) -> dict[str, Any]:
    members = [trial for trial in records.trials_of(front) if trial.key in boxes.counts]
    return {
        "edges": list(boxes.edges_px),
        "counts": {trial.key: list(boxes.counts[trial.key]) for trial in members},
        "levels": {trial.key: list(map(list, strides(trial))) for trial in members},
        "said": {trial.key: said_of_boxes(boxes, trial) for trial in members},
    }


def strides(trial: Trial) -> list[tuple[str, int]]:
    """Returns the levels of a trial's head with their strides in pixels, the finest first."""
    return [(name, 2 ** int(name.removeprefix("P"))) for name in trial.levels]


def said_of_boxes(boxes: ObjectSizes, trial: Trial) -> str:
    """Compares the sizes of the objects with the stride of the finest level of a trial's head."""
    under, single, more = boxes.shares_by_cells[trial.key]
    name, stride = strides(trial)[0]
    return (
        f"At {trial.input_width}x{trial.input_height} px the median side is {boxes.median_px[trial.key]:.1f} px. "
        f"Of the boxes {100 * under:.1f} % are smaller than one cell of {name} ({stride} px), the finest level, "
        f"{100 * single:.1f} % are one to two cells wide, {100 * more:.1f} % two or more."
    )


def _number(value: float | None) -> float | int | None:
    """Returns a value for JSON, with seven significant digits."""
    if value is None:
        return None
    return int(value) if value.is_integer() else float(f"{value:.7g}")


def options(axes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns the names of axes."""
    return [str(each["name"]) for each in axes]
