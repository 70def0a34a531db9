"""Large pictures that are composed of the small real ones in tests/data, as a YOLO data set."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np

from trainers.data import Dataset, open_data

HIT_UAV = Path(__file__).parents[1] / "data" / "hit_uav"
COLUMNS, ROWS = 6, 4
FRAME = (1080, 1920)
GREY = 114


def write_large_pictures(folder: Path, *, num_train: int = 3, num_val: int = 2) -> Path:
    """Writes pictures of 1080x1920, each of 24 real pictures of 256x320 and a border; returns the folder."""
    splits = open_data(HIT_UAV)
    for part, dataset, count in (("train", splits.train, num_train), ("val", splits.val, num_val)):
        for name in ("images", "labels"):
            (folder / name / part).mkdir(parents=True)
        for number in range(count):
            image, lines = _composed(dataset, number)
            cv2.imwrite(str(folder / "images" / part / f"{number}.png"), image)
            (folder / "labels" / part / f"{number}.txt").write_text("\n".join(lines) + "\n")
    names = "\n".join(f"  {index}: {name}" for index, name in enumerate(splits.train.classes))
    (folder / "data.yaml").write_text(f"path: .\ntrain: images/train\nval: images/val\nnames:\n{names}\n")
    return folder


def _composed(dataset: Dataset, first: int) -> tuple[np.ndarray, list[str]]:
    """Returns a picture `(1080, 1920, 3)` BGR and its boxes as lines of YOLO."""
    canvas, lines = np.full((*FRAME, 3), GREY, np.uint8), []
    order = islice(cycle(range(len(dataset))), first, first + COLUMNS * ROWS)
    for place, index in enumerate(order):
        top, left = 256 * (place // COLUMNS), 320 * (place % COLUMNS)
        canvas[top : top + 256, left : left + 320] = dataset.image(index)[:, :, ::-1]
        record = dataset.records[index]
        for (x1, y1, x2, y2), label in zip(record.boxes, record.labels, strict=True):
            centre = ((x1 + x2) / 2 + left) / FRAME[1], ((y1 + y2) / 2 + top) / FRAME[0]
            size = (x2 - x1) / FRAME[1], (y2 - y1) / FRAME[0]
            lines.append(f"{label} " + " ".join(f"{value:.6f}" for value in (*centre, *size)))
    return canvas, lines
