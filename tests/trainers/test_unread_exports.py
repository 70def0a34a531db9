"""Archives and exports of annotation tools that are not read: one line says what they are and what to do."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from search_space.errors import DataError
from tests.trainers.data_sets import write_coco_set, write_images, write_voc_set, write_yolo_set
from trainers.data import open_data
from trainers.data.defects import BrokenFile

CVAT = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta></meta>\n'
IMAGE = (
    '  <image id="0" name="a.png" width="64" height="48"><box label="car" xtl="1" ytl="1" xbr="9" ybr="9"/></image>\n'
)
TRACK = '  <track id="0" label="car"><box frame="0" xtl="1" ytl="1" xbr="9" ybr="9" outside="0"/></track>\n'
VALUE = {"x": 1, "y": 1, "width": 9, "height": 9, "rotation": 0, "rectanglelabels": ["car"]}
RESULT = {"original_width": 64, "original_height": 48, "image_rotation": 0, "value": VALUE, "type": "rectanglelabels"}
TASK = {"id": 1, "annotations": [{"id": 1, "completed_by": 1, "result": [RESULT]}], "data": {"image": "/data/a.png"}}
EXPORTS = {
    "tasks": [TASK],
    "short": [{"image": "/data/a.png", "id": 1, "label": [{**VALUE, "original_width": 64}], "lead_time": 2.5}],
    "no objects": [{**TASK, "annotations": [{"id": 1, "completed_by": 1, "result": []}]}],
    "one annotation": {"id": 1, "result": [RESULT], "task": TASK["data"]},
}


def message_of(path: Path, **options: str) -> str:
    with pytest.raises(DataError) as raised:
        open_data(path, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("body", [IMAGE, TRACK, ""])
@pytest.mark.parametrize("name", ["annotations.xml", "job 3.xml", "annotations/annotations.xml"])
@pytest.mark.parametrize("options", [{}, {"format": "voc"}])
def test_cvat_of_its_own_format(tmp_path: Path, body: str, name: str, options: dict[str, str]) -> None:
    write_images(tmp_path / "images")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{CVAT}{body}</annotations>\n")
    for place in (tmp_path, path):
        said = message_of(place, **options)
        assert said.startswith(f"{path} is an export in CVAT's own format")
        assert said.endswith("next: export the task as COCO or Ultralytics YOLO, with its images")


@pytest.mark.parametrize("name", EXPORTS)
def test_json_of_label_studio(tmp_path: Path, name: str) -> None:
    path = tmp_path / "project-1-at-2026-01-02.json"
    path.write_text(json.dumps(EXPORTS[name]))
    for place in (tmp_path, path):
        with pytest.raises(BrokenFile) as raised:
            open_data(place)
        assert raised.value.defect.kind == "wrong_layout"
        assert str(raised.value) == (
            f"{path} is a JSON export of Label Studio, which is not read; next: export the project as COCO or YOLO, "
            "with its images"
        )
    (tmp_path / "second.json").write_text(json.dumps(EXPORTS[name]))
    assert message_of(tmp_path).startswith(f"{path} is a JSON export of Label Studio")


def test_another_list_is_no_export_of_label_studio(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "score": 0.5}]))
    assert "has no list 'images'" in message_of(path)


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data.yaml", "train: images\n")


def write_tar(path: Path) -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as file:
        info = tarfile.TarInfo("data.yaml")
        info.size = 4
        file.addfile(info, io.BytesIO(b"a: 1"))


@pytest.mark.parametrize("name", ["set.zip", "SET.ZIP", "set.tar", "set.tgz"])
def test_an_archive(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    (write_zip if name.lower().endswith("zip") else write_tar)(path)
    for place in (path, tmp_path):
        assert message_of(place) == f"{path} is an archive; next: unzip it, and give the folder with its files"


@pytest.mark.parametrize(
    ("write", "format"), [(write_yolo_set, "yolo"), (write_coco_set, "coco"), (write_voc_set, "voc")]
)
def test_such_a_file_beside_a_data_set_has_no_effect(tmp_path: Path, write: object, format: str) -> None:
    assert callable(write)
    write(tmp_path)
    (tmp_path / "annotations.xml").write_text(f"{CVAT}{IMAGE}</annotations>\n")
    write_zip(tmp_path / "set.zip")
    splits = open_data(tmp_path)
    assert (splits.format, len(splits.train), len(splits.val)) == (format, 2, 1)
