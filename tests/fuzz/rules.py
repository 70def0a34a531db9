"""Input that hypothesis builds by rule, for what spoiling a valid file would hardly reach."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from nas.config import parse_config
from search_space import Architecture
from search_space.yaml_text import YamlError, parse_yaml
from tests.fuzz.data_cases import Act, checked, opened
from tests.trainers.data_sets import (
    coco_content,
    labelme_content,
    write_coco_set,
    write_json,
    write_labelme_set,
    write_mot_set,
    write_uavdt_set,
    write_vid_set,
    write_visdrone_set,
    write_voc_set,
)
from tests.trainers.data_sets import write_yolo_set as write_yolo

Strategy = st.SearchStrategy[Any]
Rule = tuple[Strategy, Callable[[Path], Callable[[Any], Act]]]
"""What is built, and what makes a case of it in a folder."""

WORDS = st.sampled_from(
    "0|1|10|-1|0.5|1e999|nan|inf|-inf|1e308|a|| |\t|\x00|²|1_0".split("|") + ["9" * 400],
)
LINES = st.lists(st.lists(WORDS, max_size=11), max_size=4)
GARBAGE = st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode(errors="replace")))
KEYS = st.sampled_from(
    "id image_id category_id bbox file_name width height iscrowd ignore corner name logo".split(),
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
TAGS = st.sampled_from("object name bndbox xmin ymin xmax ymax size width difficult filename".split())
NODES = st.recursive(
    WORDS.map(lambda word: word.replace("\x00", "")),
    lambda inner: st.lists(st.tuples(TAGS, inner), max_size=4).map(
        lambda nodes: "".join(f"<{tag}>{body}</{tag}>" for tag, body in nodes)
    ),
    max_leaves=8,
)
SHAPES = st.lists(
    st.one_of(
        VALUES,
        st.dictionaries(
            st.sampled_from(["label", "points", "shape_type", "group_id"]),
            st.one_of(
                VALUES, st.sampled_from(["car", "polygon", "circle", [[1, 1], [9, 9]], [[1, 1], [9, 1], [5, 5]]])
            ),
        ),
    ),
    max_size=4,
)
SEQINFOS = st.lists(st.tuples(st.sampled_from(["imDir", "imWidth", "imHeight", "x"]), WORDS), max_size=5).map(
    lambda lines: "\n".join(f"{key}={word}" for key, word in lines).encode()
)
_PARTS = {"train": VALUES, "val": VALUES}
YAMLS = st.fixed_dictionaries(_PARTS, optional={"names": VALUES, "nc": VALUES, "path": VALUES})
PLAIN = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner), max_leaves=12)
LAYOUT = st.text("ab:-[]{},&*!|>'\"#?%@` \n\t0.1", max_size=40)


def joined(lines: list[list[str]], mark: str) -> bytes:
    """Returns lines of words as a file."""
    return "\n".join(mark.join(line) for line in lines).encode()


def _files(write: Callable[[Path], object], name: str) -> Callable[[Path], Callable[[Any], Act]]:
    def prepare(folder: Path) -> Callable[[Any], Act]:
        write(folder)

        def case(data: bytes) -> Act:
            (folder / name).write_bytes(data)
            return lambda: (checked(folder), opened(folder))

        return case

    return prepare


def _json(folder: Path) -> Callable[[Any], Act]:
    path = write_coco_set(folder)

    def case(near: dict[str, list[object]]) -> Act:
        good = coco_content()
        write_json(path, {key: [*good[key], *(near[key] if key != "categories" else [])] for key in good})
        return lambda: (checked(path), opened(path))

    return case


def _plain(folder: Path) -> Callable[[Any], Act]:
    def case(plain: Any) -> Act:
        return lambda: (Architecture.from_dict(plain), parse_config(json.dumps(plain), source=folder))

    return case


def _layout(folder: Path) -> Callable[[Any], Act]:
    def act(text: str) -> None:
        try:
            parse_yaml(text)
        except YamlError as error:
            assert str(error) and "\n" not in str(error)

    return lambda text: lambda: act(text)


RULES: dict[str, Rule] = {
    "YOLO labels": (GARBAGE | LINES.map(lambda lines: joined(lines, " ")), _files(write_yolo, "labels/a.txt")),
    "YOLO classes": (GARBAGE | LINES.map(lambda lines: joined(lines, " ")), _files(write_yolo, "classes.txt")),
    "YOLO YAML": (GARBAGE | YAMLS.map(lambda plain: json.dumps(plain).encode()), _files(write_yolo, "data.yaml")),
    "VisDrone lines": (
        GARBAGE | LINES.map(lambda lines: joined(lines, ",")),
        _files(write_visdrone_set, "annotations/a.txt"),
    ),
    "VisDrone-VID lines": (
        GARBAGE | LINES.map(lambda lines: joined(lines, ",")),
        _files(write_vid_set, "annotations/a.txt"),
    ),
    "UAVDT lines": (
        GARBAGE | LINES.map(lambda lines: joined(lines, ",")),
        _files(write_uavdt_set, "GT/a_gt_whole.txt"),
    ),
    "UAVDT regions": (
        GARBAGE | LINES.map(lambda lines: joined(lines, ",")),
        _files(write_uavdt_set, "GT/a_gt_ignore.txt"),
    ),
    "MOT lines": (GARBAGE | LINES.map(lambda lines: joined(lines, ",")), _files(write_mot_set, "a/gt/gt.txt")),
    "MOT seqinfo": (GARBAGE | SEQINFOS, _files(write_mot_set, "a/seqinfo.ini")),
    "labelme": (
        GARBAGE | SHAPES.map(lambda shapes: json.dumps(labelme_content("a.png", *shapes)).encode()),
        _files(write_labelme_set, "a.json"),
    ),
    "VOC nodes": (
        GARBAGE | NODES.map(lambda body: f"<annotation>{body}</annotation>".encode()),
        _files(write_voc_set, "Annotations/a.xml"),
    ),
    "COCO entries": (JSONS, _json),
    "COCO file": (GARBAGE | JSONS.map(lambda plain: json.dumps(plain).encode()), _files(write_coco_set, "set.json")),
    "plain data": (PLAIN, _plain),
    "YAML layout": (LAYOUT, _layout),
}
