"""The accuracy of an exported ONNX file beside that of the network in PyTorch, on the same images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from nas.exporters.int8_files import Int8Options
from nas.exporters.onnx_detector import OnnxDetector
from search_space import Detector
from trainers import Score
from trainers.data import Dataset, DataSplits
from trainers.detect import AnyDetector
from trainers.evaluation import evaluate
from trainers.suppression import Suppression

SCORES = ("ap", "ap50", "ap_small")


@dataclass(frozen=True, kw_only=True)
class MeasurementData:
    """The data that exported files are measured on."""

    splits: DataSplits
    num_images: int | None = None
    """At most so many validation images, evenly spaced; None: all."""
    int8: Int8Options = Int8Options()
    """How files in INT8 are calibrated, on the training images."""

    @property
    def validation(self) -> Dataset:
        """The images that accuracy is measured on."""
        return self.splits.val if self.num_images is None else self.splits.val.limited(self.num_images)

    def described(self) -> dict[str, Any]:
        """Returns which images these are, as plain data."""
        return {
            "data": self.splits.source,
            "part": "val",
            "num_images": len(self.validation),
            "num_images_of_part": len(self.splits.val),
        }


def measured_accuracy(
    detector: Detector, files: Mapping[str, Path], data: MeasurementData, suppression: Suppression
) -> dict[str, Any]:
    """Measures a network in PyTorch and ONNX files on the same images, by the rules of `nas val`.

    Args:
        detector: the network.
        files: the ONNX files by the name that the report gives their scores.
        data: the images.
        suppression: which detections count, those of the training.

    Returns:
        Plain data: which images, the scores of `pytorch` and of each file as fractions of 1 (None without such
        objects), and what ran the files.

    Raises:
        UserError: a file cannot be run, or no image can be read.
    """
    counted = suppression.for_head(one_to_one=detector.one_to_one)
    report: dict[str, Any] = {**data.described(), "pytorch": _scores(detector, data, counted)}
    for name, path in files.items():
        runner = OnnxDetector(path)
        report |= {name: _scores(runner, data, counted), "runtime": runner.runtime}
    return report


def _scores(detector: AnyDetector, data: MeasurementData, suppression: Suppression) -> dict[str, float | None]:
    score: Score = evaluate(detector, data.validation, suppression=suppression)
    values = {name: float(getattr(score, name)) for name in SCORES}
    return {name: None if isnan(value) else value for name, value in values.items()}
