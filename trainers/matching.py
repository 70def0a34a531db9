"""Matching of detections to objects by the COCO rules, vectorized over images, IoU thresholds and sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from trainers.data.dataset import EVERY_CLASS, Record
from trainers.sizes import SizeBin

DetectionArrays: TypeAlias = tuple[NDArray[np.generic], NDArray[np.generic], NDArray[np.generic]]
"""Boxes `(N, 4)` as x1, y1, x2, y2 in pixels, scores `(N,)` and labels `(N,)` of one image."""
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

COCO_IOUS = tuple(np.linspace(0.5, 0.95, 10).tolist())
MAX_DETECTIONS = 100
NO_OBJECT = -1
ALMOST_ONE = 1 - 1e-10
"""Upper limit of the thresholds, so that equal boxes match at a threshold of 1 despite rounding, as in COCO."""
CHUNK = 4096
"""Detections that are assigned at once, which bounds the memory."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxTable:
    """Boxes of all images in one table."""

    corners: Floats
    """`(N, 4)` as x1, y1, x2, y2."""
    labels: Integers
    """`(N,)`; -1 for ignored regions of every class."""
    images: Integers
    """`(N,)`: index of the image."""
    scores: Floats
    """`(N,)`; empty for objects."""
    crowd: Flags
    """`(N,)`: ignored regions; empty for detections."""

    def __len__(self) -> int:
        return len(self.corners)

    @property
    def areas(self) -> Floats:
        """Areas `(N,)` in square pixels."""
        return (self.corners[:, 2] - self.corners[:, 0]) * (self.corners[:, 3] - self.corners[:, 1])


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """The result of matching D detections, best score first, with G objects, for A sizes and T thresholds."""

    bins: tuple[SizeBin, ...]
    ious: tuple[float, ...]
    num_images: int
    num_classes: int
    images: Integers
    """`(D,)`: index of the image of each detection."""
    labels: Integers
    """`(D,)`."""
    scores: Floats
    """`(D,)`, falling; ties are in the order of the images, then of the detector."""
    right: Flags
    """`(A, T, D)`: the detection is a true positive for that size."""
    counted: Flags
    """`(A, T, D)`: the detection counts, as a true or a false positive. Others match an ignored region or an object of
    another size, or are unmatched and of another size themselves."""
    objects: Integers
    """`(T, D)`: the matched object for all sizes (the first bin); -1 for none or an ignored region."""
    object_images: Integers
    """`(G,)`."""
    object_labels: Integers
    """`(G,)`."""
    object_sizes: Flags
    """`(A, G)`: whether each object is in each size bin."""
    object_corners: Floats
    """`(G, 4)`."""
    corners: Floats
    """`(D, 4)`."""

    def at_iou(self, iou: float) -> int:
        """Returns the index of an IoU threshold; raises KeyError if it is not one of `ious`."""
        near = [index for index, known in enumerate(self.ious) if abs(known - iou) < 1e-9]
        if not near:
            raise KeyError(f"IoU {iou} is not among {self.ious}")
        return near[0]


def match(
    records: Sequence[Record],
    found: Sequence[DetectionArrays],
    *,
    num_classes: int,
    bins: Sequence[SizeBin],
    ious: Sequence[float] = COCO_IOUS,
    max_detections: int = MAX_DETECTIONS,
) -> Matches:
    """Matches each detection, highest score first, to the free object of its class and image with the highest IoU.

    Objects of the size bin take precedence over objects that are ignored because of their size. Ignored regions can be
    matched any number of times; their overlap is the share of the detection inside the region.

    Args:
        records: the images with their objects and ignored regions.
        found: the detections in each image.
        num_classes: labels are 0 .. num_classes - 1.
        bins: size bins; the first one must contain every object.
        ious: IoU thresholds.
        max_detections: per class and image, those with the highest scores.
    """
    truth, detections = _truth(records), _best(_detections(found), num_classes, max_detections)
    thresholds = np.minimum(np.asarray(ious, np.float64), ALMOST_ONE)
    pairs = _pairs(truth, detections, float(thresholds.min()))
    sizes = np.stack([each.holds(truth.areas) & ~truth.crowd for each in bins])
    right, ignored, objects = _assign(pairs, truth, sizes, thresholds, len(detections))
    of_size = np.stack([each.holds(detections.areas) for each in bins])
    plain = ~truth.crowd  # the result has objects only, numbered without the ignored regions
    number = np.where(plain, np.cumsum(plain) - 1, NO_OBJECT)
    return Matches(
        bins=tuple(bins),
        ious=tuple(ious),
        num_images=len(records),
        num_classes=num_classes,
        images=detections.images,
        labels=detections.labels,
        scores=detections.scores,
        right=right,
        counted=right | ~(ignored | ~of_size[:, None, :]),
        objects=np.where(objects == NO_OBJECT, NO_OBJECT, number[objects]) if len(truth) else objects,
        object_images=truth.images[plain],
        object_labels=truth.labels[plain],
        object_sizes=sizes[:, plain],
        object_corners=truth.corners[plain],
        corners=detections.corners,
    )


