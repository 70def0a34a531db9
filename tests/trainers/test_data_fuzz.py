"""Every parser on garbage: nothing but an error of the user may come out of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_space.errors import DataError, UserError
from tests.trainers.data_sets import (
    coco_content,
    write_coco_set,
    write_json,
    write_visdrone_set,
    write_voc_set,
    write_yolo_set,
)
from trainers.data import DataSplits, open_data
from trainers.data.check import check_data

WORDS = st.sampled_from(
    [
        "0",
        "1",
        "10",
        "-1",
        "0.5",
        "1e999",
        "nan",
        "inf",
        "-inf",
        "1e308",
        "9" * 400,
        "a",
        "",
        " ",
        "\t",
        "\x00",
        "²",
        "1_0",
    ]
)
LINES = st.lists(st.lists(WORDS, max_size=11), max_size=4)
GARBAGE = st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode(errors="replace")))
KEYS = st.sampled_from(
    [
        "id",
        "image_id",
        "category_id",
        "bbox",
        "file_name",
        "width",
        "height",
        "iscrowd",
        "ignore",
        "corner",
        "name",
        "logo",
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.just(10**400),
    st.sampled_from(["a.png", "b.png", "", "../a", "\0"]),
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=5), max_leaves=6)
ENTRIES = st.lists(
    st.one_of(VALUES, st.dictionaries(KEYS, st.one_of(VALUES, st.sampled_from([1, 2, "a.png", [1, 1, 9, 9]])))),
    max_size=4,
)
JSONS = st.fixed_dictionaries({"images": ENTRIES, "annotations": ENTRIES, "categories": ENTRIES})
TAGS = st.sampled_from(
    ["object", "name", "bndbox", "xmin", "ymin", "xmax", "ymax", "size", "width", "difficult", "filename"]
)
fuzz = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


def survives(path: Path, images: Path | None = None) -> None:
    """Opens, reads and checks a data set; nothing but an error of the user may come."""
    for act in (open_data, check_data):
        try:
            opened = act(path, images=images)
        except UserError:
            continue
        if isinstance(opened, DataSplits):
            for record in (*opened.train.records, *opened.val.records):
                assert np.isfinite(record.boxes).all() and (record.labels < len(opened.train.classes)).all()


@fuzz
@given(data=st.one_of(GARBAGE, LINES.map(lambda lines: "\n".join(" ".join(line) for line in lines).encode())))
def test_fuzzed_yolo_labels(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = write_yolo_set(tmp_path_factory.mktemp("yolo"))
    (folder / "labels" / "a.txt").write_bytes(data)
    survives(folder)
    (folder / "classes.txt").unlink()
    survives(folder)
    (folder / "classes.txt").write_bytes(data)
    survives(folder)


@fuzz
@given(
    data=st.one_of(
        GARBAGE,
        st.fixed_dictionaries(
            {"train": VALUES, "val": VALUES}, optional={"names": VALUES, "nc": VALUES, "path": VALUES}
        ).map(lambda content: json.dumps(content).encode()),
    )
)
def test_fuzzed_yolo_yaml(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = write_yolo_set(tmp_path_factory.mktemp("yaml"))
    (folder / "data.yaml").write_bytes(data)
    survives(folder / "data.yaml")
    survives(folder / "data.yaml", folder / "images")
    (folder / "data.yaml").write_text("train: list.txt\nval: images\n")
    (folder / "list.txt").write_bytes(data)
    survives(folder)


@fuzz
@given(data=st.one_of(GARBAGE, LINES.map(lambda lines: "\n".join(",".join(line) for line in lines).encode())))
def test_fuzzed_visdrone_lines(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = write_visdrone_set(tmp_path_factory.mktemp("visdrone"))
    (folder / "annotations" / "a.txt").write_bytes(data)
    survives(folder)


@fuzz
@given(data=st.one_of(GARBAGE, JSONS.map(lambda content: json.dumps(content).encode())), near=JSONS)
def test_fuzzed_jsons(tmp_path_factory: pytest.TempPathFactory, data: bytes, near: dict[str, list[object]]) -> None:
    folder = tmp_path_factory.mktemp("json")
    path = write_coco_set(folder)
    path.write_bytes(data)
    survives(path)
    good = coco_content()
    write_json(path, {key: [*good[key], *(near[key] if key != "categories" else [])] for key in good})
    survives(path)


@fuzz
@given(
    data=st.one_of(
        GARBAGE,
        st.recursive(
            WORDS.map(lambda word: word.replace("\x00", "")),
            lambda inner: st.lists(st.tuples(TAGS, inner), max_size=4).map(
                lambda nodes: "".join(f"<{tag}>{body}</{tag}>" for tag, body in nodes)
            ),
            max_leaves=8,
        ).map(lambda body: f"<annotation>{body}</annotation>".encode()),
    )
)
def test_fuzzed_xml(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = write_voc_set(tmp_path_factory.mktemp("voc"))
    (folder / "Annotations" / "a.xml").write_bytes(data)
    survives(folder)


def test_deeply_nested_files_are_refused(tmp_path: Path) -> None:
    path = write_coco_set(tmp_path)
    path.write_text("[" * 200_000)
    with pytest.raises(DataError, match="is not JSON"):
        open_data(path)
    folder = write_yolo_set(tmp_path / "yolo")
    (folder / "data.yaml").write_text("[" * 5_000)
    with pytest.raises(DataError, match="is not YAML"):
        open_data(folder / "data.yaml")
