"""What quantisation changes in the detections of a network, part by part, and which parts are kept in floats."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nas.exporters.onnx_detector import DESCRIPTION, SECOND_STAGE, OnnxDetector
from search_space.errors import ConfigError
from trainers.boxes import iou_matrix
from trainers.data.dataset import Image
from trainers.detect import Detections, detect
from trainers.heads import DetectionLimits

AUTO, NONE = "auto", "none"
LIMITS = DetectionLimits(score_threshold=0.001, max_detections=100)
LARGE_SHARE = 0.05
"""Share of the sum of all parts' losses from which `auto` may keep a part in floats."""
FLOAT_SHARE = 0.15
"""Largest share of the multiply-adds that `auto` keeps in floats: they would cost the speed that INT8 is for."""


@dataclass(frozen=True, kw_only=True)
class PartLosses:
    """How much the detections change by quantisation, 0 to 1."""

    num_images: int
    every: float
    """All parts quantised."""
    alone: Mapping[str, float]
    """One part alone, by its name."""
    mac_shares: Mapping[str, float]
    """Share of the multiply-adds by part."""

    def chosen(self) -> tuple[str, ...]:
        """Returns the parts that quantise badly for what they cost.

        These have at least `LARGE_SHARE` of the sum of all parts' losses, and together at most `FLOAT_SHARE` of the
        multiply-adds; the largest loss per multiply-add is taken first.
        """
        total, left, kept = sum(self.alone.values()), FLOAT_SHARE, []
        by_rate = sorted(self.alone, key=lambda name: self.alone[name] / max(self.mac_shares[name], 1e-6), reverse=True)
        for name in by_rate:
            if total > 0 and self.alone[name] >= LARGE_SHARE * total and self.mac_shares[name] <= left:
                left -= self.mac_shares[name]
                kept.append(name)
        return tuple(name for name in self.alone if name in kept)


def measure_losses(
    quantise: Callable[[Sequence[str]], bytes],
    mac_shares: Mapping[str, float],
    model: bytes,
    described: Mapping[str, bytes],
    images: Sequence[Image],
) -> PartLosses:
    """Quantises all parts, then each alone, and compares the detections in images with those of the float network.

    Args:
        quantise: returns the ONNX file in which these parts are quantised.
        mac_shares: share of the multiply-adds of each part, by its name.
        model: the ONNX file in fp32.
        described: `detector.json`, and for a two-stage head `second_stage.onnx`, by name.
        images: `(H, W, 3)` uint8 RGB.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in (DESCRIPTION, SECOND_STAGE):
            if name in described:
                (Path(folder) / name).write_bytes(described[name])

        def found(content: bytes) -> list[Detections]:
            path = Path(folder) / "model.onnx"
            path.write_bytes(content)
            runner = OnnxDetector(path)
            return [detect(runner, [image], input_hw=runner.input_hw, limits=LIMITS)[0] for image in images]

        wanted = found(model)
        alone = {name: detection_loss(wanted, found(quantise([name]))) for name in mac_shares}
        every = detection_loss(wanted, found(quantise(list(mac_shares))))
        return PartLosses(num_images=len(images), every=every, alone=alone, mac_shares=mac_shares)


def detection_loss(wanted: Sequence[Detections], found: Sequence[Detections]) -> float:
    """Returns how far detections are from others, 0 for the same ones and 1 where nothing overlaps.

    For each wanted detection it is 1 minus the largest product of the IoU and of 1 minus the difference of the scores,
    over the detections of its class; the mean over all of them is weighted by their scores.
    """
    lost = total = 0.0
    for each, other in zip(wanted, found, strict=True):
        same = each.labels[:, None] == other.labels[None, :]
        overlaps = iou_matrix(torch.from_numpy(each.boxes), torch.from_numpy(other.boxes)).numpy()
        alike = overlaps * (1 - np.abs(each.scores[:, None] - other.scores[None, :])) * same
        best = alike.max(axis=1, initial=0.0)
        lost += float((each.scores * (1 - best)).sum())
        total += float(each.scores.sum())
    return lost / total if total else 0.0


def kept_parts(keep_float: str, parts: Collection[str], losses: PartLosses | None) -> tuple[str, ...]:
    """Returns the parts that are kept in floats.

    Args:
        keep_float: `auto`, `none`, or names of parts with commas.
        parts: all parts.
        losses: what `auto` chooses by.

    Raises:
        ConfigError: there is no such part.
    """
    if keep_float == NONE:
        return ()
    if keep_float == AUTO:
        assert losses is not None
        return losses.chosen()
    names = tuple(name.strip() for name in keep_float.split(",") if name.strip())
    unknown = [name for name in names if name not in parts]
    if unknown or not names:
        raise ConfigError(
            f"--keep-float {keep_float!r} names no part {unknown[0]!r}; allowed: {AUTO}, {NONE} or some of "
            f"{', '.join(parts)}, with commas"
            if unknown
            else f"--keep-float is empty; allowed: {AUTO}, {NONE} or parts with commas"
        )
    return names
