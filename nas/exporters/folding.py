"""Rewrites for export that keep the outputs: fold scales and the input format into weights, replace splits."""

from __future__ import annotations

import math
from collections import defaultdict
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from search_space import Detector, InputFormat
from search_space.blocks.split import SplitConv
from search_space.deployed import with_replaced
from search_space.detector import InputConversion
from search_space.graph import IMAGE

if TYPE_CHECKING:
    import onnx


@torch.no_grad()
def fold_input_format(detector: Detector) -> Detector:
    """Returns a detector with the same outputs, of which only a mean is left to be subtracted from RGB from 0 to 1.

    The order of the channels, their range and the standard deviation become part of the first convolution, which is
    exact. A mean is not: the convolution pads the normalised image with zeros, which are the mean colour, while a bias
    would act as if it padded with black; outputs at the border would be wrong by up to two thirds of their scale. The
    mean stays as one subtraction before the convolution. Without a mean nothing is left.
    """
    source = detector.input_format
    plain = InputFormat(mean=_in_rgb(source, source.mean), fit=source.fit)
    if plain == source:
        return detector
    folded = deepcopy(detector)
    for node in folded.graph.nodes:
        if IMAGE in node.inputs and node.shares is None:
            weight = _first_convolution(folded.blocks[node.name]).weight
            scaled = weight * detector.convert.scale
            weight.copy_(scaled.flip(1) if source.channels == "bgr" else scaled)
    folded.graph = replace(folded.graph, input_format=plain)
    folded.input_format, folded.convert = plain, InputConversion(plain).to(detector.convert.scale.device)
    return folded


def _in_rgb(source: InputFormat, values: tuple[float, ...]) -> tuple[float, ...]:
    """Returns one value per channel of a format for RGB from 0 to 1."""
    ordered = values[::-1] if source.channels == "bgr" else values
    return tuple(value / source.value_range for value in ordered)


def _first_convolution(block: nn.Module) -> nn.Conv2d:
    return next(module for module in block.modules() if isinstance(module, nn.Conv2d))


def without_splits(detector: Detector) -> Detector:
    """Returns a detector with the same outputs in which no convolution is followed by a split of its channels.

    Each 1x1 of C2f, C3k2 and C2PSA becomes two, which have the halves of its rows: the same weights and multiply-adds.
    A split is an operator of its own on most boards, and copies its map.
    """
    return with_replaced(detector, SplitConv, SplitConv.unsplit)


NEUTRAL = (0.0, 1.0)
"""Numbers that change nothing where they are added or multiplied."""
ELEMENTWISE = ("Add", "Sub", "Mul", "Div")


