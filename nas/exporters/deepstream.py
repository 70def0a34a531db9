"""Configuration of DeepStream's element nvinfer for an ONNX file with suppression inside.

The keys are those of NVIDIA's documentation of Gst-nvinfer. It computes `net-scale-factor * (x - offset)` of each
channel of a frame. The exported input is RGB from 0 to 1 for every input format, so that the factor is 1/255 and the
offsets are 0; a mean and a standard deviation are part of the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONFIG, LABELS, PARSER = "config_infer.txt", "labels.txt", "parse_boxes.cpp"
SCORE = 0.25
"""Lowest score of a detection, as that of `nas predict`."""
NETWORK_MODES = {"fp32": 0, "int8": 1, "fp16": 2}
"""Of the engine that nvinfer builds, which is in half precision."""
PADDING = (
    "nvinfer pads a letterboxed frame with black, and this detector was trained with grey (114); frames with the shape "
    "of the input have no padding"
)
SCALING = "nvinfer reduces frames bilinearly (scaling-filter=1), and this detector was trained with means over areas"
DEEP = "nvinfer reads frames of 8 bits, and this detector was trained on images of more; the configuration is left out"


def deepstream_notes(described: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns what nvinfer cannot do as `nas predict` does it, given the content of `detector.json`."""
    if "pixel_range" in described:
        return (DEEP,)
    return (PADDING, SCALING) if described["fit"] == "letterbox" else (SCALING,)


def deepstream_files(described: Mapping[str, Any]) -> dict[str, str]:
    """Returns the configuration and the names of the classes by file name.

    There are none for a detector of images of more than 8 bits, whose values nvinfer cannot scale.
    """
    if "pixel_range" in described:
        return {}
    return {CONFIG: _config(described), LABELS: "\n".join(map(_label, described["classes"])) + "\n"}


def _config(described: Mapping[str, Any]) -> str:
    letterbox = described["fit"] == "letterbox"
    height, width = described["input_hw"]
    settings = {
        "gpu-id": 0,
        "gie-unique-id": 1,
        "process-mode": 1,
        "network-type": 0,
        "onnx-file": "model.onnx",
        "model-engine-file": "model.onnx_b1_gpu0_fp16.engine",
        "labelfile-path": LABELS,
        "num-detected-classes": len(described["classes"]),
        "batch-size": 1,
        "network-mode": NETWORK_MODES["fp16"],
        "infer-dims": f"3;{height};{width}",
        "net-scale-factor": repr(1 / 255),
        "offsets": "0;0;0",
        "model-color-format": 0,
        "maintain-aspect-ratio": int(letterbox),
        **({"symmetric-padding": 1} if letterbox else {}),
        "scaling-filter": 1,
        "cluster-mode": 4,
        "parse-bbox-func-name": "NvDsInferParseBoxes",
        "custom-lib-path": "libparse_boxes.so",
    }
    lines = [
        "# Of Gst-nvinfer. Boxes are suppressed in the network, so that nothing is clustered (cluster-mode 4).",
        f"# {PARSER} says how libparse_boxes.so is built. network-mode: 0 is fp32, 1 int8, 2 fp16.",
        *(f"# Note: {note}." for note in deepstream_notes(described)),
        "",
        "[property]",
        *(f"{key}={value}" for key, value in settings.items()),
        "",
        "[class-attrs-all]",
        f"pre-cluster-threshold={SCORE:g}",
    ]
    return "\n".join(lines) + "\n"


def _label(name: str) -> str:
    """Returns the name of a class as one line; nvinfer splits a line at semicolons."""
    return "".join(letter if letter.isprintable() else " " for letter in name).replace(";", ",")
