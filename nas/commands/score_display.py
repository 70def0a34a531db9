"""Tables of scores for the commands train and val."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.commands.display import say

FEW_NAMES = 12
"""Rows up to which a confusion matrix is printed; a larger one is better read from its file."""
PRIORITIES = {"AP": 1, "AP50": 1, "AP_small": 1, "recall": 2, "P": 3, "R": 3, "AP75": 3, "AP_medium": 4, "AP_large": 4}
"""Which scores stay where the terminal is narrow: those with small numbers."""


def percent(value: float | None) -> str:
    """Returns a fraction of 1 in percent, `-` where there is no value."""
    return "-" if value is None else f"{100 * value:.1f}"


def print_score(
    score: Mapping[str, Any],
    intervals: Mapping[str, Any] | None = None,
    best_f1: Mapping[str, Any] | None = None,
) -> None:
    """Prints the fields of a score in percent: over all classes, by class, and by size where bins were asked for.

    Args:
        score: of `plain_score`.
        intervals: by name `low` and `high`, of the bootstrap.
        best_f1: by class `precision` and `recall` at the best F1; None: these columns are left out.
    """
    _print_averages(score, intervals or {}, best_f1)
    if score["bins"]:
        _print_bins(score["bins"], intervals or {})
    if score["f1"] is not None:
        where = "" if score["f1_score_threshold"] is None else f" at score {score['f1_score_threshold']:.3f}"
        say(f"best F1 at IoU 0.5: {percent(score['f1'])} %{where}")
    if score["num_unreadable"]:
        say(
            f"{score['num_unreadable']} of {score['num_images']} images could not be read; "
            "they count as images without detections"
        )


def _print_averages(score: Mapping[str, Any], intervals: Mapping[str, Any], best_f1: Mapping[str, Any] | None) -> None:
    from nas.commands.table import Column, numbers, print_table

    names = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "ap_small": "AP_small"}
    sizes = {"ap_medium": "AP_medium", "ap_large": "AP_large"}
    extra = () if best_f1 is None else ("P", "R")
    titles = (*names.values(), *sizes.values(), "recall", *extra)
    columns = (
        Column("class", is_name=True),
        *(numbers(f"{title} %", priority=PRIORITIES[title]) for title in titles),
        numbers("objects", priority=2),
    )
    averages = (percent(score[name]) for name in (*names, *sizes, "recall"))
    means = () if best_f1 is None else _means(best_f1)
    rows = [("all", *averages, *means, str(score["num_objects"]))]
    if intervals:
        rows.append(
            ("interval", *(_interval(intervals.get(name)) for name in (*names, *sizes)), "", *("" for _ in extra), "")
        )
    rows.append(())
    for name, entry in score["per_class"].items():
        scores = (percent(entry[each]) for each in names)
        own = () if best_f1 is None else [percent(best_f1[name][each]) for each in ("precision", "recall")]
        rows.append((name, *scores, "", "", percent(entry["recall"]), *own, str(entry["num_objects"])))
    print_table(columns, rows)


def _means(best_f1: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns precision and recall at the best F1 of each class, averaged over the classes that have a value."""
    found = []
    for name in ("precision", "recall"):
        values = [entry[name] for entry in best_f1.values() if entry[name] is not None]
        found.append(percent(sum(values) / len(values) if values else None))
    return tuple(found)


def _print_bins(bins: Mapping[str, Any], intervals: Mapping[str, Any]) -> None:
    from nas.commands.table import Column, numbers, print_table

    say("")
    names = [name for name in next(iter(bins.values())) if name.startswith("ap")]
    columns = (
        Column("size", is_name=True),
        *(numbers(title, priority=3) for title in ("from px", "to px")),
        *(numbers(f"{name.upper()} %", priority=1) for name in names),
        *(numbers(title, priority=2) for title in ("AP interval", "objects")),
    )
    rows = []
    for name, entry in bins.items():
        ends = ("-" if entry[end] is None else f"{entry[end]:g}" for end in ("low_px", "high_px"))
        interval = _interval(intervals.get(f"bin {name}"))
        rows.append((name, *ends, *(percent(entry[each]) for each in names), interval, str(entry["num_objects"])))
    print_table(columns, rows)


def _interval(interval: Mapping[str, Any] | None) -> str:
    if interval is None or interval["low"] is None:
        return "-"
    return f"{percent(interval['low'])} to {percent(interval['high'])}"


def print_confusion(confusion: Mapping[str, Any]) -> None:
    """Prints a confusion matrix, a row for what is there and a column for what was found."""
    from nas.commands.table import Column, numbers, print_table

    names = confusion["names"]
    if len(names) > FEW_NAMES:
        say(f"confusion of {len(names) - 1} classes: see --curves DIR or --json")
        return
    say(f"confusion at IoU 0.5, score from {confusion['score_threshold']:.3f}:")
    columns = (Column("object / detected as", is_name=True), *(numbers(name, priority=1) for name in names))
    counts = zip(names, confusion["counts"], strict=True)
    print_table(columns, [(name, *(str(count) if count else "" for count in row)) for name, row in counts])
