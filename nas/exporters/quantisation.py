"""Static quantisation of exported ONNX files to INT8 by ONNX Runtime, in the form that TensorRT reads.

QuantizeLinear and DequantizeLinear (QDQ) stand before the inputs of convolutions, matrix products and additions.
Activations have one symmetric scale a tensor and weights one a channel, with a zero point of 0; biases stay floats. The
weights are stored as floats with a pair of their own, because TensorRT 8 reads no INT8 weights.
"""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from search_space.errors import ConfigError, check_known
from search_space.graph import IMAGE

if TYPE_CHECKING:
    import onnx

METHODS = ("minmax", "percentile", "entropy")
QUANTISED = ("Conv", "Gemm", "MatMul", "Add")
"""Types of operators whose inputs are quantised."""
OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "AddQDQPairToWeight": True,
    "DedicatedQDQPair": True,
    "QuantizeBias": False,
    "OpTypesToExcludeOutputQuantization": list(QUANTISED),
}
PERCENTILE = 99.99
CACHE_HEADER = "TRT-8201-EntropyCalibration2"
"""First line of a calibration cache: the release of TensorRT (that of JetPack 4.6) and the calibrator of trtexec."""


@dataclass(frozen=True, kw_only=True)
class CalibrationRanges:
    """The ranges of the maps of a network, measured on images."""

    method: str
    num_images: int
    ranges: Mapping[str, tuple[float, float]]
    """Least and largest value by the name of the tensor."""
    data: Any
    """The same as `onnxruntime.quantization` takes it."""

    def cache(self) -> bytes:
        """Returns the calibration cache that `trtexec --calib` reads: the symmetric scale of each tensor.

        A line is the name of a tensor and the bits of its scale, a 32-bit float, as hexadecimal digits. Tensors that
        are always 0 are left out.
        """
        lines = [CACHE_HEADER]
        for name, (low, high) in self.ranges.items():
            scale = max(abs(low), abs(high)) / 127
            if 0 < scale < float("inf"):
                lines.append(f"{name}: {struct.pack('>f', scale).hex()}")
        return ("\n".join(lines) + "\n").encode()


def calibrate(model: bytes, images: Iterable[np.ndarray], method: str) -> CalibrationRanges:
    """Runs an ONNX file on images and measures the range of each map.

    Args:
        model: the ONNX file in fp32.
        images: inputs `(1, 3, H, W)`, 32-bit floats from 0 to 1.
        method: `minmax`: all values; `percentile`: all but the largest 0.01 % in absolute value; `entropy`: the range
            that loses the least information.

    Raises:
        ConfigError: ONNX Runtime is not installed, the method is unknown, or a map is constant and the method needs a
            histogram.
    """
    check_known("--calibration-method", method, METHODS, ConfigError)
    tools = _tools()
    count = 0
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        path = Path(folder) / "model.onnx"
        path.write_bytes(model)
        calibrator = tools.create_calibrator(
            str(path),
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method={
                "minmax": tools.CalibrationMethod.MinMax,
                "percentile": tools.CalibrationMethod.Percentile,
                "entropy": tools.CalibrationMethod.Entropy,
            }[method],
            extra_options={"percentile": PERCENTILE, "symmetric": method == "percentile"},
        )
        for image in images:
            try:
                calibrator.collect_data(_OneImage(image))  # one at a time: all maps of an image are held at once
            except ValueError as error:  # a histogram of a map that is constant
                raise ConfigError(
                    f"--calibration-method {method} cannot measure a map ({error}); next: --calibration-method minmax"
                ) from None
            count += 1
        data = calibrator.compute_data()
    ranges = {name: tuple(float(np.ravel(end)[0]) for end in each.range_value) for name, each in data.items()}
    return CalibrationRanges(method=method, num_images=count, ranges=ranges, data=data)  # type: ignore[arg-type]


