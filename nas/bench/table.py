"""Trained detectors as a search space: YOLOBench, with the accuracy and the latency of every point.

Accuracies are those of I. Lazarevich et al., "YOLOBench: Benchmarking Efficient Object Detectors on Embedded Systems"
(2023), latencies those that the latency predictor is fitted on; see NOTICE.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from nas.cost.measurements import DATA as COST_DATA
from nas.engine.domain import CostedPoint, Params
from nas.engine.objectives import Objective, objectives
from nas.engine.utility import utilities
from results.pareto import nondominated
from search_space import Axis, SearchSpace
from search_space.errors import ConfigError, check_known

ACCURACIES = Path(__file__).parent / "data" / "yolobench_accuracy.csv.gz"
LATENCIES = COST_DATA / "yolobench_latency.csv"
DATA_SETS = {
    "voc": "voc_finetuned100_map50_95",
    "sku110k": "sku110k_finetuned100_map50_95",
    "widerface": "widerface_finetuned100_map50_95",
    "coco": "coco_minival_640train_map50_95",
    "voc-scratch": "voc_scratch100_map50_95",
}
"""Columns of accuracies. 429 points each, trained 100 epochs from COCO weights (on COCO 300); 825 from scratch."""
MAIN_DATA_SETS = ("voc", "sku110k", "widerface", "coco")
BOARDS = {
    "jetson-nano": "jetson_nano_gpu_ort_fp32_latency_s",
    "intel-i7": "intel_i7_10875h_openvino_fp32_latency_s",
    "khadas-vim3": "khadas_vim3_npu_int16_latency_s",
    "raspberry-pi4": "raspberry_pi4_tflite_fp32_latency_s",
    "raspberry-pi4-ort": "raspberry_pi4_ort_fp32_latency_s",
    "raspberry-pi4-int8": "raspberry_pi4_tflite_int8_latency_s",
    "raspberry-pi5": "raspberry_pi5_ort_fp32_latency_s",
    "orange-pi5": "orange_pi5_npu_fp16_latency_s",
    "nvidia-a40": "nvidia_a40_tensorrt_latency_s",
}
"""Columns of latencies."""
FLOAT_BYTES = 4
VARIANT = re.compile(r"yolo6([sml])-|yolo6([nsml])$")


class TableDomain:
    """A domain whose points are the rows of a table; none of them is over budget."""

    def __init__(self, points: Sequence[CostedPoint]) -> None:
        self.space = _space(points)
        self.limits: Mapping[str, float] = {}
        self._points = {_spelt(point.params): point for point in points}

    def consider(self, params: Params) -> CostedPoint | None:
        """Returns the row of a point, or None where the table has none."""
        return self._points.get(_spelt(params))

    def resized(self, params: Params, size: int) -> CostedPoint | None:
        """Returns the row of the same network at another input size, or None where the table has none."""
        return self.consider({**params, "input_size": size})

    def listed(self) -> tuple[CostedPoint, ...]:
        """Returns all rows."""
        return tuple(self._points.values())

    def has_small_cells(self, point: CostedPoint) -> bool:
        """Returns True: the rows were made for their data."""
        return True


@dataclass(frozen=True, kw_only=True)
class Table:
    """The points of one data set with the latencies of one board."""

    data_set: str
    board: str
    points: tuple[CostedPoint, ...]
    accuracies: Mapping[str, float]
    """mAP50-95, 0 to 1, by point key; a strategy sees only those of the points that it evaluated."""

    @cached_property
    def domain(self) -> TableDomain:
        """What a strategy knows before it evaluates anything."""
        return TableDomain(self.points)

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """Accuracy against latency."""
        return objectives(("accuracy", "latency_ms"))

    def values(self, point: CostedPoint) -> tuple[float, float]:
        """Returns the accuracy and the latency in ms of a point, as an evaluation gives them."""
        return self.accuracies[point.key], point.costs["latency_ms"]

    @cached_property
    def front(self) -> tuple[tuple[float, float], ...]:
        """The values that no other point of the table dominates."""
        values = [self.values(point) for point in self.points]
        mask = nondominated(values, (True, False))
        return tuple(value for value, chosen in zip(values, mask, strict=True) if chosen)

    def gains(self, values: Sequence[tuple[float, float]], *, linear: bool = False) -> np.ndarray:
        """Returns `(n, 2)` accuracies, and latencies as gains: their negative logarithm, or negative ms."""
        if linear:
            return np.array([(accuracy, -latency_ms) for accuracy, latency_ms in values]).reshape(-1, 2)
        return np.array([utilities(self.objectives, value) for value in values]).reshape(-1, 2)


@cache
def load_table(data_set: str, board: str = "jetson-nano") -> Table:
    """Returns the table of a data set and a board.

    Raises:
        ConfigError: If one of them is unknown; it names the near and the known ones.
    """
    accuracy_column, latency_column = _column("data set", data_set, DATA_SETS), _column("board", board, BOARDS)
    with gzip.open(ACCURACIES, "rt", encoding="utf-8", newline="") as file:
        accuracies = {row["model_name"]: row[accuracy_column] for row in csv.DictReader(file)}
    with LATENCIES.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if accuracies.get(row["model_name"]) and row[latency_column]]
    return Table(
        data_set=data_set,
        board=board,
        points=tuple(_point(row, latency_column) for row in rows),
        accuracies={row["model_name"]: float(accuracies[row["model_name"]]) for row in rows},
    )


def _column(what: str, name: str, known: Mapping[str, str]) -> str:
    check_known(what, name, known, ConfigError)
    return known[name]


def _point(row: Mapping[str, str], latency_column: str) -> CostedPoint:
    params: dict[str, str | float | int] = {"family": row["family"]}
    variant = VARIANT.match(row["architecture"])
    if variant is not None:
        params["variant"] = variant[1] or variant[2]
    costs = {
        "macs": float(row["macs"]),
        "params": float(row["params"]),
        "activation_bytes": FLOAT_BYTES * float(row["activation_elems"]),
        "input_px": float(row["input_px"]),
        "latency_ms": 1e3 * float(row[latency_column]),
    }
    params |= {"depth": float(row["depth_multiple"]), "width": float(row["width_multiple"])}
    params["input_size"] = int(row["input_px"])
    return CostedPoint(params=params, key=row["model_name"], costs=costs, margins={})


def _space(points: Sequence[CostedPoint]) -> SearchSpace:
    """Returns the axes that the points span. Not every combination of choices is a point."""

    def axis(name: str, doc: str, *, ordered: bool = False) -> Axis:
        choices = sorted({point.params[name] for point in points if name in point.params})
        varied = {point.params["family"] for point in points if name in point.params}
        return Axis(
            name=name,
            choices=tuple(choices),
            doc=doc,
            ordered=ordered,
            active=lambda params: params["family"] in varied,
        )

    families = tuple(dict.fromkeys(point.params["family"] for point in points))
    axes = [Axis(name="family", choices=families, doc="generation of YOLO")]
    if any("variant" in point.params for point in points):
        axes.append(axis("variant", "which blocks a YOLOv6 has"))
    return SearchSpace(
        (
            *axes,
            axis("depth", "multiplier of the repeats", ordered=True),
            axis("width", "multiplier of the channels", ordered=True),
            axis("input_size", "side of the square input, pixels", ordered=True),
        )
    )


def _spelt(params: Params) -> tuple[tuple[str, object], ...]:
    return tuple(sorted(params.items()))
