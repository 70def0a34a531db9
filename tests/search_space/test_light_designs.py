"""The reference designs of the YOLO family against golden counts, trained for a few steps, exported and told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nas import explain, reproduce
from nas.cost import cost_of
from nas.cost.conventions import params_folded
from nas.cost.counting import count_module
from nas.exporters.onnx_model import OnnxOptions, difference, write_onnx
from search_space import DESIGNS, Architecture, SearchSpace
from search_space.blocks.cib import C2fCIBLarge
from search_space.designs.references import REFERENCES
from trainers import fresh_detector
from trainers.assigners import Objects
from trainers.heads import HeadOptions, head_training
from trainers.heads.one_to_many import add_one_to_many

NAMES = ("yolov6-n", "yolo11n", "yolov10n", "yolo26n", "yolo26n-p2")
LIGHT = json.loads((Path(__file__).parents[1] / "data" / "light_golden.json").read_text())
ROWS = [row for row in LIGHT["designs"] if row["design"] in NAMES]
SPACE = SearchSpace()
WANTED = Objects(
    boxes=torch.tensor([[8.0, 8.0, 40.0, 32.0], [20.0, 4.0, 60.0, 50.0]]),
    labels=torch.tensor([1, 0]),
    images=torch.tensor([0, 1]),
)
NOTHING = Objects(boxes=torch.zeros(0, 4), labels=torch.zeros(0).long(), images=torch.zeros(0).long())


def architecture_of(name: str, side: int = 64) -> Architecture:
    return DESIGNS.get(name).architecture.resized((side, side))


def test_each_design_has_rows_and_is_marked_as_a_reference() -> None:
    assert {row["design"] for row in ROWS} == set(NAMES)
    assert all(DESIGNS.get(name).reference for name in NAMES)
    assert REFERENCES["yolo11n"] == DESIGNS.get("yolo11n").architecture


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['design']}-{row['num_classes']}")
def test_counts_are_golden(row: dict[str, Any]) -> None:
    architecture, num_classes = DESIGNS.get(row["design"]).architecture, row["num_classes"]
    cost = cost_of(architecture, num_classes=num_classes, input_hw=tuple(row["input_hw"]))
    assert (cost.params, cost.macs) == (row["params"], row["macs"])
    assert cost.macs_trained == row.get("macs_unmerged", row["macs"])
    assert cost.params_deployed == row.get("params_rep_merged", cost.params_deployed)
    assert params_folded(architecture, num_classes) == row["params_conv_bn_folded"]
    if "params_training" in row:
        told = explain(architecture, num_classes=num_classes)
        assert told.params + told.one_to_many_params == row["params_training"]


def test_the_large_kernel_has_the_counts_of_the_authors_code() -> None:
    (row,) = (row for row in LIGHT["blocks"] if row["block"] == "C2fCIB(64,64,1,T,lk=T)")
    with torch.device("meta"):
        count = count_module(C2fCIBLarge(64, 64), tuple(row["input_chw"]))
    assert (count.params, count.macs_trained, count.macs) == (row["params"], row["macs"], row["macs_deployed"])


@pytest.mark.parametrize("name", NAMES)
def test_a_design_is_a_point_and_survives_a_file(name: str, tmp_path: Path) -> None:
    architecture = DESIGNS.get(name).architecture
    assert SPACE.decode(SPACE.encode(architecture)) == architecture
    architecture.to_yaml(tmp_path / "a.yaml")
    assert Architecture.from_yaml(tmp_path / "a.yaml") == architecture


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_on_one_batch_reduce_the_loss(name: str) -> None:
    detector = fresh_detector(architecture_of(name), num_classes=3, seed=0).train()
    add_one_to_many(detector)
    training = head_training(detector, HeadOptions())
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.Adam(detector.parameters(), lr=2e-3)
    totals = []
    for _ in range(6):
        loss = training.loss(detector, images, WANTED, NOTHING).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        totals.append(loss.item())
    assert np.isfinite(totals).all() and totals[-1] < 0.9 * totals[0]
    assert all(parameter.grad is not None for parameter in detector.parameters())


def _lively(module: nn.Module) -> None:
    """Gives each batch norm statistics and gains of its own, so that a wrong merge is seen."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(norm.running_var, 0.5, 1.5)  # type: ignore[arg-type]
            nn.init.uniform_(norm.weight, 0.5, 1.5)


@pytest.mark.parametrize("name", NAMES)
def test_onnx_agrees(name: str) -> None:
    detector = fresh_detector(architecture_of(name), num_classes=3, seed=0)
    _lively(detector)
    images = np.random.default_rng(0).random((2, 3, 64, 64), dtype=np.float32)
    assert difference(detector.eval(), write_onnx(detector, OnnxOptions()), OnnxOptions(), images) < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_published_counts_are_compared(name: str) -> None:
    told = reproduce(name, check_fvcore=False)
    counts = [row for row in told.published if row.convention is not None]
    assert counts and all(row.as_printed or row.reason == row.note != "" for row in counts)
    assert all(abs(row.deviation_percent or 0) < 1.2 for row in counts)
