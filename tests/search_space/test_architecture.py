"""Architectures: round trips, keys, and one clear line for whatever is wrong with a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from search_space import DESIGNS, Architecture, Head
from search_space.errors import SpaceError


@pytest.mark.parametrize("name", DESIGNS.names())
def test_round_trips(name: str, tmp_path: Path):
    architecture = DESIGNS.get(name).architecture
    assert Architecture.from_dict(architecture.to_dict()) == architecture
    architecture.to_yaml(tmp_path / "a.yaml")
    assert Architecture.from_yaml(tmp_path / "a.yaml") == architecture
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


def test_keys_differ_between_designs_and_ignore_defaults():
    keys = {name: DESIGNS.get(name).architecture.key() for name in DESIGNS}
    assert len(set(keys.values())) == len(keys)
    architecture = DESIGNS.get("yolov8n").architecture
    data = architecture.to_dict()
    del data["head"]["box_channels"], data["family"]
    assert Architecture.from_dict(data).key() == architecture.key()


def _changed(**changes: object) -> dict[str, object]:
    return DESIGNS.get("yolov8n").architecture.to_dict() | changes


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_changed(nek=None), "unknown field 'nek'; did you mean 'neck'"),
        (_changed(input_hw="640"), "input_hw must be a list"),
        (_changed(input_hw=[640, "640"]), r"input_hw\[1\] must be of type int, got '640'"),
        (_changed(input_hw=[640, True]), "must be of type int, got True"),
        (_changed(input_hw=[640]), "must be .height, width."),
        (_changed(input_hw=[600, 640]), "multiple of 32; nearest: 576 or 608"),
        (_changed(input_hw=[0, 640]), "positive multiple of 32; nearest: 32"),
        (_changed(neck=None), "a neck is needed"),
        ({"input_hw": [64, 64]}, "lacks the field 'backbone'"),
        ([1], "must be a mapping, got list"),
    ],
)
def test_wrong_data_is_named(data: dict[str, object], message: str):
    with pytest.raises(SpaceError, match=message):
        Architecture.from_dict(data)


def test_head_cannot_reach_below_the_backbone():
    architecture = DESIGNS.get("yolov8n").architecture
    with pytest.raises(SpaceError, match="reaches P6, the backbone ends at P5"):
        dataclasses.replace(architecture, head=Head(finest_level=3, coarsest_level=6))
    with pytest.raises(SpaceError, match="2 <= finest <= coarsest"):
        Head(finest_level=4, coarsest_level=3)


@pytest.mark.parametrize("content", ["{", "- 1", "!!python/object/apply:os.system ['true']", "\x00", "[" * 3000])
def test_wrong_files_are_named(content: str, tmp_path: Path):
    path = tmp_path / "wrong.yaml"
    path.write_text(content)
    with pytest.raises(SpaceError, match="wrong.yaml"):
        Architecture.from_yaml(path)


def test_missing_file_and_binary_file(tmp_path: Path):
    with pytest.raises(SpaceError, match="is no file"):
        Architecture.from_yaml(tmp_path / "none.yaml")
    with pytest.raises(SpaceError, match="is no file"):
        Architecture.from_yaml(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(SpaceError, match="not a YAML"):
        Architecture.from_yaml(tmp_path / "a.jpg")
