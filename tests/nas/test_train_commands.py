"""The commands train, val and predict, run through the entry point."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
import yaml

from nas.api.train_request import training_settings
from nas.cli import main
from trainers import load_weights
from trainers.steps import TrainingRun

DATA = Path(__file__).parent.parent / "data" / "hit_uav"
WRITTEN = {
    "weights.pt",
    "last.pt",
    "history.csv",
    "results.png",
    "config.yaml",
    "architecture.yaml",
    "results.json",
    "lock",
}
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
    assert {path.name for path in trained.iterdir()} == WRITTEN
    results = json.loads((trained / "results.json").read_text())
    assert results["images_seen"] == 6 and set(results["score"]["per_class"]) >= {"Person", "Car"}
    assert (results["best_epoch"], results["ended_by"], results["broken_images"]) == (1.0, "schedule", 0)
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["data"] == str(DATA) and config["training"]["batch_size"] == 3 and "torch" in config["versions"]
    header, row = (trained / "history.csv").read_text().splitlines()
    assert header.startswith("epoch,step,learning_rate,loss,loss_box,") and row.startswith("1,2,")
    assert (trained / "results.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_second_training_needs_resume(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (trained / "results.json").read_text()
    assert train(trained) == 2
    assert f"holds a training already; continue it with --resume {trained}" in capsys.readouterr().err
    assert run("train", "--resume", trained, "--json") == 0
    assert json.loads(capsys.readouterr().out)["score"] == json.loads(before)["score"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", 7), "--epochs is 7, but"),
        (("--seed", 5), "--seed is 5, but"),
        (("--batch", 6), "--batch is 6, but"),
        (("--tile-chance", 0.5), "--tile-chance is 0.5, but"),
        (("--pretrained", "x.pt"), "was started without it; omit it"),
        (("--epochs", 1, "--set", "epochs=1"), "--epochs and --set epochs are the same setting; give one"),
        (("--input", 128, 128), "started with --input 64 64"),
        (("--data", "elsewhere"), "no data set at"),
        (("--out", "elsewhere"), "is resumed; omit --out"),
        (("--set", "ema_decay=0.5"), "ema_decay is 0.5, but"),
        (("yolov8n",), "another architecture than yolov8n"),
    ],
)
def test_resuming_refuses_what_differs(
    trained: Path, arguments: tuple[object, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "config.yaml").read_text()
    assert run("train", "--resume", trained, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert (trained / "config.yaml").read_text() == before


@pytest.mark.slow
def test_resuming_takes_what_is_equal_and_what_may_change(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    again = ("yolov8n-p2-nop5", "--data", DATA, "--batch", 3, "--input", 64, 64, "--out", copy, "--seed", 0)
    assert run("train", *again, "--resume", copy, "--workers", 2, "--patience", 4, "--set", "checkpoint_steps=9") == 0
    training = yaml.safe_load((copy / "config.yaml").read_text())["training"]
    assert (training["num_readers"], training["patience"], training["checkpoint_steps"]) == (2, 4, 9)


def test_resuming_from_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--resume", tmp_path) == 2
    assert "has no training to resume" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_after_the_step_and_resuming_gives_the_same(
    trained: Path,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    begin, out = TrainingRun.begin_step, tmp_path / "out"

    def interrupted(run: TrainingRun, step: int, **more: bool) -> None:
        begin(run, step, **more)
        signal.raise_signal(number)

    before, usual = signal.getsignal(number), signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "begin_step", interrupted)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background, it is ignored
        assert train(out) == code
        signal.signal(signal.SIGINT, usual)
    lines = [line for line in capsys.readouterr().err.splitlines() if "interrupted" in line]
    assert lines == [f"nas: interrupted; resume with: nas train --resume {out}"]
    assert signal.getsignal(number) is before and not (out / "weights.pt").exists()
    assert run("train", "--resume", out) == 0
    whole, resumed = (load_weights(folder / "weights.pt").state for folder in (trained, out))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    assert (out / "history.csv").read_text() == (trained / "history.csv").read_text()


@pytest.mark.slow
def test_every_option_of_the_training_reaches_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorboard")
    options = {
        "accumulate": 2,
        "copy_paste": 0.5,
        "flip_vertical": 0.5,
        "hue": 0.1,
        "mosaic": 0.2,
        "nwd": 0.5,
        "patience": 3,
        "precision": "float32",
        "saturation": 0.3,
        "seed": 4,
        "tile": 0.5,
        "turn": 0.5,
    }
    given = [part for name, value in options.items() for part in (training_settings()[name].option, value)]
    more = (
        "--set",
        "clip_norm=5",
        "--set",
        "augmentation.scale=0.1",
        "--tensorboard",
        "--batch",
        2,
        "--workers",
        3,
        "--eval-tile",
    )
    assert train(tmp_path / "out", *given, *more) == 0
    config = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    training = config["training"]
    assert {name: {**training, **training["augmentation"]}[name] for name in options} == options
    assert (training["clip_norm"], training["augmentation"]["scale"], training["num_readers"]) == (5, 0.1, 3)
    assert training["eval_tile"] is True and config["tensorboard"] is True
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "out")).Reload()
    assert {"train/loss", "train/loss_box", "train/learning_rate", "val/ap50"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("val/ap_small")] == [3]


def test_without_tensorboard_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert train(tmp_path / "out", "--tensorboard") == 2
    error = capsys.readouterr().err
    assert "pip install 'pyramidnas[train]'" in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_without_matplotlib_one_note_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert train(tmp_path / "out", "--mosaic", 0) == 0
    error = capsys.readouterr().err
    assert error.count("pip install 'pyramidnas[train]'") == 1 and "note: results.png needs matplotlib" in error
    assert {path.name for path in (tmp_path / "out").iterdir()} == WRITTEN - {"results.png"}


@pytest.mark.slow
def test_pretrained_weights_give_what_fits(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--pretrained", trained, "--input", 64, 64, "--threads", 1, "--epochs", 0.02)
    out = tmp_path / "out"
    assert run("train", "yolov8n-p2-nop5", *arguments, "--lr", 1e-12, "--out", out, "--eval-every", 0) == 0
    notice = capsys.readouterr().err.split("pretrained: ")[1].splitlines()[0]
    shares = [float(share) for share in re.findall(r"([\d.]+)%", notice)]
    assert len(shares) == 2 and all(90 < share < 100 for share in shares), "all but the other classes"
    before, after = load_weights(trained / "weights.pt").state, load_weights(out / "weights.pt").state
    first = next(name for name, value in before.items() if value.ndim == 4)
    assert torch.allclose(before[first], after[first], atol=1e-6)


@pytest.mark.slow
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


def test_val_takes_the_data_of_the_training(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("val", trained, "--batch", 3, "--threads", 1, "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["score"] == json.loads((trained / "results.json").read_text())["score"]
    assert f"no --data given: using the data of {trained}" in said.err


def test_val_refuses_other_classes(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(trained / "weights.pt", tmp_path)
    assert run("val", tmp_path / "weights.pt") == 2, "of weights that lie in no training nothing is known"
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
        (("train", "yolov8n-p2-nop5", "--epochs", -1), "--epochs is -1"),
        (("train", "yolov8n", "--epochs", "nan"), "--epochs is nan; it must be a finite number"),
        (("train", "yolov8n", "--epochs", "inf"), "--epochs is inf; it must be a finite number"),
        (("train", "yolov8n", "--epochs", "1e300"), "--epochs is 1e+300; it must be above 0 and at most 1,000,000"),
        (("train", "yolov8n", "--seed", 10**30), "--seed is 1000000000000000000000000000000; it must be from 0 to"),
        (("train", "yolov8n", "--batch", 0), "--batch is 0"),
        (("train", "yolov8n", "--workers", 0), "--workers is 0"),
        (("train", "yolov8n", "--workers", 10**9), "--workers is 1000000000; it must be from 1 to 256"),
        (("train", "yolov8n", "--lr", -1), "--lr is -1"),
        (("train", "yolov8n", "--input", 1000000, 1000000), "input side 1000000 must be at most 8192"),
        (
            ("train", "yolov8n", "--set", "augmentation.scale=x"),
            "augmentation.scale is 'x'; it must be a finite number",
        ),
        (("train", "yolov8n", "--set", "ema_decay=nan"), "ema_decay is nan; it must be a finite number"),
        (("train", "yolov8n", "--set", "augmentation=3"), "augmentation is 3; it must be a mapping"),
        (("train", "yolov8n", "--set", "checkpoint_steps=1.5"), "checkpoint_steps is 1.5; it must be a whole number"),
        (("train", "yolov8n", "--set", "eval_tile=1"), "--eval-tile is 1; it must be true or false"),
        (("train", "yolov8n", "--set", "learning_rate=[1]"), "--lr is a list; it must be a finite number or empty"),
        (("train", "yolov8n", "--epochs", 2, "--set", "epochs=1"), "--epochs and --set epochs are the same setting"),
        (
            ("train", "yolov8n", "--weights", "a.pt", "--pretrained", "b.pt"),
            "--weights and --pretrained exclude each other",
        ),
        (("train", "yolov8n", "--tile", 0.5), "--tile of this command is --tile-chance now"),
        (("train", "yolov8n", "--device", "tpu9"), "unknown device 'tpu9'"),
        (("train", "yolov8n", "--images", "x"), "--images x needs a data set"),
        (("train", "yolov8n", "--out", "/dev/null"), "--out /dev/null is a file"),
        (("train", "yolov8n-p2-nop5", "--data", "nowhere"), "no data set at nowhere"),
        (("train",), "give an architecture"),
        (("train", "yolov8n", "--batch", 6, "--accumulate", 4), "--accumulate is 4; it must be a divisor of the 6"),
        (("train", "yolov8n", "--set", "clip"), "give NAME=VALUE"),
        (("train", "yolov8n", "--set", "ema=1"), "unknown training setting 'ema'; did you mean 'ema_ramp'"),
        (("train", "yolov8n", "--set", "seed.a=1"), "seed is one value"),
        (("train", "yolov8n", "--set", "augmentation.flips=1"), "did you mean 'flip'"),
        (("train", "yolov8n", "--precision", "half"), "--precision is 'half'; it must be one of auto"),
        (("train", "yolov8n", "--patience", -1), "patience is -1"),
        (("train", "--resume", "nowhere"), "has no training to resume"),
        (("val", "nowhere.pt"), "cannot read weights file"),
        (("val", "nowhere.pt", "--seed", -1), "-1 is not in the range"),
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
    assert arguments[0] != "train" or error.count("\n") == 1, "said before any data is read"
    assert list(tmp_path.iterdir()) == []
