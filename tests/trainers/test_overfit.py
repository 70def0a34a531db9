"""Each kind of head learns 16 real images by heart: what a loss, an assignment or a reading that is wrong cannot do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from search_space import DESIGNS, Architecture, Detector, Head, SearchSpace, lower
from search_space.parts import Backbone, Neck
from search_space.tables import UNIT_TABLES, scaled, scaled_units, unit_backbone, unit_stage
from trainers import TrainConfig, evaluate, train
from trainers.data import Dataset, open_data
from trainers.data.augmentation import Augmentation
from trainers.data.dataset import Image, Record

pytestmark = pytest.mark.slow

IMAGES = Path(__file__).parent.parent / "data" / "formats" / "coco.json"
SIDE = 96
WHOLE = 0.6
"""A box with less of its area in the cut is ignored."""


def corner(record: Record, side: int) -> tuple[int, int]:
    """Left and top of the cut around the first object, or at the origin."""
    x1, y1, x2, y2 = record.boxes[0] if len(record.boxes) else (0.0, 0.0, 0.0, 0.0)
    left, top = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
    return int(np.clip(left, 0, record.width - side)), int(np.clip(top, 0, record.height - side))


def cut(record: Record, side: int) -> Record:
    left, top = corner(record, side)
    moved = record.boxes - np.array([left, top, left, top], np.float32)
    inside = moved.clip(0, side)
    seen = (inside[:, 2:] - inside[:, :2]).prod(axis=1) / (moved[:, 2:] - moved[:, :2]).prod(axis=1)
    whole, part = seen >= WHOLE, (seen > 0) & (seen < WHOLE)
    return replace(
        record,
        width=side,
        height=side,
        boxes=inside[whole],
        labels=record.labels[whole],
        ignored=inside[part],
        ignored_labels=record.labels[part],
    )


def smallest_side(record: Record) -> float:
    return float((record.boxes[:, 2:] - record.boxes[:, :2]).min()) if len(record.boxes) else np.inf


def sixteen(side: int = SIDE) -> Dataset:
    """Cuts of the 16 images without very small objects; two hold no object, some hold ignored parts."""
    splits = open_data(IMAGES)
    sources = Dataset([*splits.train.records, *splits.val.records], splits.train.classes)
    rows = sorted(range(len(sources)), key=lambda row: -smallest_side(sources.records[row]))[:16]
    row_of = {sources.records[row].path: row for row in rows}

    def read(record: Record) -> Image:
        row = row_of[record.path]
        left, top = corner(sources.records[row], side)
        return sources.image(row)[top : top + side, left : left + side]

    return Dataset([cut(sources.records[row], side) for row in rows], sources.classes, reader=read)


def backbone(table: str, width: float, coarsest: int, downsample: str) -> Backbone:
    units = UNIT_TABLES[table]
    stages = (
        unit_stage(level, scaled_units(units.stages[level], width, "table"), downsample=downsample)
        for level in range(2, coarsest + 1)
    )
    stem = {
        "stem_channels": scaled(units.stem_channels, width),
        "stem_units": scaled_units(units.stem_units, width, "table"),
    }
    return unit_backbone(units, stages, **stem)


def architecture(head: Head) -> Architecture:
    two_stage = head.kind == "two_stage"
    table, width, downsample = ("mobilenetv3-d", 0.25, "aligned") if two_stage else ("mobilenetv1", 0.25, "strided")
    channels = 49 if two_stage else 64
    smooth = "scconv" if two_stage else "separable"
    return Architecture(
        input_hw=(SIDE, SIDE),
        backbone=backbone(table, width, head.coarsest_level, downsample),
        neck=Neck(kind="fpn", channels=(channels,), fusion="add", smooth=smooth),
        head=head,
    )


ANCHOR_FREE = Head(finest_level=3, coarsest_level=5, box_channels=32, class_branch="depthwise")
SSD = Head(kind="ssd", finest_level=3, coarsest_level=5, predictor="separable")
TWO_STAGE = Head(kind="two_stage", finest_level=3, coarsest_level=4, proposals=60, anchor_scale=4.0, roi_scale=30.0)


@pytest.mark.parametrize(
    ("head", "epochs", "batch_size", "learning_rate"),
    [(ANCHOR_FREE, 50, 4, 6e-3), (SSD, 32, 4, 4e-3), (TWO_STAGE, 34, 2, 6e-3)],
    ids=["anchor_free", "ssd", "two_stage"],
)
def test_a_head_learns_sixteen_images_by_heart(head: Head, epochs: int, batch_size: int, learning_rate: float) -> None:
    assert learned(architecture(head), sixteen(), epochs, batch_size, learning_rate) > 0.9


def test_vgg16_without_norm_learns_sixteen_images_by_heart() -> None:
    """An eighth of the width. With the default weights of PyTorch it reached an AP50 of 0.25."""
    space = SearchSpace()
    point = space.encode(DESIGNS.get("ssd-vgg16-s1l2").architecture)
    narrow = space.decode({**point, "width": 0.125}).resized((SIDE, SIDE))
    assert learned(narrow, sixteen(), 36, 4, 3e-3) > 0.9


def learned(architecture: Architecture, images: Dataset, epochs: int, batch_size: int, learning_rate: float) -> float:
    """Returns AP50 on the images that were trained on."""
    assert sum(len(record.boxes) for record in images.records) >= 20
    with torch.random.fork_rng():
        torch.manual_seed(0)
        detector = Detector(lower(architecture, num_classes=len(images.classes)))
    config = TrainConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=0.0,
        ema_decay=0.95,
        augmentation=Augmentation(flip=0, scale=0, translate=0, light=0),
        device="cpu",
        precision="float32",
    )
    result = train(detector, images, config=config)
    detector.load_state_dict(result.state_dict)
    assert result.bad_steps == 0
    return evaluate(detector, images).ap50
