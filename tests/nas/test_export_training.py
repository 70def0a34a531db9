"""`nas export` of the folder that `nas train` writes."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from val_predict_fakes import DATA, FAST, run

import nas
from trainers import load_weights

CLASSES = ("--classes", "Car,Person")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    fast = ("--input", 64, 64, "--batch", 3, "--epochs", 1, *FAST)
    assert run("train", "yolov8n-p2-nop5", "--data", DATA, "--out", out, *fast, *CLASSES) == 0
    return out


def error_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert run(*arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_the_folder_of_a_training_is_exported_with_its_weights_and_data(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("export", trained, "--out", tmp_path / "out", "--format", "yaml") == 0
    said = capsys.readouterr().out
    assert "1 with trained weights" in said and said.rstrip().endswith(shlex.join(["--data", str(DATA), *CLASSES]))
    (weights,) = (tmp_path / "out").glob("*/weights.safetensors")
    assert load_weights(weights).classes == ("Car", "Person")
    assert f"The training in {trained}" in (weights.parent / "README.md").read_text().replace("\\", "")
    assert json.loads((weights.parent / "cost.json").read_text())["input_hw"] == [64, 64]


def test_python_takes_the_folder_too(trained: Path, tmp_path: Path) -> None:
    (member,) = nas.export(trained, out=tmp_path / "out", formats="yaml").front
    assert member.weights is not None and member.data == ("--data", str(DATA), *CLASSES)


def test_a_training_without_weights_and_other_weights_are_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = error_of(capsys, "export", trained, "--out", tmp_path / "out", "--weights", trained / "weights.pt")
    assert "--weights does not apply to the training in" in line
    assert "--top does not apply to one architecture" in error_of(
        capsys, "export", trained, "--out", tmp_path / "out", "--top", 2
    )
    begun = tmp_path / "begun"
    begun.mkdir()
    for name in ("architecture.yaml", "config.yaml"):
        shutil.copy(trained / name, begun)
    line = error_of(capsys, "export", begun, "--out", tmp_path / "out")
    assert line.endswith(f"has no weights yet; next: nas train --resume {begun}") and not (tmp_path / "out").exists()
