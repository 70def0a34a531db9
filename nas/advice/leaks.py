"""Find near-duplicates between the splits of a data set, such as frames of one flight on both sides.

The threshold is calibrated on the data itself: images are mirrored and compared. No camera sees a mirrored scene, so
similarity to mirrored images is due to chance, while everything else (number of images, smoothness, time of day) stays
the same. The threshold is the similarity that 99 % of the mirrored images do not reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nas.advice.similarity import Index
from nas.advice.thumbnails import Gallery

CHANCE = 0.01
"""Share of images that reach the threshold by chance."""
LEAST_THRESHOLD = 0.5
"""Lower limit of the threshold: a small data set is too small to calibrate it."""
ALIKE = 0.9
"""Similarity from which two images are nearly identical."""
NUM_MIRRORED = 1000
"""Limit of mirrored images: first those of the validation split, then of the training split."""
NUM_WORST = 5


@dataclass(frozen=True, kw_only=True)
class Twins:
    """An image and the most similar image of another split."""

    image: str
    other: str
    similarity: float


@dataclass(frozen=True, kw_only=True)
class Leak:
    """How many images of one split have a near-duplicate in another."""

    part: str
    other: str
    num_images: int
    """Compared images of the split."""
    num_leaked: int
    """Images whose similarity to some image of the other split reaches the threshold."""
    num_alike: int
    """Images whose similarity reaches `ALIKE` and the threshold."""
    worst: tuple[Twins, ...]

    @property
    def share(self) -> float:
        """Share of the split's images with a near-duplicate."""
        return self.num_leaked / self.num_images if self.num_images else 0.0


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """Near-duplicates between the splits of a data set, and the threshold of similarity."""

    threshold: float
    chance_level: float
    """Similarity that 99 % of the mirrored images do not reach: the threshold, unless it is below the lower limit."""
    num_mirrored: int
    pairs: tuple[Leak, ...]
    """Validation against training first."""
    num_unreadable: int


def find_leaks(galleries: list[Gallery], on_image: Callable[[], None] = lambda: None) -> Leaks:
    """Compares each split with all splits before it.

    Args:
        galleries: The splits, training first.
        on_image: Called after each compared image, `num_comparisons` times.
    """
    indices = [Index.of(each.pixels) for each in galleries]
    chance_level, num_mirrored = _chance(galleries, indices[0], on_image)
    threshold = max(chance_level, LEAST_THRESHOLD)
    pairs = [
        _leak(galleries[later], galleries[earlier], indices[later], indices[earlier], threshold, on_image)
        for later in range(1, len(galleries))
        for earlier in range(later)
    ]
    return Leaks(
        threshold=threshold,
        chance_level=chance_level,
        num_mirrored=num_mirrored,
        pairs=tuple(pairs),
        num_unreadable=sum(each.num_unreadable for each in galleries),
    )


def num_comparisons(galleries: list[Gallery]) -> int:
    """Returns how often `find_leaks` calls `on_image`."""
    mirrored = len(_mirror_rows(galleries))
    return mirrored + sum(len(each.names) * number for number, each in enumerate(galleries))


def _leak(
    part: Gallery, other: Gallery, index: Index, other_index: Index, threshold: float, on_image: Callable[[], None]
) -> Leak:
    similarity, best = index.nearest(other_index, on_image=on_image)
    worst = [row for row in np.argsort(-similarity, kind="stable")[:NUM_WORST] if similarity[row] >= threshold]
    return Leak(
        part=part.part,
        other=other.part,
        num_images=len(similarity),
        num_leaked=int((similarity >= threshold).sum()),
        num_alike=int((similarity >= max(ALIKE, threshold)).sum()),
        worst=tuple(
            Twins(image=part.names[row], other=other.names[best[row]], similarity=float(similarity[row]))
            for row in worst
        ),
    )


def _chance(galleries: list[Gallery], train: Index, on_image: Callable[[], None]) -> tuple[float, int]:
    """Returns the similarity to training images that 1 % of mirrored images reach, and how many were compared."""
    rows = _mirror_rows(galleries)
    if not rows or not len(train):
        return 1.0, 0
    pixels = np.stack([galleries[part].pixels[row] for part, row in rows])
    own = np.array([row if part == 0 else -1 for part, row in rows])
    similarity, _ = Index.of(pixels[:, :, ::-1]).nearest(train, leave_out=own, on_image=on_image)
    return float(np.quantile(similarity, 1 - CHANCE, method="higher")), len(rows)


def _mirror_rows(galleries: list[Gallery]) -> list[tuple[int, int]]:
    """Returns the images to mirror as (split, row), evenly spaced over each split."""
    rows: list[tuple[int, int]] = []
    for part in (1, 0):
        size = len(galleries[part].names) if part < len(galleries) else 0
        room = min(size, NUM_MIRRORED - len(rows))
        rows += [(part, int(row)) for row in np.linspace(0, size - 1, room).round()]
    return rows
