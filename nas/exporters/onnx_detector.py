"""An exported ONNX file as a detector: run by ONNX Runtime, its outputs read by the script that is exported with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.exporters.kit import postprocess
from nas.exporters.onnx_model import FORMS, READ_RAW, open_session
from search_space.errors import ConfigError, UserError, is_text
from search_space.files import read_bytes
from search_space.graph import IMAGE
from search_space.input_format import FITS
from search_space.plain import read_plain
from search_space.tile_grid import TileGrid
from trainers.data.pixel_range import PixelRange, is_range
from trainers.heads import DetectionLimits, DetectionTensors
from trainers.heads.reading import LEAST_SCORE, kept_without_nms, read_table, read_without_nms, suppressed
from trainers.heads.two_stage import read_second_stage
from trainers.settings import SettingError
from trainers.suppression import Suppression

DESCRIPTION, MODEL, SECOND_STAGE = "detector.json", "model.onnx", "second_stage.onnx"
MAX_DESCRIPTION = 64 * 1024 * 1024
"""Bytes; the anchors of an SSD head are most of it."""
NEEDED = {
    "anchor_free": ("reg_max",),
    "ssd": ("offset_scales", "anchors"),
    "two_stage": ("offset_scales", "first_anchors", "num_proposals", "second_stage"),
}
"""What `detector.json` must have to read raw outputs, by the kind of head."""


@dataclass(frozen=True, kw_only=True)
class OnnxDescription:
    """What `detector.json` says of the ONNX file beside it."""

    head: str
    form: str
    """`raw`, `decoded` or `boxes`."""
    classes: tuple[str, ...]
    input_hw: tuple[int, int]
    fit: str
    nms: bool
    """Whether the boxes need suppression."""
    nms_operator: str | None
    """What suppresses the boxes inside the file; None: nothing does."""
    output_shapes: tuple[tuple[int, ...], ...]
    pixel_range: PixelRange | None
    suppression: Suppression
    """Which detections the evaluations of the training counted."""
    tiles: TileGrid
    """How an image is cut into inputs."""
    content: Mapping[str, Any]
    """All of it, for `postprocess.py`."""

    @classmethod
    def read(cls, path: Path) -> OnnxDescription:
        """Reads the file.

        Raises:
            ConfigError: it is missing or damaged, or lacks what the outputs are read by.
        """
        try:
            content = json.loads(read_bytes(path, MAX_DESCRIPTION))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"cannot read {path}: {reason}; next: keep the files of an export together") from None
        except (ValueError, RecursionError):
            raise ConfigError(f"{path} is no JSON; next: export the detector again") from None
        lacking = _lacking(content)
        if lacking:
            raise ConfigError(f"{path} has no valid {lacking[0]}; next: export the detector again")
        pixel_range = content.get("pixel_range")
        return cls(
            head=content["head"],
            form=content["outputs"],
            classes=tuple(content["classes"]),
            input_hw=(content["input_hw"][0], content["input_hw"][1]),
            fit=content["fit"],
            nms=bool(content.get("nms", True)),
            nms_operator=content.get("nms_operator"),
            output_shapes=tuple(tuple(each) for each in content["output_shapes"]),
            pixel_range=None if pixel_range is None else (float(pixel_range[0]), float(pixel_range[1])),
            suppression=Suppression.from_dict(content.get("suppression", {})),
            tiles=TileGrid(**content.get("tiles", {})),
            content=content,
        )


def _lacking(content: Any) -> list[str]:
    """Returns the keys of a description that are missing or of a wrong type."""
    if not isinstance(content, dict):
        return ["content"]
    shapes = content.get("output_shapes")
    checks = {
        "head": isinstance(content.get("head"), str),
        "outputs": content.get("outputs") in FORMS,
        "classes": isinstance(content.get("classes"), list)
        and bool(content["classes"])
        and all(isinstance(name, str) and is_text(name) for name in content["classes"]),
        "input_hw": _is_sizes(content.get("input_hw")) and len(content["input_hw"]) == 2,
        "fit": content.get("fit") in FITS,
        "strides": _is_sizes(content.get("strides")),
        "output_shapes": isinstance(shapes, list) and bool(shapes) and all(map(_is_sizes, shapes)),
        "suppression": _is_suppression(content.get("suppression", {})),
        "tiles": _is_grid(content.get("tiles", {})),
        "pixel_range": content.get("pixel_range") is None or is_range(content["pixel_range"]),
    }
    if content.get("outputs") == "raw":
        checks["head"] = content.get("head") in READ_RAW
        checks.update({name: content.get(name) is not None for name in NEEDED.get(str(content.get("head")), ())})
    return [name for name, good in checks.items() if not good]


def _is_grid(value: object) -> bool:
    try:
        read_plain(TileGrid, value)
        return True
    except UserError:
        return False


def _is_suppression(value: object) -> bool:
    try:
        return isinstance(value, dict) and bool(Suppression.from_dict(value))
    except SettingError:
        return False


def _is_sizes(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(each) is int and each > 0 for each in value)


class OnnxDetector:
    """The ONNX files of an exported folder as a `trainers.detect.InferenceDetector`; runs one image at a time.

    The raw outputs become boxes and scores by `postprocess.table`, as on a board; the choice among them is that of
    `nas val` for every detector.
    """

    def __init__(self, model: Path, device: str = "cpu", threads: int = 0) -> None:
        """Opens a file with its `detector.json`, and for a two-stage head its `second_stage.onnx`.

        Args:
            model: an ONNX file of an exported folder.
            device: `auto`, `cpu` or `cuda`.
            threads: CPU threads; 0: all.

        Raises:
            ConfigError: a file is missing or damaged, they do not belong together, or ONNX Runtime or the device is
                missing.
        """
        self.path, self.description = model, OnnxDescription.read(model.with_name(DESCRIPTION))
        if self.description.nms_operator == "efficient":
            raise ConfigError(
                f"{model} has the plug-in EfficientNMS_TRT of TensorRT, which ONNX Runtime lacks; next: export with "
                "--nms onnx"
            )
        self._session = open_session(model, device, threads)
        self.provider: str = self._session.get_providers()[0]
        self._check_model()
        self._second: Any = None
        if self.description.head == "two_stage" and self.description.form == "raw":
            self._second = open_session(_second_stage_of(model), device, threads)

    @property
    def input_hw(self) -> tuple[int, int]:
        """Input size `(H, W)` in pixels, the only one that the file takes."""
        return self.description.input_hw

    @property
    def runtime(self) -> str:
        """What runs it, with the execution provider."""
        return f"ONNX Runtime, {self.provider}"

    @property
    def fit(self) -> str:
        """How an image becomes the input."""
        return self.description.fit

    @property
    def tiles(self) -> TileGrid:
        """How an image is cut into inputs."""
        return self.description.tiles

    def find(self, inputs: NDArray[np.uint8], limits: DetectionLimits) -> list[DetectionTensors]:
        """Returns the detections in each of the inputs `(B, H, W, 3)` RGB; boxes are in pixels of the input.

        Raises:
            ConfigError: the outputs cannot be read as `detector.json` says.
        """
        return [self._find(image, limits) for image in inputs]

    def outputs(self, image: NDArray[np.uint8]) -> list[np.ndarray]:
        """Returns the outputs of the file for an input `(H, W, 3)` RGB."""
        feed = image.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        return list(self._session.run(None, {IMAGE: feed}))

    def _find(self, image: NDArray[np.uint8], limits: DetectionLimits) -> DetectionTensors:
        outputs, described = self.outputs(image), self.description
        if described.form != "raw" and not described.nms:
            boxes, scores, labels = (torch.from_numpy(each[0]) for each in outputs)
            if described.nms_operator is not None:
                limits = replace(limits, score_threshold=max(limits.score_threshold, LEAST_SCORE), one_class=False)
            return _read_found(boxes, scores, labels.long(), limits)
        try:
            read: Any = postprocess.table
            tables = read(outputs, described.content, self._second_stage)
            boxes, scores = (torch.from_numpy(np.asarray(each, np.float32))[None] for each in tables)
            if scores.shape[2] != len(described.classes):
                raise ValueError(f"{scores.shape[2]} scores a box for {len(described.classes)} classes")
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise ConfigError(
                f"the outputs of {self.path} cannot be read as {DESCRIPTION} says ({error}); next: export it again"
            ) from None
        if described.head == "two_stage":
            return read_second_stage(boxes, scores, limits)[0]
        if not described.nms and not limits.asks_for_nms:
            return read_without_nms(boxes, scores, limits)[0]
        return read_table(boxes, scores, limits)[0]

    def _second_stage(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(self._second.run(None, {"features": features})[0])

    def _check_model(self) -> None:
        """Raises ConfigError where the file does not have the input and the outputs that its description says."""
        inputs = [(each.name, each.shape) for each in self._session.get_inputs()]
        outputs = [each.shape for each in self._session.get_outputs()]
        wanted = [list(each) for each in self.description.output_shapes]
        if inputs != [(IMAGE, [1, 3, *self.description.input_hw])] or outputs != wanted:
            raise ConfigError(
                f"{self.path} has other inputs or outputs than {DESCRIPTION} beside it says; next: export it again"
            )


def _second_stage_of(model: Path) -> Path:
    path = model.with_name(SECOND_STAGE)
    if not path.is_file():
        raise ConfigError(f"{model} needs {SECOND_STAGE} beside it; next: keep the files of an export together")
    return path


def _read_found(boxes: Tensor, scores: Tensor, labels: Tensor, limits: DetectionLimits) -> DetectionTensors:
    """Returns the detections of one image from what a graph found, best first."""
    if limits.asks_for_nms:
        good = scores >= limits.score_threshold
        return suppressed(boxes[good], scores[good], labels[good], limits)
    points = torch.unique(boxes, dim=0, return_inverse=True)[1]
    return kept_without_nms(boxes, scores, labels, points, limits)


def model_in(path: Path) -> Path | None:
    """Returns the exported ONNX file that a path names: itself, or that of an exported folder; None for other paths.

    A folder of several stands for the first, the most accurate one.
    """
    if path.is_dir():
        found: Sequence[Path] = sorted(path.glob(MODEL)) or sorted(path.glob(f"*/{MODEL}"))
        return next((each for each in found if each.with_name(DESCRIPTION).is_file()), None)
    is_exported = path.suffix == ".onnx" and path.is_file() and path.with_name(DESCRIPTION).is_file()
    return path if is_exported else None
