"""Which data a training or a run was made on, where the user names none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from nas.api.data_of_run import with_known_data
from nas.settings import DATA_SETTINGS

NONE = dict.fromkeys(DATA_SETTINGS)


def folder(path: Path, **content: Any) -> Path:
    """Makes a folder of a run: a configuration, a front, weights."""
    for name in ("front", "weights"):
        (path / name).mkdir(parents=True)
    for name in ("front/01-abc.yaml", "weights/abc.pt", "weights.pt"):
        (path / name).touch()
    (path / "config.yaml").write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("inside", ["", "front", "front/01-abc.yaml", "weights/abc.pt", "weights.pt"])
def test_what_lies_in_a_run_has_its_data(inside: str, tmp_path: Path) -> None:
    run = folder(tmp_path / "run", space_fingerprint="x", data="/drone", split="block", data_format="coco", images=None)
    known = with_known_data(NONE, run / inside)
    assert known.options == {**NONE, "data": "/drone", "split": "block", "data_format": "coco"}
    assert known.notice == f"note: no --data given: using the data of {run}"


@pytest.mark.parametrize(
    ("stored", "known"),
    [([7200.0, 7550.0], (7200.0, 7550.0)), (None, None), ([1.0], None), ([2, 1], None), ("x", None)],
)
def test_the_range_of_the_pixels_is_known_with_the_data(stored: object, known: object, tmp_path: Path) -> None:
    run = folder(tmp_path / "run", space_fingerprint="x", data="/drone", pixel_range=stored)
    assert with_known_data(NONE, run).options["pixel_range"] == known
    assert with_known_data({**NONE, "pixel_range": (1.0, 2.0)}, run).options["pixel_range"] == (1.0, 2.0)
    assert with_known_data({**NONE, "data": "/other"}, run).options["pixel_range"] is None


def test_what_the_user_gives_comes_first(tmp_path: Path) -> None:
    run = folder(tmp_path / "run", space_fingerprint="x", data="/drone", split="block")
    assert with_known_data({**NONE, "split": "random"}, run).options["split"] == "random"
    given = {**NONE, "data": "/other"}
    known = with_known_data(given, run)
    assert known.options == given and known.notice is None


def test_the_built_in_set_of_a_training_has_its_seed_and_needs_no_note(tmp_path: Path) -> None:
    known = with_known_data(NONE, folder(tmp_path / "trained", data=None, training={"seed": 3}))
    assert known.options == NONE and known.seed == 3 and known.notice is None


@pytest.mark.parametrize(
    "content", [{"training": "x", "data": 3}, {"data": "/drone"}, {}], ids=["wrong type", "another tool's", "empty"]
)
def test_a_configuration_that_is_none_of_ours_says_nothing(content: dict[str, Any], tmp_path: Path) -> None:
    assert with_known_data(NONE, folder(tmp_path / "a", **content)).options == NONE


@pytest.mark.parametrize("content", [b"\xff: [", b"training: {}\ndata: " + b"[" * 10_000], ids=["bytes", "nested"])
def test_a_damaged_configuration_says_nothing(content: bytes, tmp_path: Path) -> None:
    damaged = folder(tmp_path / "a")
    (damaged / "config.yaml").write_bytes(content)
    assert with_known_data(NONE, damaged).options == NONE


def test_the_name_of_a_design_lies_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder(tmp_path / "run", space_fingerprint="x", data="/drone"))
    assert with_known_data(NONE, Path("yolov8n")).options == NONE
