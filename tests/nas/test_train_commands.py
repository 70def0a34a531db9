"""The commands train, val and predict, run through the entry point."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from nas.cli import main
from trainers import load_weights

DATA = Path(__file__).parent.parent / "data" / "hit_uav"
IMAGE = DATA / "images" / "val" / "1_80_60_0_04719.jpg"


def run(*arguments: object) -> int:
    """Returns the exit code of `nas` with these arguments."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def train(out: Path, *more: object) -> int:
    design = "yolov8n-p2-nop5"
    fast = ("--input", 64, 64, "--batch", 3, "--epochs", 1, "--threads", 1)
    return run("train", design, "--data", DATA, "--out", out, *fast, *more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    assert train(out) == 0
    return out


def test_train_writes_everything(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names == {"weights.pt", "last.pt", "history.csv", "config.yaml", "architecture.yaml", "results.json"}
    results = json.loads((trained / "results.json").read_text())
    assert results["images_seen"] == 6 and set(results["score"]["per_class"]) >= {"Person", "Car"}
    assert yaml.safe_load((trained / "config.yaml").read_text())["batch_size"] == 3
    header, row = (trained / "history.csv").read_text().splitlines()
    assert header.startswith("epoch,step") and row.startswith("1,2,")


def test_a_second_training_needs_resume(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (trained / "results.json").read_text()
    assert train(trained) == 2
    assert "holds a training already; add --resume" in capsys.readouterr().err
    assert train(trained, "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["score"] == json.loads(before)["score"]
    assert train(trained, "--resume", "--seed", 5) == 2


def test_train_from_weights_and_yaml(trained: Path, tmp_path: Path) -> None:
    weights = trained / "weights.pt"
    fast = ("--batch", 3, "--epochs", 0.5, "--threads", 1, "--data", DATA, "--out", tmp_path / "out")
    assert run("train", trained / "architecture.yaml", "--weights", weights, "--lr", 1e-12, *fast) == 0
    before, after = load_weights(weights).state, load_weights(tmp_path / "out" / "weights.pt").state
    kernels = [name for name, value in before.items() if value.ndim == 4]
    assert kernels and all(torch.allclose(before[name], after[name], atol=1e-6) for name in kernels)


def test_val_repeats_the_score_of_the_training(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("val", trained / "weights.pt", "--data", DATA, "--batch", 3, "--threads", 1, "--json") == 0
    score = json.loads(capsys.readouterr().out)["score"]
    assert score == json.loads((trained / "results.json").read_text())["score"]


def test_val_refuses_other_classes(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("val", trained / "weights.pt") == 2
    assert "same classes" in capsys.readouterr().err


def test_predict_draws_and_lists(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pictures"
    arguments = ("predict", trained / "weights.pt", IMAGE, "--out", out, "--score", 0, "--threads", 1, "--json")
    assert run(*arguments) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["image"] == str(IMAGE) and len(listed["detections"]) > 0
    assert {"class", "score", "box"} == set(listed["detections"][0])
    assert [path.name for path in out.iterdir()] == [f"{IMAGE.stem}.png"]


def test_predict_with_a_missing_image_writes_nothing(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pictures"
    assert run("predict", trained / "weights.pt", IMAGE, tmp_path / "none.jpg", "--out", out) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "none.jpg" in error and not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "yolov8n-p2-nop"), "did you mean 'yolov8n-p2-nop5'"),
        (("train", "nowhere.yaml"), "no architecture file nowhere.yaml"),
        (("train", "yolov8n-p2-nop5", "--input", 65, 64), "multiple of"),
        (("train", "yolov8n-p2-nop5", "--epochs", -1), "epochs is -1"),
        (("train", "yolov8n-p2-nop5", "--data", "nowhere"), "no data set at nowhere"),
        (
            ("train", "tinydet-s", "--data", DATA),
            "a head of kind 'two_stage' can be built and counted, but not trained",
        ),
        (
            ("train", "ssd-mobilenetv1", "--data", DATA),
            "a head of kind 'ssd' can be built and counted, but not trained",
        ),
        (("val", "nowhere.pt"), "cannot read weights file"),
        (("predict", "nowhere.pt", "a.jpg"), "cannot read weights file"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    arguments: tuple[object, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert "a head of kind" not in error or error.count("\n") == 1, "said before any data is read"
    assert list(tmp_path.iterdir()) == []
