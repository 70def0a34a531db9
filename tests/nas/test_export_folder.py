"""An exported folder needs nothing but itself: what is in it, that it is used elsewhere, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from nas.cli import main
from nas.commands.run import NO_FRONT
from nas.cost import cost_of
from search_space import DESIGNS, Architecture
from trainers import load_weights

DATA = str(Path(__file__).parents[1] / "data" / "hit_uav")
SMALL = ("--fix", "input_size=128", "--fix", "width=0.125", "--fix", "backbone=yolov8")


def call(*arguments: object) -> int:
    """Runs a command; returns its exit code."""
    try:
        main([str(each) for each in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert call(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two complete trials."""
    out = tmp_path_factory.mktemp("runs")
    settings = ("--budget-gflops", "0.05", "--batch", 2, "--threads", 1, "--rungs", "0.4", "--seed", 3)
    assert call("run", "--data", DATA, *settings, *SMALL, "--trials", 2, "--name", "small", "--out", out) in (
        0,
        NO_FRONT,
    )
    return out / "small"


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The most accurate member, exported and moved away from everything."""
    out = tmp_path_factory.mktemp("out") / "front"
    copy = out.with_name("copy")
    shutil.copytree(run, copy)
    assert call("export", copy, "--out", out, "--top", 1, "--device", "jetson-nano") == 0
    shutil.rmtree(copy)
    moved = tmp_path_factory.mktemp("elsewhere") / "given"
    shutil.move(out, moved)
    (member,) = [path for path in moved.iterdir() if path.is_dir() and path.name != "board"]
    return member


@pytest.mark.slow
def test_the_folder_says_what_it_holds(exported: Path) -> None:
    files = "README.md architecture.yaml cost.json detector.json model.onnx postprocess.py weights.safetensors"
    assert sorted(path.name for path in exported.iterdir()) == sorted(files.split())
    architecture = Architecture.from_yaml(exported / "architecture.yaml")
    told, cost = json.loads((exported / "cost.json").read_text()), cost_of(architecture, num_classes=4)
    assert exported.name == f"01-{architecture.key()}" and told["key"] == architecture.key()
    assert (told["macs"], told["flops_2x"], told["params"]) == (cost.macs, 2 * cost.macs, cost.params)
    assert told["latency"]["low_ms"] <= told["latency"]["predicted_ms"] <= told["latency"]["high_ms"]
    assert told["onnx"]["largest_relative_difference"] < 1e-4 and told["onnx"]["compared_on_images"] == 2
    card = (exported / "README.md").read_text()
    for words in (
        f"{cost.params:,}",
        "not measured",
        "Car",
        "after 0.333 epochs, seed 3",
        "--data",
        "torch 2",
        "opset 13",
    ):
        assert words in card
    assert onnx.load(exported / "model.onnx").graph.input[0].name == "image"


@pytest.mark.slow
def test_it_is_trained_scored_and_used_from_the_folder_alone(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    schedule = ("--data", DATA, "--epochs", 1, "--batch", 2, "--threads", 1)
    weights = ("--weights", exported / "weights.safetensors")
    assert call("train", exported / "architecture.yaml", *schedule, *weights, "--out", "trained") == 0
    for place in (exported, exported / "weights.safetensors", exported.parent, exported / "architecture.yaml"):
        capsys.readouterr()
        assert call("val", place, "--data", DATA, "--json") == 0
        ran = exported / ("model.onnx" if place.is_dir() else "weights.safetensors")
        assert json.loads(capsys.readouterr().out)["weights"] == str(ran)
    picture = next((Path(DATA) / "images").rglob("*.jpg"))
    assert call("predict", exported, picture, "--out", "drawn") == 0
    assert any(Path("drawn").iterdir())


@pytest.mark.slow
def test_safetensors_hold_the_weights_of_the_run(run: Path, exported: Path) -> None:
    kept = load_weights(run / "weights" / f"{exported.name.partition('-')[2]}.pt")
    given = load_weights(exported / "weights.safetensors")
    assert given.architecture == Architecture.from_dict(kept.architecture).to_dict() and given.classes == kept.classes
    assert given.state.keys() == kept.state.keys()
    assert all(torch.equal(given.state[name], kept.state[name]) for name in kept.state)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolov8n-p2-nop5", "tinydet-s"])
def test_a_design_is_exported_untrained(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("export", name, "--out", tmp_path / "out", "--input", 128, 128, "--num-classes", 2, "--json") == 0
    (member,) = json.loads(capsys.readouterr().out)["front"]
    architecture = DESIGNS.get(name).architecture.resized((128, 128))
    assert Architecture.from_yaml(member["path"]).key() == architecture.key() == member["key"]
    assert member["weights"] is None and "not trained" in (Path(member["path"]).parent / "README.md").read_text()
    assert (Path(member["path"]).parent / "second_stage.onnx").is_file() == (name == "tinydet-s")


@pytest.mark.slow
def test_limits_choose_members_and_say_when_none_is_left(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = fails(capsys, "export", run, "--out", tmp_path / "a", "--max-gflops", "0.000001")
    assert "the cheapest has" in line and not (tmp_path / "a").exists()
    assert "needs a run with --device" in fails(capsys, "export", run, "--out", tmp_path / "a", "--max-latency-ms", "9")
    assert call("export", run, "--out", tmp_path / "b", "--max-gflops", "1", "--format", "yaml") == 0
    assert not any(tmp_path.glob("b/*/*.onnx"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("yolov8n", "--top", "2"), "--top does not apply to one architecture"),
        (("RUN", "--num-classes", "2"), "--num-classes does not apply to the front of a run"),
        (("yolov8n", "--format", "tflite"), "allowed: yaml, onnx"),
        (("yolov8n", "--opset", "9"), "allowed: 13 to 20"),
        (("yolov8n", "--format", "yaml", "--opset", "15"), "--opset is of ONNX, and --format yaml writes none"),
        (("yolov8n", "--precision", "int4"), "allowed: fp32, fp16, int8"),
        (("tinydet-s", "--outputs", "decoded"), "--outputs raw"),
        (("yolov8", "--format", "yaml"), "did you mean 'yolov8"),
        (("yolov8n", "--weights", "none.pt"), "cannot read weights file"),
        (("ELSEWHERE",), "not the folder of a run"),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line_and_leaves_nothing(
    arguments: tuple[str, ...], said: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places: dict[str, Any] = {"RUN": run, "ELSEWHERE": tmp_path}
    first, *rest = arguments
    assert said in fails(capsys, "export", places.get(first, first), *rest, "--out", tmp_path / "out")
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_weights_of_another_architecture_are_refused(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = ("--weights", exported / "weights.safetensors")
    assert "belong to another architecture" in fails(capsys, "export", "yolov8n", *weights, "--out", tmp_path / "out")


def test_damaged_safetensors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "weights.safetensors"
    for content in (b"", b"\xff" * 64, (2**60).to_bytes(8, "little") + b"{}"):
        file.write_bytes(content)
        assert f"{file} " in fails(capsys, "val", file, "--data", DATA)
