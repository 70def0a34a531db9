"""Annotations that are stored in tables come back as they are in the file."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trainers.data.annotation_list import AnnotationList, PlainTables, Row

NEEDED = ("id", "image_id", "category_id", "bbox")
ids = st.one_of(st.integers(-5, 5), st.sampled_from([2**63, -(2**63), 2**63 - 1, 1.0, True, "7", None]))
numbers = st.one_of(st.floats(allow_nan=False), st.integers(-9, 9), st.sampled_from([10**400, True, "1", None]))
boxes = st.one_of(st.lists(numbers, min_size=3, max_size=5), st.just("1234"), st.none())
annotations = st.fixed_dictionaries(
    {"id": ids, "image_id": ids, "category_id": ids, "bbox": boxes},
    optional={
        "iscrowd": st.sampled_from([0, 1, "0", False, None]),
        "ignore": st.sampled_from([0, 1]),
        "uncertain": st.booleans(),
        "segmentation": st.sampled_from([[], [[1, 2, 3, 4, 5, 6]], {"size": [4, 4], "counts": [16]}]),
        "area": numbers,
    },
)
whole = st.integers(-(2**63), 2**63 - 1)
plain = st.fixed_dictionaries(
    {"id": whole, "image_id": whole, "category_id": whole, "bbox": st.lists(st.floats(-9, 9), min_size=4, max_size=4)},
    optional={"iscrowd": st.just(0), "area": numbers, "segmentation": st.just([])},
)
entries = st.lists(st.one_of(plain, annotations, st.integers(0, 3), st.none(), st.just([])), max_size=12)


def read(content: Any) -> tuple[dict[str, Any], PlainTables]:
    tables = PlainTables()
    return json.loads(json.dumps(content), object_hook=tables.stored), tables


@given(entries, entries)
def test_entries_come_back(given_entries: list[Any], others: list[Any]) -> None:
    """Objects elsewhere in the file, such as those of another list, do not shift them."""
    content, tables = read({"others": others, "annotations": given_entries})
    found = AnnotationList(content["annotations"], tables)
    assert len(found) == len(given_entries)
    for entry, wanted in zip(found, given_entries, strict=True):
        if isinstance(wanted, dict) and not set(wanted) <= set(entry):
            assert {key: entry[key] for key in NEEDED} == {key: wanted[key] for key in NEEDED}
            assert not wanted.get("iscrowd") and not set(wanted) - {*NEEDED, "iscrowd", "area", "segmentation"}
        else:
            assert entry == wanted and type(entry) is type(wanted)


@given(entries)
def test_tables_hold_what_is_plain(given_entries: list[Any]) -> None:
    content, tables = read(given_entries)
    found = AnnotationList(content, tables)
    for entry, row in zip(found, found.rows.tolist(), strict=True):
        if row >= 0:
            assert tables.ids[row].tolist() == [entry[key] for key in NEEDED[:3]]
            assert tables.boxes[row].tolist() == entry["bbox"]
    assert (found.rows >= 0).sum() == len(tables.ids) == len(tables.boxes)


def test_a_plain_annotation_is_stored_and_others_are_not() -> None:
    plain = {"id": 1, "image_id": 2, "category_id": 3, "bbox": [0, 0.5, 4, 5], "iscrowd": 0, "area": 20.0}
    assert type(PlainTables().stored(dict(plain))) is Row
    for change in ({"iscrowd": 1}, {"iscrowd": "0"}, {"ignore": 0}, {"id": "1"}, {"bbox": [0, 0, 4]}, {"id": 2**63}):
        assert type(PlainTables().stored({**plain, **change})) is dict
