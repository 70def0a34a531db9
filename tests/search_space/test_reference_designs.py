"""All reference designs: points of the space, trained for a few steps, exported and told by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from short_training import assert_learns
from torch import nn

from nas.cli import group
from nas.exporters.onnx_model import OnnxOptions, difference, write_onnx
from search_space import DESIGNS, Architecture, Detector, SearchSpace
from trainers import fresh_detector
from trainers.heads.one_to_many import add_one_to_many

NAMES = [name for name in DESIGNS if DESIGNS.get(name).reference]
SPACE = SearchSpace()


def small(name: str) -> Detector:
    architecture = DESIGNS.get(name).architecture.resized((64, 64))
    return fresh_detector(architecture, num_classes=3, seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_design_is_a_point_and_survives_a_file(name: str, tmp_path: Path) -> None:
    architecture = DESIGNS.get(name).architecture
    assert SPACE.decode(SPACE.encode(architecture)) == architecture
    architecture.to_yaml(tmp_path / "a.yaml")
    assert Architecture.from_yaml(tmp_path / "a.yaml") == architecture


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_on_one_batch_reduce_the_loss(name: str) -> None:
    detector = small(name)
    add_one_to_many(detector)
    assert_learns(detector)


@pytest.mark.parametrize("name", NAMES)
def test_onnx_agrees(name: str) -> None:
    detector = small(name)
    for norm in detector.modules():  # statistics and gains of their own, so that a wrong merge is seen
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(norm.running_var, 0.5, 1.5)  # type: ignore[arg-type]
            nn.init.uniform_(norm.weight, 0.5, 1.5)
    images = np.random.default_rng(0).random((2, 3, 64, 64), dtype=np.float32)
    assert difference(detector.eval(), write_onnx(detector, OnnxOptions()), OnnxOptions(), images) < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_a_design_is_told_by_name(name: str) -> None:
    for command in ("reproduce", "explain"):
        result = CliRunner().invoke(group, [command, name, "--json"])
        assert result.exit_code == 0, result.output
