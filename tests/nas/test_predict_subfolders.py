"""`nas predict FOLDER` goes through subfolders, and its results keep them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from val_predict_fakes import IMAGES, make_weights, predict, run

from nas.api.media_input import list_sources
from nas.api.media_output import Pictures
from search_space.errors import DataError

PLACES = ("a.jpg", "day/a.jpg", "day/a.png", "day/b.jpg", "night/camera 1/a.jpg", "day-a.jpg")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights"))


def fill(folder: Path, places: tuple[str, ...] = PLACES) -> Path:
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(IMAGES[0], folder / place)
    return folder


def drawn(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_results_keep_the_folders_and_do_not_clash(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fill(tmp_path / "in")
    assert predict(weights, tmp_path / "out", folder, "--json") == 0
    entries = json.loads(capsys.readouterr().out)
    expected = {"a.png", "day/a.png", "day/a-2.png", "day/b.png", "night/camera 1/a.png", "day-a.png"}
    assert drawn(tmp_path / "out") == expected
    assert {entry["picture"] for entry in entries} == {str(tmp_path / "out" / name) for name in expected}
    assert sorted(entry["image"] for entry in entries) == sorted(str(folder / place) for place in PLACES)


def test_two_folders_with_the_same_names_do_not_clash(weights: Path, tmp_path: Path) -> None:
    first, second = (fill(tmp_path / name, ("x/a.jpg",)) for name in ("one", "two"))
    assert predict(weights, tmp_path / "out", first, second) == 0
    assert drawn(tmp_path / "out") == {"x/a.png", "x/a-2.png"}


def test_results_within_the_input_are_no_input_of_the_next_call(weights: Path, tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", ("a.jpg", "day/a.jpg"))
    for _ in range(2):
        assert predict(weights, folder / "drawn", folder) == 0
        assert drawn(folder / "drawn") == {"a.png", "day/a.png"}


def test_hidden_folders_and_links_are_left_out(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", ("a.jpg", ".cache/b.jpg", "day/c.jpg"))
    (folder / "day" / "again").symlink_to(folder)
    assert [source.path.name for source in list_sources([folder])] == ["a.jpg", "c.jpg"]
    shutil.rmtree(folder / "day")
    (folder / "a.jpg").unlink()
    with pytest.raises(DataError, match="has no pictures or videos in it or its subfolders"):
        list_sources([folder])


def test_a_subfolder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, scandir = fill(tmp_path / "in", ("a.jpg", "day/b.jpg")), os.scandir

    def refusing(path: str) -> Any:
        if Path(path).name == "day":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refusing)
    with pytest.raises(DataError, match=r"in/day cannot be read \(Permission denied\)"):
        list_sources([folder])


def test_a_video_named_like_a_folder_has_a_place_of_its_own(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", ("clip/a.jpg", "clip.jpg"))
    writer = cv2.VideoWriter(str(folder / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (80, 48))
    writer.write(np.zeros((48, 80, 3), np.uint8))
    writer.release()
    targets = Pictures.into(Path("out"), list_sources([folder])).targets
    found = {str(path.relative_to(folder)): str(target) for path, target in targets.items()}
    assert found == {"clip.avi": "out/clip-2", "clip.jpg": "out/clip", "clip/a.jpg": "out/clip/a"}


def test_a_missing_input_writes_nothing(weights: Path, tmp_path: Path) -> None:
    assert run("predict", weights, tmp_path / "none", "--out", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()
