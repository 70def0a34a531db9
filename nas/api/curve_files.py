"""Tables and plots of precision, recall and confusion, written to a folder."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from results.visible import as_cell
from search_space.errors import ConfigError
from search_space.files import write_bytes, write_text
from trainers.confusion import Confusion
from trainers.curves import CURVE_IOU, EVERY_CLASS_NAME, Curve
from trainers.precision import RECALLS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

THRESHOLDS = np.linspace(0.0, 1.0, 101)


def recall_table(curves: Sequence[Curve]) -> str:
    """Returns CSV with the best precision at each of 101 recalls."""
    rows = [
        (each.name, f"{recall:.2f}", _number(precision))
        for each in curves
        for recall, precision in zip(RECALLS, each.at_recalls, strict=True)
    ]
    return _csv(("class", "recall", "precision"), rows)


def threshold_table(curves: Sequence[Curve]) -> str:
    """Returns CSV with precision, recall and F1 at each of 101 score thresholds; empty where there is no value."""
    rows = [
        (each.name, f"{threshold:.2f}", *(_number(value) for value in values))
        for each in curves
        for threshold, *values in zip(THRESHOLDS, *each.at(THRESHOLDS), strict=True)
    ]
    return _csv(("class", "score_threshold", "precision", "recall", "f1"), rows)


def confusion_table(confusion: Confusion) -> str:
    """Returns CSV with a row for each class that is there and a column for each class that was found."""
    rows = [(name, *map(str, row)) for name, row in zip(confusion.names, confusion.counts.tolist(), strict=True)]
    return _csv(("there", *confusion.names), rows)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([as_cell(cell) for cell in row] for row in (header, *rows))
    return text.getvalue()


def write_curves(folder: Path, curves: Sequence[Curve], confusion: Confusion) -> list[Path]:
    """Writes precision_recall.csv, thresholds.csv and confusion.csv, and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "precision_recall.csv": recall_table(curves),
        "thresholds.csv": threshold_table(curves),
        "confusion.csv": confusion_table(confusion),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def write_plots(folder: Path, curves: Sequence[Curve], confusion: Confusion) -> list[Path]:
    """Draws precision_recall.png, thresholds.png and confusion.png, and returns their paths.

    Raises:
        ConfigError: matplotlib is missing; the message names the extra.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("plots need matplotlib; install it with pip install 'pyramidnas[plots]'") from None
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in (("precision_recall", _draw_recalls), ("thresholds", _draw_thresholds)):
        figure = Figure(figsize=(7, 5), layout="constrained")
        draw(figure.subplots(), curves)
        paths.append(_save(figure, folder / f"{name}.png"))
    side = 3 + 0.35 * len(confusion.names)
    figure = Figure(figsize=(side, side), layout="constrained")
    _draw_confusion(figure.subplots(), confusion)
    return [*paths, _save(figure, folder / "confusion.png")]


def _save(figure: Figure, path: Path) -> Path:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    write_bytes(path, picture.getvalue())
    return path


def _draw_recalls(axes: Axes, curves: Sequence[Curve]) -> None:
    for each in curves:
        wide = 2.5 if each.name == EVERY_CLASS_NAME else 1.0
        axes.plot(RECALLS, each.at_recalls, lw=wide, label=f"{each.name}  {np.mean(each.at_recalls):.3f}")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title=f"IoU {CURVE_IOU}")
    axes.legend(fontsize="small", title="mean precision")


def _draw_thresholds(axes: Axes, curves: Sequence[Curve]) -> None:
    for each in curves:
        best = each.best_f1()
        wide = 2.5 if each.name == EVERY_CLASS_NAME else 1.0
        label = f"{each.name}  F1 {best.f1:.3f} at {best.score_threshold:.2f}"
        axes.plot(THRESHOLDS, each.at(THRESHOLDS)[2], lw=wide, label=label)
    axes.set(xlabel="score threshold", ylabel="F1", xlim=(0, 1), ylim=(0, 1.02), title=f"IoU {CURVE_IOU}")
    axes.legend(fontsize="small")


def _draw_confusion(axes: Axes, confusion: Confusion) -> None:
    counts, ticks = confusion.counts, range(len(confusion.names))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(ticks, confusion.names, rotation=90)
    axes.set_yticks(ticks, confusion.names)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[row, column] > 0.6 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize="x-small", color=color)
    axes.set(xlabel="found", ylabel="there", title=f"IoU {CURVE_IOU}, score from {confusion.score_threshold:.2f}")