def keep_small_numbers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Gives numbers that are nearly 0 or 1 a dimension, so that the optimiser of onnxscript does not remove them.

    It compares with tolerances: it removes the addition of a scalar up to 1e-8 and the multiplication by one that is
    within 1e-5 of 1. Only scalars that are just added or multiplied are changed, where the dimension has no effect.
    """
    readers: dict[str, list[Any]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    scalars = [(each.name, each) for each in model.graph.initializer]
    scalars += [
        (node.output[0], attribute.t)
        for node in model.graph.node
        for attribute in node.attribute
        if node.op_type == "Constant" and attribute.name == "value"
    ]
    for name, tensor in scalars:
        if not tensor.dims and _nearly_neutral(float(_Folder._array(tensor))) and _only_computed_with(name, readers):
            tensor.dims.append(1)
    return model


def _nearly_neutral(value: float) -> bool:
    return value not in NEUTRAL and any(math.isclose(value, each, rel_tol=1e-4, abs_tol=1e-7) for each in NEUTRAL)


def _only_computed_with(name: str, readers: dict[str, list[Any]]) -> bool:
    """Whether only elementwise operators read a number, directly or converted."""
    return all(
        _only_computed_with(node.output[0], readers)
        if node.op_type in ("Cast", "Identity")
        else node.op_type in ELEMENTWISE
        for node in readers[name]
    )


def fold_scales(model: onnx.ModelProto) -> onnx.ModelProto:
    """Removes multiplications by a constant scalar from an ONNX graph if only convolutions read their result.

    The convolutions may read the scaled map directly or through a concatenation; their weights for its channels are
    scaled instead. A scale that another operator also reads, such as an addition, stays.
    """
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    channels = {
        info.name: info.type.tensor_type.shape.dim[1].dim_value
        for info in (*graph.value_info, *graph.input, *graph.output)
        if len(info.type.tensor_type.shape.dim) == 4
    }
    folder = _Folder(model.graph, channels)
    for node in list(model.graph.node):
        folder.fold(node)
    return model


class _Folder:
    """One graph, with the readers of each map."""

    def __init__(self, graph: Any, channels: dict[str, int]) -> None:
        self.graph, self.channels = graph, channels
        self.weights = {each.name: each for each in graph.initializer}
        self.readers: dict[str, list[Any]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self.readers[name].append(node)
        self.results = {each.name for each in graph.output}

    def fold(self, node: Any) -> None:
        """Folds one node if it is a scale that can be folded."""
        found = self._scale(node)
        if found is None:
            return
        source, factor = found
        slices = self._slices(node.output[0], self.channels.get(node.output[0], 0))
        if slices is None:
            return
        for weight, start, stop in slices:
            self._scale_weight(weight, start, stop, factor)
        for reader in self.readers.pop(node.output[0]):
            for index, name in enumerate(reader.input):
                if name == node.output[0]:
                    reader.input[index] = source
            self.readers[source].append(reader)
        self.readers[source].remove(node)
        self.graph.node.remove(node)

    def _scale(self, node: Any) -> tuple[str, float] | None:
        """Returns the input and the factor of a node that multiplies by a scalar, otherwise None."""
        if node.op_type not in ("Mul", "Div") or node.output[0] in self.results:
            return None
        for source, other in ((0, 1), (1, 0)) if node.op_type == "Mul" else ((0, 1),):
            number = self.weights.get(node.input[other])
            if number is not None and int(np.prod(number.dims)) == 1:
                value = float(self._array(number).reshape(()))
                return node.input[source], value if node.op_type == "Mul" else 1 / value
        return None

    def _slices(self, name: str, width: int) -> list[tuple[Any, int, int]] | None:
        """Returns the weights that read a map and their channel ranges; None if other operators read it too."""
        slices: list[tuple[Any, int, int]] = []
        if not width:
            return None
        for reader in self.readers[name]:
            parts = self._parts(reader, name, width)
            if parts is None:
                return None
            slices += parts
        return slices

    def _parts(self, reader: Any, name: str, width: int) -> list[tuple[Any, int, int]] | None:
        if reader.op_type == "Conv":
            return self._of_convolution(reader, 0, width)
        if reader.op_type != "Concat" or reader.output[0] in self.results or list(reader.input).count(name) != 1:
            return None
        if next(each.i for each in reader.attribute if each.name == "axis") != 1:
            return None
        widths = [self.channels.get(each, 0) for each in reader.input]
        if not all(widths):
            return None
        start = sum(widths[: list(reader.input).index(name)])
        found: list[tuple[Any, int, int]] = []
        for convolution in self.readers[reader.output[0]]:
            parts = self._of_convolution(convolution, start, start + width) if convolution.op_type == "Conv" else None
            if parts is None:
                return None
            found += parts
        return found

    def _of_convolution(self, node: Any, start: int, stop: int) -> list[tuple[Any, int, int]] | None:
        groups = next((each.i for each in node.attribute if each.name == "group"), 1)
        weight = self.weights.get(node.input[1])
        if groups != 1 or weight is None or len(self.readers[node.input[1]]) != 1:
            return None
        return [(weight, start, stop)]

    def _scale_weight(self, weight: Any, start: int, stop: int, factor: float) -> None:
        from onnx import numpy_helper

        values = self._array(weight).copy()
        values[:, start:stop] *= np.asarray(factor, values.dtype)
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))

    @staticmethod
    def _array(weight: Any) -> np.ndarray:
        from onnx import numpy_helper

        return np.asarray(numpy_helper.to_array(weight))
