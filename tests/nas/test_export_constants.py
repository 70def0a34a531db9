"""Numbers that are nearly 0 or 1 stay in an exported graph: the optimiser would remove them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnxscript import optimizer

from nas.exporters.folding import keep_small_numbers
from nas.exporters.onnx_model import OnnxOptions, difference, write_onnx
from search_space import DESIGNS, Detector, lower


def graph_of(operator: str, value: float, reader: str | None = None) -> onnx.ModelProto:
    """`operator` of an input `(1, 2, 3, 3)` and a scalar, which `reader` reads too."""
    number = helper.make_node("Constant", [], ["number"], value=helper.make_tensor("", TensorProto.FLOAT, [], [value]))
    nodes = [number, helper.make_node(operator, ["x", "number"], ["y"])]
    if reader is not None:
        nodes.append(helper.make_node(reader, ["y", "number"], ["z"]))
    shape = [1, 2, 3, 3]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", nodes[-1].output[0])]
    graph = helper.make_graph(nodes, "graph", ports[:1], ports[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in optimizer.optimize(model).graph.node]


@pytest.mark.parametrize(
    ("operator", "value"), [("Add", 1e-9), ("Sub", -1e-8), ("Mul", 1.000001), ("Div", 0.999999), ("Add", 1e-30)]
)
def test_a_number_that_changes_something_stays(operator: str, value: float) -> None:
    assert operators(graph_of(operator, value)) == ["Identity"]
    assert operators(keep_small_numbers(graph_of(operator, value))) == [operator]


@pytest.mark.parametrize(("operator", "value"), [("Add", 0.0), ("Mul", 1.0)])
def test_a_number_that_changes_nothing_is_removed(operator: str, value: float) -> None:
    assert operators(keep_small_numbers(graph_of(operator, value))) == ["Identity"]


def test_a_number_that_another_operator_reads_stays_a_scalar() -> None:
    """The bounds of a Clip have no dimension."""
    model = keep_small_numbers(graph_of("Add", 1e-9, reader="Clip"))
    assert list(model.graph.node[0].attribute[0].t.dims) == []
    onnx.checker.check_model(model, full_check=True)


def test_scores_of_picodet_near_zero_agree() -> None:
    """The head adds 1e-9 to squares of scores, which counts where these are as small."""
    torch.manual_seed(0)
    architecture = DESIGNS.get("picodet-xs").architecture.resized((64, 64))
    detector = Detector(lower(architecture, num_classes=3)).eval()
    sides = 4 * detector.reg_max
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if name.endswith("logits.bias"):
                parameter[sides:] = -18.0
    images = np.random.default_rng(0).uniform(size=(1, 3, 64, 64)).astype(np.float32)
    assert difference(detector, write_onnx(detector, OnnxOptions()), OnnxOptions(), images) < 1e-5
