"""`nas train --teacher` and `nas.train(teacher=...)`."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import cells, distillation
from nas.api.train import train
from nas.api.train_results import Training
from nas.cli import main
from search_space.errors import ConfigError
from trainers import load_weights
from trainers.settings import SettingError

DATA = Path(__file__).parent.parent / "data" / "hit_uav"
FAST: dict[str, Any] = {"input": (64, 64), "batch": 3, "epochs": 1, "threads": 1}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Training:
    return train("yolov8n", DATA, out=tmp_path_factory.mktemp("runs") / "teacher", **FAST)


@pytest.fixture(scope="module")
def taught(teacher: Training, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Of a design with other levels; the teacher is given as an object."""
    out = tmp_path_factory.mktemp("runs") / "taught"
    return train("yolov8n-p2-nop5", DATA, teacher=teacher, out=out, distill_confidence=0.0, **FAST)


def test_the_teacher_is_in_the_record(teacher: Training, taught: Training) -> None:
    used = taught.teacher
    assert used is not None and used.weights == teacher.weights.resolve()
    assert used.architecture == teacher.architecture.key()
    assert used.fingerprint == load_weights(teacher.weights).fingerprint()
    assert 0 < used.seconds <= taught.seconds
    record = json.loads((taught.folder / "results.json").read_text())["teacher"]
    assert record == {
        "weights": str(used.weights),
        "architecture": used.architecture,
        "fingerprint": used.fingerprint,
        "seconds": used.seconds,
    }
    assert yaml.safe_load((taught.folder / "config.yaml").read_text())["teacher"] == str(teacher.weights)
    (line,) = [line for line in taught.notices if line.startswith("teacher: ")]
    assert "stride 8, 16," in line and "box distributions" in line
    assert {"loss_distilled_classes", "loss_distilled_boxes"} <= set(taught.history.columns)


def test_without_a_teacher_nothing_of_it_is_written(teacher: Training) -> None:
    assert teacher.teacher is None and "teacher" not in json.loads((teacher.folder / "results.json").read_text())
    assert "teacher" not in yaml.safe_load((teacher.folder / "config.yaml").read_text())


def test_a_finished_training_is_resumed_with_its_teacher_alone(
    teacher: Training, taught: Training, tmp_path: Path
) -> None:
    folder, moved = tmp_path / "taught", tmp_path / "moved.pt"
    shutil.copytree(taught.folder, folder)
    shutil.copy(teacher.weights, moved)
    again = train(resume=folder, teacher=moved)
    assert again.teacher is not None and taught.teacher is not None
    assert (again.teacher.weights, again.teacher.seconds) == (moved.resolve(), taught.teacher.seconds)
    with pytest.raises(ConfigError, match="resume with the original weights of the teacher"):
        train(resume=folder, teacher=taught.weights)
    moved.unlink()
    with pytest.raises(ConfigError, match="moved.pt"):
        train(resume=folder)


def test_what_does_not_fit_leaves_no_folder(teacher: Training, tmp_path: Path) -> None:
    for out, more, words in (
        ("ssd", {"architecture": "ssd-mobilenetv1-s1l0", "input": (260, 260), "teacher": teacher.folder}, "'ssd'"),
        ("few", {"teacher": teacher.weights, "select_classes": ("Car",)}, "give a teacher for the classes of the data"),
        ("none", {"teacher": tmp_path / "none.pt"}, "cannot read weights file"),
    ):
        given = {"architecture": "yolov8n-p2-nop5", "data": DATA, **FAST, **more}
        with pytest.raises(ConfigError, match=words):
            train(**given, out=tmp_path / out)
        assert not (tmp_path / out).exists()


def test_settings_of_distillation_need_a_teacher(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="there is no teacher") as refusal:
        train("yolov8n", DATA, out=tmp_path / "out", distill_weight=2.0, **FAST)
    assert refusal.value.setting == "distill_weight" and not (tmp_path / "out").exists()


def test_the_command_prints_the_time_of_the_teacher(
    teacher: Training, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = ["--input", "64", "64", "--batch", "3", "--epochs", "1", "--threads", "1", "--data", str(DATA)]
    with contextlib.suppress(SystemExit):
        main(["train", "yolov8n", "--teacher", str(teacher.folder), *fast, "--out", str(tmp_path / "out")])
    assert "the predictions of the teacher took" in capsys.readouterr().out


# --- benchmarks/distillation.py


def test_rows_of_the_benchmark_differ_in_width_alone() -> None:
    teacher, alone, taught = (distillation.detector_of(row, 256) for row in ("teacher", "alone", "taught"))
    assert alone == taught and teacher.head.levels == alone.head.levels
    costs = [distillation.cost_of(each, num_classes=4).gmacs for each in (teacher, alone)]
    assert 0.9 < costs[0] < 1.1 and costs[1] < 0.25


def test_the_table_of_the_benchmark(tmp_path: Path) -> None:
    scores = {"ap50": 0.4, "ap": 0.2, "ap_small": 0.1, "cpu_seconds": 10.0, "teacher_share": 0.0}
    for row, seed in (("teacher", 0), ("alone", 0), ("alone", 1), ("taught", 1)):
        cells.write_cell(tmp_path, row, seed, {"gmacs": 0.2, "images": 100, **scores, "ap": 0.2 + seed / 10})
    options = argparse.Namespace(out=tmp_path, seeds=[0, 1], rows=["alone", "taught"])
    heading, _, *lines = distillation.table(options).splitlines()
    assert len({line.count("|") for line in (heading, *lines)}) == 1
    assert [line.split(" | ")[0] for line in lines] == ["| teacher", "| without a teacher", "| with the teacher"]
    assert "| 2 | 0.200 | 100 | 40.00 ± 0.00 | 25.00 ± 7.07 |" in lines[1]
