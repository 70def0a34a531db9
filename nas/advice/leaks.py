"""Images of one part of a data set that show what another part shows: frames of one flight on both sides of a split.

How high chance goes is measured on the data itself: every image is compared in the mirror. No camera sees a mirrored
scene, so that what is alike there is alike by chance, and all else (how many images, how smooth, day or night) is the
same. The threshold is what 99 % of the images do not reach in the mirror.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nas.advice.similarity import Index
from nas.advice.thumbnails import Gallery

CHANCE = 0.01
"""Share of images that may reach the threshold by chance."""
LEAST_THRESHOLD = 0.5
"""The threshold is never lower: a small set is no measure of how far chance goes."""
ALIKE = 0.9
"""From here on two images are nearly the same."""
NUM_MIRRORED = 1000
"""Images that are compared in the mirror: those of the validation part, then of the training part."""
NUM_WORST = 5


@dataclass(frozen=True, kw_only=True)
class Twins:
    """An image and the one of another part that is most like it."""

    image: str
    other: str
    similarity: float


@dataclass(frozen=True, kw_only=True)
class Leak:
    """How many images of one part have a near-duplicate in another."""

    part: str
    other: str
    num_images: int
    """Images of the part that could be compared."""
    num_leaked: int
    """Of these, with a similarity of the threshold or more to an image of the other part."""
    num_alike: int
    """Of these, with a similarity of `ALIKE` or more."""
    worst: tuple[Twins, ...]

    @property
    def share(self) -> float:
        """Of the part's images, those with a near-duplicate."""
        return self.num_leaked / self.num_images if self.num_images else 0.0


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """What is shared by the parts of a data set, and from which similarity on."""

    threshold: float
    chance_level: float
    """The similarity that 99 % of the images do not reach in the mirror; the threshold, where that is not too low."""
    num_mirrored: int
    pairs: tuple[Leak, ...]
    """Of validation and training part first."""
    num_unreadable: int


def find_leaks(galleries: list[Gallery], on_image: Callable[[], None] = lambda: None) -> Leaks:
    """Compares each part with all before it.

    Args:
        galleries: training part first.
        on_image: called after each image that was compared, `num_comparisons` times.
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
    """Returns the similarity to mirrored training images that 1 % of the images reach, and how many were looked at."""
    rows = _mirror_rows(galleries)
    if not rows or not len(train):
        return 1.0, 0
    pixels = np.stack([galleries[part].pixels[row] for part, row in rows])
    own = np.array([row if part == 0 else -1 for part, row in rows])
    similarity, _ = Index.of(pixels[:, :, ::-1]).nearest(train, leave_out=own, on_image=on_image)
    return float(np.quantile(similarity, 1 - CHANCE, method="higher")), len(rows)


def _mirror_rows(galleries: list[Gallery]) -> list[tuple[int, int]]:
    """Returns the images to be compared in the mirror as (part, row), evenly spaced over each part."""
    rows: list[tuple[int, int]] = []
    for part in (1, 0):
        size = len(galleries[part].names) if part < len(galleries) else 0
        room = min(size, NUM_MIRRORED - len(rows))
        rows += [(part, int(row)) for row in np.linspace(0, size - 1, room).round()]
    return rows
