"""Object size bins of average precision: COCO, TinyPerson, quantiles, or edges in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_space.errors import ConfigError, DataError, unknown_name
from trainers.data.dataset import Record

NO_LIMIT = 1e10
"""Upper bound of all areas in square pixels, as in the COCO tools."""
MAX_QUANTILES = 20


@dataclass(frozen=True, kw_only=True)
class SizeBin:
    """A range of box areas in square pixels of the original image; both ends are inclusive, as in COCO."""

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high:
            raise ConfigError(f"size bin {self.name} goes from {self.low} to {self.high}; the ends must rise from 0")

    def holds(self, areas: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Returns which of the `areas` `(N,)` lie in the bin."""
        return (areas >= self.low) & (areas <= self.high)

    @property
    def low_px(self) -> float:
        """Lower end as the side of a square."""
        return round(math.sqrt(self.low), 6)

    @property
    def high_px(self) -> float:
        """Upper end as the side of a square; infinite without a limit."""
        return math.inf if self.high >= NO_LIMIT else round(math.sqrt(self.high), 6)


@dataclass(frozen=True, kw_only=True)
class SizeBins:
    """A set of size bins."""

    source: str
    """What was requested: `coco`, `tinyperson`, `quantiles:4` or edges."""
    bins: tuple[SizeBin, ...]
    extra_ious: tuple[float, ...] = ()
    """IoU thresholds that are reported in addition to those of COCO."""


def _sides(name: str, low_px: float, high_px: float = math.inf) -> SizeBin:
    return SizeBin(name=name, low=low_px**2, high=min(high_px**2, NO_LIMIT))


EVERY_SIZE = SizeBin(name="all", low=0, high=NO_LIMIT)
COCO_SIZES = (_sides("small", 0, 32), _sides("medium", 32, 96), _sides("large", 96))
TINY_PERSON_SIZES = (
    _sides("all", 2),
    _sides("tiny", 2, 20),
    _sides("tiny1", 2, 8),
    _sides("tiny2", 8, 12),
    _sides("tiny3", 12, 20),
    _sides("small", 20, 32),
)
"""Yu et al., "Scale match for tiny person detection", WACV 2020."""
FIXED = {
    "coco": SizeBins(source="coco", bins=COCO_SIZES),
    "tinyperson": SizeBins(source="tinyperson", bins=TINY_PERSON_SIZES, extra_ious=(0.25,)),
}


def size_bins(text: str, records: Sequence[Record]) -> SizeBins:
    """Returns the size bins that a text describes.

    Args:
        text: `coco`, `tinyperson`, `quantiles`, `quantiles:N` (N bins with equally many objects, default 4) or rising
            edges such as `0,8,16,32,inf` in pixels, the square root of the area.
        records: images for the quantiles.

    Raises:
        ConfigError: the text is none of these.
        DataError: quantiles are requested and there are no objects.
    """
    name, _, number = text.strip().lower().partition(":")
    if name == "quantiles":
        return _quantiles(_number_of_bins(number), records)
    if text in FIXED:
        return FIXED[text]
    if "," not in text:
        known = unknown_name("size bins", text, (*FIXED, "quantiles"))
        raise ConfigError(f"{known}, quantiles:N, or edges in pixels such as 0,8,16,32,inf")
    return from_edges(_edges(text), source=text)


def from_edges(edges: Sequence[float], *, source: str) -> SizeBins:
    """Returns the bins between rising `edges` in pixels; an object on an edge is in the upper bin only.

    Raises:
        ConfigError: there are fewer than two edges, or they do not rise from 0 or more.
    """
    if len(edges) < 2 or edges[0] < 0 or any(high <= low for low, high in zip(edges, edges[1:], strict=False)):
        raise ConfigError(
            "size bins must have two or more increasing edges from 0, got "
            f"{','.join(f'{edge:g}' for edge in edges)}; give such as 0,8,16,32,inf"
        )
    bins = [
        SizeBin(name=f"{low:g}-{high:g}", low=low**2, high=math.nextafter(min(high**2, NO_LIMIT), 0))
        for low, high in zip(edges, edges[1:], strict=False)
    ]
    if math.isinf(edges[-1]):
        bins[-1] = _sides(bins[-1].name, edges[-2])
    return SizeBins(source=source, bins=tuple(bins))


def _edges(text: str) -> list[float]:
    try:
        edges = [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"size bins {text!r} are not numbers; give edges in pixels such as 0,8,16,32,inf") from None
    if any(math.isnan(edge) for edge in edges):
        raise ConfigError(f"size bins {text!r} are not numbers; give edges in pixels such as 0,8,16,32,inf")
    return edges


def _number_of_bins(text: str) -> int:
    if not text:
        return 4
    if not text.isdecimal() or not 2 <= int(text) <= MAX_QUANTILES:
        raise ConfigError(f"quantiles:{text} is not valid; give a whole number from 2 to {MAX_QUANTILES}")
    return int(text)


def _quantiles(num_bins: int, records: Sequence[Record]) -> SizeBins:
    """Edges are rounded to a tenth of a pixel, so that the names of bins are exact; equal edges are merged."""
    boxes = np.concatenate([record.boxes for record in records]).astype(np.float64) if records else np.zeros((0, 4))
    if not len(boxes):
        raise DataError("quantiles of object sizes were requested, but there are no objects; check the labels")
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    inner = np.quantile(sides, np.arange(1, num_bins) / num_bins).round(1)
    edges = [0.0, *sorted({float(edge) for edge in inner if edge > 0}), math.inf]
    return from_edges(edges, source=f"quantiles:{num_bins}")
