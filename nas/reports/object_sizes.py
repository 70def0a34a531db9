"""The sizes of the objects in the inputs of the detectors of a run, compared with the strides of their levels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from nas.config import RunConfig
from nas.engine.session import reopen_data
from results.report import ObjectSizes
from results.trial import Trial
from search_space import TileGrid
from search_space.errors import UserError
from trainers.data import Dataset, DataSplits
from trainers.data.compose import tile_of

EDGES_PX = tuple(float(2 ** (power / 2)) for power in range(0, 21))
"""Edges of the histogram, from 1 to 1024 px, two bins for each factor of 2."""

Sizes = NDArray[np.float64]


def opened_data(config: RunConfig) -> DataSplits | str:
    """Returns the data of a run, or a sentence that says why it cannot be read."""
    try:
        return reopen_data(config)[1]
    except (UserError, OSError) as error:
        return f"The data of the run cannot be read any more: {error}"


def box_sizes(splits: DataSplits | str, trials: Iterable[Trial], config: RunConfig) -> ObjectSizes | str:
    """Measures the boxes of all images of a run in the inputs of detectors.

    Args:
        splits: The data of the run, or a sentence that says why it cannot be read.
        trials: Those of the detectors.

    Returns:
        Histograms and shares by key, or a sentence that says why there are none.
    """
    if isinstance(splits, str):
        return f"The sizes of the objects are not shown. {splits}"
    return measure(splits, trials, config)


def measure(splits: DataSplits, trials: Iterable[Trial], config: RunConfig) -> ObjectSizes:
    """Measures the boxes of both parts of a data set; see `box_sizes`."""
    tables = [_boxes(dataset) for dataset in (splits.train, splits.val)]
    boxes, images = (np.concatenate(each) for each in zip(*tables, strict=True))
    counts, medians, shares = {}, {}, {}
    for trial in trials:
        sides = input_sides(
            boxes, images, (trial.input_height, trial.input_width), TileGrid.of(config.tiles_of(trial.axes))
        )
        inside = np.clip(sides, EDGES_PX[0], np.nextafter(EDGES_PX[-1], 0))
        counts[trial.key] = tuple(int(each) for each in np.histogram(inside, EDGES_PX)[0])
        medians[trial.key] = float(np.median(sides))
        cells = sides / min(2 ** int(level.removeprefix("P")) for level in trial.levels)
        bounds = ((cells < 1), (cells >= 1) & (cells < 2), (cells >= 2))
        shares[trial.key] = tuple(float(each.mean()) for each in bounds)
    return ObjectSizes(
        source=splits.source.partition(":")[0] if splits.format else "the built-in set",
        num_boxes=len(boxes),
        edges_px=EDGES_PX,
        counts=counts,
        median_px=medians,
        shares_by_cells=shares,  # type: ignore[arg-type]  # three bounds, three shares
    )


def input_sides(boxes: Sizes, images: Sizes, input_hw: tuple[int, int], tiles: TileGrid | None = None) -> Sizes:
    """Returns the root of the area of each box once its image is fitted into an input.

    Args:
        boxes: `(N, 2)` widths and heights in pixels of their images.
        images: `(N, 2)` heights and widths of their images in pixels.
        input_hw: Height and width of the input in pixels; the aspect of the image is kept.
        tiles: That each image is cut into; None: it is not cut.
    """
    images = images if tiles is None else _tiles(images, input_hw, tiles)
    gain = np.minimum(input_hw[0] / images[:, 0], input_hw[1] / images[:, 1])
    return np.asarray(np.sqrt(boxes[:, 0] * boxes[:, 1]) * gain, np.float64)


def _tiles(images: Sizes, input_hw: tuple[int, int], tiles: TileGrid) -> Sizes:
    """Returns the heights and widths `(N, 2)` of the tiles of images."""
    sizes, which = np.unique(images, axis=0, return_inverse=True)
    hws = [(int(height), int(width)) for height, width in sizes]
    found = [tile_of(tiles, hw, input_hw) or hw for hw in hws]
    return np.array(found, np.float64).reshape(-1, 2)[which.reshape(-1)]


def _boxes(dataset: Dataset) -> tuple[Sizes, Sizes]:
    """Returns width and height of every box `(N, 2)`, and height and width of its image `(N, 2)`, in pixels."""
    boxes = [record.boxes[:, 2:] - record.boxes[:, :2] for record in dataset.records]
    images = [np.tile([[record.height, record.width]], (len(record.boxes), 1)) for record in dataset.records]
    return np.concatenate(boxes).astype(np.float64), np.concatenate(images).astype(np.float64)
