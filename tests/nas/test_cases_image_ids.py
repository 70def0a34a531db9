"""Ids in saved predictions: images of equal names are told apart by their folders, or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from val_predict_fakes import make_weights, predict

from nas.api.coco_ids import CocoIds
from nas.api.media_input import Source, list_sources
from search_space.errors import DataError
from trainers import load_weights

CASE = Path(__file__).parent.parent / "data" / "cases" / "02-predict-save-json-same-names"
FRAMES = [CASE / "frames" / sequence / f"000{number}.jpg" for sequence in ("seqA", "seqB") for number in (0, 1)]


def ids_of(tmp_path: Path, names: dict[str, int | str], paths: list[str]) -> list[int | str]:
    """Returns the ids of paths by a file that lists names with their ids."""
    content = {
        "images": [{"id": id, "file_name": name.split("#")[0]} for name, id in names.items()],
        "categories": [{"id": 3, "name": "car"}],
    }
    (tmp_path / "ids.json").write_text(json.dumps(content), encoding="utf-8")
    sources = [Source(path=Path(path)) for path in paths]
    found = CocoIds.read(tmp_path / "ids.json", ("car",), sources)
    assert found.categories == (3,)
    return [found.images[source.path] for source in sources]


def test_frames_of_two_sequences_keep_their_ids(tmp_path: Path) -> None:
    weights, out = make_weights(tmp_path), tmp_path / "found.json"
    content = json.loads((CASE / "gt.json").read_text(encoding="utf-8"))
    content["categories"] = [{"id": id, "name": name} for id, name in enumerate(load_weights(weights).classes, 5)]
    (tmp_path / "ids.json").write_text(json.dumps(content))
    folders = (CASE / "frames" / "seqA", CASE / "frames" / "seqB")
    options = ("--no-pictures", "--save-json", out)
    assert predict(weights, tmp_path / "out", *folders, *options, "--ids", tmp_path / "ids.json") == 0
    assert {each["image_id"] for each in json.loads(out.read_text())} == {7, 8, 107, 108}
    out.unlink()
    assert predict(weights, tmp_path / "out", *folders, *options) == 2
    assert not out.exists()
    assert predict(weights, tmp_path / "out", folders[0], *options) == 0
    assert {each["image_id"] for each in json.loads(out.read_text())} == {0, 1}


@pytest.mark.parametrize(
    ("name", "wanted"), [("gt.json", [7, 8, 107, 108]), ("gt-stem.json", ["0", "1", "2", "3"]), ("gt-base.json", None)]
)
def test_the_case(name: str, wanted: list[int] | None) -> None:
    sources = [Source(path=path) for path in FRAMES]
    if wanted is None:
        with pytest.raises(DataError, match="has the ids 107 and 7 for .*0000.jpg, and nothing decides"):
            CocoIds.read(CASE / name, (), sources)
        return
    found = CocoIds.read(CASE / name, ("Fußgänger",), sources)
    assert [found.images[path] for path in FRAMES] == wanted


@pytest.mark.parametrize(
    ("names", "paths", "wanted"),
    [
        ({"seqA\\0.jpg": 1, "seqB\\0.jpg": 2}, ["in/seqB/0.jpg", "in/seqA/0.jpg"], [2, 1]),
        ({"a/x/0.jpg": 1, "b/x/0.jpg": 2}, ["b/x/0.jpg"], [2]),
        ({"0.jpg": 1, "seqA/0.jpg": 2}, ["seqB/0.jpg", "seqA/0.jpg"], [1, 2]),
        ({"./images/0.jpg": 1}, ["frames/0.jpg"], [1]),
        ({"e\u0301te\u0301/0.jpg": 1, "hiver/0.jpg": 2}, ["\u00e9t\u00e9/0.jpg"], [1]),
        ({"0.png": "p", "0.jpg": "j"}, ["0.jpg", "0.png"], ["j", "p"]),
        ({"0.png": 4}, ["0.jpg"], [4]),
        ({"v1.0": 1, "v1.1": 2}, ["v1.0.jpg", "v1.1.jpg"], [1, 2]),
        ({"0.jpg": 1, "0.jpg#again": 1}, ["0.jpg"], [1]),
    ],
)
def test_the_longest_end_of_the_path_counts(
    names: dict[str, int | str], paths: list[str], wanted: list[int | str], tmp_path: Path
) -> None:
    assert ids_of(tmp_path, names, paths) == wanted


@pytest.mark.parametrize(
    ("names", "paths", "message"),
    [
        ({"a/x/0.jpg": 1, "b/x/0.jpg": 2}, ["c/x/0.jpg"], "the ids 1 and 2 for c/x/0.jpg"),
        ({"0.jpg": 7}, ["a/0.jpg", "b/0.jpg"], "a/0.jpg and b/0.jpg would both have the image_id 7"),
        ({"0.jpg": 7}, ["0.jpg", "./0.jpg"], "0.jpg is given twice"),
        ({"1.jpg": 7}, ["0.jpg"], "does not know 0.jpg"),
    ],
)
def test_what_stays_ambiguous_is_refused(
    names: dict[str, int | str], paths: list[str], message: str, tmp_path: Path
) -> None:
    sources = [path.replace("./", f"{Path.cwd()}/") if path.startswith("./") else path for path in paths]
    with pytest.raises(DataError, match=message) as caught:
        ids_of(tmp_path, names, sources)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("paths", [["a/0.jpg", "b/0.jpg"], ["1.jpg", "01.jpg"], ["x.jpg", "x.png"]])
def test_without_a_file_equal_ids_are_refused(paths: list[str]) -> None:
    with pytest.raises(DataError, match=f"{paths[0]} and {paths[1]} would both have the image_id .*; give --ids FILE"):
        CocoIds.read(None, ("car",), [Source(path=Path(path)) for path in paths])
    found = CocoIds.read(None, ("car",), [Source(path=Path("7.jpg")), Source(path=Path("clip.mp4"), num_frames=2)])
    assert list(found.images.values()) == [7, "clip"] and found.categories == (1,)


def test_a_frame_of_a_video_and_a_picture_are_told_apart() -> None:
    sources = [Source(path=Path("clip.mp4"), num_frames=3), Source(path=Path("clip-000001.jpg"))]
    with pytest.raises(DataError, match="would both have the image_id clip-000001"):
        CocoIds.read(None, ("car",), sources)


def test_two_ids_of_one_class_are_refused(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "car"}]
    (tmp_path / "ids.json").write_text(json.dumps({"images": [], "categories": categories}))
    with pytest.raises(DataError, match="the ids 1 and 2 for car"):
        CocoIds.read(tmp_path / "ids.json", ("car",), [])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_in_another_encoding_is_read(encoding: str, tmp_path: Path) -> None:
    content = {"images": [{"id": 7, "file_name": "été.jpg"}], "categories": [{"id": 3, "name": "Fußgänger"}]}
    (tmp_path / "ids.json").write_text(json.dumps(content, ensure_ascii=False), encoding=encoding)
    found = CocoIds.read(tmp_path / "ids.json", ("Fußgänger",), [Source(path=Path("été.jpg"))])
    assert list(found.images.values()) == [7] and found.categories == (3,)


def test_a_folder_is_searched_for_images_by_content(tmp_path: Path) -> None:
    for name in ("a.jfif", "b", "c.jpg", "d.jpe"):
        shutil.copy(FRAMES[0], tmp_path / name)
    (tmp_path / "c.raw").write_bytes(FRAMES[0].read_bytes())
    (tmp_path / "notes").write_text("no image")
    assert [source.path.name for source in list_sources([tmp_path])] == ["a.jfif", "b", "c.jpg", "d.jpe"]
