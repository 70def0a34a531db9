"""Plain annotations of a COCO file, which are read all at once, give what they give one by one."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trainers.data import Dataset, open_data

SIDE = 32
INSIDE = ([1, 2, 10, 11], [4, 4, 8.5, 8.5], [0, 0, 32, 32])
sides = st.sampled_from([-1.0, 0.0, 0.05, 0.1, 4, 8.5, 31.9, 32, 33, 1e308])
annotations = st.fixed_dictionaries(
    {
        "image_id": st.sampled_from([1, 2, 9]),
        "category_id": st.sampled_from([3, 4, 5, 6]),
        "bbox": st.one_of(st.sampled_from(INSIDE), st.lists(sides, min_size=4, max_size=4)),
    },
    optional={"iscrowd": st.sampled_from([0, 1])},
)
FIRST = [{"image_id": number, "category_id": 3, "bbox": [1, 2, 10, 11]} for number in (1, 2)]
"""An empty data set is refused."""
CATEGORIES = [{"id": 3, "name": "a"}, {"id": "4", "name": "b"}, {"id": 6, "name": "ignored"}]


def opened(folder: Path, entries: list[dict[str, Any]]) -> tuple[list[Dataset], tuple[str, ...]]:
    images = [{"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE} for number in (1, 2)]
    numbered = [{"id": number, **entry} for number, entry in enumerate(entries)]
    content = {"images": images, "annotations": numbered, "categories": CATEGORIES}
    (folder / "all.json").write_text(json.dumps(content))
    splits = open_data(folder / "all.json")
    return [splits.train, splits.val], splits.notices


def entry(box: list[float], image: int = 1, category: int = 3) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": box}


@settings(deadline=None)
@example([entry([4, 4, 0.05, 8])])
@example([entry([-1, 4, 8, 8])])
@example([entry([4, 30, 8, 8])])
@example([entry([4, 4, 8, 8], category=5)])
@example([entry([4, 4, 8, 8]), entry([4, 4, 8, 8])])
@given(st.lists(annotations, max_size=8))
def test_plain_annotations_give_what_others_give(entries: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        for number in (1, 2):
            cv2.imwrite(str(folder / f"{number}.png"), np.zeros((SIDE, SIDE), np.uint8))
        entries = [*FIRST, *entries]
        plain, notices = opened(folder, entries)
        slow, slow_notices = opened(folder, [{**entry, "ignore": 0} for entry in entries])  # a flag that is not plain
    assert [each.fingerprint() for each in plain] == [each.fingerprint() for each in slow]
    assert notices == slow_notices