class _OneImage:
    """A `CalibrationDataReader` of one image."""

    def __init__(self, image: np.ndarray) -> None:
        self._feeds = iter([{IMAGE: image}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)

    def __iter__(self) -> _OneImage:
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        return next(self._feeds)


def quantised(model: bytes, calibration: CalibrationRanges, nodes: Collection[str]) -> bytes:
    """Returns an ONNX file in which the named nodes have quantised inputs.

    Args:
        model: the ONNX file in fp32 that was calibrated.
        calibration: the ranges of its maps.
        nodes: names of nodes; see `quantisable`.

    Raises:
        ConfigError: ONNX Runtime is not installed.
    """
    if not nodes:
        return model
    tools = _tools()
    import onnx

    loaded = onnx.shape_inference.infer_shapes(onnx.load_from_string(model))
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # the quantiser warns of each tensor that it leaves as it is, on the root logger
    try:
        quantiser = tools.QDQQuantizer(
            loaded,
            True,
            False,
            tools.QuantType.QInt8,
            tools.QuantType.QInt8,
            calibration.data,
            sorted(nodes),
            [],
            list(QUANTISED),
            dict(OPTIONS),
        )
        quantiser.quantize_model()
        quantiser.model.topological_sort()
    finally:
        root.setLevel(level)
    content: bytes = quantiser.model.model.SerializeToString()
    return content


def _tools() -> Any:
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise ConfigError(
            f"ONNX Runtime is not installed ({error}); next: pip install 'pyramidnas[onnx]', or --precision fp16"
        ) from None
    return quantization


@dataclass(frozen=True, kw_only=True)
class NetworkParts:
    """The nodes of an exported network that can be quantised, in parts that can be kept in floats."""

    nodes: Mapping[str, tuple[str, ...]]
    """Names of nodes by part, in the order of the network; each node is in one part."""
    mac_shares: Mapping[str, float]
    """Share of the multiply-adds of the convolutions by part, 0 to 1."""

    @classmethod
    def of(cls, model: bytes, blocks: Sequence[str]) -> NetworkParts:
        """Finds the parts of an ONNX file.

        `first`: the convolutions that read the image. `attention`: products of two maps. `predictors`: the last
        convolutions before the outputs. `decoding`: what follows them, in a graph with decoded outputs, such as the
        product with the softmax of the box distribution. All others are in parts with the names of their `blocks`.

        Args:
            model: the ONNX file in fp32.
            blocks: names of the nodes of the detector's graph.
        """
        import onnx

        graph = onnx.load_from_string(model).graph
        constants = {each.name for each in graph.initializer}
        constants |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
        leads = _leads_to_convolution(graph)
        scopes = _scopes(graph, set(blocks))
        parts: dict[str, list[str]] = {}
        for node, scope in zip(graph.node, scopes, strict=True):
            if node.op_type not in QUANTISED or all(name in constants for name in node.input):
                continue
            maps = [name for name in node.input[:2] if name not in constants]
            if node.op_type != "Conv" and node.op_type != "Gemm" and node.name not in leads:
                part = "decoding"
            elif node.op_type == "Conv" and node.name not in leads:
                part = "predictors"
            elif node.op_type == "MatMul" and len(maps) == 2:
                part = "attention"
            elif node.op_type == "Conv" and _reads_image(graph, maps[0]):
                part = "first"
            else:
                part = scope
            parts.setdefault(part, []).append(node.name)
        macs = _macs(model)
        total = max(1, sum(macs.values()))
        return cls(
            nodes={name: tuple(each) for name, each in parts.items()},
            mac_shares={name: sum(macs.get(node, 0) for node in each) / total for name, each in parts.items()},
        )

    def without(self, kept: Collection[str]) -> tuple[str, ...]:
        """Returns the nodes of all parts but those that are kept in floats."""
        return tuple(node for name, nodes in self.nodes.items() if name not in kept for node in nodes)


def _macs(model: bytes) -> dict[str, int]:
    """Returns the multiply-adds of each convolution by the name of its node."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model)).graph
    shapes = {
        each.name: [size.dim_value for size in each.type.tensor_type.shape.dim]
        for each in (*graph.value_info, *graph.output)
    }
    weights = {each.name: list(each.dims) for each in graph.initializer}
    return {
        node.name: int(np.prod(shapes.get(node.output[0], [0]))) * int(np.prod(weights[node.input[1]][1:]))
        for node in graph.node
        if node.op_type == "Conv" and node.input[1] in weights
    }


def _leads_to_convolution(graph: onnx.GraphProto) -> set[str]:
    """Returns the nodes whose result reaches another convolution."""
    needed: set[str] = set()
    found = set()
    for node in reversed(graph.node):
        if any(name in needed for name in node.output):
            found.add(node.name)
            needed.update(node.input)
        elif node.op_type == "Conv":
            needed.update(node.input)
    return found


def _scopes(graph: onnx.GraphProto, blocks: set[str]) -> list[str]:
    """Returns the block of each node: that in its names, else that of the node before it."""
    found, before = [], "other"
    for node in graph.node:
        words = [word for name in (node.output[0], *node.input[1:]) for word in name.replace("/", ".").split(".")]
        before = next((word for word in words if word in blocks), before)
        found.append(before)
    return found


def _reads_image(graph: onnx.GraphProto, name: str) -> bool:
    """Returns whether a map is the image, or the image minus its mean."""
    if name == IMAGE:
        return True
    node = next((node for node in graph.node if name in node.output), None)
    return node is not None and node.op_type == "Sub" and IMAGE in node.input
