"""Write one entry as a folder: architecture, cost, weights, ONNX files and model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.cost import Cost, cost_of
from nas.cost.latency import LatencyModel
from nas.exporters.artefact_accuracy import MeasurementData, measured_accuracy
from nas.exporters.card import card
from nas.exporters.deepstream import PARSER, deepstream_files, deepstream_notes
from nas.exporters.entry import ExportEntry
from nas.exporters.int8_files import FLOAT_MODEL, quantise_files
from nas.exporters.onnx_detector import DESCRIPTION, MODEL
from nas.exporters.onnx_model import Exportable, OnnxOptions, SecondStage, difference, write_onnx
from nas.exporters.onnx_suppression import NMS_OPERATORS, outputs_of, with_description
from search_space import Detector
from search_space.errors import ConfigError
from trainers import save_weights
from trainers.detect import evaluation_mode
from trainers.heads import head_training
from trainers.heads.reading import NUM_READ

ARCHITECTURE, COST, WEIGHTS, CARD = "architecture.yaml", "cost.json", "weights.safetensors", "README.md"
MAX_DIFFERENCE = {"fp32": 1e-4, "fp16": 5e-2}
"""Largest allowed difference of ONNX from PyTorch, relative to an output's scale, by precision.

A larger difference is an error for trained weights and only reported for initial weights: in a deep network their
activations can nearly vanish, and a norm then amplifies rounding errors.
"""


def write_entry(
    folder: Path,
    entry: ExportEntry,
    *,
    formats: Sequence[str],
    options: OnnxOptions,
    device: LatencyModel | None = None,
    images: np.ndarray | None = None,
    data: MeasurementData | None = None,
) -> dict[str, Any]:
    """Writes an entry into an existing, empty folder and returns the content of its `cost.json`.

    Args:
        formats: `yaml` and `onnx`.
        device: Predicts the latency; None leaves it out.
        images: `(B, 3, H, W)` 32-bit floats from 0 to 1 to compare ONNX with PyTorch; None uses noise.
        data: Images to measure the accuracy of ONNX and of PyTorch on, if there are trained weights; None: no
            measurement.

    Raises:
        ConfigError: ONNX cannot be written, or differs from PyTorch.
    """
    cost = cost_of(entry.architecture, num_classes=len(entry.classes), device=device)
    report: dict[str, Any] = {"name": entry.name, **cost_report(entry, cost, device)}
    entry.architecture.to_yaml(folder / ARCHITECTURE)
    if entry.weights is not None:
        save_weights(
            folder / WEIGHTS,
            entry.weights.state,
            entry.architecture.to_dict(),
            entry.classes,
            entry.pixel_range,
            entry.weights.suppression,
        )
    if "onnx" in formats:
        report["onnx"] = _write_onnx(folder, entry, options, images, data)
        if data is not None and entry.weights is not None:
            models = {"onnx_fp32": folder / FLOAT_MODEL} if options.precision == "int8" else {}
            report["accuracy"] = measured_accuracy(
                entry.detector(), {**models, "onnx": folder / MODEL}, data, entry.weights.suppression
            )
    (folder / COST).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (folder / CARD).write_text(card(entry, report), encoding="utf-8")
    return report


def cost_report(entry: ExportEntry, cost: Cost, device: LatencyModel | None) -> dict[str, Any]:
    """Returns the cost of an entry: exact integers, units in the names."""
    latency = cost.latency
    return {
        "key": entry.architecture.key(),
        "input_hw": list(entry.architecture.input_hw),
        "num_classes": len(entry.classes),
        "head": entry.architecture.head.kind,
        **_tiles(entry),
        "macs": cost.macs,
        "flops_2x": 2 * cost.macs,
        "macs_trained": cost.macs_trained,
        "params": cost.params,
        "params_deployed": cost.params_deployed,
        "weight_bytes_fp32": cost.weight_bytes,
        "memory_bytes_fp32": cost.memory_bytes,
        "latency": None
        if latency is None or device is None
        else {
            "device": device.profile.name,
            "predicted_ms": latency.latency_ms,
            "low_ms": latency.low_ms,
            "high_ms": latency.high_ms,
            "confidence": device.confidence,
        },
    }


def _tiles(entry: ExportEntry) -> dict[str, Any]:
    """Returns the tiles of a frame as plain data, and their number; nothing where a frame is not cut."""
    grid = entry.architecture.tiles
    if grid.count == 1:
        return {}
    return {"tiles": {"columns": grid.columns, "rows": grid.rows, "overlap": grid.overlap}, "passes": grid.count}


def _write_onnx(
    folder: Path, entry: ExportEntry, options: OnnxOptions, images: np.ndarray | None, data: MeasurementData | None
) -> dict[str, Any]:
    detector = entry.detector()
    files = write_onnx(detector, options)
    if images is None:
        height, width = detector.input_hw
        images = np.random.default_rng(0).random((1, 3, height, width), dtype=np.float32)
    apart = _checked_difference(entry, detector, files, options, images)
    described = description(detector, entry.classes, options)
    described |= {name: value for name, value in _tiles(entry).items() if name == "tiles"}
    if entry.pixel_range is not None:
        described["pixel_range"] = list(entry.pixel_range)
    if entry.weights is not None and entry.weights.suppression.changes():
        described["suppression"] = entry.weights.suppression.changes()
    notes = _write_deepstream(folder, described) if options.form == "boxes" else {}
    if options.form == "boxes":
        files[MODEL] = with_description(files[MODEL], described)
    description_text = json.dumps(described, indent=2) + "\n"
    report: dict[str, Any] = {
        "opset": options.opset,
        "precision": options.precision,
        "outputs": options.form,
        "largest_relative_difference": apart,
        "compared_on_images": len(images),
        **notes,
    }
    if options.precision == "int8":
        assert data is not None
        files, report["int8"] = quantise_files(detector, files, description_text.encode(), data.splits.train, data.int8)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "postprocess.py").write_bytes(kit_file("postprocess.py"))
    (folder / DESCRIPTION).write_text(description_text)
    return {"files": {name: len(content) for name, content in files.items()}, **report}


def _write_deepstream(folder: Path, described: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the configuration of DeepStream; returns what it cannot express, for the report."""
    for name, text in deepstream_files(described).items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / PARSER).write_bytes(kit_file("deepstream", PARSER))
    return {"deepstream_notes": list(deepstream_notes(described))}


