"""Validation images with the boxes that members of a front find, miss and get wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath

import cv2
import numpy as np

from nas.box_drawing import DrawnBox, draw_boxes
from nas.config import RunConfig
from nas.reports.box_marks import IOU, MARKS, MarkedImages, mark_boxes
from nas.reports.held_out import shown_images
from nas.run_folder import RunFolder
from results import records
from results.export import member_name
from results.report import MemberPictures, Picture, PictureGrid, PictureMark
from results.trial import Trial
from search_space import Architecture
from search_space.errors import ConfigError, UserError
from trainers import load_weights
from trainers.data import Dataset, DataSplits
from trainers.data.dataset import Image
from trainers.data.file_names import distinct_ends
from trainers.evaluation import detect_dataset

NUM_IMAGES = 6
MAX_IMAGE_BYTES = 60_000
"""Of one encoded image: the size of all of them in the report is at most 4 / 3 of 18 such images, 1.44 MB."""
SIDES_PX = (640, 960)
"""The longer side of an image is brought into this range, so that small objects can be seen."""
QUALITIES = (90, 80, 70, 60, 50, 40)
SHRINK = 0.8
"""Per step, where the lowest quality takes too many bytes."""


def pictures_of(run: Path, config: RunConfig, splits: DataSplits | str, front: Sequence[Trial]) -> PictureGrid | str:
    """Draws what up to three members of a front find in six validation images.

    Args:
        run: Folder of the run, for the weights; nothing in it is changed.
        config: Of the run.
        splits: The data of the run, or a sentence that says why it cannot be read.
        front: The most accurate member first.

    Returns:
        The pictures, or a sentence that says why there are none.
    """
    if isinstance(splits, str):
        return f"No images are shown. {splits}"
    if not front:
        return "No images are shown, because the front has no member yet."
    dataset, source = shown_images(config, splits)
    chosen = dataset.taking(telling(dataset))
    if not len(chosen):
        return f"No images are shown, because none of {source} has an object."
    try:
        images = [chosen.image(index) for index in range(len(chosen))]
    except UserError as error:
        return f"No images are shown, because one of them cannot be read: {error}"
    return PictureGrid(
        source=source,
        names=tuple(distinct_ends(PurePath(record.key) for record in chosen.records)),
        marks=tuple(
            PictureMark(title=each.title, color=each.hex, line=each.line.value, sign=each.sign) for each in MARKS
        ),
        iou=IOU,
        members=tuple(
            _member(run, config, chosen, images, trial, name=member_name(front.index(trial) + 1, trial.key), role=role)
            for role, trial in compared(front).items()
        ),
    )


def compared(front: Sequence[Trial]) -> dict[str, Trial]:
    """Returns the most accurate member, the cheapest one and one in between, by what they are; fewer of a small front.

    Args:
        front: The most accurate member first.
    """
    names = [name for name in front[0].objectives if not records.is_accuracy(name)]
    cost = next(iter(names), "macs")
    by_cost = sorted(front, key=lambda trial: (trial.value(cost) or 0.0, trial.number))
    between = [trial for trial in by_cost if trial is not front[0] and trial is not by_cost[0]]
    found = {"in between": between[(len(between) - 1) // 2]} if between else {}
    if by_cost[0] is front[0]:
        return {"most accurate and cheapest" if len(front) > 1 else "the only member": front[0], **found}
    return {"most accurate": front[0], **found, "cheapest": by_cost[0]}


def telling(dataset: Dataset, number: int = NUM_IMAGES) -> list[int]:
    """Returns the indices of images with objects, spread over a data set, with few and with many objects.

    The images with objects are divided into `number` runs of consecutive ones. Of each run one is taken, at the
    quantiles 1/12, 3/12 .. 11/12 of the number of objects in turn. The result depends on the annotations alone.
    """
    counts = [len(record.boxes) for record in dataset.records]
    runs = np.array_split(np.flatnonzero(counts), number)
    chosen = []
    for place, run in enumerate(part.tolist() for part in runs if len(part)):
        by_count = sorted(run, key=lambda index: (counts[index], index))
        chosen.append(by_count[int((place + 0.5) / number * len(by_count))])
    return chosen


def _member(
    run: Path, config: RunConfig, chosen: Dataset, images: list[Image], trial: Trial, *, name: str, role: str
) -> MemberPictures:
    head = MemberPictures(name=name, role=role, gmacs=trial.macs / 1e9)
    try:
        path = weights_of(run, trial.key)
        marked = _marked(path, config, chosen, trial)
    except UserError as error:
        return replace(head, problem=f"No images are shown of {name}: {error}")
    drawn = [[box for boxes in each.values() for box in boxes.drawn(chosen.classes)] for each in marked.images]
    return replace(
        head,
        weights=path.relative_to(run).as_posix(),
        score_threshold=marked.score_threshold,
        is_best_threshold=marked.is_best,
        pictures=tuple(
            Picture(jpeg=jpeg_with(image, boxes), counts={title: len(found) for title, found in each.items()})
            for image, boxes, each in zip(images, drawn, marked.images, strict=True)
        ),
    )


def _marked(path: Path, config: RunConfig, chosen: Dataset, trial: Trial) -> MarkedImages:
    """Returns what the detector of a weights file does in each image.

    Raises:
        UserError: The file is damaged, or of another detector.
    """
    weights = load_weights(path)
    if weights.classes != config.classes or Architecture.from_dict(weights.architecture).key() != trial.key:
        raise ConfigError(f"{path} is of another detector; next: put back the weights of the run")
    return mark_boxes(detect_dataset(weights.detector(), chosen))


def weights_of(run: Path, key: str) -> Path:
    """Returns the weights file of an architecture: of its finished training, else of the search.

    Raises:
        ConfigError: There is neither.
    """
    finished = sorted((run / "finished").glob(f"*-{key}/weights.pt"))
    path = finished[0] if finished else RunFolder(run).weights_path(key)
    if not path.is_file():
        raise ConfigError(f"its weights {path} are not there; next: nas run --resume {run}")
    return path


def jpeg_with(image: Image, boxes: Sequence[DrawnBox]) -> bytes:
    """Returns an image with boxes as JPEG of at most `MAX_IMAGE_BYTES`.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        boxes: In its pixels.
    """
    longer = max(image.shape[:2])
    gain = min(max(longer, SIDES_PX[0]), SIDES_PX[1]) / longer
    while True:
        height, width = (max(1, round(side * gain)) for side in image.shape[:2])
        method = cv2.INTER_AREA if gain < 1 else cv2.INTER_CUBIC
        scaled = np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)
        drawn = cv2.cvtColor(draw_boxes(scaled, [box.scaled(gain) for box in boxes], bold=True), cv2.COLOR_RGB2BGR)
        for quality in QUALITIES:
            encoded = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
            if len(encoded) <= MAX_IMAGE_BYTES:
                return encoded
        gain *= SHRINK
