"""The range of images of more than 8 bits is kept with what was trained, and is used wherever it reads images."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

import nas
from nas.api.train_results import Training
from nas.config import read_config
from nas.engine.run_request import RunRequest
from nas.engine.session import begin, reopen_data, resumed
from nas.executors.training import TrainingSpec
from search_space.errors import ConfigError, DataError
from tests.nas.val_predict_fakes import make_weights, run
from trainers import load_weights, save_weights
from trainers.data import read_rgb
from trainers.settings import SettingError
from trainers.weights import read_torch

DATA = Path(__file__).parents[1] / "data"
THERMAL, PLAIN = DATA / "cases" / "10-16-bit-flat", DATA / "hit_uav"
FRAME = THERMAL / "images" / "val" / "val0.tiff"
RANGE = (7200.0, 7546.0)
STATED = "values 7200 to 7546 become 0 to 255"
DESIGN = "yolov8n-p2-nop5"
FAST: dict[str, Any] = {"input": (64, 64), "batch": 2, "epochs": 1, "threads": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Training:
    return nas.train(DESIGN, THERMAL, out=tmp_path_factory.mktemp("runs") / "thermal", **FAST)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of the same classes with other values."""
    folder = tmp_path_factory.mktemp("data") / "other"
    for path in sorted(THERMAL.rglob("*")):
        target = folder / path.relative_to(THERMAL)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".tiff":
            cv2.imwrite(str(target), cv2.imread(str(path), cv2.IMREAD_UNCHANGED) + 1000)
        elif path.is_file():
            target.write_bytes(path.read_bytes())
    return folder


def test_a_training_states_and_keeps_the_range(trained: Training) -> None:
    assert any(STATED in each for each in trained.notices)
    assert yaml.safe_load((trained.folder / "config.yaml").read_text())["pixel_range"] == list(RANGE)
    assert load_weights(trained.weights).pixel_range == RANGE
    assert read_torch(trained.folder / "last.pt", "checkpoint")["pixel_range"] == list(RANGE)


def test_a_resume_has_the_same_range_and_takes_no_other(trained: Training) -> None:
    assert nas.train(resume=trained.folder).train_fingerprint == trained.train_fingerprint
    assert nas.train(resume=trained.folder, range=RANGE).train_fingerprint == trained.train_fingerprint
    with pytest.raises(SettingError, match=r"^range is 0 1, but .* was started with 7200 7546;") as caught:
        nas.train(resume=trained.folder, range=(0.0, 1.0))
    assert caught.value.setting == "range"


def test_a_training_with_a_given_range_and_one_on_its_data(trained: Training, tmp_path: Path) -> None:
    given = nas.train(DESIGN, THERMAL, range=(7000, 8000), out=tmp_path / "given", **FAST)
    assert load_weights(given.weights).pixel_range == (7000, 8000)
    assert given.train_fingerprint != trained.train_fingerprint
    again = nas.train(given.folder / "architecture.yaml", out=tmp_path / "again", from_scratch=True, **FAST)
    assert load_weights(again.weights).pixel_range == (7000, 8000)


def test_images_of_8_bits_leave_no_key(tmp_path: Path) -> None:
    trained = nas.train(DESIGN, PLAIN, out=tmp_path / "plain", **FAST)
    assert "pixel_range" not in yaml.safe_load((trained.folder / "config.yaml").read_text())
    assert "pixel_range" not in read_torch(trained.folder / "last.pt", "checkpoint")
    assert read_torch(trained.weights, "weights").keys() == {"architecture", "classes", "state"}
    assert not any("8 bits" in each for each in trained.notices)


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_weights_files_hold_the_range_and_refuse_none(name: str, tmp_path: Path) -> None:
    weights = load_weights(make_weights(tmp_path))
    path, parts = tmp_path / name, (weights.state, weights.architecture, weights.classes)
    save_weights(path, *parts, (-20.5, 7e4))
    assert load_weights(path).pixel_range == (-20.5, 7e4)
    save_weights(path, *parts)
    assert load_weights(path).pixel_range is None
    save_weights(path, *parts, (2, 1))
    with pytest.raises(ConfigError, match="pixel_range"):
        load_weights(path)


@pytest.mark.parametrize(("given", "stated"), [(None, STATED), ((8000, 9000), "values 8000 to 9000 become 0 to 255")])
def test_val_uses_the_range_of_the_weights(given: Any, stated: str, trained: Training, other: Path) -> None:
    for data in (None, THERMAL, other):
        notices: list[str] = []
        nas.evaluate(trained.weights, data=data, range=given, bootstrap=0, on_notice=notices.append)
        assert sum(stated in each for each in notices) == 1, data


def test_val_of_weights_without_a_range_uses_that_of_the_data(trained: Training, other: Path, tmp_path: Path) -> None:
    weights, notices = load_weights(trained.weights), []
    save_weights(tmp_path / "weights.pt", weights.state, weights.architecture, weights.classes)
    nas.evaluate(tmp_path / "weights.pt", data=other, bootstrap=0, on_notice=notices.append)
    assert any("values 8200 to 8546 become 0 to 255 (the 0.01 and 99.99 percentiles" in each for each in notices)


