"""Non-maximum suppression inside an ONNX file: the nodes after decoded boxes and scores, which give what is found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from search_space.errors import ConfigError
from trainers.heads.reading import LEAST_SCORE, NUM_CANDIDATES, NUM_READ
from trainers.suppression import NMS_IOU

if TYPE_CHECKING:
    import onnx

NmsOperator = Literal["onnx", "efficient"]
NMS_OPERATORS: tuple[NmsOperator, ...] = ("onnx", "efficient")
"""The operator NonMaxSuppression of ONNX, or the plug-in EfficientNMS_TRT of TensorRT."""
FOUND = ("boxes", "scores", "labels")
"""Outputs of a file with suppression inside: `(1, N, 4)` px, `(1, N)` and `(1, N)`, all 32-bit floats."""
EFFICIENT = ("num_detections", "detection_boxes", "detection_scores", "detection_classes")
"""Outputs of the plug-in: `(1, 1)` integers, `(1, N, 4)` px, `(1, N)`, and `(1, N)` integers."""
ALL = ("all_boxes", "all_scores")
"""The boxes and scores before suppression inside the file."""
PREFIX = "suppress_"
METADATA = "detector"
"""Key of the file's metadata that holds the content of `detector.json`."""


def outputs_of(suppression: NmsOperator) -> tuple[str, ...]:
    """Returns the names of the outputs of a file with suppression inside."""
    return EFFICIENT if suppression == "efficient" else FOUND


def with_suppression(content: bytes, suppression: NmsOperator, num_classes: int) -> bytes:
    """Returns an ONNX file that suppresses what a file with decoded outputs finds, as `nas predict` does.

    One class for each position, the 1000 best of them, suppression within each class at IoU 0.6, and the 300 best of
    what is left. Rows after the last detection have a score of 0. All shapes are fixed, because TensorRT gives outputs
    of unknown size in another way.

    Args:
        content: file with the outputs `boxes (1, A, 4)` and `scores (1, A, num_classes)`.
        suppression: the operator that is used.
        num_classes: number of classes.
    """
    import onnx

    model = onnx.load_from_string(content)
    for node in model.graph.node:
        node.output[:] = [dict(zip(FOUND, ALL, strict=False)).get(name, name) for name in node.output]
    num_boxes = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    del model.graph.output[:]
    tail = _Tail(model, num_boxes, num_classes)
    tail.write_efficient() if suppression == "efficient" else tail.write_operator()
    onnx.checker.check_model(model, full_check=suppression == "onnx")
    return bytes(model.SerializeToString())


