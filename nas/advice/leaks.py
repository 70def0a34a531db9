"""Images of one part of a data set that show what another part shows: frames of one flight on both sides of a split.

Two thumbnails are compared at every shift: the similarity is the highest value of their normalised circular
cross-correlation, 1 for equal ones. The amplitudes of their spectra are replaced by their square roots first, half way
to phase correlation (Kuglin and Hines, 1975): without that the large dark and bright areas of any two images agree too
well.

How high chance goes is measured on the data itself: every image is compared in the mirror. No camera sees a mirrored
scene, so that what is alike there is alike by chance, and all else (how many images, how smooth, day or night) is the
same. The threshold is what 99 % of the images do not reach in the mirror.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.advice.thumbnails import SIDE, Gallery, Thumbnails

CHANCE = 0.01
"""Share of images that may reach the threshold by chance."""
LEAST_THRESHOLD = 0.5
"""The threshold is never lower: a small set is no measure of how far chance goes."""
ALIKE = 0.9
"""From here on two images are nearly the same."""
NUM_MIRRORED = 1000
"""Images that are compared in the mirror: those of the validation part, then of the training part."""
NUM_CANDIDATES = 128
"""Images that one is compared with: those with the most similar amplitudes, which no shift changes."""
NUM_WORST = 5

Spectra = NDArray[np.complex64]
"""`(N, SIDE, SIDE // 2 + 1)`."""


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """Images in the form in which they are compared."""

    spectra: Spectra
    amplitudes: NDArray[np.float32]
    """`(N, SIDE * (SIDE // 2 + 1))`, of length 1."""

    def __len__(self) -> int:
        return len(self.spectra)

    @classmethod
    def of(cls, pixels: Thumbnails) -> Index:
        """Returns the index of thumbnails `(N, SIDE, SIDE)`."""
        spectra = softened_spectra(pixels)
        return cls(spectra=spectra, amplitudes=np.abs(spectra).reshape(len(spectra), -1))

    def nearest(
        self,
        other: Index,
        *,
        leave_out: NDArray[np.int64] | None = None,
        on_image: Callable[[], None] = lambda: None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Returns for each image the similarity `(N,)` and the row `(N,)` of the most similar one of `other`.

        Args:
            other: what is looked through; where it is empty all similarities are 0.
            leave_out: `(N,)`: for each image, a row of `other` that does not count, or -1.
            on_image: called after each image.
        """
        similarity, best = np.zeros(len(self), np.float32), np.zeros(len(self), np.int64)
        mean = other.amplitudes.mean(axis=0) if len(other) else 0
        references = _unit(other.amplitudes - mean)
        for row, amplitudes in enumerate(_unit(self.amplitudes - mean)):
            likely = references @ amplitudes
            if leave_out is not None and leave_out[row] >= 0:
                likely[leave_out[row]] = -np.inf
            rows = _highest(likely, NUM_CANDIDATES)
            if len(rows):
                found = similarities(self.spectra[row], other.spectra[rows])
                similarity[row], best[row] = found.max(), rows[found.argmax()]
            on_image()
        return similarity, best


def softened_spectra(pixels: Thumbnails) -> Spectra:
    """Returns the spectra of thumbnails `(N, SIDE, SIDE)`, softened: an image correlates with itself by 1.

    The border is faded out (Hann), so that what enters and leaves at the sides counts less. The spectrum of an image of
    one grey value is 0, and similar to nothing.
    """
    fade = np.hanning(SIDE + 2)[1:-1].astype(np.float32)
    faded = (pixels - pixels.mean(axis=(1, 2), keepdims=True)) * np.outer(fade, fade)
    spectra = np.fft.rfft2(faded)
    amplitudes = np.abs(spectra)
    softened = spectra / np.sqrt(np.maximum(amplitudes, 1e-3))
    energy = (np.fft.irfft2(softened, s=(SIDE, SIDE)) ** 2).sum(axis=(1, 2), keepdims=True)
    return np.asarray(softened / np.sqrt(np.maximum(energy, 1e-6)), np.complex64)


def similarities(spectrum: Spectra, spectra: Spectra) -> NDArray[np.float32]:
    """Returns the similarity `(N,)` of one image to N others, each at its best shift; 1 at most."""
    correlations = np.fft.irfft2(np.conj(spectrum) * spectra, s=(SIDE, SIDE))
    return np.asarray(correlations.max(axis=(1, 2)), np.float32)


def _highest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Returns the rows of the highest finite values `(N,)`, `count` of them at most, in no order."""
    if count < len(values):
        rows = np.argpartition(-values, count)[:count]
    else:
        rows = np.arange(len(values))
    return np.asarray(rows[np.isfinite(values[rows])], np.int64)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32)
