"""Precision against recall, both against the score threshold, and the threshold with the best F1."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from search_space.errors import ConfigError
from search_space.files import write_bytes, write_text
from trainers.confusion import Confusion
from trainers.matching import Floats, Matches
from trainers.precision import RECALLS, interpolated, needed_objects

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVE_IOU = 0.5
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
THRESHOLDS = np.linspace(0.0, 1.0, 101)
EVERY_CLASS_NAME = "all"


@dataclass(frozen=True, kw_only=True)
class BestF1:
    """The score threshold at which the harmonic mean of precision and recall is highest; nan without objects."""

    f1: float = math.nan
    score_threshold: float = math.nan
    precision: float = math.nan
    recall: float = math.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """How precision and recall follow the score threshold, of one class or of all detections together."""

    name: str
    num_objects: int
    scores: Floats
    """`(P,)`: the different scores, falling; what scores at least this much is reported."""
    precision: Floats
    """`(P,)`: share of the reported detections that are right."""
    recall: Floats
    """`(P,)`: share of the objects that are found."""
    at_recalls: Floats
    """`(101,)`: the best precision at recall 0, 0.01 .. 1 or above."""

    @property
    def f1(self) -> Floats:
        """Harmonic mean of precision and recall `(P,)`."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)

    def best_f1(self) -> BestF1:
        """Returns the best threshold; of equally good ones the highest."""
        if not self.num_objects or not self.recall.any():  # no threshold is better than another
            return BestF1(f1=0.0 if self.num_objects else math.nan)
        best = int(self.f1.argmax())
        values = (float(each[best]) for each in (self.f1, self.scores, self.precision, self.recall))
        return BestF1(**dict(zip(("f1", "score_threshold", "precision", "recall"), values, strict=True)))

    def at(self, thresholds: Floats) -> tuple[Floats, Floats, Floats]:
        """Returns precision, recall and F1 of what scores at least each of the rising `thresholds`.

        Precision is nan where nothing is reported.
        """
        reported = np.searchsorted(-self.scores, -thresholds, side="right") - 1
        none = reported < 0
        if not len(self.scores):
            return np.full(len(thresholds), math.nan), np.zeros(len(thresholds)), np.zeros(len(thresholds))
        precision, recall, f1 = (np.where(none, 0.0, each[reported]) for each in (self.precision, self.recall, self.f1))
        return np.where(none, math.nan, precision), recall, f1


def curve(matches: Matches, label: int | None = None, *, name: str = EVERY_CLASS_NAME, iou: float = CURVE_IOU) -> Curve:
    """Returns the curve of one class, or of all detections and objects together, over all sizes.

    Args:
        matches: at COCO's thresholds, the first size being every size.
        label: class; None is all of them.
        name: of the class.
        iou: overlap from which a detection is right.
    """
    threshold = matches.at_iou(iou)
    chosen = matches.counted[0, threshold].copy()
    objects = matches.object_sizes[0]
    if label is not None:
        chosen &= matches.labels == label
        objects = objects & (matches.object_labels == label)
    num_objects, right, scores = int(objects.sum()), matches.right[0, threshold][chosen], matches.scores[chosen]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)) if len(scores) else np.zeros(0, np.int64)
    found = np.cumsum(right)[last]
    known = num_objects > 0
    steps = (
        interpolated(right, np.ones_like(right), needed_objects(num_objects))[0] if known else np.full(101, math.nan)
    )
    return Curve(
        name=name,
        num_objects=num_objects,
        scores=scores[last],
        precision=found / (last + 1),
        recall=found / num_objects if known else np.full(len(last), math.nan),
        at_recalls=steps,
    )


def all_curves(matches: Matches, classes: Sequence[str]) -> list[Curve]:
    """Returns the curve of all classes together, then that of each class."""
    return [curve(matches), *(curve(matches, label, name=name) for label, name in enumerate(classes))]


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
        (_cell(each.name), f"{threshold:.2f}", *(_number(value) for value in values))
        for each in curves
        for threshold, *values in zip(THRESHOLDS, *each.at(THRESHOLDS), strict=True)
    ]
    return _csv(("class", "score_threshold", "precision", "recall", "f1"), rows)


def confusion_table(confusion: Confusion) -> str:
    """Returns CSV with a row for each class that is there and a column for each class that was found."""
    names = [_cell(name) for name in confusion.names]
    rows = [(name, *map(str, row)) for name, row in zip(names, confusion.counts.tolist(), strict=True)]
    return _csv(("there", *names), rows)


def _cell(name: str) -> str:
    """Returns the name of a class with an apostrophe before it where a spreadsheet would take it for a formula."""
    return f"'{name}" if name.startswith(FORMULA_STARTS) else name


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows((header, *rows))
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