def without_suppression(content: bytes) -> bytes:
    """Returns the inverse of `with_suppression`: a file with the outputs before suppression, `ALL`."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load_from_string(content)
    kept = [node for node in model.graph.node if not node.name.startswith(PREFIX)]
    if len(kept) == len(model.graph.node):
        return content
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend(kept)
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ALL)
    return bytes(model.SerializeToString())


def with_description(content: bytes, described: Mapping[str, Any]) -> bytes:
    """Returns an ONNX file with the content of `detector.json` in its metadata, so that it can be read alone."""
    import onnx

    model = onnx.load_from_string(content)
    onnx.helper.set_model_props(model, {METADATA: json.dumps(described)})
    return bytes(model.SerializeToString())


def check_suppression(head: str, suppression: NmsOperator | None, *, one_to_one: bool) -> None:
    """Raises ConfigError if a head has no boxes to suppress in a graph, or needs no suppression."""
    if head == "two_stage":
        raise ConfigError(
            "the outputs of a two-stage head cannot be suppressed inside ONNX, because the second stage comes first; "
            "next: --outputs raw, and postprocess.py to decode them"
        )
    if one_to_one and suppression is not None:
        raise ConfigError("--nms does not apply to a head that needs no NMS; drop it")


class _Tail:
    """Adds nodes and constants to a graph."""

    def __init__(self, model: onnx.ModelProto, num_boxes: int, num_classes: int) -> None:
        self.model, self.graph, self.num_classes = model, model.graph, num_classes
        self.num_candidates = min(NUM_CANDIDATES, num_boxes)
        self.num_found = min(NUM_READ, self.num_candidates)

    def constant(self, name: str, values: Any, kind: Any = np.float32) -> str:
        """Adds a constant and returns its name."""
        from onnx import numpy_helper

        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values, kind), PREFIX + name))
        return PREFIX + name

    def node(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> str:
        """Adds a node and returns the name of its first output."""
        from onnx import helper

        name = f"{PREFIX}{outputs[0]}"
        self.graph.node.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return outputs[0]

    def output(self, name: str, shape: Sequence[int], kind: int) -> None:
        """Declares an output of the file."""
        from onnx import helper

        self.graph.output.append(helper.make_tensor_value_info(name, kind, shape))

    def write_operator(self) -> None:
        """Adds NonMaxSuppression.

        Its result has an unknown number of rows. They set a mask over the candidates, whose number is fixed.
        """
        from onnx import TensorProto

        boxes, scores, labels = self._candidates()
        table = self.node("Mul", (self._one_hot(labels), scores), (PREFIX + "table",))  # (1, classes, candidates)
        limits = (
            self.constant("most", [self.num_found], np.int64),
            self.constant("iou", [NMS_IOU]),
            self.constant("least", [LEAST_SCORE]),
        )
        rows = self.node("NonMaxSuppression", (boxes, table, *limits), (PREFIX + "rows",))
        third = self.constant("third", [2], np.int64)
        places = self.node("Gather", (rows, third), (PREFIX + "places",), axis=1)  # (kept, 1)
        ones = self.node("Mul", (places, self.constant("zero", [0], np.int64)), (PREFIX + "zeros",))
        ones = self.node("Cast", (ones,), (PREFIX + "float_zeros",), to=TensorProto.FLOAT)
        ones = self.node("Add", (ones, self.constant("one", [1])), (PREFIX + "ones",))
        flat = self.node("Reshape", (ones, self.constant("row", [-1], np.int64)), (PREFIX + "flat_ones",))
        empty = self.constant("empty", np.zeros(self.num_candidates))
        mask = self.node("ScatterND", (empty, places, flat), (PREFIX + "mask",))
        kept = self.node("Mul", (scores, mask), (PREFIX + "kept",))
        best = PREFIX + "best"
        self._top(kept, self.num_found, "scores", best)
        self._rows(boxes, best, "boxes")
        self.node("Cast", (self._picked(labels, best, "found_labels"),), ("labels",), to=TensorProto.FLOAT)
        for name, shape in zip(FOUND, ((4,), (), ()), strict=True):
            self.output(name, (1, self.num_found, *shape), TensorProto.FLOAT)

    def write_efficient(self) -> None:
        """Adds the plug-in EfficientNMS_TRT, which TensorRT finds by its name."""
        from onnx import TensorProto, helper

        boxes, scores, labels = self._candidates()
        table = self.node("Mul", (self._one_hot(labels), scores), (PREFIX + "table",))
        rows = self.node("Transpose", (table,), (PREFIX + "columns",), perm=(0, 2, 1))  # (1, candidates, classes)
        self.node(
            "EfficientNMS_TRT", (boxes, rows), EFFICIENT, domain="TRT", plugin_version="1", background_class=-1,
            box_coding=0, score_activation=0, score_threshold=LEAST_SCORE, iou_threshold=NMS_IOU,
            max_output_boxes=self.num_found,
        )  # fmt: skip
        self.model.opset_import.append(helper.make_opsetid("TRT", 1))
        kinds = (TensorProto.INT32, TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT32)
        shapes = ((1, 1), (1, self.num_found, 4), (1, self.num_found), (1, self.num_found))
        for name, shape, kind in zip(EFFICIENT, shapes, kinds, strict=True):
            self.output(name, shape, kind)

    def _candidates(self) -> tuple[str, str, str]:
        """Adds the best class of each position; returns boxes, scores and labels of the best positions."""
        one = self.constant("one_class", [1], np.int64)
        self.node("TopK", (ALL[1], one), (PREFIX + "top_scores", PREFIX + "top_classes"), axis=2, largest=1, sorted=1)
        shape = self.constant("table_shape", [1, -1], np.int64)
        scores = self.node("Reshape", (PREFIX + "top_scores", shape), (PREFIX + "best_scores",))
        best = self.node("Reshape", (PREFIX + "top_classes", shape), (PREFIX + "classes",))
        places = PREFIX + "candidates"
        candidates = self._top(scores, self.num_candidates, PREFIX + "scores", places)
        return self._rows(ALL[0], places, PREFIX + "boxes"), candidates, self._picked(best, places, "labels")

    def _top(self, values: str, number: int, found: str, places: str) -> str:
        count = self.constant(f"number_{found}", [number], np.int64)
        return self.node("TopK", (values, count), (found, places), axis=1, largest=1, sorted=1)

    def _rows(self, table: str, places: str, found: str) -> str:
        """Adds the rows of a table `(1, N, 4)` at places `(1, n)`."""
        flat = self._flat(places)
        return self.node("Gather", (table, flat), (found,), axis=1)

    def _picked(self, values: str, places: str, found: str) -> str:
        """Adds the elements of `(1, N)` at places `(1, n)`."""
        return self.node("Gather", (values, self._flat(places)), (PREFIX + found,), axis=1)

    def _flat(self, places: str) -> str:
        name = f"{places}_flat"
        if not any(name in node.output for node in self.graph.node):
            self.node("Reshape", (places, self.constant(f"row_{places}", [-1], np.int64)), (name,))
        return name

    def _one_hot(self, labels: str) -> str:
        """Adds a table `(1, classes, N)` that is 1 at the class `(1, N)` of each position."""
        from onnx import TensorProto

        numbers = self.constant("classes_column", np.arange(self.num_classes)[None, :, None], np.int64)
        same = self.node("Equal", (numbers, labels), (PREFIX + "same",))
        return self.node("Cast", (same,), (PREFIX + "one_hot",), to=TensorProto.FLOAT)