def _checked_difference(
    entry: ExportEntry, detector: Detector, files: Mapping[str, bytes], options: OnnxOptions, images: np.ndarray
) -> float:
    """Returns the difference of ONNX from PyTorch; raises ConfigError where that of trained weights is too large."""
    written = "fp32" if options.precision == "int8" else options.precision
    apart = difference(detector, files, options, images)
    if not apart <= MAX_DIFFERENCE[written] and entry.weights is not None:
        other = "another --opset" if written == "fp32" else "--precision fp32"
        raise ConfigError(
            f"{entry.name}: ONNX in {written} differs from PyTorch by {apart:.2g} of an output's scale, "
            f"allowed: {MAX_DIFFERENCE[written]:g}; next: {other}, or --format yaml"
        )
    return apart


def kit_file(*path: str) -> bytes:
    """Returns the content of a file of the kit, which exports copy unchanged."""
    return resources.files("nas.exporters").joinpath("kit", *path).read_bytes()


def description(detector: Detector, classes: Sequence[str], options: OnnxOptions) -> dict[str, Any]:
    """Returns the content of `detector.json`, which `postprocess.py` needs to decode the outputs."""
    options = options if options.precision == "fp32" else replace(options, precision="fp32")  # the shapes are the same
    found: dict[str, Any] = {
        "head": detector.head,
        "outputs": options.form,
        "classes": list(classes),
        "input_hw": list(detector.input_hw),
        "fit": detector.input_format.fit,
        "strides": list(detector.strides),
    }
    with evaluation_mode(detector):
        outputs = detector(torch.zeros(1, 3, *detector.input_hw))
        exportable = Exportable(detector, options)
        exported = exportable(torch.zeros(1, 3, *detector.input_hw))
    found["output_names"] = list(exportable.names)
    found["output_shapes"] = [list(each.shape) for each in exported]
    if detector.head == "two_stage":
        found["second_stage_shape"] = [outputs[-2].shape[1], SecondStage(detector).num_features]
    if options.form != "boxes":
        return found | head_training(detector).described(outputs)
    found["nms"] = False
    if not detector.one_to_one:
        suppression, most = options.nms or NMS_OPERATORS[0], min(NUM_READ, exported[0].shape[1])
        shapes = [[1, most, 4], [1, most], [1, most]]
        found["nms_operator"] = suppression
        found["output_names"] = list(outputs_of(suppression))
        found["output_shapes"] = [[1, 1], *shapes] if suppression == "efficient" else shapes
    return found