def test_predict_uses_the_range_of_the_weights(trained: Training, other: Path, tmp_path: Path) -> None:
    notices: list[str] = []
    brighter = other / FRAME.relative_to(THERMAL)
    found = nas.predict(trained.weights, [brighter, PLAIN / "images" / "val"], on_notice=notices.append, score=0.9)
    assert (found[0].pixels() == read_rgb(brighter, RANGE)).all() and found[0].pixels().min() == 255
    assert [f"note: 1 image of more than 8 bits: {STATED} (as in the training)"] == notices
    given = nas.predict(trained.weights, FRAME, range=(7000, 8000), score=0.9)
    assert (given[0].pixels() == read_rgb(FRAME, (7000, 8000))).all()
    notices.clear()
    without = nas.predict(make_weights(tmp_path), FRAME.parent, on_notice=notices.append, score=0.9)
    assert len(without) == 2 and "(percentiles of 2 of them)" in notices[0]
    assert without[0].pixels().max() > 250
    with pytest.raises(ConfigError, match="--range is 2 1"):
        nas.predict(trained.weights, FRAME, range=(2, 1))


def test_the_export_states_the_range_and_its_reader_uses_it(trained: Training, tmp_path: Path) -> None:
    out = tmp_path / "out"
    architecture = trained.folder / "architecture.yaml"
    assert run("export", architecture, "--weights", trained.weights, "--out", out, "--format", "onnx") == 0
    (folder,) = [path for path in out.iterdir() if path.is_dir() and path.name != "board"]
    described = json.loads((folder / "detector.json").read_text())
    assert described["pixel_range"] == list(RANGE) and STATED in (folder / "README.md").read_text()
    assert load_weights(folder / "weights.safetensors").pixel_range == RANGE
    spec = importlib.util.spec_from_file_location("postprocess", folder / "postprocess.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    raw = cv2.imread(str(FRAME), cv2.IMREAD_UNCHANGED)
    feed, _ = script.prepare(raw, described["input_hw"], described["fit"], described["pixel_range"])
    expected, _ = script.prepare(read_rgb(FRAME, RANGE), described["input_hw"], described["fit"])
    assert (feed == expected).all() and len(np.unique(feed)) > 50
    with pytest.raises(ValueError, match="give pixel_range"):
        script.prepare(raw, described["input_hw"])


def test_an_export_for_8_bits_has_no_key(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("export", "tinydet-s", "--out", out, "--input", 64, 64, "--format", "onnx") == 0
    (path,) = out.rglob("detector.json")
    assert "pixel_range" not in json.loads(path.read_text())
    assert "8 bits" not in path.with_name("README.md").read_text()


def test_a_run_states_and_keeps_the_range(tmp_path: Path) -> None:
    given = {"data": str(THERMAL), "budget_gflops": 1.0, "batch": 2, "trials": 1, "out": str(tmp_path)}
    session = begin(RunRequest.of(name="thermal", **given))
    assert any(STATED in each for each in session.notices)
    session.config.to_yaml(session.folder.config_yaml)
    config = read_config(session.folder.config_yaml)
    assert config.pixel_range == RANGE == TrainingSpec.of(config).pixel_range
    assert reopen_data(config)[1].pixel_range == RANGE
    assert config.data_words() == ["--data", str(THERMAL), "--range", "7200", "7546"]
    with pytest.raises(ConfigError, match="started with --range 7200 7546, got --range 1 2"):
        resumed(config, RunRequest.of(range=(1, 2)))
    own = begin(RunRequest.of(name="own", range=(7000, 8000), **given))
    assert own.config.pixel_range == (7000, 8000) and own.config.data_fingerprint != config.data_fingerprint
    plain = begin(RunRequest.of(name="plain", **{**given, "data": str(PLAIN)}))
    assert plain.config.pixel_range is None and "pixel_range" not in plain.config.to_text()


def test_commands_take_the_range(trained: Training, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stated = "values 7000 to 8000 become 0 to 255"
    chosen = ("--range", 7000, 8000)
    for words in (
        ("data", "check", THERMAL),
        ("data", "convert", THERMAL, tmp_path / "coco", "--to", "coco"),
        ("inspect", THERMAL),
        ("val", trained.weights, "--data", THERMAL, "--bootstrap", 0),
        ("predict", trained.weights, FRAME, "--out", tmp_path / "drawn"),
    ):
        capsys.readouterr()
        assert run(*words, *chosen) == 0, words
        shown = capsys.readouterr()
        assert stated in shown.out + shown.err, words
    assert run("data", "check", THERMAL, "--range", -5, 5) == 1  # all values are outside
    assert "outside_range" in capsys.readouterr().out


def test_inspect_suggests_the_given_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", THERMAL, "--range", 7000, 12345678.5) == 0
    assert "--range 7000 12345678.5" in capsys.readouterr().out


def test_the_built_in_set_takes_no_range(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--range 1.0 2.0 needs a data set"):
        nas.train(DESIGN, range=(1.0, 2.0), out=tmp_path / "out", **FAST)
