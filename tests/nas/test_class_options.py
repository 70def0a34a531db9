"""`--classes`, `--merge` and `--other-classes` of the commands, and what weights trained so are evaluated on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import get_args

import click
import pytest
import yaml
from search_fakes import FakeEvaluator
from val_predict_fakes import DATA, FAST, run

import nas
from nas.api.evaluation_options import IGNORED
from nas.commands import val
from nas.config import read_config
from nas.data_state import open_data_of
from nas.data_words import OTHER_CLASSES_CHOICES
from nas.executors.training import TrainingSpec
from trainers import load_weights
from trainers.data.class_selection import OtherClasses
from trainers.data.splits import PARTS

SELECTION = ("--classes", "both,Car", "--merge", "both=Person,Bicycle", "--other-classes", "ignore")
STORED = {"select_classes": ["both,Car"], "merge": ["both=Person,Bicycle"], "other_classes": "ignore"}


def test_the_choices_of_the_options_are_those_of_the_library() -> None:
    assert OTHER_CLASSES_CHOICES == get_args(OtherClasses)
    choices = {each.name: each.type.choices for each in val.command.params if isinstance(each.type, click.Choice)}
    assert choices["part"] == PARTS and choices["ignored"] == IGNORED


def error_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Returns the one line that a command which must fail says."""
    capsys.readouterr()
    assert run(*arguments) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    fast = ("--input", 64, 64, "--batch", 3, "--epochs", 1, *FAST)
    assert run("train", "yolov8n-p2-nop5", "--data", DATA, "--out", out, *fast, *SELECTION) == 0
    return out


def test_a_training_keeps_its_selection(trained: Path) -> None:
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert {name: config[name] for name in STORED} == STORED
    assert load_weights(trained / "weights.pt").classes == ("both", "Car")


def test_a_resumed_training_has_the_same_selection(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--resume", trained, *SELECTION) == 0
    line = error_of(capsys, "train", "--resume", trained, "--classes", "Car")
    assert "--classes is Car, but" in line and "was started with both,Car" in line


@pytest.mark.parametrize("place", ["", "weights.pt"])
def test_val_applies_the_selection_of_the_training_to_data_of_all_classes(
    trained: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for data in ((), ("--data", DATA)):
        assert run("val", trained / place, *data, "--bootstrap", 0, "--json", *FAST) == 0
        said = capsys.readouterr()
        assert list(json.loads(said.out)["score"]["per_class"]) == ["both", "Car"]
        assert ("note: the weights were trained with --classes both,Car" in said.err) == bool(data)


def test_val_of_other_weights_names_the_classes_to_give(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("data", "convert", DATA, tmp_path / "set", "--to", "yolo", "--merge", "both=Person,Bicycle") == 0
    weights = shutil.copy(trained / "weights.pt", tmp_path / "weights.pt")
    line = error_of(capsys, "val", weights, "--data", tmp_path / "set", *FAST)
    assert line.endswith("next: --classes both,Car")
    assert run("val", weights, "--data", tmp_path / "set", "--classes", "both,Car", "--bootstrap", 0, *FAST) == 0
    assert error_of(capsys, "val", weights, "--data", DATA, *FAST).endswith("or --classes and --merge")


def test_an_unknown_class_is_one_line_that_lists_what_there_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    known = "unknown class 'Lorry'; known: Person, Car, Bicycle, OtherVehicle"
    for command in (
        ("run", "--budget-gflops", 1, "--out", tmp_path, "--data"),
        ("train", "yolov8n", "--out", tmp_path / "out", "--data"),
        ("inspect",),
        ("data", "check"),
        ("data", "convert", "--to", "coco", tmp_path / "out"),
    ):
        *before, last = command
        words = (*before[:2], DATA, *before[2:], last) if "convert" in command else (*command, DATA)
        line = error_of(capsys, *words, "--classes", "Car,Lorry")
        assert known in line and list(tmp_path.iterdir()) == []


def test_inspect_and_check_count_the_selected_classes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", DATA, *SELECTION, "--json") == 0
    assert "2 classes" in json.loads(capsys.readouterr().out)["source"]
    assert run("inspect", DATA, "--classes", "Car") == 0
    assert "--classes Car" in capsys.readouterr().out
    assert run("data", "check", DATA, *SELECTION, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["classes"] == ["both", "Car"] and report["num_ignored"] == 10


def test_a_run_its_resume_and_its_workers_have_the_same_selection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nas.executors.training.TrainingEvaluator", lambda *args, **kwargs: FakeEvaluator())
    quick = ("--data", DATA, "--fix", "input_size=128", "--fix", "block=c2f", "--budget-gflops", 0.4)
    assert run("run", *quick, *SELECTION, "--trials", 2, "--name", "a", "--out", tmp_path) == 0
    config = read_config(tmp_path / "a" / "config.yaml")
    assert config.classes == ("both", "Car") and list(config.select_classes) == STORED["select_classes"]
    assert "--classes both,Car --merge both=Person,Bicycle --other-classes ignore" in " ".join(config.data_words())
    spec = TrainingSpec.of(config)
    assert open_data_of(spec).val.classes == ("both", "Car") and spec.fingerprint == config.data_fingerprint
    assert spec.make() is not None
    assert run("run", "--resume", tmp_path / "a", *SELECTION, "--trials", 3) == 0
    line = error_of(capsys, "run", "--resume", tmp_path / "a", "--classes", "Car")
    assert "was started with --classes both,Car, got --classes Car" in line


def test_the_python_functions_take_lists_and_mappings(tmp_path: Path) -> None:
    found = nas.check_data(DATA, classes=["both"], merge={"both": ["Person", "Bicycle"]})
    assert found.classes == ("both",)
    training = nas.train(
        "yolov8n",
        DATA,
        out=tmp_path / "out",
        classes=["both"],
        merge={"both": ["Person", "Bicycle"]},
        input=(64, 64),
        batch=3,
        epochs=0.5,
        threads=1,
    )
    assert load_weights(training.weights).classes == ("both",)
    result = nas.evaluate(training, data=DATA, classes="both", merge={"both": "Person,Bicycle"}, bootstrap=0)
    assert list(result.score.per_class) == ["both"]
