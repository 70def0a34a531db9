"""The INT8 files of an export: the quantised network, the float one, and the calibration cache."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nas.exporters.onnx_detector import MODEL
from nas.exporters.onnx_model import open_session
from nas.exporters.quantisation import METHODS, NetworkParts, calibrate, quantised
from nas.exporters.quantisation_loss import AUTO, kept_parts, measure_losses
from search_space import Detector
from search_space.errors import ConfigError, check_known
from search_space.graph import IMAGE
from trainers.data import Dataset
from trainers.data.dataset import Image
from trainers.data.geometry import ImageFit

FLOAT_MODEL, CACHE = "model_fp32.onnx", "calibration.cache"
DEFAULT_IMAGES = 128
NUM_COMPARED = 8
"""Calibration images that the losses of the parts are measured on."""
NUM_TIMED = 20


@dataclass(frozen=True, kw_only=True)
class Int8Options:
    """How a network is quantised."""

    keep_float: str = AUTO
    """`auto`: the parts that quantise badly; `none`; or names of parts with commas."""
    num_images: int = DEFAULT_IMAGES
    """Calibration images."""
    method: str = METHODS[0]
    """How the ranges of the maps follow from the images; see `calibrate`."""

    def __post_init__(self) -> None:
        check_known("--calibration-method", self.method, METHODS, ConfigError)


def input_of(image: Image, input_hw: tuple[int, int], fit: str) -> np.ndarray:
    """Returns an image `(H, W, 3)` as input of a detector: `(3, H, W)` 32-bit floats from 0 to 1."""
    fitted = ImageFit.of((image.shape[0], image.shape[1]), input_hw, fit).apply(image)
    scaled: np.ndarray = np.ascontiguousarray(fitted.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)
    return scaled


def quantise_files(
    detector: Detector, files: Mapping[str, bytes], described: bytes, train: Dataset, options: Int8Options
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Quantises the ONNX file of a detector.

    Args:
        detector: the network.
        files: its ONNX files in fp32 by name. The second stage of a two-stage head stays as it is.
        described: content of its `detector.json`.
        train: the training images, of which evenly spaced ones calibrate.
        options: how it is quantised.

    Returns:
        The files by name: `model.onnx` is the quantised network, `model_fp32.onnx` the float one, `calibration.cache`
        the scales of its maps. A report as plain data.

    Raises:
        UserError: there is no such part, or a training image cannot be read.
    """
    model = files[MODEL]
    parts = NetworkParts.of(model, [node.name for node in detector.graph.nodes])
    if options.keep_float != AUTO:
        kept_parts(options.keep_float, parts.nodes, None)  # a typing error is told before the calibration
    chosen = train.limited(options.num_images)
    hw, fit = detector.input_hw, detector.input_format.fit
    inputs = (input_of(chosen.image(index), hw, fit)[None] for index in range(len(chosen)))
    calibration = calibrate(model, inputs, options.method)
    losses = None
    if options.keep_float == AUTO:
        compared = chosen.limited(NUM_COMPARED)
        losses = measure_losses(
            lambda names: quantised(model, calibration, [node for name in names for node in parts.nodes[name]]),
            parts.mac_shares,
            model,
            {**files, "detector.json": described},
            [compared.image(index) for index in range(len(compared))],
        )
    kept = kept_parts(options.keep_float, parts.nodes, losses)
    content = quantised(model, calibration, parts.without(kept))
    example = input_of(chosen.image(0), hw, fit)[None]
    report = {
        "calibration": {
            "part": "train",
            "num_images": calibration.num_images,
            "num_images_of_part": len(train),
            "choice": "evenly spaced",
            "method": options.method,
        },
        "keep_float": options.keep_float,
        "kept_float": list(kept),
        "mac_shares": {name: round(share, 4) for name, share in parts.mac_shares.items()},
        "losses": None
        if losses is None
        else {"num_images": losses.num_images, "all": losses.every, "alone": dict(losses.alone)},
        "bytes": {"fp32": len(model), "int8": len(content)},
        "onnxruntime_cpu_ms": {"fp32": cpu_ms(model, example), "int8": cpu_ms(content, example)},
        "threads": torch.get_num_threads(),
    }
    return {**files, MODEL: content, FLOAT_MODEL: model, CACHE: calibration.cache()}, report


def cpu_ms(model: bytes, image: np.ndarray) -> float:
    """Returns the median time of ONNX Runtime on this CPU for an input `(1, 3, H, W)`, in milliseconds."""
    session = open_session(model, threads=torch.get_num_threads())
    times = []
    for _ in range(NUM_TIMED + 3):
        began = time.perf_counter()
        session.run(None, {IMAGE: image})
        times.append(time.perf_counter() - began)
    return round(1000 * float(np.median(times[3:])), 3)
