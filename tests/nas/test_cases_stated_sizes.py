"""Sizes that contradict the files are told by inspection, also of large JPEGs, which are read at a reduced size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import nas
from nas.advice.thumbnails import thumbnail
from search_space.errors import DataError
from tests.trainers.data_sets import coco_content, write_coco_set, write_image
from trainers.data.dataset import Record, no_boxes, no_labels


def test_inspection_leaves_out_images_of_another_size(tmp_path: Path) -> None:
    content = coco_content()
    for index in range(3, 8):
        write_image(tmp_path / "images" / f"{index}.png", seed=index)
        content["images"].append({"id": index + 1, "file_name": f"{index}.png", "width": 64, "height": 48})
    content["images"][0].update(width=48, height=64)
    notes: list[str] = []
    found = nas.inspect(write_coco_set(tmp_path, content), on_notice=notes.append)
    assert found.report.parts[0].num_images + found.report.parts[1].num_images == 7
    assert any("1 of 8 images have another size than their annotations state" in note for note in notes)


def test_a_reduced_jpeg_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.zeros((512, 640, 3), np.uint8))
    records = [
        Record(path=path, height=height, width=width, boxes=no_boxes(), labels=no_labels())
        for height, width in ((512, 640), (640, 512))
    ]
    assert thumbnail(records[0]).shape == (32, 32)
    with pytest.raises(DataError, match="the annotation says 512x640"):
        thumbnail(records[1])