def _as_coco(boxes: Floats) -> Floats:
    """Returns corners with the rounding errors of x, y, width, height in a COCO file, so that IoUs agree with COCO."""
    return np.concatenate((boxes[:, :2], boxes[:, :2] + (boxes[:, 2:] - boxes[:, :2])), axis=1)


def _truth(records: Sequence[Record]) -> BoxTable:
    """Collects the objects and the ignored regions of each image in one table."""
    parts = [part for record in records for part in (record.boxes, record.ignored)]
    labels = [part for record in records for part in (record.labels, record.ignored_labels)]
    crowd = [np.full(len(part), index % 2 == 1) for index, part in enumerate(parts)]
    images = np.repeat(np.arange(len(parts)) // 2, [len(part) for part in parts])
    return BoxTable(
        corners=np.concatenate([np.zeros((0, 4)), *parts]).astype(np.float64),
        labels=np.concatenate([np.zeros(0), *labels]).astype(np.int64),
        images=images.astype(np.int64),
        scores=np.zeros(0),
        crowd=np.concatenate([np.zeros(0, bool), *crowd]),
    )


def _detections(found: Sequence[DetectionArrays]) -> BoxTable:
    boxes, scores, labels = ([each[part] for each in found] for part in range(3))
    return BoxTable(
        corners=np.concatenate([np.zeros((0, 4)), *boxes]).astype(np.float64),
        labels=np.concatenate([np.zeros(0), *labels]).astype(np.int64),
        images=np.repeat(np.arange(len(found)), [len(each) for each in scores]).astype(np.int64),
        scores=np.concatenate([np.zeros(0), *scores]).astype(np.float64),
        crowd=np.zeros(0, bool),
    )


def _best(detections: BoxTable, num_classes: int, max_detections: int) -> BoxTable:
    """Returns the `max_detections` best detections of each class and image, best first."""
    order = np.argsort(-detections.scores, kind="stable")
    group = (detections.images * num_classes + detections.labels)[order]
    order = order[rank_in_group(group) < max_detections]
    return BoxTable(
        corners=detections.corners[order],
        labels=detections.labels[order],
        images=detections.images[order],
        scores=detections.scores[order],
        crowd=detections.crowd,
    )


def rank_in_group(group: Integers) -> Integers:
    """Returns how many earlier entries of `group` `(N,)` are equal to each one."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(group) else np.zeros(0, np.int64)
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(starts, np.diff(np.append(starts, len(group))))
    return rank


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pairs:
    """Pairs of detections and objects or regions with sufficient IoU, sorted by detection, then by rising IoU."""

    detections: Integers
    truths: Integers
    ious: Floats


def _pairs(truth: BoxTable, detections: BoxTable, least: float) -> _Pairs:
    rows, columns, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for in_image, there in _by_image(detections.images, truth.images):
        iou = overlaps(detections.corners[in_image], truth.corners[there], truth.crowd[there])
        labels = truth.labels[there]
        enough = (iou >= least) & ((detections.labels[in_image][:, None] == labels) | (labels == EVERY_CLASS))
        row, column = np.nonzero(enough)
        rows.append(in_image[row])
        columns.append(there[column])
        values.append(iou[row, column])
    row, column, value = np.concatenate(rows), np.concatenate(columns), np.concatenate(values)
    order = np.lexsort((column, value, row))  # of equal IoUs the later object wins, as in the COCO tools
    return _Pairs(detections=row[order], truths=column[order], ious=value[order])


def _by_image(first: Integers, second: Integers) -> Iterator[tuple[Integers, Integers]]:
    """Yields the indices in `first` and in `second` of each value that occurs in both."""
    orders = [np.argsort(values, kind="stable") for values in (first, second)]
    both = np.intersect1d(first, second)
    bounds = [
        (np.searchsorted(values[order], both, "left"), np.searchsorted(values[order], both, "right"))
        for values, order in zip((first, second), orders, strict=True)
    ]
    for index in range(len(both)):
        yield tuple(order[low[index] : high[index]] for order, (low, high) in zip(orders, bounds, strict=True))  # type: ignore[misc]


def overlaps(boxes: Floats, others: Floats, crowd: Flags) -> Floats:
    """Returns the IoU `(N, M)` of `boxes` with `others`; for crowds, the share of the box inside the crowd."""
    first, second = _as_coco(boxes), _as_coco(others)
    sides = [
        (np.minimum(first[:, None, axis + 2], second[:, axis + 2]) - np.maximum(first[:, None, axis], second[:, axis]))
        for axis in (0, 1)
    ]
    common = np.where((sides[0] > 0) & (sides[1] > 0), sides[0] * sides[1], 0.0)
    areas = [(table[:, 2] - table[:, 0]) * (table[:, 3] - table[:, 1]) for table in (boxes, others)]
    total = np.where(crowd, areas[0][:, None], areas[0][:, None] + areas[1] - common)
    return np.divide(common, total, out=np.zeros_like(common), where=total > 0)


def _assign(
    pairs: _Pairs, truth: BoxTable, sizes: Flags, thresholds: Floats, num_detections: int
) -> tuple[Flags, Flags, Integers]:
    """Returns right `(A, T, D)`, ignored `(A, T, D)` and the matched truths over all sizes `(T, D)`.

    COCO assigns one detection after the other, because a matched object is not available to later detections. This only
    matters within a group of detections that compete for common objects (see `_groups`); groups are independent. So
    the first detections of all groups are assigned at once, then the second ones, and so on, for all sizes and
    thresholds. n is the number of detections in a round, K the largest number of candidates of one of them.
    """
    shape = (len(sizes), len(thresholds), num_detections)
    right, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    objects = np.full(shape[1:], NO_OBJECT, np.int64)
    taken = np.zeros((len(truth), *shape[:2]), bool)
    detections, starts, counts = np.unique(pairs.detections, return_index=True, return_counts=True)
    rounds = rank_in_group(_groups(pairs, truth.crowd, num_detections)[detections])
    for members in _rounds(rounds):
        slots = np.arange(counts[members].max())
        exists = slots < counts[members][:, None]
        places = np.where(exists, starts[members][:, None] + slots, 0)
        candidates = pairs.truths[places]  # (n, K), rising overlap
        # A crowd can be matched again; an object that is taken cannot.
        closed = taken[candidates] & ~truth.crowd[candidates][..., None, None]  # (n, K, A, T)
        fits = exists[..., None] & (pairs.ious[places][..., None] >= thresholds)
        wanted = sizes[:, candidates].transpose(1, 2, 0)[..., None]
        # Among free candidates, objects of the size bin rank above ignored ones (offset len(slots)), then the IoU
        # decides, which rises with the slot. -1: not available.
        rank = np.where(fits[:, :, None] & ~closed, slots[:, None, None] + len(slots) * wanted, -1)
        best = rank.argmax(axis=1)  # (n, A, T)
        hit = np.take_along_axis(rank, best[:, None], axis=1)[:, 0] >= 0
        chosen = candidates[np.arange(len(members))[:, None, None], best]
        row, size, threshold = np.nonzero(hit)
        taken[chosen[hit], size, threshold] = True
        good = sizes[size, chosen[hit]]
        right[size, threshold, detections[members][row]] = good
        ignored[size, threshold, detections[members][row]] = ~good
        first = good & (size == 0)
        objects[threshold[first], detections[members][row[first]]] = chosen[hit][first]
    return right, ignored, objects


def _groups(pairs: _Pairs, crowd: Flags, num_detections: int) -> Integers:
    """Returns the group of each detection: the connected components of detections and objects that overlap.

    Crowds do not connect detections, because they can be matched any number of times.
    """
    joins = ~crowd[pairs.truths] if len(pairs.truths) else np.zeros(0, bool)
    row, column = pairs.detections[joins], pairs.truths[joins] + num_detections
    size = num_detections + len(crowd)
    graph = coo_array((np.ones(len(row), bool), (row, column)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][:num_detections], np.int64)


def _rounds(rounds: Integers) -> Iterator[Integers]:
    """Yields the indices of each round in turn, at most CHUNK at once."""
    order = np.argsort(rounds, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(rounds[order])) + 1):
        for start in range(0, len(members), CHUNK):
            yield members[start : start + CHUNK]
