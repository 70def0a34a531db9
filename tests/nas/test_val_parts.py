"""`nas val --part`: a whole undivided set, and a test part."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from val_predict_fakes import DATA, FAST, make_weights, run

from trainers.data.convert import convert_data


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights"))


def num_objects(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Returns how many objects `nas val` counts, and what it says beside its result."""
    capsys.readouterr()
    assert run("val", *arguments, "--bootstrap", 0, "--json", *FAST) == 0
    said = capsys.readouterr()
    return json.loads(said.out)["score"]["num_objects"], said.err


def test_an_undivided_set_is_evaluated_as_a_whole(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = DATA / "annotations" / "instances_train.json"
    shutil.copy(source, tmp_path / "boxes.json")
    place = (weights, "--data", tmp_path / "boxes.json", "--images", DATA / "images")
    boxes = [each for each in json.loads(source.read_text())["annotations"] if not each["iscrowd"]]
    last, said = num_objects(capsys, *place)
    assert 0 < last < len(boxes) and "note: --part all evaluates all 6 images" in said and "the last 1 of 6" in said
    every, said = num_objects(capsys, *place, "--part", "all")
    assert every == len(boxes) and "the last 1 of 6" not in said


def test_a_test_part_is_evaluated_on_by_name(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert_data(DATA, tmp_path / "set", to="yolo")
    assert run("val", weights, "--data", tmp_path / "set", "--part", "test", *FAST) == 2
    assert "there is no test part; next: --part val, or all" in capsys.readouterr().err
    for kind in ("images", "labels"):
        shutil.copytree(tmp_path / "set" / kind / "train", tmp_path / "set" / kind / "test")
    with (tmp_path / "set" / "data.yaml").open("a") as file:
        file.write("test: images/test\n")
    place = (weights, "--data", tmp_path / "set", "--part")
    val, train, test, every = (num_objects(capsys, *place, part)[0] for part in ("val", "train", "test", "all"))
    assert test == train > 0 and every == val + train + test
